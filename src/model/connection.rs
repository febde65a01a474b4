//! The view of a connection: what its facts add up to.

use serde::{Deserialize, Serialize};

use std::net::SocketAddr;

use super::{
    ConnectionId, Timestamp,
    side::Sides,
    trace::{Closer, Connect, Dialed, Ending, Tls},
};

/// A client TCP connection with its server connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Given at accept.
    pub id: ConnectionId,
    /// The mode as it was given: `forward`, `reverse:https://api.test:443`.
    pub mode: String,
    /// The client's address.
    pub client: SocketAddr,
    /// When it was accepted.
    pub opened: Timestamp,
    /// When its first byte of any kind arrived.
    pub first_byte: Option<Timestamp>,
    /// The CONNECT, if there was one.
    pub connect: Option<Connect>,
    /// The last dial.
    pub dialed: Option<Dialed>,
    /// The server leg's handshake.
    pub server_tls: Option<Tls>,
    /// The client leg's handshake.
    pub client_tls: Option<Tls>,
    /// The server leg's round trip, the last one read.
    pub server_rtt_ns: Option<u64>,
    /// When each side ended its sending, the last time that it did.
    #[serde(default)]
    pub ended: Sides<Option<Timestamp>>,
    /// When, by whom and how it was closed.
    pub closed: Option<(Timestamp, Closer, Ending)>,
    /// Plaintext bytes from each side.
    pub bytes: Sides<u64>,
    /// Exchanges so far.
    pub exchanges: u64,
    /// Frames so far.
    pub frames: u64,
    /// Gaps so far.
    pub gaps: u64,
    /// What went wrong on our side or towards the server.
    pub proxy_error: Option<String>,
    /// Why its bytes are relayed and recorded but not decoded (any more): the protocol that was agreed on (`h2`), the
    /// [trouble](super::anomaly::AnomalyKind) that was met (`not-http`), or `upgrade` for one to something unknown.
    #[serde(default)]
    pub opaque: Option<String>,
}
