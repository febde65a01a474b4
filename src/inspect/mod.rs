//! The fold from facts to views: connections, exchanges, frames, messages, sessions, and their rows. PURE.
//!
//! One [`Inspector`] reads a whole capture in record order and hands out what became known. The same records give the
//! same output, live and offline. It holds what is open and nothing else: what is final leaves as a row.

use std::time::Duration;

use crate::model::{
    Timestamp,
    flag::Flag,
    observation::Observation,
    rows::{FlagRow, Position, Row},
    trace::TraceEvent,
};

/// What the inspector can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The captures folder's redaction key: rows hold fingerprints made with it.
    pub redaction_key: [u8; 32],
    /// Which places hold secrets.
    pub secrets: crate::redact::Options,
    /// Headers whose value names the virtual user, compared without case; the first one present counts.
    pub identity_headers: Vec<String>,
    /// How long after its last connection closed a session ends, on event time.
    pub session_linger: Duration,
    /// How much of one request body is collected for rules, in bytes.
    pub body_cap: usize,
    /// How much of all bodies together is held at any time, in bytes.
    pub bodies_cap: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            redaction_key: [0; 32],
            secrets: crate::redact::Options::default(),
            identity_headers: vec!["X-JM-Thread".to_owned()],
            session_linger: Duration::from_secs(30),
            body_cap: 1 << 20,
            bodies_cap: 64 << 20,
        }
    }
}

/// What the inspector hands out, in order. An observation that makes a row final comes right before that row.
#[derive(Debug)]
pub enum Output<'a> {
    /// For rules and live subscribers.
    Observation(&'a Observation<'a>),
    /// A row that is final; `flags` in it is empty, they are joined when read.
    Row(Row),
}

/// Where the inspector puts what it found.
pub type Out<'o> = dyn FnMut(Output<'_>) + 'o;

/// The fold over one capture.
pub struct Inspector {}

impl Inspector {
    /// One that has seen nothing.
    pub fn new(_options: Options) -> Self {
        Self {}
    }

    /// The next fact, in record order, and where its record stands.
    pub fn push(&mut self, _event: &TraceEvent<'_>, _position: Position, _out: &mut Out<'_>) {}

    /// The capture is over: everything that is open becomes final, then `What::End` goes out. `at` is event time; where
    /// it is before the last fact's, that one counts.
    pub fn finish(&mut self, _at: Timestamp, _out: &mut Out<'_>) {}

    /// Rows as they stand of what is not final yet: connections, exchanges, sessions, each kind in the order of ids.
    pub fn open_rows(&self) -> Vec<Row> {
        Vec::new()
    }

    /// The newest event time seen.
    pub fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    /// A flag as a row, its message redacted like everything else.
    pub fn flag_row(&mut self, _flag: &Flag) -> FlagRow {
        FlagRow {
            rule: String::new(),
            severity: String::new(),
            subject: String::new(),
            session: None,
            message: String::new(),
            evidence: Vec::new(),
            at_ns: Timestamp(0),
        }
    }

    /// The state at a segment's boundary, from which `restore` goes on.
    pub fn save(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Goes on from a saved state: ids continue, decoders and sessions stand where they stood. Rows that began before
    /// the boundary are not handed out.
    ///
    /// # Errors
    /// Where `state` is none that [`Self::save`] made.
    pub fn restore(_options: Options, _state: serde_json::Value) -> Result<Self, RestoreError> {
        Ok(Self {})
    }
}

/// A saved state that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the saved state of the inspector cannot be read: {0}")]
pub struct RestoreError(#[from] serde_json::Error);
