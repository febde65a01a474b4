//! HTTP/1 of one connection: both directions, paired. PURE.
//!
//! [`head`] and [`body`] say what bytes mean and keep nothing; the relay's framer uses them too. [`Http1`] is the
//! decoder. What it decides where the standard leaves it open:
//!
//! - **Pairing.** Responses answer requests in order. A response may begin before its request has ended. One that comes
//!   while the request's head is still on its way (431 to a head that is too large) is held until that head is
//!   complete. One for which there is no request is decoded as *exchange 0*, after a `SurplusResponse`: the server
//!   answered twice. It is an `UnaskedResponse` where another reason is likely (nothing was answered before, a 408 to an
//!   idle client, an interim one) or possible (something of the client's was not understood, and may have been answered).
//! - **Upgrades.** After a request with `Upgrade`, and after CONNECT, the client's bytes are held until the response
//!   decides whether they are HTTP or the next protocol's (bounded). If the response grants while that request's body
//!   is still on its way, the body is decoded to its end first.
//! - **Lost ground.** Where a request should begin and the bytes cannot be one, `BytesAfterBody` says so: a body is
//!   longer than its length. The surplus up to a line's end is passed over, unless that line ends in a version: then
//!   it is the next request with the surplus glued to it, and is decoded as one, since it is what the server sees; as
//!   the surplus came earlier, it is dated by the end of that line.
//!   If no line ends within 8 KiB, `NotHttp` follows. At the connection's very beginning, `NotHttp` comes at once.
//!   Behind an answer it is the same: what cannot begin one is `BytesAfterBody` and passed over, until the next request
//!   came and `HTTP/1.` stands in what follows.
//! - **Opaque.** Where the server's bytes are not understood, nothing more of the connection is decoded. Where the
//!   client's are not any more, the responses to the requests before still are; further ones are exchange 0, or, if
//!   requests may have passed unseen (a gap, a broken chunk, too many waiting), make the connection opaque.
//! - **Gaps.** Bytes that were not recorded may have held any number of messages. The side that lost them is passed
//!   over until a chunk of the client's begins with a request line: that is the next request, and the server's next
//!   bytes answer it; what waited for an answer before ends without one. This holds for clients that wait for each
//!   answer. So behind a gap, and there alone, it matters where chunks end: they are reads, stored as they were. Where
//!   one was seen not to wait, or an upgrade was being asked for, the answers could be taken for those of
//!   other requests, and the side stays passed over.
//! - **Faulty framing** of a body: see [`body::request_framing`].
//! - Empty lines before a start line are skipped, belong to no message (so that they do not date it) and are named
//!   (`LineEnd`).
//! - After `Switched` only chunks are handed over; losses and ends are for the caller to tell to the next decoder.
//!
//! `end` is to be called for both sides of every connection, also where it was cut, so that everything is ended. A side
//! may come back afterwards (a plain-HTTP client's next server).

mod heads;
mod lane;
mod message;
mod upgrade;

pub mod body;
pub mod chunks;
pub mod head;

#[cfg(test)]
mod generated;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem};

pub use heads::Heads;
pub use upgrade::deflate_of;

use serde::{Deserialize, Serialize};

use crate::{
    decode::{Decoder, Event, HttpEvent, Sink},
    model::{
        Side, Timestamp,
        anomaly::{Anomaly, AnomalyKind},
        http::Body,
        side::Sides,
        trace::{ByteRange, Chunk},
    },
};

use self::{
    body::Progress,
    head::{Probe, blank_prefix, find_head_end, probe_request, probe_response},
    lane::{Buffer, Lane, Look, State, after, first},
    message::Waiting,
};

/// What the decoder may keep. All of it per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The largest head; beyond it: `HeadTooLarge`, and opaque.
    pub max_head_bytes: usize,
    /// How many bytes are held while it is undecided what they are; beyond it: `TooMuchWaiting`, and opaque.
    pub max_held_bytes: usize,
    /// How many requests may wait for their answer; beyond it: `TooMuchWaiting`, and opaque.
    pub max_waiting: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_head_bytes: 256 * 1024, max_held_bytes: 64 * 1024, max_waiting: 1024 }
    }
}

/// The decoder. Its state can be saved and restored between any two calls.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Http1 {
    options: Options,
    stage: Stage,
    lanes: Sides<Lane>,
    /// Requests without a final response head, in order.
    waiting: VecDeque<Waiting>,
    /// How many requests there were.
    exchanges: u32,
    /// How many of them came before the bytes began anew.
    #[serde(default)]
    before: u32,
    /// A side is passed over since a gap, and the next request that a chunk begins with ends that.
    #[serde(default)]
    adrift: bool,
    /// Whether a request was seen to come before the answer to the one before had ended.
    #[serde(default)]
    pipelined: bool,
    /// Whether there was something besides the requests that the server may have answered.
    #[serde(default)]
    unclear: bool,
    /// Lent by who has many connections.
    #[serde(skip)]
    heads: Heads,
}

/// Which protocol the connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Http,
    Switched,
    Opaque,
}

/// A head that spans chunks is put together in steps of this size, so that the body behind it is not copied with it.
const HEAD_STEP_BYTES: usize = 4096;

/// Within how many bytes a line that begins oddly must end to be taken for a request.
const ODD_LINE_BYTES: usize = 8192;

impl Decoder for Http1 {
    fn push(&mut self, chunk: &Chunk<'_>, out: &mut Sink<'_>) {
        let next = self.lanes.of(chunk.from).next;
        if chunk.offset > next {
            self.lost(ByteRange { from: chunk.from, start: next, end: chunk.offset }, chunk.at(), out);
        }
        let seen = usize::try_from(next.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
        let chunk = if seen > 0 { after(chunk, seen) } else { *chunk };
        if chunk.bytes.is_empty() {
            return;
        }
        let lane = self.lanes.of_mut(chunk.from);
        lane.next = chunk.range().end;
        lane.ended = None;
        if self.adrift
            && chunk.from == Side::Client
            && matches!(lane.state, State::Passing { .. })
            && begins_request(chunk.bytes)
        {
            lane.state = State::Between;
        }
        self.run(chunk, out);
    }

    fn lost(&mut self, range: ByteRange, at: Timestamp, out: &mut Sink<'_>) {
        let side = range.from;
        let lane = self.lanes.of_mut(side);
        let range = ByteRange { start: range.start.max(lane.next), ..range };
        if range.is_empty() {
            return;
        }
        lane.next = range.end;
        let in_body = match &mut lane.state {
            State::Body(message) => {
                let passed = message.scanner.skip(range.len());
                message.end += passed.unwrap_or_default();
                message.last = if passed.is_some_and(|n| n > 0) { at } else { message.last };
                Some((passed == Some(range.len()), message.scanner.is_done()))
            }
            State::Passing { .. } => return,
            State::Between | State::Head { .. } | State::Holding => None,
        };
        let (whole, done) = in_body.unwrap_or_default();
        if self.stage == Stage::Opaque || (self.stage == Stage::Switched && in_body.is_none()) {
            return;
        }
        let lost_ground = !whole && (self.stage == Stage::Http || !done);
        let within_head = matches!(self.lanes.client.state, State::Head { .. });
        let for_good = self.stage != Stage::Http
            || self.pipelined
            || (within_head && !self.waiting.is_empty())
            || self.waiting.iter().any(|waiting| waiting.decides);
        self.anomaly(AnomalyKind::Gap, range, at, lost_ground && for_good, out);
        if done {
            self.finish(side, true, out);
        }
        if !lost_ground {
            return;
        }
        self.adrift = !for_good;
        match side {
            Side::Client if self.stage == Stage::Http => self.pass_client(true, out),
            Side::Server if self.adrift => self.pass(Side::Server, true, out),
            Side::Client | Side::Server => self.go_opaque(out),
        }
    }

    fn end(&mut self, from: Side, at: Timestamp, out: &mut Sink<'_>) {
        if self.lanes.of(from).ended.is_some() {
            return;
        }
        self.lanes.of_mut(from).ended = Some(at);
        self.close(from, at, out);
        // What was held for this side's sake.
        self.release(from.other(), out);
        if self.lanes.of(from.other()).ended.is_some() {
            self.release(from, out);
        }
    }
}

impl Http1 {
    /// For a new connection.
    pub fn new(options: Options) -> Self {
        Self { options: Options { max_head_bytes: options.max_head_bytes.max(64), ..options }, ..Self::default() }
    }

    /// Changes its memory of heads for this one: who has many connections lends them one memory in turn, and takes it
    /// back so.
    pub fn swap_heads(&mut self, heads: &mut Heads) {
        mem::swap(&mut self.heads, heads);
    }

    /// Behind messages that are complete another beginning follows: what comes need not be HTTP.
    pub fn begin_anew(&mut self) {
        self.before = self.exchanges;
        Side::BOTH.into_iter().for_each(|side| self.lanes.of_mut(side).begun = false);
    }

    /// Whether HTTP has ended by an upgrade: chunks now come as `Handover`.
    pub fn has_switched(&self) -> bool {
        self.stage == Stage::Switched
    }

    /// Whether the connection was given up: nothing more comes of it.
    pub fn is_opaque(&self) -> bool {
        self.stage == Stage::Opaque
    }

    fn run(&mut self, mut rest: Chunk<'_>, out: &mut Sink<'_>) {
        while !rest.bytes.is_empty() {
            let used = match (self.stage, &self.lanes.of(rest.from).state) {
                (Stage::Opaque, _) | (_, State::Passing { .. }) => return,
                (_, State::Body(_)) => self.body(&rest, out),
                (Stage::Switched, _) => return out(Event::Http(HttpEvent::Handover(rest))),
                (Stage::Http, State::Between) => self.between(&rest, out),
                (Stage::Http, State::Holding) => self.hold(&rest, out),
                (Stage::Http, State::Head { .. }) => self.head(&rest, out),
            };
            rest = after(&rest, used);
        }
    }

    /// Where a message may begin. Says, as the others do, how many bytes it is done with.
    fn between(&mut self, rest: &Chunk<'_>, out: &mut Sink<'_>) -> usize {
        let side = rest.from;
        if side == Side::Server
            && self.waiting.is_empty()
            && let State::Passing { unseen: true } = self.lanes.client.state
        {
            if !self.adrift {
                self.go_opaque(out);
            }
            return rest.bytes.len();
        }
        let undecided = match side {
            Side::Client => self.lanes.server.ended.is_none() && self.waiting.back().is_some_and(|w| w.decides),
            Side::Server => {
                let within_head = |state: &State| matches!(state, State::Head { look, .. } if *look != Look::Odd);
                self.waiting.is_empty() && within_head(&self.lanes.client.state)
            }
        };
        let lane = self.lanes.of_mut(side);
        if undecided {
            lane.state = State::Holding;
            return 0;
        }
        let blank = blank_prefix(rest.bytes);
        if blank > 0 {
            let since = lane.blank.map_or(rest.offset, |(since, _)| since);
            lane.blank = Some((since, rest.at()));
            return blank;
        }
        lane.state = State::Head { look: Look::Unsure, scanned: 0, dated: None };
        self.name_blanks(side, rest.offset, out);
        0
    }

    fn name_blanks(&mut self, side: Side, upto: u64, out: &mut Sink<'_>) {
        if let Some((start, at)) = self.lanes.of_mut(side).blank.take() {
            self.anomaly(AnomalyKind::LineEnd, ByteRange { from: side, start, end: upto }, at, false, out);
        }
    }

    fn hold(&mut self, rest: &Chunk<'_>, out: &mut Sink<'_>) -> usize {
        let max = self.options.max_held_bytes;
        let buffer = &mut self.lanes.of_mut(rest.from).buffer;
        let used = rest.bytes.len().min(max.saturating_sub(buffer.len()));
        if used > 0 {
            buffer.push(&first(rest, used));
            return used;
        }
        let start = if buffer.is_empty() { rest.offset } else { buffer.start() };
        let range = ByteRange { from: rest.from, start, end: rest.offset + 1 };
        self.anomaly(AnomalyKind::TooMuchWaiting, range, rest.at(), true, out);
        self.go_opaque(out);
        rest.bytes.len()
    }

    /// Takes what was held as what it is now known to be: HTTP.
    fn release(&mut self, side: Side, out: &mut Sink<'_>) {
        let lane = self.lanes.of_mut(side);
        if !matches!(lane.state, State::Holding) {
            return;
        }
        lane.state = State::Between;
        let held = mem::take(&mut lane.buffer);
        for chunk in held.chunks(side) {
            self.run(chunk, out);
        }
        if let Some(at) = self.lanes.of(side).ended {
            self.close(side, at, out);
        }
    }

    fn head(&mut self, rest: &Chunk<'_>, out: &mut Sink<'_>) -> usize {
        let side = rest.from;
        let max = self.options.max_head_bytes;
        let asked = self.exchanges > self.before;
        let lane = self.lanes.of_mut(side);
        let State::Head { mut look, mut scanned, mut dated } = lane.state else { return 0 };
        let behind_others = if side == Side::Client { asked } else { lane.begun };

        // A head that lies in this chunk is parsed where it is.
        let mut buffer = mem::take(&mut lane.buffer);
        let before = buffer.len();
        let (start, began) = (if before == 0 { rest.offset } else { buffer.start() }, buffer.began());
        let seen = if before == 0 {
            rest.bytes.get(..max).unwrap_or(rest.bytes)
        } else {
            buffer.push(&first(rest, HEAD_STEP_BYTES.min(max.saturating_sub(before))));
            buffer.bytes()
        };
        let used = seen.len() - before;
        let upto = |n: usize| ByteRange { from: side, start, end: start + n as u64 };

        if look == Look::Unsure {
            let probe = match side {
                Side::Client => probe_request(seen),
                Side::Server => probe_response(seen),
            };
            match (probe, side) {
                (Probe::Yes, _) => look = Look::Fine,
                (Probe::Maybe, _) => {}
                (Probe::No(at), _) if behind_others => {
                    self.anomaly(AnomalyKind::BytesAfterBody, upto(at + 1), rest.at(), false, out);
                    look = Look::Odd;
                }
                (Probe::No(at), _) => {
                    self.anomaly(AnomalyKind::NotHttp, upto(at + 1), rest.at(), true, out);
                    self.go_opaque(out);
                    return rest.bytes.len();
                }
            }
        }
        if look == Look::Odd && side == Side::Server {
            let surplus = odd_answer(seen, !self.waiting.is_empty());
            if surplus > 0 {
                self.lanes.of_mut(side).state = State::Head { look, scanned: 0, dated: None };
                return surplus.saturating_sub(before);
            }
            if seen.len() >= VERSION.len() {
                look = Look::Fine;
            }
        } else if look == Look::Odd {
            match odd_line(seen) {
                Odd::Request => {
                    look = Look::Fine;
                    dated = (probe_request(seen) != Probe::Yes).then(|| rest.at());
                }
                Odd::Waits => {}
                // Not a request's: dropped, and the next line is looked at.
                Odd::Surplus(end) => {
                    self.lanes.of_mut(side).state = State::Head { look, scanned: 0, dated: None };
                    return end - before;
                }
                Odd::Endless => {
                    self.anomaly(AnomalyKind::NotHttp, upto(ODD_LINE_BYTES + 1), rest.at(), true, out);
                    self.pass_client(false, out);
                    return rest.bytes.len();
                }
            }
        }
        if look == Look::Fine {
            if let Some(end) = find_head_end(seen, scanned) {
                let raw = seen.get(..end).unwrap_or_default();
                self.lanes.of_mut(side).state = State::Between;
                self.complete(raw, upto(end), dated.or(began).unwrap_or_else(|| rest.at()), rest.at(), out);
                return end - before;
            }
            scanned = seen.len();
        }
        if rest.bytes.len() > used && seen.len() >= max {
            self.anomaly(AnomalyKind::HeadTooLarge, upto(max + 1), rest.at(), true, out);
            match side {
                Side::Client => self.pass_client(false, out),
                Side::Server => self.go_opaque(out),
            }
            return rest.bytes.len();
        }
        if before == 0 {
            buffer.push(&first(rest, used));
        }
        let lane = self.lanes.of_mut(side);
        lane.buffer = buffer;
        lane.state = State::Head { look, scanned, dated };
        used
    }

    fn body(&mut self, rest: &Chunk<'_>, out: &mut Sink<'_>) -> usize {
        let side = rest.from;
        let State::Body(message) = &mut self.lanes.of_mut(side).state else { return 0 };
        let step = message.scanner.scan(rest.bytes);
        message.end = rest.offset + step.consumed as u64;
        message.last = rest.at();
        let exchange = message.exchange;
        if !step.payload.is_empty() {
            let (bytes, at) = (step.payload, rest.at());
            out(Event::Http(match side {
                Side::Client => HttpEvent::RequestBody { exchange, bytes, at },
                Side::Server => HttpEvent::ResponseBody { exchange, bytes, at },
            }));
        }
        match (step.progress, side) {
            (Progress::More, _) => {}
            (Progress::Done, _) => self.finish(side, true, out),
            (Progress::Broken, _) => {
                let end = rest.offset + step.consumed as u64;
                let range = ByteRange { from: side, start: end.saturating_sub(1), end };
                self.anomaly(AnomalyKind::ChunkSize, range, rest.at(), true, out);
                match side {
                    Side::Client if self.stage == Stage::Http => self.pass_client(true, out),
                    Side::Client | Side::Server => self.go_opaque(out),
                }
            }
        }
        step.consumed
    }

    /// A side has ended: so has what it was sending.
    fn close(&mut self, side: Side, at: Timestamp, out: &mut Sink<'_>) {
        if self.stage == Stage::Opaque {
            return;
        }
        let lane = self.lanes.of_mut(side);
        match &lane.state {
            State::Between => self.name_blanks_at_end(side, out),
            State::Head { look, .. } => {
                let (range, odd) = (lane.buffer.range(side), *look == Look::Odd);
                lane.state = State::Between;
                lane.buffer = Buffer::default();
                if !odd {
                    self.anomaly(AnomalyKind::CutShort, range, at, false, out);
                }
            }
            State::Body(message) => {
                let complete = message.scanner.is_done_at_close();
                let range = ByteRange { from: side, start: message.start, end: message.end };
                if !complete {
                    self.anomaly(AnomalyKind::CutShort, range, at, false, out);
                }
                self.finish(side, complete, out);
            }
            State::Holding | State::Passing { .. } => {}
        }
    }

    fn name_blanks_at_end(&mut self, side: Side, out: &mut Sink<'_>) {
        let upto = self.lanes.of(side).next;
        self.name_blanks(side, upto, out);
    }

    /// Nothing of the client's is understood any more.
    fn pass_client(&mut self, unseen: bool, out: &mut Sink<'_>) {
        self.pass(Side::Client, unseen, out);
        self.release(Side::Server, out);
    }

    fn pass(&mut self, side: Side, unseen: bool, out: &mut Sink<'_>) {
        self.finish(side, false, out);
        let lane = self.lanes.of_mut(side);
        lane.state = State::Passing { unseen };
        lane.buffer = Buffer::default();
        lane.blank = None;
    }

    /// A request came after a gap: what was going on before it is over, and the server's next bytes are its answer.
    fn regain(&mut self, at: Timestamp, out: &mut Sink<'_>) {
        self.adrift = false;
        self.pass(Side::Server, true, out);
        self.lanes.server.state = State::Between;
        for waiting in mem::take(&mut self.waiting) {
            out(Event::Http(HttpEvent::ResponseEnded { exchange: waiting.exchange, body: Body::default(), at }));
        }
    }

    /// Nothing of the connection is understood any more.
    fn go_opaque(&mut self, out: &mut Sink<'_>) {
        self.stage = Stage::Opaque;
        self.waiting = VecDeque::new();
        for side in Side::BOTH {
            self.finish(side, false, out);
            let lane = self.lanes.of_mut(side);
            lane.state = State::Between;
            lane.buffer = Buffer::default();
            lane.blank = None;
        }
    }

    fn anomaly(&mut self, kind: AnomalyKind, range: ByteRange, at: Timestamp, opaque: bool, out: &mut Sink<'_>) {
        self.unclear |= match kind {
            AnomalyKind::Gap => true,
            AnomalyKind::BytesAfterBody
            | AnomalyKind::ChunkSize
            | AnomalyKind::ContentLength
            | AnomalyKind::CutShort
            | AnomalyKind::HeadTooLarge
            | AnomalyKind::NotHttp
            | AnomalyKind::TooMuchWaiting
            | AnomalyKind::TransferEncoding => range.from == Side::Client,
            _ => false,
        };
        out(Event::Anomaly(Anomaly { kind, range, at, opaque }));
    }

    /// Bytes on the heap, as far as they are ours.
    #[cfg(test)]
    fn heap(&self) -> usize {
        self.lanes.client.buffer.heap()
            + self.lanes.server.buffer.heap()
            + self.waiting.capacity() * size_of::<Waiting>()
    }
}

/// Whether the bytes begin with a whole request line. A method that nobody has heard of may be the end of one.
fn begins_request(bytes: &[u8]) -> bool {
    const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    let method = bytes.split(|b| *b == b' ').next().unwrap_or_default();
    METHODS.iter().any(|known| known.as_bytes() == method)
        && probe_request(bytes) == Probe::Yes
        && matches!(odd_line(bytes), Odd::Request)
}

/// What a line that begins oddly is.
enum Odd {
    /// One that ends in a version.
    Request,
    /// None of a request's; this long.
    Surplus(usize),
    /// Its end has not come yet.
    Waits,
    /// Its end does not come.
    Endless,
}

fn odd_line(seen: &[u8]) -> Odd {
    let window = seen.get(..ODD_LINE_BYTES).unwrap_or(seen);
    match memchr::memchr(b'\n', window) {
        Some(end) => {
            let line = window.get(..end).unwrap_or_default().trim_ascii_end();
            let last = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
            if last.starts_with(b"HTTP/") && last.len() < line.len() { Odd::Request } else { Odd::Surplus(end + 1) }
        }
        None if seen.len() > ODD_LINE_BYTES => Odd::Endless,
        None => Odd::Waits,
    }
}

/// How an answer begins that is looked for in a surplus.
const VERSION: &[u8] = b"HTTP/1.";

/// How much of what a server sent behind an answer is surplus: all of it where no further answer is awaited, else what
/// stands before the next one's begin, of which a part may be here. (No part of `VERSION` begins like itself: what does
/// not go on as it began is surplus as a whole.)
fn odd_answer(seen: &[u8], awaited: bool) -> usize {
    let begins = |at: &usize| seen.get(*at..).is_some_and(|rest| VERSION.starts_with(rest));
    let tail = seen.len().saturating_sub(VERSION.len() - 1)..seen.len();
    let answer = memchr::memmem::find(seen, VERSION).or_else(|| tail.into_iter().find(begins));
    answer.filter(|_| awaited).unwrap_or(seen.len())
}
