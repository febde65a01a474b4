//! Exchanges with their bytes, and messages of sockets, in the order of ids: for exports and whoever reads a whole capture.
//!
//! Rows come from the capture's lists, whoever holds it; bytes are fetched for many rows in one pass over the segments
//! where they lie, so that reading everything costs one reading of the segments, and a batch of memory.

use std::{borrow::Cow, collections::BTreeMap, ops::ControlFlow, sync::mpsc, thread};

use crate::{
    decode::{
        Decoder as _, Event, WebSocketEvent,
        http1::{
            self,
            head::{self, Kind as HeadKind},
        },
        websocket::{self, WebSocket},
    },
    model::{
        ExchangeId, Side, Timestamp,
        http::Head,
        rows::{ExchangeRow, FrameRow, Row},
        trace::{ByteRange, Chunk},
    },
    store::CaptureDir,
};

use super::{
    Error,
    bodies::Halves,
    bytes::{self, Got, Want},
    capture::Capture,
    list::{self, About, Each, Query, Secrets},
    raw::{self, Part},
    source::{Kind, Shelf},
};

/// Rows whose bytes are fetched together.
const BATCH: usize = 512;
/// Bytes that are fetched together; one message may be larger.
const BATCH_BYTES: u64 = 8 << 20;

/// An exchange with its bytes.
#[derive(Debug)]
pub struct Content {
    /// Its row.
    pub row: ExchangeRow,
    /// What the client sent.
    pub request: MessageBytes,
    /// What was answered.
    pub response: MessageBytes,
}

/// A request or a response as it was sent.
#[derive(Debug, Default)]
pub struct MessageBytes {
    /// Head and body with its transfer coding; the head alone where the body is too large.
    pub raw: Vec<u8>,
    /// Where the head ends in `raw`.
    pub head_end: usize,
    /// Bytes that the body took in its transfer coding.
    pub body_sent: u64,
    /// Whether `raw` is all of it.
    pub extent: Fullness,
}

/// How much of a message is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fullness {
    /// All of it.
    #[default]
    Whole,
    /// There was none.
    None,
    /// The body was not read for its size.
    TooLarge,
    /// Bytes are missing: dropped by retention, lost in a gap, or not sent by then.
    Missing,
}

impl MessageBytes {
    /// What was found of a message whose head and body end there.
    fn of((wanted, cut): (ByteRange, bool), got: Got, head_end: u64, end: u64) -> Self {
        let extent = match (wanted.is_empty(), got.whole, cut) {
            (true, ..) => Fullness::None,
            (_, false, _) => Fullness::Missing,
            (_, true, true) => Fullness::TooLarge,
            (_, true, false) => Fullness::Whole,
        };
        let length = usize::try_from(head_end.saturating_sub(wanted.start)).unwrap_or(usize::MAX);
        // A head that is not all there is none.
        let length = if got.bytes.len() < length { 0 } else { length };
        Self { raw: got.bytes, head_end: length, body_sent: end.saturating_sub(head_end), extent }
    }

    /// The head's bytes.
    pub fn head(&self) -> &[u8] {
        self.raw.get(..self.head_end).unwrap_or_default()
    }

    /// The body's bytes as they were sent, transfer coding included.
    pub fn body_raw(&self) -> &[u8] {
        self.raw.get(self.head_end..).unwrap_or_default()
    }

    fn parse(&self, kind: HeadKind) -> Option<Head> {
        if self.head_end == 0 {
            return None;
        }
        let from = if kind == HeadKind::Request { Side::Client } else { Side::Server };
        let raw = self.head();
        Some(head::parse_head(raw, ByteRange { from, start: 0, end: raw.len() as u64 }, kind).0)
    }
}

impl Content {
    /// The request's head, parsed anew.
    pub fn request_head(&self) -> Option<Head> {
        self.request.parse(HeadKind::Request)
    }

    /// The response's head.
    pub fn response_head(&self) -> Option<Head> {
        self.response.parse(HeadKind::Response)
    }

    /// Both bodies, transfer coding taken off.
    pub fn bodies(&self) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
        let chunked = |raw: &[u8]| {
            let name = b"transfer-encoding";
            memchr::memmem::find(raw, b"hunked").is_some()
                && raw.to_ascii_lowercase().windows(name.len()).any(|window| window == name)
        };
        if chunked(self.request.head()) || chunked(self.response.head()) {
            let halves = Halves::decode(&self.request.raw, &self.response.raw);
            return (halves.request.body.into(), halves.response.body.into());
        }
        (self.request.body_raw().into(), self.response.body_raw().into())
    }
}

/// A message of a socket: text or binary, put together and inflated; or a control frame.
#[derive(Debug)]
pub struct SocketMessage<'m> {
    /// The exchange that opened the socket.
    pub exchange: ExchangeId,
    /// Who sent it.
    pub from: Side,
    /// Its first frame's opcode.
    pub opcode: u8,
    /// The payload, or its beginning.
    pub payload: &'m [u8],
    /// Whether that is all of it.
    pub whole: bool,
    /// When its last byte arrived.
    pub at: Timestamp,
    /// Its last frame.
    pub frame: &'m FrameRow,
}

/// Takes frames with their bytes.
pub type EachFrame<'e> = dyn FnMut(&FrameRow, &[u8]) -> Result<(), Error> + 'e;

/// What has rows and their bytes: a capture, or what its recorder holds.
pub(super) trait Reads: Sync {
    /// Where the bytes lie.
    fn folder(&self) -> &CaptureDir;
    /// As [`Capture::list`].
    fn rows(&self, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error>;
}

impl Reads for Capture {
    fn folder(&self) -> &CaptureDir {
        self.dir()
    }

    fn rows(&self, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
        self.list(kind, query, each)
    }
}

impl Reads for Shelf<'_> {
    fn folder(&self) -> &CaptureDir {
        self.dir
    }

    fn rows(&self, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
        list::list(*self, kind, query, each)
    }
}

impl Capture {
    /// Hands out exchanges with their bytes, in the order of ids. Of a body with more than `largest` bytes only the head
    /// is read.
    ///
    /// # Errors
    /// As [`Capture::list`], and what `each` fails with.
    pub fn contents(
        &self,
        query: Query<'_>,
        largest: u64,
        each: &mut dyn FnMut(Content) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        Reader(self).contents(query, largest, each)
    }

    /// Hands out the messages of all sockets, in the order in which they were complete. `wanted` chooses sockets.
    /// Payloads beyond `largest` bytes are cut.
    ///
    /// # Errors
    /// As [`Capture::list`], and what `each` fails with.
    pub fn messages(
        &self,
        wanted: &dyn Fn(ExchangeId) -> bool,
        largest: usize,
        each: &mut dyn FnMut(SocketMessage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Reader(self).messages(None, wanted, largest, each)
    }

    /// Hands out all frames with their bytes, header included; fewer where some are missing or the frame is very large.
    ///
    /// # Errors
    /// As [`Capture::list`], and what `each` fails with.
    pub fn frames(&self, wanted: &dyn Fn(ExchangeId) -> bool, each: &mut EachFrame<'_>) -> Result<(), Error> {
        Reader(self).frames(None, wanted, each)
    }
}

/// Reads with whatever has rows and bytes.
pub(super) struct Reader<'r>(pub(super) &'r dyn Reads);

impl Reader<'_> {
    /// See [`Capture::contents`]. The next ones are read while these are looked at.
    pub(super) fn contents(
        &self,
        query: Query<'_>,
        largest: u64,
        each: &mut dyn FnMut(Content) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let (full, batches) = mpsc::sync_channel(0);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                self.read(query, largest, &mut |batch| match full.send(batch) {
                    Ok(()) => ControlFlow::Continue(()),
                    // Nobody wants more.
                    Err(_) => ControlFlow::Break(()),
                })
            });
            let looked = batches.into_iter().flatten().try_for_each(|content| match each(content) {
                Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
                Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
                Err(error) => ControlFlow::Break(Err(error)),
            });
            let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match looked {
                ControlFlow::Continue(()) => read,
                ControlFlow::Break(result) => result,
            }
        })
    }

    /// Hands out exchanges with their bytes, a batch at a time.
    fn read(
        &self,
        query: Query<'_>,
        largest: u64,
        full: &mut dyn FnMut(Vec<Content>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut rows: Vec<ExchangeRow> = Vec::new();
        let mut size = 0;
        let mut ended = false;
        self.0.rows(Kind::Exchanges, query, &mut |row| {
            let Row::Exchange(row) = row else { return Ok(ControlFlow::Continue(())) };
            let [request, response] = ranges(&row, largest).map(|(range, _)| range.len());
            size += request + response;
            rows.push(*row);
            if rows.len() < BATCH && size < BATCH_BYTES {
                return Ok(ControlFlow::Continue(()));
            }
            size = 0;
            let flow = full(self.fetch(std::mem::take(&mut rows), largest)?);
            ended = flow.is_break();
            Ok(flow)
        })?;
        if !ended && !rows.is_empty() {
            let _ = full(self.fetch(rows, largest)?);
        }
        Ok(())
    }

    fn fetch(&self, rows: Vec<ExchangeRow>, largest: u64) -> Result<Vec<Content>, Error> {
        let mut wants = Vec::with_capacity(2 * rows.len());
        for row in &rows {
            let extent = raw::extent_of(row);
            wants.extend(ranges(row, largest).map(|(range, _)| Want { connection: row.connection, range, extent }));
        }
        let mut got = bytes::fetch(self.0.folder(), &wants)?.into_iter();
        rows.into_iter()
            .map(|row| {
                let got = [got.next().unwrap_or_default(), got.next().unwrap_or_default()];
                self.content(row, got, largest)
            })
            .collect()
    }

    fn content(&self, row: ExchangeRow, [sent, answered]: [Got; 2], largest: u64) -> Result<Content, Error> {
        let [request, response] = ranges(&row, largest);
        let offsets = row.offsets;
        let request = MessageBytes::of(request, sent, offsets.request_head_end, offsets.request_end);
        let mut response = MessageBytes::of(response, answered, offsets.response_head_end, offsets.response_end);
        if row.proxy_made {
            let mut raw = Vec::new();
            let any = Row::Exchange(Box::new(row.clone()));
            raw::copy(self.0.folder(), &any, Part::Response, Some(largest), &mut raw)?;
            let head_end = head::find_head_end(&raw, 0).unwrap_or(raw.len());
            let body_sent = (raw.len() - head_end.min(raw.len())) as u64;
            response = MessageBytes { raw, head_end, body_sent, extent: Fullness::Whole };
        }
        Ok(Content { row, request, response })
    }

    /// See [`Capture::messages`]; of all sockets, or of what belongs to something.
    pub(super) fn messages(
        &self,
        about: Option<About>,
        wanted: &dyn Fn(ExchangeId) -> bool,
        largest: usize,
        each: &mut dyn FnMut(SocketMessage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sockets = Sockets { open: self.sockets(about)?, largest };
        self.frames(about, wanted, &mut |row, bytes| sockets.frame(row, bytes, each))
    }

    /// See [`Capture::frames`]; all, or what belongs to something.
    fn frames(
        &self,
        about: Option<About>,
        wanted: &dyn Fn(ExchangeId) -> bool,
        each: &mut EachFrame<'_>,
    ) -> Result<(), Error> {
        let mut batch: Vec<FrameRow> = Vec::new();
        let mut size = 0;
        // Its text is made of these bytes; redacting it would read all of them before.
        let query = Query { about, secrets: Secrets::Kept, ..Query::default() };
        self.0.rows(Kind::Frames, query, &mut |row| {
            let Row::Frame(mut row) = row else { return Ok(ControlFlow::Continue(())) };
            row.text = None;
            if !wanted(row.exchange) {
                return Ok(ControlFlow::Continue(()));
            }
            size += row.end.saturating_sub(row.start);
            batch.push(row);
            if batch.len() >= BATCH || size >= BATCH_BYTES {
                size = 0;
                self.fetch_frames(&mut batch, each)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.fetch_frames(&mut batch, each)
    }

    fn fetch_frames(&self, batch: &mut Vec<FrameRow>, each: &mut EachFrame<'_>) -> Result<(), Error> {
        let wants: Vec<Want> = batch
            .iter()
            .map(|row| {
                let end = if row.end.saturating_sub(row.start) > LARGEST_FRAME { row.start } else { row.end };
                let range = ByteRange { from: row.from, start: row.start, end };
                Want { connection: row.connection, range, extent: row.extent }
            })
            .collect();
        let got = bytes::fetch(self.0.folder(), &wants)?;
        batch.drain(..).zip(got).try_for_each(|(row, got)| each(&row, &got.bytes))
    }

    /// What was agreed on each socket, and how many frames it had.
    fn sockets(&self, about: Option<About>) -> Result<BTreeMap<u64, Socket>, Error> {
        let mut sockets = BTreeMap::new();
        self.0.rows(Kind::Exchanges, Query { about, ..Query::default() }, &mut |row| {
            if let Row::Exchange(row) = row
                && let Some(socket) = &row.websocket
            {
                let frames = socket.frames_from_client + socket.frames_from_server;
                let head = row.response_headers.iter().flat_map(|headers| headers.iter());
                let extensions = head.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
                let extensions: Vec<&str> = extensions.map(|(_, value)| value).collect();
                let deflate = http1::deflate_of(extensions.join(", ").as_bytes());
                sockets.insert(row.id.0, Socket { frames, deflate, decoder: None });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sockets)
    }
}

/// Larger frames are not read.
const LARGEST_FRAME: u64 = 64 << 20;

/// The decoders of sockets.
pub struct Sockets {
    open: BTreeMap<u64, Socket>,
    largest: usize,
}

struct Socket {
    /// Those that are still to come.
    frames: u64,
    deflate: Option<crate::decode::DeflateParameters>,
    decoder: Option<Box<WebSocket>>,
}

impl Sockets {
    /// One that hands out at most so many bytes of a message.
    ///
    /// # Errors
    /// As [`Capture::list`].
    pub fn of(capture: &Capture, largest: usize) -> Result<Self, Error> {
        Ok(Self { open: Reader(capture).sockets(None)?, largest })
    }

    /// The next frame of whatever socket, as [`Capture::frames`] gives it.
    ///
    /// # Errors
    /// What `each` fails with.
    pub fn frame(
        &mut self,
        row: &FrameRow,
        bytes: &[u8],
        each: &mut dyn FnMut(SocketMessage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(socket) = self.open.get_mut(&row.exchange.0) else { return Ok(()) };
        let options = websocket::Options {
            frame_bytes: self.largest,
            message_bytes: self.largest,
            ..websocket::Options::default()
        };
        let decoder = socket.decoder.get_or_insert_with(|| Box::new(WebSocket::new(socket.deflate, options)));
        let mut result = Ok(());
        let mut take = |event: Event<'_>| {
            let (from, opcode, payload, at) = match event {
                Event::WebSocket(WebSocketEvent::Message { from, opcode, payload, at }) => (from, opcode, payload, at),
                Event::WebSocket(WebSocketEvent::Frame(frame)) if frame.opcode >= 8 => {
                    (frame.from, frame.opcode, frame.payload, frame.at)
                }
                _ => return,
            };
            if result.is_ok() {
                let (payload, whole) = (payload.bytes, payload.whole);
                let exchange = row.exchange;
                result = each(SocketMessage { exchange, from, opcode, payload, whole, at, frame: row });
            }
        };
        let range = ByteRange { from: row.from, start: row.start, end: row.end };
        let at = row.arrived_ns;
        if bytes.len() as u64 == range.len() {
            let chunk = Chunk { from: row.from, offset: row.start, arrived: Some(at), read: at, bytes };
            decoder.push(&chunk, &mut take);
        } else {
            decoder.lost(range, at, &mut take);
        }
        // Its windows are given back as soon as nothing more comes.
        socket.frames = socket.frames.saturating_sub(1);
        if socket.frames == 0 {
            socket.decoder = None;
        }
        result
    }
}

/// What is read of request and response, and whether that is the head alone.
fn ranges(row: &ExchangeRow, largest: u64) -> [(ByteRange, bool); 2] {
    let offsets = row.offsets;
    let range = |from, start: u64, head_end: u64, end: u64| {
        let cut = end.saturating_sub(head_end) > largest;
        let end = if cut { head_end } else { end };
        (ByteRange { from, start, end }, cut)
    };
    let request = range(Side::Client, offsets.request_start, offsets.request_head_end, offsets.request_end);
    let response = range(Side::Server, offsets.response_start, offsets.response_head_end, offsets.response_end);
    if row.proxy_made {
        let none = ByteRange { from: Side::Server, start: 0, end: 0 };
        return [request, (none, false)];
    }
    [request, response]
}
