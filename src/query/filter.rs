//! The filter language: `status>=400 and path~"/recordings/"`. PURE: text in, a predicate over rows out.
//!
//! - `fields`: the one table of fields, from which parsing, matching and [`help`] follow;
//! - `parse`: text to [`Filter`]; `error`: what it says where that fails;
//! - `expression`: the parsed form, how it prints and how it matches.
//!
//! ```text
//! filter     = conjunct { ("or" | "|" | "||") conjunct }
//! conjunct   = term { ["and" | "&" | "&&"] term }           side by side means "and"
//! term       = ("not" | "!") term | "(" filter ")" | test | alias
//! test       = field                                        true, not empty, not zero
//!            | field ("=" | "!=" | ":") value               ":" is "="
//!            | field ("<" | "<=" | ">" | ">=") value        numbers, sizes, durations, severities
//!            | field ("~" | "!~") pattern                   a regular expression, found anywhere
//! field      = a name of the table, headers with what is asked for: header.content-type
//! value      = a word without blanks, quotes, ( ) & |, or text in "…" or '…', in which \" \' \\ stand for " ' \
//! number     = 400; sizes 10, 1KB, 1.5MiB; durations 250us, 200ms, 1.5s, 2m, 1h
//! alias      = mitmproxy's ~u ~c ~m ~h ~hq ~hs ~d ~b ~bq ~bs ~e ~websocket ~http ~q ~s ~src ~dst ~t ~tq ~ts
//! ```
//!
//! Names and texts are compared without case. What is not known matches neither `=` nor `~` nor an order, and so
//! matches `!=` and `!~`, which are their contraries. Of several values (flags, headers) one must match.
//! A filter is at most 4096 bytes long, nests at most 64 deep and has at most 64 tests.

mod error;
mod expression;
mod fields;
mod parse;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use self::{error::FilterError, fields::help};

use self::{
    expression::{Expression, Test},
    fields::{Content, View},
};
use crate::model::rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow};

/// A parsed filter. Two are equal if they test the same, however they were written.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    expression: Expression,
}

/// What a listing lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "their names say it")]
pub enum RowKind {
    Connection,
    Exchange,
    Frame,
    Session,
    Flag,
}

/// A row to be matched.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "their names say it")]
pub enum RowRef<'a> {
    Connection(&'a ConnectionRow),
    Exchange(&'a ExchangeRow),
    Frame(&'a FrameRow),
    Session(&'a SessionRow),
    Flag(&'a FlagRow),
}

/// What belongs to a row and is not in it. What is not given is not known; [`Filter::needs`] says what is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joined<'a> {
    /// The connection of an exchange, of a frame, or of a flag's subject.
    pub connection: Option<&'a ConnectionRow>,
    /// The exchange of a frame, or of a flag's subject.
    pub exchange: Option<&'a ExchangeRow>,
    /// The exchange's request body.
    pub request_body: Option<&'a [u8]>,
    /// The exchange's response body.
    pub response_body: Option<&'a [u8]>,
}

/// What a filter must be given beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Joined::connection`].
    pub connection: bool,
    /// [`Joined::exchange`].
    pub exchange: bool,
    /// [`Joined::request_body`] and [`Joined::response_body`].
    pub bodies: bool,
    /// [`FrameRow::text`], which the tables do not hold.
    pub frame_text: bool,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterError`], which shows the place, what was found there, what is allowed, and a hint.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), expression: parse::parse(text)? })
    }

    /// Whether every field means something for rows of that kind, by themselves or by what is joined to them.
    ///
    /// # Errors
    /// The first field that does not, and where it would.
    pub fn check(&self, kind: RowKind) -> Result<(), FilterError> {
        match self.expression.tests().into_iter().find(|test| !test.field.reaches(kind)) {
            None => Ok(()),
            Some(test) => Err(FilterError::wrong_kind(&self.text, test, kind)),
        }
    }

    /// Whether the row passes.
    pub fn matches(&self, row: &RowRef<'_>) -> bool {
        self.matches_joined(row, &Joined::default())
    }

    /// Whether the row passes, given what belongs to it.
    pub fn matches_joined(&self, row: &RowRef<'_>, joined: &Joined<'_>) -> bool {
        self.expression.matches(&View::new(*row, *joined))
    }

    /// What must be joined to rows of that kind.
    pub fn needs(&self, kind: RowKind) -> Needs {
        let mut needs = Needs::default();
        for test in self.expression.tests() {
            if !test.field.of.contains(&kind) {
                let of_exchange = test.field.of.contains(&RowKind::Exchange);
                needs.exchange |= of_exchange;
                needs.connection |= !of_exchange && test.field.of.contains(&RowKind::Connection);
            }
            match content(test) {
                Some(Content::Bodies) if kind == RowKind::Frame => needs.frame_text = true,
                Some(Content::Bodies) => needs.bodies = true,
                Some(Content::FrameText) => needs.frame_text = true,
                None => {}
            }
        }
        needs
    }

    /// The fields that it names.
    pub fn fields(&self) -> Vec<&'static str> {
        self.expression.tests().into_iter().map(|test| test.field.name).collect()
    }

    /// Whether bodies are looked into.
    pub fn needs_bodies(&self) -> bool {
        self.expression.tests().into_iter().any(|test| content(test) == Some(Content::Bodies))
    }
}

/// The bytes that a test looks into.
fn content(test: &Test) -> Option<Content> {
    test.field.content.filter(|content| *content == Content::FrameText || test.is_pattern())
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
    }
}

/// In the plainest spelling, which parses to an equal filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl FromStr for Filter {
    type Err = FilterError;
    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl RowKind {
    /// All, in the order of `ls`.
    pub const ALL: [Self; 5] = [Self::Connection, Self::Exchange, Self::Frame, Self::Session, Self::Flag];

    /// As `ls` calls them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Exchange => "exchanges",
            Self::Frame => "frames",
            Self::Session => "sessions",
            Self::Flag => "flags",
        }
    }
}

impl RowRef<'_> {
    /// What it is.
    pub fn kind(&self) -> RowKind {
        match self {
            Self::Connection(_) => RowKind::Connection,
            Self::Exchange(_) => RowKind::Exchange,
            Self::Frame(_) => RowKind::Frame,
            Self::Session(_) => RowKind::Session,
            Self::Flag(_) => RowKind::Flag,
        }
    }
}

impl<'a> From<&'a Row> for RowRef<'a> {
    fn from(row: &'a Row) -> Self {
        match row {
            Row::Connection(row) => Self::Connection(row),
            Row::Exchange(row) => Self::Exchange(row),
            Row::Frame(row) => Self::Frame(row),
            Row::Session(row) => Self::Session(row),
            Row::Flag(row) => Self::Flag(row),
        }
    }
}
