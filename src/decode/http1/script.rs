//! Scripts for the tests: what both sides sent, in order, and the events that it must give, as text.
//!
//! ```text
//! C: GET / HTTP/1.1\r\n\r\n      the client's bytes (escapes: \r \n \t \0 \\ \xNN; a \ at the end joins the next line)
//! S: HTTP/1.1 204 x\r\n\r\n      the server's
//! P: HTTP/1.1 502 x\r\n\r\n      the proxy's own answer
//! L: C 12                        12 lost bytes of the client's
//! E: S                           the server's end
//! ---
//! the events, one a line; an instant is the number of the step that held the byte
//! ```

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;

use crate::{
    decode::{Decoder, Event, HttpEvent},
    model::{
        Side, Timestamp,
        http::{Body, Head},
        side::Sides,
        trace::{ByteRange, Chunk},
    },
};

use super::{Http1, Options};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Send(Side, Vec<u8>),
    Inject(Vec<u8>),
    Lose(Side, u64),
    End(Side),
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) options: Options,
    /// The text up to and with `---`.
    pub(super) source: String,
    pub(super) expected: String,
}

impl Script {
    pub(super) fn parse(text: &str) -> Self {
        let (source, expected) = text.split_once("---\n").expect("a line ---");
        let joined = source.replace("\\\n", "");
        let mut options = Options::default();
        let mut steps = Vec::new();
        for line in joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(": ").expect("a step");
            steps.push(match kind {
                "C" => Step::Send(Side::Client, unescape(rest)),
                "S" => Step::Send(Side::Server, unescape(rest)),
                "P" => Step::Inject(unescape(rest)),
                "E" => Step::End(side(rest)),
                "L" => {
                    let (from, n) = rest.split_once(' ').expect("side and number");
                    Step::Lose(side(from), n.parse().expect("a number"))
                }
                "max_head_bytes" => {
                    options.max_head_bytes = rest.parse().expect("a number");
                    continue;
                }
                "max_held_bytes" => {
                    options.max_held_bytes = rest.parse().expect("a number");
                    continue;
                }
                "max_waiting" => {
                    options.max_waiting = rest.parse().expect("a number");
                    continue;
                }
                _ => panic!("unknown step {line:?}"),
            });
        }
        Self { steps, options, source: format!("{source}---\n"), expected: expected.to_owned() }
    }

    /// The events of the script when its bytes come as `cut` cuts them, which gives the lengths of the pieces of a
    /// step; all pieces bear the step's instant. The decoder is saved and restored between the pieces if `restore`.
    pub(super) fn run(&self, restore: bool, mut cut: impl FnMut(usize, &[u8]) -> Vec<usize>) -> Log {
        let mut player = Player::new(self.options);
        player.restore = restore;
        for (number, step) in self.steps.iter().enumerate() {
            let at = Timestamp(number as u64 + 1);
            match step {
                Step::Send(from, bytes) => {
                    let mut rest = bytes.as_slice();
                    for length in cut(number, bytes) {
                        let (piece, after) = rest.split_at(length);
                        player.send(*from, piece, at);
                        rest = after;
                    }
                    player.send(*from, rest, at);
                }
                other => player.step(other, at),
            }
        }
        player.log
    }
}

/// A decoder with its log.
pub(super) struct Player {
    pub(super) decoder: Http1,
    pub(super) log: Log,
    offsets: Sides<u64>,
    restore: bool,
}

impl Player {
    pub(super) fn new(options: Options) -> Self {
        Self { decoder: Http1::new(options), log: Log::default(), offsets: Sides::default(), restore: false }
    }

    pub(super) fn send(&mut self, from: Side, bytes: &[u8], at: Timestamp) {
        let offset = self.offsets.of_mut(from);
        let chunk = Chunk { from, offset: *offset, arrived: Some(at), read: Timestamp(at.0 + 1_000_000), bytes };
        *offset += bytes.len() as u64;
        self.decoder.push(&chunk, &mut |event| self.log.take(&event));
        self.save_and_restore();
    }

    pub(super) fn step(&mut self, step: &Step, at: Timestamp) {
        let out = &mut |event: Event<'_>| self.log.take(&event);
        match step {
            Step::Send(from, bytes) => return self.send(*from, bytes, at),
            Step::Inject(bytes) => self.decoder.inject(bytes, at, out),
            Step::Lose(from, n) => {
                let start = *self.offsets.of(*from);
                *self.offsets.of_mut(*from) += n;
                self.decoder.lost(ByteRange { from: *from, start, end: start + n }, at, out);
            }
            Step::End(from) => self.decoder.end(*from, at, out),
        }
        self.save_and_restore();
    }

    fn save_and_restore(&mut self) {
        if self.restore {
            let saved = serde_json::to_string(&self.decoder).expect("saved");
            self.decoder = serde_json::from_str(&saved).expect("restored");
        }
    }
}

/// Events as text; neighbouring pieces of one body are one, as only their cuts may differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Log {
    lines: Vec<String>,
    /// Name, instant and bytes of the piece that the last line tells of.
    piece: Option<(String, u64, Vec<u8>)>,
    /// Heads and ends per exchange: requests, then final responses.
    open: Vec<(Side, u32)>,
    pub(super) heads: usize,
}

impl Log {
    pub(super) fn take(&mut self, event: &Event<'_>) {
        let http = match event {
            Event::Anomaly(anomaly) => {
                let opaque = if anomaly.opaque { " opaque" } else { "" };
                let place = range(&anomaly.range);
                return self.line(format!("! {} {place} @{}{opaque}", anomaly.kind.as_str(), anomaly.at.0));
            }
            Event::WebSocket(_) => panic!("an HTTP decoder knows no frames"),
            Event::Http(http) => http,
        };
        match http {
            HttpEvent::RequestHead { exchange, head, began, at } => {
                self.open(Side::Client, *exchange);
                self.head(&format!("request {exchange}"), head, *began, *at);
            }
            HttpEvent::ResponseHead { exchange, head, interim, began, at } => {
                if !interim {
                    self.open(Side::Server, *exchange);
                }
                let name = if *interim { "interim" } else { "response" };
                self.head(&format!("{name} {exchange}"), head, *began, *at);
            }
            HttpEvent::RequestBody { exchange, bytes, at } => {
                assert!(self.open.contains(&(Side::Client, *exchange)), "a body within its message");
                self.piece(format!("request {exchange} body"), bytes, *at);
            }
            HttpEvent::ResponseBody { exchange, bytes, at } => {
                assert!(self.open.contains(&(Side::Server, *exchange)), "a body within its message");
                self.piece(format!("response {exchange} body"), bytes, *at);
            }
            HttpEvent::RequestEnded { exchange, body, at } => {
                self.close(Side::Client, *exchange);
                self.ended(&format!("request {exchange}"), body, *at);
            }
            HttpEvent::ResponseEnded { exchange, body, at } if *body == Body::default() => {
                self.line(format!("response {exchange} lost @{}", at.0));
            }
            HttpEvent::ResponseEnded { exchange, body, at } => {
                self.close(Side::Server, *exchange);
                self.ended(&format!("response {exchange}"), body, *at);
            }
            HttpEvent::Switched { exchange, to, at } => self.line(format!("switched {exchange} {to:?} @{}", at.0)),
            HttpEvent::Handover(chunk) => {
                assert_eq!(chunk.read.0, chunk.at().0 + 1_000_000, "both instants are handed over");
                self.piece(format!("handover {}", chunk.from), chunk.bytes, chunk.at());
            }
        }
    }

    /// Whether every head was followed by its end.
    pub(super) fn all_ended(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn open(&mut self, side: Side, exchange: u32) {
        assert!(!self.open.iter().any(|(other, _)| *other == side), "a message begins after the one before");
        self.open.push((side, exchange));
        self.heads += 1;
    }

    fn close(&mut self, side: Side, exchange: u32) {
        let place = self.open.iter().position(|message| *message == (side, exchange));
        self.open.remove(place.expect("an end follows its head, once"));
    }

    fn line(&mut self, line: String) {
        self.piece = None;
        self.lines.push(line);
    }

    fn head(&mut self, name: &str, head: &Head, began: Timestamp, at: Timestamp) {
        if !head.range.is_empty() {
            assert_eq!(head.range.len(), head.raw.len() as u64);
        }
        let start = head.start.map(|span| escape(span.of(&head.raw)));
        self.line(format!("{name} {} @{}..{} {}", range(&head.range), began.0, at.0, start.join(" | ")));
        for (field, value) in head.headers() {
            self.line(format!("    {}: {}", escape(field), escape(value)));
        }
    }

    fn ended(&mut self, name: &str, body: &Body, at: Timestamp) {
        let place = body.range.as_ref().map_or_else(|| "-".to_owned(), range);
        let complete = if body.complete { "" } else { " incomplete" };
        let chunks = if body.chunks.is_empty() { String::new() } else { format!(" chunks {:?}", body.chunks) };
        self.line(format!("{name} ended @{} {:?} {} bytes {place}{chunks}{complete}", at.0, body.framing, body.bytes));
    }

    fn piece(&mut self, name: String, bytes: &[u8], at: Timestamp) {
        assert!(!bytes.is_empty(), "a piece holds something");
        let mut whole = match self.piece.take() {
            Some((before, instant, held)) if before == name && instant == at.0 => {
                self.lines.pop();
                held
            }
            _ => Vec::new(),
        };
        whole.extend_from_slice(bytes);
        self.lines.push(format!("{name} @{} {}", at.0, escape(&whole)));
        self.piece = Some((name, at.0, whole));
    }
}

fn range(range: &ByteRange) -> String {
    let side = if range.from == Side::Client { "C" } else { "S" };
    format!("{side}{}..{}", range.start, range.end)
}

fn side(text: &str) -> Side {
    match text {
        "C" => Side::Client,
        "S" => Side::Server,
        _ => panic!("no side: {text:?}"),
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match (byte, byte == b'\\') {
            (_, true) => match bytes.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'x') => {
                    let digits = [bytes.next(), bytes.next()].map(|d| char::from(d.expect("two digits")));
                    u8::from_str_radix(&String::from_iter(digits), 16).expect("hexadecimal")
                }
                Some(b'\\') => b'\\',
                other => panic!("unknown escape {other:?}"),
            },
            (plain, false) => plain,
        });
    }
    out
}
