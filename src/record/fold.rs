//! The composition of inspector, rules and totals: facts in, final rows out. Live indexing, `reindex` and the index of a
//! killed capture all go through here, which is why they agree. No IO, no clock.

use std::collections::BTreeMap;

use crate::{
    inspect::{Inspector, Output},
    model::{
        Timestamp,
        flag::{Flag, Subject},
        rows::{Position, Row},
        trace::TraceEvent,
    },
    rules::RuleSet,
    store::Rows,
};

use super::{Error, Inspection, summary::Tally};

/// Subjects whose flags are remembered until their row goes out live; the oldest are forgotten beyond that.
const REMEMBERED: usize = 1 << 16;

/// The fold over one capture.
pub(super) struct Fold {
    inspector: Inspector,
    rules: RuleSet,
    pub(super) tally: Tally,
    raised: Vec<Flag>,
    /// Rules that hit what is still open, for the rows that go out live. Tables join at reading instead.
    hit: BTreeMap<Subject, Vec<&'static str>>,
}

impl Fold {
    pub(super) fn new(inspection: &Inspection) -> Result<Self, Error> {
        Self::with(Inspector::new(inspection.inspector.clone()), inspection)
    }

    /// Goes on from a retained state. Rules begin anew: what they waited for is not part of it.
    pub(super) fn restore(inspection: &Inspection, state: serde_json::Value) -> Result<Self, Error> {
        Self::with(Inspector::restore(inspection.inspector.clone(), state)?, inspection)
    }

    /// The next fact. Rows that it made final are added to `out`: flags first, since they are what the others are joined
    /// with.
    pub(super) fn push(&mut self, event: &TraceEvent<'_>, at: Position, out: &mut Vec<Row>) {
        self.tally.fact(event);
        let before = out.len();
        let Self { inspector, rules, raised, .. } = self;
        inspector.push(event, at, &mut |output| take(output, rules, raised, out));
        self.tell(out, before);
    }

    /// The capture is over: what is open becomes final. Event time does not go on by this, so that it is the same
    /// whenever it is done.
    pub(super) fn finish(&mut self, out: &mut Vec<Row>) {
        let before = out.len();
        let Self { inspector, rules, raised, .. } = self;
        inspector.finish(Timestamp(0), &mut |output| take(output, rules, raised, out));
        self.tell(out, before);
        self.mark();
    }

    /// Notes in the totals how far the fold is.
    pub(super) fn mark(&mut self) {
        self.tally.indexed_upto(self.inspector.now());
    }

    /// Rows of what is still open, as they stand.
    pub(super) fn open_rows(&self) -> Rows {
        let mut rows = Rows::default();
        self.inspector.open_rows().into_iter().for_each(|row| add(&mut rows, row));
        rows
    }

    /// The newest event time.
    pub(super) fn now(&self) -> Timestamp {
        self.inspector.now()
    }

    /// The rules that hit what this row is about, by now. To be asked once, when the row goes out.
    pub(super) fn flags_of(&mut self, row: &Row) -> Vec<&'static str> {
        let subject = match row {
            Row::Exchange(row) => Subject::Exchange(row.id),
            Row::Session(row) => Subject::Session(row.id),
            Row::Connection(_) | Row::Frame(_) | Row::Flag(_) => return Vec::new(),
        };
        self.hit.remove(&subject).unwrap_or_default()
    }

    fn with(inspector: Inspector, inspection: &Inspection) -> Result<Self, Error> {
        Ok(Self {
            inspector,
            rules: RuleSet::new(&inspection.rules)?,
            tally: Tally::new(inspection.refused.clone()),
            raised: Vec::new(),
            hit: BTreeMap::new(),
        })
    }

    /// Puts the flags that were raised before the rows that came with them, and counts all.
    fn tell(&mut self, out: &mut Vec<Row>, before: usize) {
        if !self.raised.is_empty() {
            let rows = out.len();
            let mut raised = std::mem::take(&mut self.raised);
            for flag in raised.drain(..) {
                self.remember(flag.subject, flag.rule);
                if let Some(session) = flag.session {
                    self.remember(Subject::Session(session), flag.rule);
                }
                out.push(Row::Flag(self.inspector.flag_row(flag)));
            }
            self.raised = raised;
            let flags = out.len() - rows;
            if let Some(new) = out.get_mut(before..) {
                new.rotate_right(flags);
            }
        }
        for row in out.iter().skip(before) {
            self.tally.row(row);
        }
    }

    fn remember(&mut self, subject: Subject, rule: &'static str) {
        let rules = self.hit.entry(subject).or_default();
        if !rules.contains(&rule) {
            rules.push(rule);
        }
        if self.hit.len() > REMEMBERED {
            self.hit.pop_first();
        }
    }
}

fn take(output: Output<'_>, rules: &mut RuleSet, raised: &mut Vec<Flag>, rows: &mut Vec<Row>) {
    match output {
        Output::Observation(observation) => rules.observe(observation, &mut |flag| raised.push(flag)),
        Output::Row(row) => rows.push(row),
    }
}

/// Puts a row where its kind belongs.
pub(super) fn add(rows: &mut Rows, row: Row) {
    match row {
        Row::Connection(row) => rows.connections.push(row),
        Row::Exchange(row) => rows.exchanges.push(*row),
        Row::Frame(row) => rows.frames.push(row),
        Row::Session(row) => rows.sessions.push(row),
        Row::Flag(row) => rows.flags.push(row),
    }
}
