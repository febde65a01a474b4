//! What can go wrong in reading a capture.

use crate::{model::flag::Subject, record, store};

use super::{filter, raw::Part, source::Kind};

/// An error of the reading side. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What a killed recorder left cannot be indexed.
    #[error("what its recorder left cannot be indexed: {0}")]
    Index(#[from] record::Error),
    /// The filter is none.
    #[error(transparent)]
    Filter(#[from] filter::FilterError),
    /// No row has that id.
    #[error("{message}")]
    UnknownId {
        /// With what there is instead.
        message: String,
    },
    /// That has no such bytes.
    #[error("{of} has no {part} bytes: it has {allowed}")]
    NoSuchPart {
        /// What was asked.
        of: String,
        /// For what.
        part: Part,
        /// What it has.
        allowed: &'static str,
    },
    /// Its tables were written anew meanwhile.
    #[error("{} changed while it was read (hint: is it being reindexed? try again)", .0.display())]
    Changed(std::path::PathBuf),
    /// The recorder's socket cannot be reached or broke off.
    #[error(
        "the capture's recorder runs but does not answer at {path}: {why} (hint: it may just be stopping; try again)"
    )]
    Socket {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
    /// The recorder refused.
    #[error("{0}")]
    Refused(String),
    /// The recorder answered something else than was asked.
    #[error("the recorder's answer cannot be understood: {what} (hint: is it another version of firstframe?)")]
    Unexpected {
        /// What was found.
        what: String,
    },
    /// What was read could not be handed on.
    #[error("cannot write: {0}")]
    Write(#[source] std::io::Error),
}

impl Error {
    /// Whether the one who asked asked for something wrong, rather than that it could not be had.
    pub fn is_askers(&self) -> bool {
        matches!(self, Self::Filter(_) | Self::UnknownId { .. } | Self::NoSuchPart { .. } | Self::Refused(_))
    }

    pub(super) fn unknown_id(id: Subject, kind: Kind, range: Option<(u64, u64)>) -> Self {
        let letter: String = id.to_string().chars().take(1).collect();
        let there = match range {
            None => format!("there are no {kind} yet"),
            Some((first, last)) if first == last => format!("there is only {letter}{first}"),
            Some((first, last)) => format!("there are {letter}{first} to {letter}{last}"),
        };
        let message = format!("the capture has no {id}: {there} (hint: `firstframe ls {kind}` lists them)");
        Self::UnknownId { message }
    }
}
