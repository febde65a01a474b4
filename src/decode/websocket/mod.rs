//! The WebSocket decoder (RFC 6455, with RFC 7692's `permessage-deflate`): every frame of both directions as it was
//! sent, and the messages that they make.
//!
//! - `frame`: headers and masks;
//! - `message`: fragments put together, inflated;
//! - `deflate`: inflating within bounds.
//!
//! What breaks the standard is an [`Anomaly`] and decoding goes on: an anomaly of a frame's header (reserved bits,
//! masking, control frames, fragmentation, a length in more bytes than needed) comes before the frame and ranges over
//! the header; one of its payload (Close, UTF-8, deflate) comes after the frame and its message, and ranges over the
//! frame, or over all frames of the message. Only a length with its highest bit set, and bytes lost where a header may
//! have stood, end the decoding of their direction (`opaque`); the other direction goes on.
//!
//! What comes of odd frames: a reserved opcode is a frame and part of no message; a continuation of nothing likewise;
//! a new message within another ends the first, of which no message is handed out. RSV1 without `permessage-deflate`
//! leaves the payload as it is. A frame or message that the connection's end cut short is an anomaly `CutShort` that
//! ranges from its first byte, and no frame.
//!
//! **Memory**: between frames a direction holds at most 384 bytes beside what `deflate` says; within a frame and a
//! message, up to the caps of [`Options`]. What exceeds a cap is counted, neither copied nor unmasked, except for the
//! inflater's sake. UTF-8 is checked as far as it was kept.
//!
//! **Restored** from its stored form a decoder goes on where it was, except that the windows of context takeover are
//! unknown: compressed messages of a direction that had sent one come with no payload and `whole` unset, for good
//! under context takeover, to the next message otherwise. The same holds after lost bytes and after a message that did
//! not inflate.

mod as_base64;
mod deflate;
mod frame;
mod message;
#[cfg(test)]
mod tests;

pub use frame::{header_of, unmasked};

use serde::{Deserialize, Serialize};

use self::{
    frame::{Header, MAX_HEADER, is_text, may_close_with, unmask},
    message::{Assembly, Role},
};
use super::{Decoder, DeflateParameters, Event, FrameEvent, Payload, Sink, WebSocketEvent};
use crate::model::{
    Side, Timestamp,
    anomaly::{Anomaly, AnomalyKind},
    side::Sides,
    trace::{ByteRange, Chunk},
    websocket::opcode,
};

/// Bytes of a buffer that are kept between frames; what is larger is given back when its direction is idle.
const KEEP: usize = 192;

/// How much of payloads is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Bytes of a frame's payload that are handed out, at least 125 (a control frame's).
    pub frame_bytes: usize,
    /// Bytes of a message that are handed out, inflated. A message in one frame that is not compressed and larger than
    /// this comes as its frame does.
    pub message_bytes: usize,
    /// Inflated bytes of a direction beyond 256 for each compressed one, after which it is given up.
    pub inflate_burst_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { frame_bytes: 64 * 1024, message_bytes: 1024 * 1024, inflate_burst_bytes: 64 * 1024 * 1024 }
    }
}

/// The decoder of one WebSocket, from the first byte after the 101 on.
#[derive(Serialize, Deserialize)]
pub struct WebSocket {
    options: Options,
    directions: Sides<Direction>,
}

impl WebSocket {
    /// For a socket whose 101 agreed to `deflate`.
    pub fn new(deflate: Option<DeflateParameters>, options: Options) -> Self {
        let options = Options { frame_bytes: options.frame_bytes.max(125), ..options };
        let takeover = |forgets: fn(&DeflateParameters) -> bool| deflate.as_ref().map(|deflate| !forgets(deflate));
        let client = Direction::new(Side::Client, takeover(|deflate| deflate.client_no_context_takeover), &options);
        let server = Direction::new(Side::Server, takeover(|deflate| deflate.server_no_context_takeover), &options);
        Self { options, directions: Sides { client, server } }
    }
}

impl Decoder for WebSocket {
    fn push(&mut self, chunk: &Chunk<'_>, out: &mut Sink<'_>) {
        self.directions.of_mut(chunk.from).push(chunk, &self.options, out);
    }

    fn lost(&mut self, range: ByteRange, at: Timestamp, out: &mut Sink<'_>) {
        self.directions.of_mut(range.from).lost(range, at, &self.options, out);
    }

    fn end(&mut self, from: Side, at: Timestamp, out: &mut Sink<'_>) {
        self.directions.of_mut(from).end(at, out);
    }
}

/// One direction's bytes.
#[derive(Serialize, Deserialize)]
struct Direction {
    from: Side,
    /// The offset of the next byte, once one was seen.
    next: Option<u64>,
    /// When the first byte of the frame arrived.
    began: Timestamp,
    /// A header that is not all there yet.
    header: [u8; MAX_HEADER],
    header_bytes: u8,
    /// The frame whose payload is on its way.
    frame: Option<Current>,
    /// That payload, unmasked, as far as it is kept.
    #[serde(with = "as_base64")]
    collected: Vec<u8>,
    assembly: Assembly,
    /// Nothing more is decoded: it ended, or frames can no longer be told apart.
    over: bool,
}

/// A frame whose header is known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Current {
    header: Header,
    role: Role,
    /// Where its header began.
    start: u64,
    /// Payload bytes that have passed, recorded or not.
    passed: u64,
    /// Whether some of them were not recorded.
    holed: bool,
}

impl Current {
    /// Payload bytes that are still to come.
    fn left(&self) -> u64 {
        self.header.length.saturating_sub(self.passed)
    }
}

impl Direction {
    fn new(from: Side, takeover: Option<bool>, options: &Options) -> Self {
        Self {
            from,
            next: None,
            began: Timestamp::default(),
            header: [0; MAX_HEADER],
            header_bytes: 0,
            frame: None,
            collected: Vec::new(),
            assembly: Assembly::new(takeover, options),
            over: false,
        }
    }

    fn push(&mut self, chunk: &Chunk<'_>, options: &Options, out: &mut Sink<'_>) {
        let mut bytes = chunk.bytes;
        match self.next {
            // Unannounced, against the contract; what is missing is missing all the same.
            Some(next) if next < chunk.offset => {
                self.lost(ByteRange { from: self.from, start: next, end: chunk.offset }, chunk.at(), options, out);
            }
            Some(next) => {
                let known = usize::try_from(next - chunk.offset).unwrap_or(usize::MAX);
                bytes = bytes.get(known..).unwrap_or_default();
            }
            None => self.next = Some(chunk.offset),
        }
        while !bytes.is_empty() && !self.over {
            bytes = match &mut self.frame {
                None => self.take_header(bytes, chunk.at(), options, out),
                Some(_) => self.take_payload(bytes, chunk.at(), options, out),
            };
        }
        self.rest();
    }

    fn lost(&mut self, range: ByteRange, at: Timestamp, options: &Options, out: &mut Sink<'_>) {
        let next = self.next.unwrap_or(range.start);
        if self.over || range.end <= next {
            return;
        }
        let missing = range.end - next;
        let countable = self.frame.as_ref().is_some_and(|frame| missing <= frame.left());
        self.next = Some(range.end);
        self.report(AnomalyKind::Gap, next, range.end, at, !countable, out);
        let Some(frame) = self.frame.as_mut().filter(|_| countable) else { return self.give_up() };
        frame.holed = true;
        frame.passed += missing;
        if frame.role == Role::Part {
            self.assembly.hole();
            self.assembly.skip(missing);
        }
        if frame.left() == 0 {
            self.complete(None, at, options, out);
        }
    }

    fn end(&mut self, at: Timestamp, out: &mut Sink<'_>) {
        let next = self.next.unwrap_or_default();
        let message = self.assembly.open_since();
        let frame = match self.frame {
            Some(frame) => Some(frame.start),
            None if self.header_bytes > 0 => Some(next.saturating_sub(self.header_bytes.into())),
            None => None,
        };
        if let (Some(start), false) = (message.or(frame), self.over) {
            self.report(AnomalyKind::CutShort, start, next, at, false, out);
        }
        self.give_up();
    }

    /// Reads a header from the front of `bytes`, or as much of it as there is; gives what follows.
    fn take_header<'b>(&mut self, bytes: &'b [u8], at: Timestamp, options: &Options, out: &mut Sink<'_>) -> &'b [u8] {
        // One byte less than the longest header, at most, unless the stored form was tampered with.
        let held = usize::from(self.header_bytes).min(MAX_HEADER - 1);
        if held == 0 {
            self.began = at;
        }
        let parsed = if held == 0 { Header::parse(bytes) } else { None };
        let (header, taken) = match parsed {
            Some(header) => (Some(header), usize::from(header.size)),
            None => {
                let free = self.header.get_mut(held..).unwrap_or_default();
                let copied = free.len().min(bytes.len());
                for (to, from) in free.iter_mut().zip(bytes) {
                    *to = *from;
                }
                let header = Header::parse(self.header.get(..held + copied).unwrap_or_default());
                (header, header.map_or(copied, |header| usize::from(header.size).saturating_sub(held)))
            }
        };
        let next = self.next.unwrap_or_default().saturating_add(taken as u64);
        self.next = Some(next);
        let rest = bytes.get(taken..).unwrap_or_default();
        match header {
            Some(header) => {
                self.header_bytes = 0;
                self.begin(header, next.saturating_sub(header.size.into()), at, options, out);
            }
            None => self.header_bytes += taken as u8,
        }
        rest
    }

    /// A header is complete.
    fn begin(&mut self, header: Header, start: u64, at: Timestamp, options: &Options, out: &mut Sink<'_>) {
        let end = start.saturating_add(header.size.into());
        if header.is_endless() {
            self.report(AnomalyKind::FrameLength, start, end, at, true, out);
            return self.give_up();
        }
        let deflates = self.assembly.deflates();
        let (role, in_order) = self.assembly.admit(&header, start, options);
        for (kind, holds) in [
            (AnomalyKind::ReservedBits, !header.is_reserved(deflates)),
            (AnomalyKind::Masking, header.is_masked_rightly(self.from)),
            (AnomalyKind::ControlFrame, !header.is_bad_control()),
            (AnomalyKind::FrameLength, header.minimal),
            (AnomalyKind::Fragmentation, in_order),
        ] {
            if !holds {
                self.report(kind, start, end, at, false, out);
            }
        }
        self.frame = Some(Current { header, role, start, passed: 0, holed: false });
        if header.length == 0 {
            self.complete(None, at, options, out);
        }
    }

    /// Takes payload from the front of `bytes`, which are not empty; gives what follows.
    fn take_payload<'b>(&mut self, bytes: &'b [u8], at: Timestamp, options: &Options, out: &mut Sink<'_>) -> &'b [u8] {
        let Some(frame) = &mut self.frame else { return bytes };
        let (header, position) = (frame.header, frame.passed);
        let left = usize::try_from(frame.left()).unwrap_or(usize::MAX);
        let (piece, rest) = bytes.split_at(left.min(bytes.len()));
        frame.passed = position.saturating_add(piece.len() as u64);
        self.next = self.next.map(|next| next.saturating_add(piece.len() as u64));

        if frame.role == Role::Part {
            feed(&mut self.assembly, piece, &header, position, options);
        }
        let complete = piece.len() == left;
        if complete && position == 0 && header.key.is_none() {
            self.complete(Some(piece), at, options, out);
            return rest;
        }
        // After a hole what is kept is the beginning, so nothing is added to it.
        let room = if frame.holed { 0 } else { options.frame_bytes.saturating_sub(self.collected.len()) };
        if room > 0 {
            let already = self.collected.len();
            self.collected.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if let (Some(key), Some(fresh)) = (header.key, self.collected.get_mut(already..)) {
                unmask(fresh, key, position);
            }
        }
        if complete {
            self.complete(None, at, options, out);
        }
        rest
    }

    /// The frame is complete; its payload is `direct` or was collected.
    fn complete(&mut self, direct: Option<&[u8]>, at: Timestamp, options: &Options, out: &mut Sink<'_>) {
        let Some(frame) = self.frame.take() else { return };
        let (from, header, end) = (self.from, frame.header, self.next.unwrap_or_default());
        let mut collected = std::mem::take(&mut self.collected);
        let bytes = direct.unwrap_or(&collected);
        let bytes = bytes.get(..options.frame_bytes).unwrap_or(bytes);
        let payload = Payload { bytes, whole: !frame.holed && bytes.len() as u64 == header.length };
        out(Event::WebSocket(WebSocketEvent::Frame(FrameEvent {
            from,
            opcode: header.opcode,
            fin: header.fin,
            rsv1: header.rsv1,
            masked: header.key.is_some(),
            length: header.length,
            payload,
            range: ByteRange { from, start: frame.start, end },
            began: self.began,
            at,
        })));
        match frame.role {
            Role::Alone => {
                out(Event::WebSocket(WebSocketEvent::Message { from, opcode: header.opcode, payload, at }));
                if header.length > options.message_bytes as u64 {
                    self.report(AnomalyKind::MessageTooLarge, frame.start, end, at, false, out);
                }
                if header.opcode == opcode::TEXT && !is_text(bytes, payload.whole) {
                    self.report(AnomalyKind::NotUtf8, frame.start, end, at, false, out);
                }
            }
            Role::Part if header.fin => self.assembly.finish(from, end, at, options, out),
            Role::Apart if header.opcode == opcode::CLOSE => {
                if let Some(kind) = close_trouble(payload) {
                    self.report(kind, frame.start, end, at, false, out);
                }
            }
            Role::Part | Role::Apart => {}
        }
        collected.clear();
        self.collected = collected;
    }

    fn report(&self, kind: AnomalyKind, start: u64, end: u64, at: Timestamp, opaque: bool, out: &mut Sink<'_>) {
        let range = ByteRange { from: self.from, start, end };
        out(Event::Anomaly(Anomaly { kind, range, at, opaque }));
    }

    fn give_up(&mut self) {
        self.over = true;
        self.frame = None;
        self.header_bytes = 0;
        self.collected = Vec::new();
        self.assembly = Assembly::new(None, &Options::default());
    }

    /// Gives back, between frames, what an idle direction need not hold.
    fn rest(&mut self) {
        if self.frame.is_none() {
            if self.collected.capacity() > KEEP {
                self.collected = Vec::new();
            }
            self.assembly.rest(KEEP);
        }
    }
}

/// Hands a piece of payload to the message that it belongs to, unmasked by way of the stack.
fn feed(assembly: &mut Assembly, piece: &[u8], header: &Header, mut position: u64, options: &Options) {
    if !assembly.wants_more(options) {
        return assembly.skip(piece.len() as u64);
    }
    let Some(key) = header.key else { return assembly.feed(piece, options) };
    let mut room = [0; 512];
    for masked in piece.chunks(room.len()) {
        let (plain, _) = room.split_at_mut(masked.len());
        plain.copy_from_slice(masked);
        unmask(plain, key, position);
        assembly.feed(plain, options);
        position = position.saturating_add(masked.len() as u64);
    }
}

/// What is wrong with a Close frame's payload, if anything (RFC 6455, 5.5.1 and 7.4).
fn close_trouble(payload: Payload<'_>) -> Option<AnomalyKind> {
    match payload.bytes.split_first_chunk::<2>() {
        None => (!payload.bytes.is_empty()).then_some(AnomalyKind::CloseFrame),
        Some((code, _)) if !may_close_with(u16::from_be_bytes(*code)) => Some(AnomalyKind::CloseFrame),
        Some((_, reason)) => (!is_text(reason, payload.whole)).then_some(AnomalyKind::NotUtf8),
    }
}
