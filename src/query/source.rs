//! What the reading side asks of a capture, whoever holds it: files alone, a recorder at work, or an index made in
//! memory of what a killed recorder left.

use std::{fmt, str::FromStr};

use crate::{
    model::{
        ConnectionId, ExchangeId, FrameId, SessionId,
        flag::Subject,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow},
    },
    store::tables::Rows,
};

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `c12`
    Connections,
    /// `x345`
    Exchanges,
    /// `f9`
    Frames,
    /// `s3`
    Sessions,
    /// Flags have no id.
    Flags,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Connections, Self::Exchanges, Self::Frames, Self::Sessions, Self::Flags];

    /// As in `ls`, in `/ls/{kind}` and in the tables' folder names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Exchanges => "exchanges",
            Self::Frames => "frames",
            Self::Sessions => "sessions",
            Self::Flags => "flags",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// A text that names no kind of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of rows: expected connections, exchanges, frames, sessions or flags")]
pub struct UnknownKind(String);

/// The rows of one kind at one moment: those in the tables of `tables`, and `rest`. Together they hold each row once.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The segments whose tables hold what was final by their end, ascending.
    pub tables: Vec<u64>,
    /// Rows of that kind that are in none of these tables: final ones that were not sealed yet, and those that still
    /// grow. In any order; the other kinds may be empty or not.
    pub rest: Rows,
}

/// What holds a capture's rows. Its segments and tables lie in its folder, for every kind of holder.
pub trait Source: Send + Sync {
    /// One consistent look at the rows of a kind: nothing that is sealed meanwhile is missed or seen twice.
    fn snapshot(&self, kind: Kind) -> Snapshot;
}

/// A kind of row that can be taken out of [`Rows`] and put in order.
pub(super) trait Ordered: Sized {
    /// Its place in the order of lists.
    fn order(&self) -> u64;
    /// Those of a set of rows.
    fn of(rows: Rows) -> Vec<Self>;
    /// As any row.
    fn into_row(self) -> Row;
}

macro_rules! ordered {
    ($row:ident, $field:ident, |$it:ident| $order:expr, $into:expr) => {
        impl Ordered for $row {
            fn order(&self) -> u64 {
                let $it = self;
                $order
            }
            fn of(rows: Rows) -> Vec<Self> {
                rows.$field
            }
            fn into_row(self) -> Row {
                $into(self)
            }
        }
    };
}

ordered!(ConnectionRow, connections, |row| row.id.0, Row::Connection);
ordered!(ExchangeRow, exchanges, |row| row.id.0, |row| Row::Exchange(Box::new(row)));
ordered!(FrameRow, frames, |row| row.id.0, Row::Frame);
ordered!(SessionRow, sessions, |row| row.id.0, Row::Session);
ordered!(FlagRow, flags, |row| row.at_ns.0, Row::Flag);

/// What can be asked for by id.
pub(super) fn kind_of(id: Subject) -> Kind {
    match id {
        Subject::Connection(ConnectionId(_)) => Kind::Connections,
        Subject::Exchange(ExchangeId(_)) => Kind::Exchanges,
        Subject::Frame(FrameId(_)) => Kind::Frames,
        Subject::Session(SessionId(_)) => Kind::Sessions,
    }
}
