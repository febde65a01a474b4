//! A trace through inspector and rules, and what came out, as text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use firstframe::{
    inspect::{Inspector, Options, Output},
    model::{
        Timestamp,
        flag::Flag,
        rows::{FlagRow, Position, Row},
        trace::TraceEvent,
    },
    rules::{self, RuleSet},
};

/// What came out of a trace.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Final rows, in order.
    pub(crate) rows: Vec<Row>,
    /// Flags, in order.
    pub(crate) flags: Vec<FlagRow>,
}

/// An inspector with all rules behind it.
pub(crate) struct Inspection {
    /// The inspector.
    pub(crate) inspector: Inspector,
    rules: RuleSet,
    /// So far.
    pub(crate) outcome: Outcome,
    records: u64,
}

impl Inspection {
    /// One that has seen nothing.
    pub(crate) fn new(rules: &rules::Options) -> Self {
        let profile = rules.profile.clone();
        Self::with(Inspector::new(Options { redaction_key: [7; 32], profile, ..Options::default() }), rules)
    }

    /// One that goes on with an inspector.
    pub(crate) fn with(inspector: Inspector, rules: &rules::Options) -> Self {
        let rules = RuleSet::new(rules).expect("known rules");
        Self { inspector, rules, outcome: Outcome::default(), records: 0 }
    }

    /// One more event. The record's offset is its number.
    pub(crate) fn push(&mut self, event: &TraceEvent<'_>) {
        self.records += 1;
        let position = Position { segment: 1, offset: self.records };
        self.drive(|inspector, out| inspector.push(event, position, out));
    }

    /// The capture's end.
    pub(crate) fn finish(&mut self) {
        self.drive(|inspector, out| inspector.finish(Timestamp(0), out));
    }

    fn drive(&mut self, work: impl FnOnce(&mut Inspector, &mut dyn FnMut(Output<'_>))) {
        let Self { inspector, rules, outcome, .. } = self;
        let mut raised: Vec<Flag> = Vec::new();
        work(inspector, &mut |output| match output {
            Output::Observation(observation) => rules.observe(observation, &mut |flag| raised.push(flag)),
            Output::Row(row) => outcome.rows.push(row),
        });
        outcome.flags.extend(raised.iter().map(|flag| inspector.flag_row(flag.clone())));
    }
}

/// A whole trace.
pub(crate) fn inspect<'a>(events: impl IntoIterator<Item = &'a TraceEvent<'a>>, rules: &rules::Options) -> Outcome {
    let mut inspection = Inspection::new(rules);
    events.into_iter().for_each(|event| inspection.push(event));
    inspection.finish();
    inspection.outcome
}

/// A whole trace by an inspector that remembers so many heads.
pub(crate) fn inspect_remembering(heads: usize, events: &[TraceEvent<'_>], rules: &rules::Options) -> Outcome {
    let profile = rules.profile.clone();
    let inspector = Inspector::new(Options { redaction_key: [7; 32], profile, heads, ..Options::default() });
    let mut inspection = Inspection::with(inspector, rules);
    events.iter().for_each(|event| inspection.push(event));
    inspection.finish();
    inspection.outcome
}

/// A row as one line of JSON, with its letter.
pub(crate) fn line(row: &Row) -> String {
    let json = match row {
        Row::Connection(row) => serde_json::to_string(row),
        Row::Exchange(row) => serde_json::to_string(row),
        Row::Frame(row) => serde_json::to_string(row),
        Row::Session(row) => serde_json::to_string(row),
        Row::Flag(row) => serde_json::to_string(row),
    };
    json.expect("rows can be printed")
}
