//! Decoders of hostile bytes: values, not tasks. PURE.
//!
//! A decoder sees both directions of a connection (response framing depends on the request), takes time as part of the
//! chunk, hands out events through a callback, and never returns an error: what it cannot take is an
//! [`Anomaly`] with its byte range, after which it goes on, resynchronises, or passes
//! everything by as opaque. Its events do not depend on how the bytes were cut into chunks: ranges and contents are the
//! same for any chunking, and instants are those of the chunk that held the byte. Body bytes come in pieces, and only
//! the cuts between those pieces may differ. Memory is bounded whatever comes.

pub mod content;
pub mod http1;
pub mod opaque;
pub mod websocket;

mod utf16;

pub use utf16::utf16;

use crate::model::{
    Side, Timestamp,
    anomaly::Anomaly,
    http::{Body, Head},
    trace::{ByteRange, Chunk},
};

/// Where a decoder puts its events.
pub type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// One protocol's decoder for one connection.
pub trait Decoder: Send {
    /// The next bytes of one side. Offsets of one side's chunks ascend; a hole between them is announced by `lost`.
    fn push(&mut self, chunk: &Chunk<'_>, out: &mut Sink<'_>);
    /// Bytes that were relayed but not recorded.
    fn lost(&mut self, range: ByteRange, at: Timestamp, out: &mut Sink<'_>);
    /// That side sends nothing more.
    fn end(&mut self, from: Side, at: Timestamp, out: &mut Sink<'_>);
}

/// What a decoder found.
#[derive(Debug)]
pub enum Event<'a> {
    /// Of HTTP, whatever its version.
    Http(HttpEvent<'a>),
    /// Of a WebSocket.
    WebSocket(WebSocketEvent<'a>),
    /// Trouble.
    Anomaly(Anomaly),
}

/// HTTP's events. `exchange` counts the requests of the connection from 1. Every request head is followed by exactly
/// one `RequestEnded`, also on loss and at the connection's end; every response head that is not interim by exactly one
/// `ResponseEnded`. One without a head before it says that the answer was lost.
#[derive(Debug)]
pub enum HttpEvent<'a> {
    /// A request's head is complete.
    RequestHead {
        /// Which of the connection's requests, from 1.
        exchange: u32,
        /// The head.
        head: Head,
        /// When its first byte arrived.
        began: Timestamp,
        /// When its last byte arrived.
        at: Timestamp,
    },
    /// Payload bytes of a request's body, transfer coding taken off.
    RequestBody {
        /// Whose.
        exchange: u32,
        /// The payload.
        bytes: &'a [u8],
        /// When they arrived.
        at: Timestamp,
    },
    /// A request is complete, or was cut off (`body.complete` tells).
    RequestEnded {
        /// Whose.
        exchange: u32,
        /// What its body was.
        body: Body,
        /// When its last byte arrived: of the body, or of the head where there is none.
        at: Timestamp,
    },
    /// A response's head is complete.
    ResponseHead {
        /// Which request it answers.
        exchange: u32,
        /// The head.
        head: Head,
        /// Whether it is a 1xx after which another head follows (a 101 is not interim).
        interim: bool,
        /// When its first byte arrived.
        began: Timestamp,
        /// When its last byte arrived.
        at: Timestamp,
    },
    /// Payload bytes of a response's body, transfer coding taken off.
    ResponseBody {
        /// Whose.
        exchange: u32,
        /// The payload.
        bytes: &'a [u8],
        /// When they arrived.
        at: Timestamp,
    },
    /// A response is complete, or was cut off (`body.complete` tells).
    ResponseEnded {
        /// Whose.
        exchange: u32,
        /// What its body was.
        body: Body,
        /// When its last byte arrived.
        at: Timestamp,
    },
    /// A 101 (or a 2xx to a CONNECT inside the connection) ended HTTP here. All further bytes of both sides come as
    /// `Handover`, those included that the client had sent too early. Comes after that response's `ResponseEnded`.
    Switched {
        /// The exchange that did it.
        exchange: u32,
        /// What it switched to.
        to: SwitchedTo,
        /// When.
        at: Timestamp,
    },
    /// Bytes after the switch, for the decoder of the protocol that follows.
    Handover(Chunk<'a>),
}

/// What follows HTTP/1 on a connection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SwitchedTo {
    /// A WebSocket.
    WebSocket {
        /// The agreed `permessage-deflate`, as the 101 states it; `None` where it was not agreed.
        deflate: Option<DeflateParameters>,
    },
    /// Anything else.
    Other,
}

/// What the server's `Sec-WebSocket-Extensions: permessage-deflate; …` says (RFC 7692, 7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeflateParameters {
    /// The server forgets its window after each message.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// The server's window, as a power of two; `None` means 15.
    pub server_max_window_bits: Option<u8>,
    /// The client's.
    pub client_max_window_bits: Option<u8>,
}

/// A WebSocket's events.
#[derive(Debug)]
pub enum WebSocketEvent<'a> {
    /// A frame is complete. (One that the connection's end cut short is an anomaly alone.)
    Frame(FrameEvent<'a>),
    /// A message is complete: comes right after its last frame.
    Message {
        /// Who sent it.
        from: Side,
        /// Text or binary.
        opcode: u8,
        /// Its payload, put together and inflated, or its beginning.
        payload: Payload<'a>,
        /// When its last byte arrived.
        at: Timestamp,
    },
}

/// One frame (RFC 6455, 5.2).
#[derive(Debug)]
pub struct FrameEvent<'a> {
    /// Who sent it.
    pub from: Side,
    /// The opcode's number.
    pub opcode: u8,
    /// Whether it ends its message.
    pub fin: bool,
    /// RSV1.
    pub rsv1: bool,
    /// Whether it was masked.
    pub masked: bool,
    /// Payload bytes that it announced.
    pub length: u64,
    /// Its payload, unmasked, not inflated, or its beginning.
    pub payload: Payload<'a>,
    /// Where it stood, header included.
    pub range: ByteRange,
    /// When its first byte arrived.
    pub began: Timestamp,
    /// When its last byte arrived.
    pub at: Timestamp,
}

/// A payload that was collected up to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether these are all.
    pub whole: bool,
}
