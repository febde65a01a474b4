//! Rows in the order of their ids, from the tables and from what is in none yet, with what other tables know of them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use crate::model::{
    ConnectionId, ExchangeId, SessionId,
    flag::Subject,
    rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow},
};

use super::{
    Error,
    filter::Filter,
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
/// the rows that were final out of order (sockets outlive segments) and the joins' sixteen bytes for each exchange.
pub fn list(shelf: Shelf<'_>, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
    let mut left = query.limit.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(());
    }
    let mut out = |row: Row| {
        if query.filter.is_some_and(|filter| !filter.matches(&row)) {
            return Ok(ControlFlow::Continue(()));
        }
        left -= 1;
        let flow = each(row)?;
        Ok(if left == 0 { ControlFlow::Break(()) } else { flow })
    };
    match kind {
        Kind::Connections => one_by_one::<ConnectionRow>(shelf, &mut |_| {}, query.about, &mut out),
        Kind::Flags => one_by_one::<FlagRow>(shelf, &mut |_| {}, query.about, &mut out),
        Kind::Sessions => {
            let joins = Joins::of_flags(shelf)?;
            one_by_one::<SessionRow>(shelf, &mut |row| joins.session(row), query.about, &mut out)
        }
        Kind::Exchanges => {
            let joins = Joins::of_exchanges(shelf)?;
            let mut restore = |rows: &mut Vec<ExchangeRow>| match query.secrets {
                Secrets::Kept => secrets::restore(shelf, rows),
                Secrets::Fingerprints => Ok(()),
            };
            in_batches::<ExchangeRow>(shelf, &mut |row| joins.exchange(row), query.about, &mut restore, &mut out)
        }
        Kind::Frames => {
            let mut filler = text::Filler::new(shelf, query.secrets);
            let mut fill = |rows: &mut Vec<FrameRow>| {
                filler.fill(rows);
                Ok(())
            };
            in_batches::<FrameRow>(shelf, &mut |_| {}, query.about, &mut fill, &mut out)
        }
    }
}

fn one_by_one<T: Ordered + Belongs>(
    shelf: Shelf<'_>,
    join: &mut dyn FnMut(&mut T),
    about: Option<About>,
    out: &mut Each<'_>,
) -> Result<(), Error> {
    in_order::<T>(shelf, &mut |mut row| {
        join(&mut row);
        if belongs(&row, about) { out(row.into_row()) } else { Ok(ControlFlow::Continue(())) }
    })
}

/// Like [`one_by_one`], with rows made complete from the segments several at a time.
fn in_batches<T: Ordered + Belongs>(
    shelf: Shelf<'_>,
    join: &mut dyn FnMut(&mut T),
    about: Option<About>,
    complete: &mut dyn FnMut(&mut Vec<T>) -> Result<(), Error>,
    out: &mut Each<'_>,
) -> Result<(), Error> {
    let mut batch: Vec<T> = Vec::new();
    // The first batches are small, so that a short list does not fetch what nobody asked for.
    let mut size = 16;
    let mut ended = false;
    let mut hand_out = |batch: &mut Vec<T>| {
        complete(batch)?;
        for row in batch.drain(..) {
            if out(row.into_row())?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    in_order::<T>(shelf, &mut |mut row| {
        join(&mut row);
        if belongs(&row, about) {
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

fn belongs(row: &impl Belongs, about: Option<About>) -> bool {
    about.is_none_or(|about| row.belongs_to(about))
}

/// Merges tables whose rows are nearly in order. A first pass finds the rows that stand in a later table than their
/// order says (they are few: what was open when a segment was sealed); the second streams the tables and puts those in.
fn in_order<T: Ordered>(
    shelf: Shelf<'_>,
    each: &mut dyn FnMut(T) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let rest = shelf.rows.recent.iter().flat_map(|rows| T::of(rows)).chain(T::of(&shelf.rows.open));
    let mut late: Vec<Cow<'_, T>> = rest.map(Cow::Borrowed).collect();
    let tables = &shelf.rows.tables;
    if tables.len() > 1 {
        let mut highest = 0;
        for segment in tables {
            let before = highest;
            for row in T::read(shelf.dir, *segment)? {
                highest = highest.max(row.order());
                if row.order() < before {
                    late.push(Cow::Owned(row));
                }
            }
        }
    }
    late.sort_by_key(|row| row.order());
    let mut late = late.into_iter().peekable();
    let mut highest = 0;
    for segment in tables {
        let before = highest;
        let mut rows = T::read(shelf.dir, *segment)?;
        rows.sort_by_key(Ordered::order);
        for row in rows.into_iter().filter(|row| row.order() >= before) {
            highest = row.order();
            while let Some(earlier) = late.next_if(|late| late.order() < row.order()) {
                if each(earlier.into_owned())?.is_break() {
                    return Ok(());
                }
            }
            if each(row)?.is_break() {
                return Ok(());
            }
        }
    }
    for row in late {
        if each(row.into_owned())?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands out rows in any order; cheaper than [`in_order`].
fn in_any_order<T: Ordered>(shelf: Shelf<'_>, each: &mut dyn FnMut(&T)) -> Result<(), Error> {
    for segment in &shelf.rows.tables {
        T::read(shelf.dir, *segment)?.iter().for_each(&mut *each);
    }
    shelf.rows.recent.iter().flat_map(|rows| T::of(rows)).chain(T::of(&shelf.rows.open)).for_each(each);
    Ok(())
}

/// What the tables of sessions and flags say of other rows.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// Exchange and session, ascending.
    sessions: Vec<(u64, u64)>,
    /// The rules that hit a subject, by its id as text, and a session as a whole.
    flags: BTreeMap<String, BTreeSet<String>>,
}

impl Joins {
    /// What exchanges need.
    pub(super) fn of_exchanges(shelf: Shelf<'_>) -> Result<Self, Error> {
        let mut joins = Self::of_flags(shelf)?;
        in_any_order::<SessionRow>(shelf, &mut |row| {
            joins.sessions.extend(row.exchanges.iter().chain(&row.sockets).map(|exchange| (exchange.0, row.id.0)));
        })?;
        joins.sessions.sort_unstable();
        Ok(joins)
    }

    /// What sessions need.
    pub(super) fn of_flags(shelf: Shelf<'_>) -> Result<Self, Error> {
        let mut joins = Self::default();
        in_any_order::<FlagRow>(shelf, &mut |row| {
            if let Some(session) = row.session.map(|session| session.to_string()).filter(|id| *id != row.subject) {
                joins.flags.entry(session).or_default().insert(row.rule.clone());
            }
            joins.flags.entry(row.subject.clone()).or_default().insert(row.rule.clone());
        })?;
        Ok(joins)
    }

    /// Fills in what an exchange's own row does not know.
    pub(super) fn exchange(&self, row: &mut ExchangeRow) {
        let at = self.sessions.partition_point(|(exchange, _)| *exchange < row.id.0);
        let found = self.sessions.get(at).filter(|(exchange, _)| *exchange == row.id.0);
        row.session = found.map(|(_, session)| SessionId(*session)).or(row.session);
        self.rules(&row.id.to_string(), &mut row.flags);
    }

    /// Fills in what a session's own row does not know.
    pub(super) fn session(&self, row: &mut SessionRow) {
        self.rules(&row.id.to_string(), &mut row.flags);
    }

    fn rules(&self, subject: &str, flags: &mut Vec<String>) {
        for rule in self.flags.get(subject).into_iter().flatten() {
            if !flags.contains(rule) {
                flags.push(rule.clone());
            }
        }
    }
}
