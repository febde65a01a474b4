//! What a later inspector needs to go on from a segment's boundary: next ids, decoders, open exchanges, sessions.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    decode::http1::Heads,
    model::{Timestamp, hash::QuickMap, rows::Position},
    redact::{self, Redactor},
};

use super::{
    Inspector, Options, Shared,
    connection::Conn,
    rows,
    sessions::{Places, Sessions},
};

/// A saved state that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the inspector's saved state cannot be read: {0} (hint: it is one segment's `state`, as this version writes it)"
)]
pub struct RestoreError(#[from] serde_json::Error);

/// A secret that was seen, so that it is found again where it has no name. In plain, as in the heads beside it: its
/// fingerprint would not tell where it stands in other bytes.
#[derive(Serialize, Deserialize)]
struct Learnt {
    kind: String,
    base64: String,
}

#[derive(Serialize)]
struct Saved<'a> {
    exchanges: u64,
    frames: u64,
    now: Timestamp,
    ticked: Timestamp,
    sessions: &'a Sessions,
    secrets: Vec<Learnt>,
    connections: Vec<&'a Conn>,
}

#[derive(Deserialize)]
struct Restored {
    exchanges: u64,
    frames: u64,
    now: Timestamp,
    ticked: Timestamp,
    sessions: Sessions,
    #[serde(default)]
    secrets: Vec<Learnt>,
    connections: Vec<Conn>,
}

impl Inspector {
    /// The state at a segment's boundary, from which [`Self::restore`] goes on. It holds heads as they were sent, so it
    /// is to be kept like the evidence itself.
    #[expect(clippy::disallowed_methods, reason = "sorted below")]
    pub fn save(&self) -> serde_json::Value {
        let mut connections: Vec<&Conn> = self.connections.values().map(|conn| &**conn).collect();
        connections.sort_by_key(|conn| conn.parts.view.id);
        let saved = Saved {
            exchanges: self.shared.exchanges,
            frames: self.shared.frames,
            now: self.shared.now,
            ticked: self.ticked,
            sessions: &self.shared.sessions,
            secrets: self.learnt(),
            connections,
        };
        // All keys are strings or print as such, so that nothing can fail.
        serde_json::to_value(saved).unwrap_or_default()
    }

    fn learnt(&self) -> Vec<Learnt> {
        let learnt = self.shared.redactor.learnt();
        learnt.map(|(kind, value)| Learnt { kind: kind.to_owned(), base64: STANDARD.encode(value) }).collect()
    }

    /// Goes on from a saved state: ids continue, decoders and sessions stand where they stood, and connections and
    /// exchanges that began before get the rows that they would have had. Bodies that were on their way, for rules, and
    /// the windows of `permessage-deflate` are not remembered.
    ///
    /// # Errors
    /// Where `state` is none that [`Self::save`] made.
    pub fn restore(options: Options, state: serde_json::Value) -> Result<Self, RestoreError> {
        let restored: Restored = serde_json::from_value(state)?;
        let connections = restored.connections.into_iter().map(|mut conn| {
            conn.parts.server = rows::server(&conn.parts.view);
            (conn.parts.view.id.0, Box::new(conn))
        });
        let mut redactor = Redactor::with_options(options.redaction_key, &options.secrets);
        for Learnt { kind, base64 } in &restored.secrets {
            if let Ok(value) = STANDARD.decode(base64) {
                redactor.learn(redact::kind(kind), &value);
            }
        }
        let shared = Shared {
            heads: Heads::new(options.heads),
            places: Places::new(options.profile.as_ref()),
            redactor,
            options,
            sessions: restored.sessions,
            exchanges: restored.exchanges,
            frames: restored.frames,
            held: 0,
            now: restored.now,
        };
        let connections: QuickMap<u64, Box<Conn>> = connections.collect();
        Ok(Self { shared, connections, ticked: restored.ticked, position: Position::default() })
    }
}

/// Kinds and values of the secrets that a saved state remembers; none where it is no state.
pub fn learnt(state: &serde_json::Value) -> Vec<(&'static str, Vec<u8>)> {
    let saved = state.get("secrets").cloned().and_then(|secrets| serde_json::from_value::<Vec<Learnt>>(secrets).ok());
    let decoded = |Learnt { kind, base64 }| Some((redact::kind(&kind), STANDARD.decode(base64).ok()?));
    saved.into_iter().flatten().filter_map(decoded).collect()
}
