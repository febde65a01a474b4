//! Facts: what happened on one connection, in the order of recording. This is what the segments store.
//!
//! Offsets count the plaintext bytes that one side sent within its connection, from 0, inside TLS and inside the tunnel
//! (a CONNECT head is a fact of its own, not part of the client's bytes; bytes that the proxy made are not part of the
//! server's). Where a plain-HTTP client connection had several server connections one after the other, the server's
//! bytes are their concatenation.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ConnectionId, Side, Timestamp};

/// One fact about one connection, borrowing its bytes from where they lie (the relay's buffer, or a segment).
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEvent<'a> {
    /// Which connection; [`ConnectionId::CAPTURE`] for facts about the capture.
    pub connection: ConnectionId,
    /// What happened.
    pub fact: Fact<'a>,
}

/// What happened. `Data` and `Written` are the hot ones and have a binary form of their own on disk; the others are
/// stored as JSON (their serde shape is part of the format, see docs/format.md) with their `bytes` behind it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<'a> {
    /// A client connection was accepted.
    Opened(Opened),
    /// The head of a CONNECT request arrived; `bytes` is the head as it came.
    Connect(Connect, &'a [u8]),
    /// A connection to a server was tried.
    Dialed(Dialed),
    /// A TLS handshake ended, well or not.
    Tls(Tls),
    /// Bytes arrived.
    Data(Chunk<'a>),
    /// Bytes that arrived from `from` were written to the other side.
    Written(Written),
    /// The relay put `bytes` in the place of the range before passing it on.
    Rewritten(Rewritten, &'a [u8]),
    /// The proxy itself answered the client with `bytes`, which bear `X-Firstframe-Error`.
    ProxyMade(ProxyMade, &'a [u8]),
    /// The relay's framer no longer understands the connection and passes everything on as it is.
    SteppedAside(SteppedAside),
    /// One side ended its sending, and the end was passed on.
    Ended(Ended),
    /// The connection is over.
    Closed(Closed),
    /// The server leg's TCP round trip.
    ServerRtt(ServerRtt),
    /// Recording slowed the traffic.
    Stalled(Stalled),
    /// Recording lost bytes; they were relayed.
    Gap(Gap),
    /// The wall clock was moved against the monotonic one.
    ClockStep(ClockStep),
    /// Whole oldest segments were dropped by retention.
    Dropped(Dropped),
    /// How much CPU time the recorder's process has used.
    Cpu(Cpu),
}

/// See [`Fact::Opened`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// When `accept` returned.
    pub at: Timestamp,
    /// The mode as it was given: `forward`, `reverse:https://api.test:443`.
    pub mode: String,
    /// The client's address.
    pub client: SocketAddr,
    /// The address of ours that it reached.
    pub listener: SocketAddr,
}

/// See [`Fact::Connect`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// First byte of the head.
    pub begin: Timestamp,
    /// Last byte of the head.
    pub end: Timestamp,
    /// The target as written: `api.test:443`.
    pub authority: String,
    /// Just before our answer to it was written; `None` where it was refused (then a [`ProxyMade`] follows).
    pub answered: Option<Timestamp>,
}

/// See [`Fact::Dialed`]. Success has an `address` and no `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialed {
    /// Before the name was looked up.
    pub begin: Timestamp,
    /// When the connection stood, or failed.
    pub end: Timestamp,
    /// What was to be reached: `api.test:443`.
    pub authority: String,
    /// The server's address.
    pub address: Option<SocketAddr>,
    /// Our address towards the server.
    pub local: Option<SocketAddr>,
    /// Why it failed.
    pub error: Option<String>,
}

/// See [`Fact::Tls`]. Success has a `version` and no `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// Which leg.
    pub side: Side,
    /// Client leg: when the first byte of the ClientHello arrived. Server leg: when we began.
    pub begin: Timestamp,
    /// When the handshake was complete, or failed.
    pub end: Timestamp,
    /// The server name asked for.
    pub sni: Option<String>,
    /// The application protocols offered, in order.
    pub offered: Vec<String>,
    /// The application protocol chosen.
    pub alpn: Option<String>,
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: Option<String>,
    /// The cipher suite's name.
    pub cipher: Option<String>,
    /// Why it failed, and by whose alert if there was one.
    pub error: Option<String>,
}

/// One read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Who sent the bytes.
    pub from: Side,
    /// Where they lie in that side's bytes.
    pub offset: u64,
    /// When the kernel had received them: an upper bound. `None` where the platform does not tell.
    pub arrived: Option<Timestamp>,
    /// When our read returned.
    pub read: Timestamp,
    /// The plaintext.
    pub bytes: &'a [u8],
}

impl Chunk<'_> {
    /// The best known instant of arrival: the kernel's where there is one, else ours.
    pub fn at(&self) -> Timestamp {
        self.arrived.unwrap_or(self.read)
    }

    /// The bytes' place.
    pub fn range(&self) -> ByteRange {
        ByteRange { from: self.from, start: self.offset, end: self.offset + self.bytes.len() as u64 }
    }
}

/// A half-open range of the bytes that one side sent on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// Who sent them.
    pub from: Side,
    /// The first byte.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// See [`Fact::Written`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Who sent the bytes; they were written to the other side.
    pub from: Side,
    /// Everything before this offset of `from`'s bytes has been handed to the kernel.
    pub upto: u64,
    /// Clock read just before the write that carried the last of them.
    pub begun: Timestamp,
    /// When that write had returned.
    pub written: Timestamp,
}

/// See [`Fact::Rewritten`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rewritten {
    /// The bytes that were replaced.
    pub range: ByteRange,
    /// Why.
    pub kind: RewriteKind,
}

/// The changes that the relay makes, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewriteKind {
    /// `GET https://host:443/path` inside the tunnel to that host became `GET /path`; also outside tunnels.
    AbsoluteForm,
    /// `Host` became the server's (reverse mode).
    Host,
    /// A header that names the client's thread or sampler was taken out.
    IdentityHeader,
    /// `Proxy-Connection` or `Proxy-Authorization` was taken out (outside tunnels).
    ProxyHeader,
}

/// See [`Fact::ProxyMade`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyMade {
    /// When it had been written.
    pub at: Timestamp,
    /// The status that was answered.
    pub status: u16,
    /// Whether it answers the CONNECT (then it is no exchange) or a request.
    pub to_connect: bool,
    /// Why, in words.
    pub cause: String,
}

/// See [`Fact::SteppedAside`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteppedAside {
    /// When.
    pub at: Timestamp,
    /// Whose bytes were not understood.
    pub from: Side,
    /// From where on.
    pub offset: u64,
    /// Why, in words.
    pub why: String,
}

/// How a connection, or one direction of it, came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The TCP connection was shut in order.
    Fin,
    /// TLS said `close_notify`; the TCP connection may stay open.
    CloseNotify,
    /// The TCP connection was reset.
    Rst,
    /// Nothing came for too long.
    Timeout,
    /// Anything else; the fact says what.
    Error,
}

impl Ending {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::CloseNotify => "close_notify",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// See [`Fact::Ended`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When we saw it.
    pub at: Timestamp,
    /// Who ended.
    pub from: Side,
    /// How.
    pub how: Ending,
}

/// Who closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Closer {
    /// The client was first.
    Client,
    /// The server was first.
    Server,
    /// We did: shutdown, a limit, a refusal, a failure of ours.
    Proxy,
}

impl From<Side> for Closer {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

impl Closer {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Proxy => "proxy",
        }
    }
}

/// See [`Fact::Closed`]. The last fact of every connection that did not outlive its recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// When both sides were closed.
    pub at: Timestamp,
    /// Who began it.
    pub by: Closer,
    /// How it began.
    pub how: Ending,
    /// More, where `how` is not enough.
    pub error: Option<String>,
}

/// See [`Fact::ServerRtt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerRtt {
    /// When it was read.
    pub at: Timestamp,
    /// TCP_INFO's smoothed round trip.
    pub rtt_ns: u64,
}

/// See [`Fact::Stalled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stalled {
    /// When the traffic went on.
    pub at: Timestamp,
    /// Whose bytes waited.
    pub from: Side,
    /// How long.
    pub waited_ns: u64,
}

/// See [`Fact::Gap`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When the first of the lost bytes was read.
    pub at: Timestamp,
    /// What was lost.
    pub range: ByteRange,
    /// Why.
    pub why: String,
}

/// See [`Fact::ClockStep`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockStep {
    /// When it was noticed.
    pub at: Timestamp,
    /// By how much wall time ran ahead of (or, negative, behind) the anchor.
    pub by_ns: i64,
}

/// See [`Fact::Cpu`]. About once a second, while there is something to record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// When.
    pub at: Timestamp,
    /// CPU time of all its threads since recording began, in nanoseconds.
    pub used_ns: u64,
    /// How many cores it could use.
    pub cores: u32,
}

/// See [`Fact::Dropped`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// When.
    pub at: Timestamp,
    /// The last segment that is gone.
    pub upto_segment: u64,
    /// How many bytes went.
    pub bytes: u64,
}
