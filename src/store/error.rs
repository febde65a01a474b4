//! What can go wrong with a capture on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::model::rows::Position;

use super::format::{Damage, Version};

/// An error of the store. Each message names the file, what was found, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried: `open`, `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// What is being written is not there any more.
    #[error(
        "{path} is gone: the capture was deleted or moved while it was being recorded (hint: stop the recorder first)",
        path = path.display()
    )]
    Gone {
        /// The segment that was being written.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format version {found}; this program reads up to {supported}.x (hint: use the firstframe that \
         recorded it, or a newer one)", path = path.display(), supported = Version::CURRENT.major
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// Bytes of a segment are not what was written.
    #[error(
        "{path} is damaged at byte {offset}: {damage} (hint: `firstframe verify` lists all damage; the rest can \
         still be read)", path = path.display(), offset = position.offset
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// How.
        damage: Damage,
    },
    /// There is no such capture.
    #[error("no capture {name:?}: neither a folder with a capture.json nor one in {captures} (hint: `firstframe ls captures` lists them)", captures = captures.display())]
    NoSuchCapture {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        captures: PathBuf,
    },
    /// There are no captures at all.
    #[error("no captures in {captures} (hint: `firstframe record` makes one; -w names another folder)", captures = captures.display())]
    NoCaptures {
        /// Where they were looked for.
        captures: PathBuf,
    },
    /// The name is taken.
    #[error("capture {name:?} exists already in {captures} (hint: choose another name, or leave it out)", captures = captures.display())]
    NameTaken {
        /// What was asked for.
        name: String,
        /// Where.
        captures: PathBuf,
    },
    /// The name cannot be a folder's.
    #[error(
        "{name:?} cannot name a capture: use letters, digits, '-', '_' and '.', at most 100, not beginning with '.'"
    )]
    BadName {
        /// What was asked for.
        name: String,
    },
    /// A JSON file of the capture cannot be understood.
    #[error("{path} cannot be understood: {why}", path = path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Why, with line and column.
        why: String,
    },
    /// Another process writes the capture.
    #[error("{path} is being written by another process (hint: stop the recorder first)", path = path.display())]
    Locked {
        /// Which capture.
        path: PathBuf,
    },
    /// After a failed write, what it left behind could not be taken away.
    #[error("{path} bears a partial record after a failed write, which cannot be taken away: {source}", path = path.display())]
    Torn {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `append` was given something that is not a whole number of records.
    #[error("what is to be written to {path} is not a whole number of records: {damage}", path = path.display())]
    NotRecords {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A table cannot be read or written.
    #[error("table {path}: {why} (hint: tables are derived; `firstframe reindex` makes them anew)", path = path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The catalogue cannot be written.
    #[error("catalogue {path}: {why} (hint: it is derived; `firstframe reindex` makes it anew)", path = path.display())]
    Catalogue {
        /// Its folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Segments may not go before `retained.json` holds the state at the one after them.
    #[error("segments up to {upto} cannot be dropped: {path} holds the state at segment {found:?}, not at {wanted}", path = path.display(), wanted = upto + 1)]
    NotRetained {
        /// `retained.json`.
        path: PathBuf,
        /// The last segment that was to go.
        upto: u64,
        /// What it holds.
        found: Option<u64>,
    },
}

impl Error {
    /// Whether there is no room: the disk or the quota is full, or the file may not grow.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } | Self::Torn { source, .. } => {
                matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            _ => false,
        }
    }

    /// Whether bytes were found damaged; the reader can go on after them.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Adds what was tried on which file.
pub(super) trait IoContext<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what, path: path.to_owned(), source })
    }
}
