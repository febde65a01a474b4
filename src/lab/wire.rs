//! Bytes on the lab's sockets, for both of its ends: heads and bodies read as they come, frames written. Reading is the
//! repository's own tolerant decoder's: what a client sends that is no HTTP must be seen as it is, to be refused as a real
//! server would. What is sent is made elsewhere; nothing is corrected here.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::{
    CloseFrame, Frame,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::{
    decode::{
        Decoder as _, Event, WebSocketEvent,
        http1::{
            body::{BodyScanner, Progress},
            head::{Kind, Looks, find_head_end, looks_like_request, parse_head},
        },
        websocket::{self, WebSocket},
    },
    model::{
        Side, Timestamp,
        http::{Framing, Head},
        trace::{ByteRange, Chunk},
        websocket::opcode,
    },
};

/// The largest head that is read.
const MAX_HEAD: usize = 64 << 10;
/// The largest body that is read.
const MAX_BODY: usize = 16 << 20;
/// What is read at once.
const READ: usize = 16 << 10;

/// A connection's bytes, inside TLS where there is some.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What keeps a message from being read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The connection ended or broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no HTTP/1.
    #[error("what came is no HTTP/1")]
    NotHttp,
    /// A head or a body is larger than the lab takes.
    #[error("a {what} is larger than the {most} bytes that the lab takes")]
    TooLarge {
        /// Head or body.
        what: &'static str,
        /// How many.
        most: usize,
    },
    /// A body's length cannot be told.
    #[error("how long a body is cannot be told")]
    Length,
}

/// A head that came, with what was passed over to find it.
pub(super) struct Found {
    pub(super) head: Head,
    /// A line before it that belongs to no request: surplus of the body before.
    pub(super) has_surplus: bool,
}

/// The reading side of a connection: keeps what came and was not asked for yet.
pub(super) struct Reader {
    pub(super) stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Waits for more bytes; none at the end. Nothing is lost where it is dropped.
    async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// All that came and was not asked for yet, or what comes next; nothing at the end. Nothing is lost where it is
    /// dropped.
    pub(super) async fn bytes(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The next head; nothing where the connection ended before one. Nothing is lost where it is dropped.
    pub(super) async fn head(&mut self, kind: Kind) -> Result<Option<Found>, Broken> {
        let mut scanned = 0;
        loop {
            if let Some(end) = find_head_end(&self.buffer, scanned) {
                let raw: Vec<u8> = self.buffer.drain(..end).collect();
                return found(&raw, kind).map(Some);
            }
            scanned = self.buffer.len();
            if scanned >= MAX_HEAD {
                return Err(Broken::TooLarge { what: "head", most: MAX_HEAD });
            }
            match self.more().await? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 if kind == Kind::Request && looks_like_request(&self.buffer) == Looks::No => {
                    return Err(Broken::NotHttp);
                }
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                _ => {}
            }
        }
    }

    /// A body that is framed so, transfer coding taken off.
    pub(super) async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, Broken> {
        let mut scanner = BodyScanner::new(framing);
        let mut body = Vec::new();
        while !scanner.is_done() {
            if self.buffer.is_empty() && self.more().await? == 0 {
                return match scanner.is_done_at_close() {
                    true => Ok(body),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
            let step = scanner.scan(&self.buffer);
            body.extend_from_slice(step.payload);
            let (consumed, broken) = (step.consumed, step.progress == Progress::Broken);
            self.buffer.drain(..consumed);
            if broken {
                return Err(Broken::Length);
            }
            if body.len() > MAX_BODY {
                return Err(Broken::TooLarge { what: "body", most: MAX_BODY });
            }
        }
        Ok(body)
    }
}

/// Parses a head; a line before a request that is none is surplus of what came before.
fn found(raw: &[u8], kind: Kind) -> Result<Found, Broken> {
    let mut rest = raw;
    let mut has_surplus = false;
    if kind == Kind::Request {
        while looks_like_request(rest) != Looks::Yes {
            let line = memchr::memchr(b'\n', rest).ok_or(Broken::NotHttp)?;
            rest = rest.get(line + 1..).unwrap_or_default();
            has_surplus = true;
        }
    }
    let from = if kind == Kind::Request { Side::Client } else { Side::Server };
    let range = ByteRange { from, start: 0, end: rest.len() as u64 };
    let (head, _) = parse_head(rest, range, kind);
    Ok(Found { head, has_surplus })
}

/// What was heard on a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message.
    Message(Vec<u8>),
    /// A ping, to be answered.
    Ping(Vec<u8>),
    /// The other end closes.
    Close,
}

/// The ears of one end of a socket.
pub(super) struct Ears {
    decoder: WebSocket,
    from: Side,
    offset: u64,
}

impl Ears {
    /// For what `from` says.
    pub(super) fn new(from: Side) -> Self {
        Self { decoder: WebSocket::new(None, websocket::Options::default()), from, offset: 0 }
    }

    /// What these bytes complete.
    pub(super) fn hear(&mut self, bytes: &[u8], at: Timestamp) -> Vec<Heard> {
        let mut heard = Vec::new();
        let chunk = Chunk { from: self.from, offset: self.offset, arrived: None, read: at, bytes };
        self.offset += bytes.len() as u64;
        self.decoder.push(&chunk, &mut |event| match event {
            Event::WebSocket(WebSocketEvent::Message { payload, .. }) => {
                heard.push(Heard::Message(payload.bytes.to_vec()));
            }
            Event::WebSocket(WebSocketEvent::Frame(frame)) if frame.opcode == opcode::PING => {
                heard.push(Heard::Ping(frame.payload.bytes.to_vec()));
            }
            Event::WebSocket(WebSocketEvent::Frame(frame)) if frame.opcode == opcode::CLOSE => heard.push(Heard::Close),
            _ => {}
        });
        heard
    }
}

/// A text message as one frame; clients mask theirs.
pub(super) fn text(payload: Vec<u8>, mask: Option<[u8; 4]>) -> Vec<u8> {
    written(Frame::message(payload, OpCode::Data(Data::Text), true), mask)
}

/// The answer to a ping.
pub(super) fn pong(payload: Vec<u8>, mask: Option<[u8; 4]>) -> Vec<u8> {
    written(Frame::pong(payload), mask)
}

/// A Close frame with that code.
pub(super) fn close(code: u16, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = CloseFrame { code: CloseCode::from(code), reason: "".into() };
    let mut frame = Frame::close(Some(reason));
    frame.header_mut().opcode = OpCode::Control(Control::Close);
    written(frame, mask)
}

fn written(mut frame: Frame, mask: Option<[u8; 4]>) -> Vec<u8> {
    frame.header_mut().mask = mask;
    let mut bytes = Vec::with_capacity(frame.len() + 14);
    // Writing to a vector does not fail.
    let _ = frame.format(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn frames_are_heard_as_they_were_written() {
        for (from, mask) in [(Side::Client, Some([1, 2, 3, 4])), (Side::Server, None)] {
            let mut bytes = text(b"{\"a\":1}".to_vec(), mask);
            bytes.extend(pong(Vec::new(), mask));
            bytes.extend(text(vec![b'x'; 300], mask));
            bytes.extend(close(1001, mask));
            let mut ears = Ears::new(from);
            let heard: Vec<Heard> = bytes.chunks(5).flat_map(|chunk| ears.hear(chunk, Timestamp(0))).collect();
            let expected = [Heard::Message(b"{\"a\":1}".to_vec()), Heard::Message(vec![b'x'; 300]), Heard::Close];
            assert_eq!(heard, expected);
        }
    }

    #[tokio::test]
    async fn surplus_before_a_request_is_seen_and_passed_over() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut reader = Reader::new(Box::new(near));
        far.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}}\r\nGET /b HTTP/1.1\r\n\r\n").await.unwrap();
        let first = reader.head(Kind::Request).await.unwrap().unwrap();
        assert!(!first.has_surplus);
        assert_eq!(reader.body(Framing::Length(2)).await.unwrap(), b"{}");
        let second = reader.head(Kind::Request).await.unwrap().unwrap();
        assert!(second.has_surplus);
        assert_eq!(second.head.target(), b"/b");
        far.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").await.unwrap();
        assert!(matches!(reader.head(Kind::Request).await, Err(Broken::NotHttp)));
        drop(far);
        assert!(reader.head(Kind::Request).await.unwrap().is_none());
    }
}
