//! A flag: one rule hit on one subject, a fact with evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConnectionId, ExchangeId, FrameId, SessionId, Side, Timestamp, id::InvalidId, trace::ByteRange};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look, or a suspicion that could not be proven.
    Hint,
    /// Unusual, may be refused.
    Warning,
    /// Wrong.
    Error,
}

impl Severity {
    /// As [`Self::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hint, Self::Warning, Self::Error].into_iter().find(|severity| severity.as_str() == text)
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Anything that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `c12`
    Connection(ConnectionId),
    /// `x345`
    Exchange(ExchangeId),
    /// `f9`
    Frame(FrameId),
    /// `s3`
    Session(SessionId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(id) => id.fmt(f),
            Self::Exchange(id) => id.fmt(f),
            Self::Frame(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = UnknownId;
    fn from_str(text: &str) -> Result<Self, UnknownId> {
        let kind = |error: InvalidId| UnknownId(error.to_string());
        match text.bytes().next() {
            Some(b'c') => text.parse().map(Self::Connection).map_err(kind),
            Some(b'x') => text.parse().map(Self::Exchange).map_err(kind),
            Some(b'f') => text.parse().map(Self::Frame).map_err(kind),
            Some(b's') => text.parse().map(Self::Session).map_err(kind),
            _ => Err(UnknownId(format!(
                "{text:?} is not an id: expected c12 (connection), x345 (exchange), f9 (frame) or s3 (session)"
            ))),
        }
    }
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownId(pub String);

/// One piece of evidence: a place in the bytes, an instant, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Whose bytes or instant.
    pub id: Subject,
    /// The bytes, within that subject's connection.
    pub range: Option<ByteRange>,
    /// The instant.
    pub at: Timestamp,
}

/// One rule hit.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The rule's id, such as `metadata-before-open`.
    pub rule: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What was hit.
    pub subject: Subject,
    /// The session that it belongs to, where one is known.
    pub session: Option<SessionId>,
    /// A sentence with the numbers in it.
    pub message: String,
    /// What proves it.
    pub evidence: Vec<Evidence>,
    /// When it was known, on event time.
    pub at: Timestamp,
}

/// The instant of a side's event as evidence without bytes.
impl Evidence {
    /// An instant.
    pub fn instant(id: Subject, at: Timestamp) -> Self {
        Self { id, range: None, at }
    }

    /// A place with its instant.
    pub fn bytes(id: Subject, range: ByteRange, at: Timestamp) -> Self {
        Self { id, range: Some(range), at }
    }

    /// Whose bytes, where there are any.
    pub fn side(&self) -> Option<Side> {
        self.range.map(|range| range.from)
    }
}
