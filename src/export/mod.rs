//! The evidence in other tools' formats: one file per format, streaming, redacted unless told otherwise.
//!
//! A format is a [`Format`] in [`FORMATS`]: help, messages and tests follow from the slice. All get a [`Job`]: the
//! capture, what of it is wanted, the [`Scrubber`] through which every byte goes that was said on the wire, and the
//! report of what the format could not carry. Nothing here prints, and nothing leaves but through the writer that a
//! format is given.
//!
//! - `collect`: the first of the two passes, which finds all secrets; `body`: a body as it may be shown;
//! - `times`: an exchange's durations, as HAR and JTL state them; `spill`: what must be put in another order;
//! - `target`: a file that appears when it is complete.

mod body;
mod collect;
mod csv;
mod curl;
mod har;
mod jmx;
mod jtl;
mod ndjson;
mod pcapng;
mod spill;
mod target;
mod times;

use std::{cell::RefCell, collections::BTreeMap, io, ops::ControlFlow};

use crate::{
    model::{ConnectionId, SessionId},
    query::{self, About, Capture, Filter, Kind, Query, Secrets, contents::Content},
    redact::{Lengths, Scrubber},
    store,
};

pub use collect::{Collected, Nameless, collect};
pub use target::Target;

/// One format.
#[derive(Clone, Copy)]
pub struct Format {
    /// As in `--format`.
    pub id: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// What its file's name ends with.
    pub extension: &'static str,
    /// Writes it.
    pub write: fn(&mut Job<'_>, &mut dyn io::Write) -> Result<(), Error>,
}

/// All formats, in the order of help.
pub const FORMATS: &[Format] =
    &[har::FORMAT, pcapng::FORMAT, ndjson::FORMAT, csv::FORMAT, jtl::FORMAT, jmx::FORMAT, curl::FORMAT];

/// The format of that name.
pub fn format(id: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.id == id)
}

/// What exports can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Larger bodies are left out, in bytes.
    pub body_limit: u64,
    /// Whether secrets stay as they are.
    pub keep_secrets: bool,
    /// Whether fingerprints take the length of what they stand for.
    pub lengths: Lengths,
    /// Which rows, for formats that are rows; a format's own choice where it is empty.
    pub rows: Vec<Kind>,
    /// TLS keys in the format of `SSLKEYLOGFILE`, for formats that can hold them.
    pub tls_keys: Option<Vec<u8>>,
    /// Whether sockets are exported, where that needs a plugin.
    pub websocket: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_limit: 16 << 20,
            keep_secrets: false,
            lengths: Lengths::Free,
            rows: Vec::new(),
            tls_keys: None,
            websocket: true,
        }
    }
}

/// An export that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The capture cannot be read, or the target not be written.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// A file of ours.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The capture's files.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Something is there already.
    #[error("{0} exists already (hint: --force writes over it)")]
    Exists(String),
    /// A folder is there.
    #[error("{0} is a folder: expected a file's name")]
    Folder(String),
    /// The target cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// One export at work.
pub struct Job<'j> {
    /// What is exported.
    pub capture: &'j Capture,
    /// Only exchanges for which this holds.
    pub filter: Option<&'j Filter>,
    /// Only what belongs to this: a session, or a connection.
    pub about: Option<About>,
    /// Through which everything goes that was said on the wire.
    pub scrubber: &'j RefCell<Scrubber>,
    /// Whether the capture has sockets, as [`collect()`] saw it.
    pub sockets: Option<bool>,
    /// Bodies that need not be looked through for names again, as [`collect()`] saw them.
    pub nameless: &'j Nameless,
    /// How.
    pub options: &'j Options,
    /// What was written and what could not be.
    pub report: Report,
    /// Told after each exchange.
    pub progress: &'j dyn Fn(u64),
}

/// What was written and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was written: `exchanges`, `messages`, ….
    pub written: BTreeMap<&'static str, u64>,
    /// What the format could not carry, or was left out, in words.
    pub left_out: BTreeMap<String, u64>,
}

impl Report {
    /// So many more were written.
    pub fn wrote(&mut self, what: &'static str, count: u64) {
        *self.written.entry(what).or_default() += count;
    }

    /// So many more could not be.
    pub fn left_out(&mut self, what: impl Into<String>, count: u64) {
        if count > 0 {
            *self.left_out.entry(what.into()).or_default() += count;
        }
    }
}

impl Job<'_> {
    /// What is asked of the capture's lists.
    fn query(&self) -> Query<'_> {
        Query { filter: self.filter, about: self.about, limit: None, secrets: Secrets::Fingerprints }
    }

    /// Hands out the exchanges that are wanted, with their bytes, in the order of ids.
    fn exchanges(&self, each: &mut dyn FnMut(Content) -> Result<(), query::Error>) -> Result<(), Error> {
        let mut count = 0;
        self.capture.contents(self.query(), self.options.body_limit, &mut |content| {
            each(content)?;
            count += 1;
            (self.progress)(count);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }
}

/// What an exporter's own closures fail with.
fn write_error(error: impl Into<io::Error>) -> query::Error {
    query::Error::Write(error.into())
}

/// A session's number, as threads are named after it.
fn thread_name(session: Option<SessionId>, connection: ConnectionId) -> String {
    match session {
        Some(session) => format!("session 1-{}", session.0),
        None => format!("connection 1-{}", connection.0),
    }
}
