//! Rows in the order of their ids, from the tables and from what is in none yet, with what other tables know of them.

use std::{collections::BTreeMap, ops::ControlFlow};

use crate::{
    model::{
        ConnectionId, ExchangeId, SessionId,
        flag::Subject,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow},
    },
    store::{retention, tables::Filter as InColumn},
};

use super::{
    Error,
    filter::Filter,
    judge::Judge,
    order::{in_any_order, in_order},
    secrets,
    source::{Kind, Ordered, Shelf},
    text,
};

/// Rows whose bytes are fetched from the segments together.
const BATCH: usize = 512;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'q> {
    /// Which rows; all where there is none.
    pub filter: Option<&'q Filter>,
    /// Only those that belong to this.
    pub about: Option<About>,
    /// At most so many, the first.
    pub limit: Option<usize>,
    /// What to show in the place of secrets.
    pub secrets: Secrets,
}

/// What rows can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Itself, and the exchanges and frames of a connection.
    Connection(ConnectionId),
    /// Itself, and the frames of an exchange's socket.
    Exchange(ExchangeId),
    /// Itself, and the exchanges, sockets and flags of a session.
    Session(SessionId),
    /// The flags on something.
    Subject(Subject),
}

/// Whether a row belongs to something.
trait Belongs {
    fn belongs_to(&self, about: About) -> bool;
    /// The same as far as one column of the tables tells, so that the others need not be read.
    fn column(_about: About) -> Option<InColumn> {
        None
    }
}

impl Belongs for ConnectionRow {
    fn belongs_to(&self, about: About) -> bool {
        matches!(about, About::Connection(id) | About::Subject(Subject::Connection(id)) if id == self.id)
    }
}

impl Belongs for ExchangeRow {
    fn belongs_to(&self, about: About) -> bool {
        match about {
            About::Connection(id) => id == self.connection,
            About::Session(id) => Some(id) == self.session,
            About::Exchange(id) | About::Subject(Subject::Exchange(id)) => id == self.id,
            About::Subject(_) => false,
        }
    }

    fn column(about: About) -> Option<InColumn> {
        match about {
            About::Connection(id) => Some(InColumn::equals("connection", id.0)),
            About::Exchange(id) | About::Subject(Subject::Exchange(id)) => Some(InColumn::id(id.0)),
            About::Session(_) | About::Subject(_) => None,
        }
    }
}

impl Belongs for FrameRow {
    fn belongs_to(&self, about: About) -> bool {
        match about {
            About::Connection(id) => id == self.connection,
            About::Exchange(id) => id == self.exchange,
            About::Subject(Subject::Frame(id)) => id == self.id,
            About::Session(_) | About::Subject(_) => false,
        }
    }

    fn column(about: About) -> Option<InColumn> {
        match about {
            About::Connection(id) => Some(InColumn::equals("connection", id.0)),
            About::Exchange(id) => Some(InColumn::equals("exchange", id.0)),
            About::Subject(Subject::Frame(id)) => Some(InColumn::id(id.0)),
            About::Session(_) | About::Subject(_) => None,
        }
    }
}

impl Belongs for SessionRow {
    fn belongs_to(&self, about: About) -> bool {
        matches!(about, About::Session(id) | About::Subject(Subject::Session(id)) if id == self.id)
    }
}

impl Belongs for FlagRow {
    fn belongs_to(&self, about: About) -> bool {
        match about {
            About::Subject(id) => self.subject == id.to_string(),
            About::Session(id) => Some(id) == self.session || self.subject == id.to_string(),
            About::Connection(_) | About::Exchange(_) => false,
        }
    }
}

/// What stands in the place of secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Fingerprints.
    #[default]
    Fingerprints,
    /// The secrets.
    Kept,
}

/// Takes rows one by one; `Break` ends the list.
pub type Each<'e> = dyn FnMut(Row) -> Result<ControlFlow<()>, Error> + 'e;

/// Hands out the rows of a kind in the order of ids (flags: of instants). Memory does not grow with the capture but for
/// some 24 bytes for each row that was final far out of order, for each exchange of a session and each flag that the
/// rows are joined with, and the connections and flagged exchanges where the filter asks for them.
///
/// # Errors
/// Where the filter means nothing for such rows, a table cannot be read, or `each` fails.
pub fn list(shelf: Shelf<'_>, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
    let judge = Judge::new(shelf, kind, query.filter, query.secrets)?;
    let mut left = query.limit.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(());
    }
    let mut out = |row: Row| {
        left -= 1;
        let flow = each(row)?;
        Ok(if left == 0 { ControlFlow::Break(()) } else { flow })
    };
    let lister = Lister { shelf, judge: &judge, about: query.about };
    match kind {
        Kind::Connections => lister.one_by_one::<ConnectionRow>(&mut |_| {}, &mut out),
        Kind::Flags => lister.one_by_one::<FlagRow>(&mut |_| {}, &mut out),
        Kind::Sessions => {
            let joins = Joins::of_sessions(shelf)?;
            lister.one_by_one::<SessionRow>(&mut |row| joins.session(row), &mut out)
        }
        Kind::Exchanges => {
            let joins = Joins::of_exchanges(shelf)?;
            let mut restore = |rows: &mut Vec<ExchangeRow>| match query.secrets {
                Secrets::Kept => secrets::restore(shelf, rows),
                Secrets::Fingerprints => Ok(()),
            };
            lister.in_batches::<ExchangeRow>(&mut |row| joins.exchange(row), &mut restore, &mut out)
        }
        Kind::Frames => {
            let scope = if query.about.is_none() { text::Scope::Capture } else { text::Scope::Connection };
            let mut filler = text::Filler::new(shelf, query.secrets, scope);
            let mut fill = |rows: &mut Vec<FrameRow>| {
                filler.fill(rows);
                Ok(())
            };
            lister.in_batches::<FrameRow>(&mut |_| {}, &mut fill, &mut out)
        }
    }
}

#[derive(Clone, Copy)]
struct Lister<'l> {
    shelf: Shelf<'l>,
    judge: &'l Judge<'l>,
    about: Option<About>,
}

impl Lister<'_> {
    fn one_by_one<T: Ordered + Belongs>(self, join: &mut dyn FnMut(&mut T), out: &mut Each<'_>) -> Result<(), Error> {
        in_order::<T>(self.shelf, self.about.and_then(T::column).as_ref(), &mut |mut row| {
            join(&mut row);
            if self.belongs(&row) && self.judge.passes(row.row_ref())? {
                return out(row.into_row());
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Like [`Self::one_by_one`], with rows made complete from the segments several at a time.
    fn in_batches<T: Ordered + Belongs>(
        self,
        join: &mut dyn FnMut(&mut T),
        complete: &mut dyn FnMut(&mut Vec<T>) -> Result<(), Error>,
        out: &mut Each<'_>,
    ) -> Result<(), Error> {
        let mut batch: Vec<T> = Vec::new();
        // The first batches are small, so that a short list does not fetch what nobody asked for.
        let mut size = 16;
        let mut ended = false;
        let early = self.judge.is_early();
        let mut hand_out = |batch: &mut Vec<T>| {
            complete(batch)?;
            for row in batch.drain(..) {
                if (early || self.judge.passes(row.row_ref())?) && out(row.into_row())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        };
        in_order::<T>(self.shelf, self.about.and_then(T::column).as_ref(), &mut |mut row| {
            join(&mut row);
            if self.belongs(&row) && (!early || self.judge.passes(row.row_ref())?) {
                batch.push(row);
            }
            if batch.len() < size {
                return Ok(ControlFlow::Continue(()));
            }
            size = (size * 2).min(BATCH);
            let flow = hand_out(&mut batch)?;
            ended = flow.is_break();
            Ok(flow)
        })?;
        if !ended {
            let _ = hand_out(&mut batch)?;
        }
        Ok(())
    }

    fn belongs(self, row: &impl Belongs) -> bool {
        self.about.is_none_or(|about| row.belongs_to(about))
    }
}

/// What the tables of sessions and flags say of other rows.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// Exchange and session, ascending.
    sessions: Vec<(u64, u64)>,
    /// The rules that hit a subject, and a session as a whole: by their place among the names, ascending.
    flags: Vec<(Subject, u32)>,
    /// Their names, ascending.
    rules: Vec<String>,
    /// The exchanges that there are, ascending; only where some may have gone.
    there: Option<Vec<u64>>,
}

impl Joins {
    /// What exchanges need.
    pub(super) fn of_exchanges(shelf: Shelf<'_>) -> Result<Self, Error> {
        let mut joins = Self::of_flags(shelf)?;
        in_any_order::<SessionRow>(shelf, &mut |row: &SessionRow| {
            joins.sessions.extend(row.exchanges.iter().chain(&row.sockets).map(|exchange| (exchange.0, row.id.0)));
        })?;
        joins.sessions.sort_unstable();
        Ok(joins)
    }

    /// What sessions need.
    pub(super) fn of_sessions(shelf: Shelf<'_>) -> Result<Self, Error> {
        let mut joins = Self::of_flags(shelf)?;
        if retention::read_retained(shelf.dir)?.is_some() {
            let mut there = Vec::new();
            in_any_order::<ExchangeRow>(shelf, &mut |row: &ExchangeRow| there.push(row.id.0))?;
            there.sort_unstable();
            joins.there = Some(there);
        }
        Ok(joins)
    }

    /// What flags say of subjects.
    fn of_flags(shelf: Shelf<'_>) -> Result<Self, Error> {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut flags = Vec::new();
        in_any_order::<FlagRow>(shelf, &mut |row: &FlagRow| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let rule = match numbers.get(&row.rule) {
                Some(rule) => *rule,
                None => *numbers.entry(row.rule.clone()).or_insert(next),
            };
            let subjects = [row.subject.parse().ok(), row.session.map(Subject::Session)];
            flags.extend(subjects.into_iter().flatten().map(|subject| (subject, rule)));
        })?;
        // From the order in which they came to that of their names.
        let mut places = vec![0; numbers.len()];
        for (place, came) in numbers.values().enumerate() {
            if let Some(slot) = usize::try_from(*came).ok().and_then(|came| places.get_mut(came)) {
                *slot = u32::try_from(place).unwrap_or(u32::MAX);
            }
        }
        for (_, rule) in &mut flags {
            *rule = usize::try_from(*rule).ok().and_then(|came| places.get(came)).copied().unwrap_or(*rule);
        }
        flags.sort_unstable();
        flags.dedup();
        Ok(Self { flags, rules: numbers.into_keys().collect(), ..Self::default() })
    }

    /// Fills in what an exchange's own row does not know.
    pub(super) fn exchange(&self, row: &mut ExchangeRow) {
        let at = self.sessions.partition_point(|(exchange, _)| *exchange < row.id.0);
        let found = self.sessions.get(at).filter(|(exchange, _)| *exchange == row.id.0);
        row.session = found.map(|(_, session)| SessionId(*session)).or(row.session);
        self.rules(Subject::Exchange(row.id), &mut row.flags);
    }

    /// Fills in what a session's own row does not know.
    pub(super) fn session(&self, row: &mut SessionRow) {
        self.rules(Subject::Session(row.id), &mut row.flags);
        let has_gone = |id: &ExchangeId| self.there.as_ref().is_some_and(|there| there.binary_search(&id.0).is_err());
        row.dropped = row.exchanges.iter().chain(&row.sockets).any(has_gone);
    }

    fn rules(&self, subject: Subject, flags: &mut Vec<String>) {
        let first = self.flags.partition_point(|(flagged, _)| *flagged < subject);
        let here = self.flags.get(first..).unwrap_or_default().iter().take_while(|(flagged, _)| *flagged == subject);
        for rule in here.filter_map(|(_, rule)| self.rules.get(usize::try_from(*rule).ok()?)) {
            if !flags.contains(rule) {
                flags.push(rule.clone());
            }
        }
    }
}
