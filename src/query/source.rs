//! What the reading side needs of a capture, whoever holds it: files alone, a recorder at work, or an index made in
//! memory of what a killed recorder left.

use std::{fmt, ops::ControlFlow, str::FromStr};

use crate::{
    inspect,
    model::{
        flag::Subject,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow},
    },
    record::Snapshot,
    redact::{Collector, Redactor},
    store::{
        CaptureDir, PackedRows, Rows,
        tables::{self, Packed},
    },
};

use super::{Error, filter::RowRef};

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

/// A capture's rows at one moment, and where their bytes lie. Whoever holds the capture makes one: the recorder's
/// socket from its index, readers from the files.
#[derive(Clone, Copy)]
pub struct Shelf<'s> {
    /// The capture's folder.
    pub dir: &'s CaptureDir,
    /// Which tables to read, and the rows that are in none of them.
    pub rows: &'s Snapshot,
    /// How secrets are redacted, for what is read from the segments.
    pub redaction: &'s inspect::Options,
}

impl Shelf<'_> {
    pub(super) fn redactor(&self) -> Redactor {
        Redactor::with_options(self.redaction.redaction_key, &self.redaction.secrets)
    }

    pub(super) fn collector(&self) -> Collector {
        Collector::new(self.redaction.redaction_key, &self.redaction.secrets)
    }
}

/// A kind of row that can be found in [`Rows`] and tables, and be put in order.
pub(super) trait Ordered: tables::Table + Clone {
    /// The column that says its place in the order of lists.
    const ORDER: &'static str;
    /// Its place in the order of lists.
    fn order(&self) -> u64;
    /// Those of a set of rows.
    fn of(rows: &Rows) -> &[Self];
    /// The same of rows that are columns.
    fn packed(rows: &PackedRows) -> &Packed<Self>;
    /// As any row.
    fn into_row(self) -> Row;
    /// The same, borrowed.
    fn row_ref(&self) -> RowRef<'_>;
}

macro_rules! ordered {
    ($row:ident, $field:ident, $one:ident, $column:literal, |$it:ident| $order:expr, $into:expr) => {
        impl Ordered for $row {
            const ORDER: &'static str = $column;
            fn order(&self) -> u64 {
                let $it = self;
                $order
            }
            fn of(rows: &Rows) -> &[Self] {
                &rows.$field
            }
            fn packed(rows: &PackedRows) -> &Packed<Self> {
                &rows.$field
            }
            fn into_row(self) -> Row {
                $into(self)
            }
            fn row_ref(&self) -> RowRef<'_> {
                RowRef::$one(self)
            }
        }
    };
}

ordered!(ConnectionRow, connections, Connection, "id", |row| row.id.0, Row::Connection);
ordered!(ExchangeRow, exchanges, Exchange, "id", |row| row.id.0, |row| Row::Exchange(Box::new(row)));
ordered!(FrameRow, frames, Frame, "id", |row| row.id.0, Row::Frame);
ordered!(SessionRow, sessions, Session, "id", |row| row.id.0, Row::Session);
ordered!(FlagRow, flags, Flag, "at_ns", |row| row.at_ns.0, Row::Flag);

/// Hands out the rows that are in no table.
pub(super) fn in_memory<T: Ordered>(rows: &Snapshot, each: &mut dyn FnMut(T)) -> Result<(), Error> {
    for recent in &rows.recent {
        T::packed(recent).each(&mut |row| {
            each(row);
            ControlFlow::Continue(())
        })?;
    }
    T::of(&rows.open).iter().cloned().for_each(each);
    Ok(())
}

/// What can be asked for by id.
pub(super) fn kind_of(id: Subject) -> Kind {
    match id {
        Subject::Connection(_) => Kind::Connections,
        Subject::Exchange(_) => Kind::Exchanges,
        Subject::Frame(_) => Kind::Frames,
        Subject::Session(_) => Kind::Sessions,
    }
}
