//! What a replay leaves in its own capture (`replay.json`), so that it can be compared with what it replayed, connection
//! by connection. No secret is in it.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::model::{ConnectionId, SessionId, Timestamp};

/// The file in the capture's folder.
pub const FILE: &str = "replay.json";

/// What a capture is a replay of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The capture that was replayed: its name.
    pub replay_of: String,
    /// When that one began, in nanoseconds since 1970: another capture may have that name later.
    pub began_unix_ns: i64,
    /// The changes, as an arm spells them.
    pub changes: String,
    /// Every connection that was made, in that order.
    pub connections: Vec<Trail>,
}

/// A connection that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trail {
    /// When it was made, on the replay's own clock.
    pub made_ns: Timestamp,
    /// Our address, which is the client's in the new capture.
    pub client: SocketAddr,
    /// As in the capture that was replayed.
    pub of: ConnectionId,
    /// Its session there.
    pub session: SessionId,
    /// Which copy, from 0.
    pub copy: u32,
}

impl Record {
    /// Writes it into a capture's folder, for its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        options.open(folder.join(FILE))?.write_all(&text)
    }

    /// What a capture's folder says of itself; `None` where it is no replay, or of another version.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Whether it replays the capture of that name that began then.
    pub fn is_of(&self, name: &str, began_unix_ns: i64) -> bool {
        self.replay_of == name && self.began_unix_ns == began_unix_ns
    }
}
