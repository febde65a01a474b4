//! What captured clients did: the sessions, their connections, and on each the requests and frames with their bytes and
//! instants. [`super::load()`] reads it from a capture; plan and comparison work on it. PURE.

use bytes::Bytes;

use crate::{
    decode::DeflateParameters,
    model::{
        ConnectionId, ExchangeId, SessionId, Timestamp,
        trace::{Closer, Ending},
    },
};

use super::values::Issued;

/// Captured sessions, ready to be planned.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The capture's name.
    pub capture: String,
    /// In the order of ids.
    pub sessions: Vec<Session>,
    /// The connections that they used, in the order in which they were opened.
    pub connections: Vec<Connection>,
    /// What of the capture is no part of this, and why, each a sentence.
    pub left_out: Vec<String>,
}

/// One virtual user.
#[derive(Clone, Debug)]
pub struct Session {
    /// As in the capture.
    pub id: SessionId,
    /// Whether it is one user's for certain, so that what ended before something began may be taken for its cause.
    pub sequential: bool,
}

/// One client connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// As in the capture.
    pub id: ConnectionId,
    /// `forward`, or `reverse:https://api.test:443`.
    pub mode: String,
    /// The client's address.
    pub client: String,
    /// What it led to: `api.test:443`.
    pub authority: String,
    /// When it was accepted.
    pub opened: Timestamp,
    /// The CONNECT's head, where there was one.
    pub connect: Option<Bytes>,
    /// The client's TLS, where there was one.
    pub tls: Option<Tls>,
    /// What was asked on it, in order.
    pub exchanges: Vec<Exchange>,
    /// How it ended, where that is known.
    pub end: Option<End>,
}

/// What a client asked for in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server name.
    pub sni: Option<String>,
    /// The application protocol that was chosen.
    pub alpn: Option<String>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Who was first.
    pub by: Closer,
    /// How.
    pub how: Ending,
}

/// One request with what followed on it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As in the capture.
    pub id: ExchangeId,
    /// Its session's place in [`Script::sessions`].
    pub session: usize,
    /// Every byte from its first to the next request's first, or to the socket's first frame: what follows its body is
    /// in it, as are empty lines before it.
    pub bytes: Bytes,
    /// Where its head ends in `bytes`, and where its body does.
    pub head: usize,
    /// See `head`.
    pub body: usize,
    /// When the bytes from an offset on arrived; the first is at 0.
    pub pieces: Vec<(usize, Timestamp)>,
    /// Method, target and the names that people know it by.
    pub method: String,
    /// The path, without query; ids in it are the capture's.
    pub path: String,
    /// What it was sent to: `api.test:443`.
    pub authority: String,
    /// When its first byte arrived.
    pub began: Timestamp,
    /// When its answer was complete; `None` where none came.
    pub answered: Option<Timestamp>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Whether that counts as refused.
    pub refused: bool,
    /// Whether it asked for a WebSocket.
    pub upgrade: bool,
    /// From when on its client may have seen that its socket is open.
    pub open: Option<Timestamp>,
    /// When its socket's gate opened, as the profile has it.
    pub ready: Option<Timestamp>,
    /// Whether it is metadata.
    pub metadata: bool,
    /// Values in its answer.
    pub issued: Vec<Issued>,
    /// What the client sent on its socket.
    pub frames: Vec<Frame>,
    /// What the server sent on its socket: when each message was complete, and the values in it.
    pub messages: Vec<(Timestamp, Vec<Issued>)>,
}

/// What a client sent on a socket: a frame, or bytes that are none.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The header and the masked payload, or the bytes.
    pub bytes: Bytes,
    /// Its opcode; `None` for bytes that are no frame.
    pub opcode: Option<u8>,
    /// How its payload is coded.
    pub coding: Coding,
    /// The payload, unmasked; of a compressed message all of it, inflated, with its first frame. Empty for bytes that are
    /// no frame.
    pub payload: Bytes,
    /// When its first byte arrived.
    pub at: Timestamp,
    /// How many messages of the server's had come before it.
    pub after_messages: usize,
    /// Whether it answers a ping or a Close of the server's: such are answered when they come.
    pub answers: bool,
    /// Whether it begins a message that is metadata.
    pub metadata: bool,
}

/// How a frame bears its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    #[default]
    Plain,
    /// It begins a compressed message.
    Deflated {
        /// How many bytes of it each of its frames bore.
        lengths: Vec<usize>,
        /// Under what was agreed.
        agreed: DeflateParameters,
    },
    /// It goes on with one.
    Continued,
    /// It is compressed, and nobody knows what it says.
    Opaque,
}

impl Script {
    /// How many requests.
    pub fn requests(&self) -> usize {
        self.connections.iter().map(|connection| connection.exchanges.len()).sum()
    }
}
