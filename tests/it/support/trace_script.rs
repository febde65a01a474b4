//! Traces as text: one fact a line, offsets counted and bytes put together by the script.
//!
//! ```text
//! c1 0ms open                            # mode=forward from=127.0.0.1:5001
//! c1 0..1ms connect api.test:443         # first byte, answered
//! c1 1ms tls                             # both legs
//! c1 5ms request POST /a X-JM-Thread:t1 body={"a":1}
//! c1 9ms response 200 body=ok
//! c1 5ms upgrade /ws X-JM-Thread:t1      # a request that asks for a WebSocket
//! c1 9ms granted                         # the 101
//! c1 9..9.5ms written <                  # all that the server sent so far: begun, returned
//! c1 10ms text > hello                   # a frame; also: frame > 8 "\x03\xe8"
//! c1 10ms > "raw \r\n bytes"             # or <
//! c1 10ms fill > 1000000                 # so many bytes of no meaning
//! c1 11ms end > fin
//! c1 12ms closed client fin
//! c1 10ms gap > 100
//! c1 10ms rewritten > 4 19 absolute-form "/a"     # start and end of what was replaced
//! c1 10ms proxy-made 502 "no route"
//! * 20s pass                             # event time moves on, nothing happens
//! ```
//!
//! Words are parted by white space; within double quotes `\r \n \t \\ \" \xHH` and white space stand for themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, net::SocketAddr};

use firstframe::model::{
    ConnectionId, Side, Timestamp,
    side::Sides,
    trace::{
        ByteRange, Chunk, ClockStep, Closed, Closer, Connect, Dialed, Ended, Ending, Fact, Gap, Opened, ProxyMade,
        RewriteKind, Rewritten, Tls, TraceEvent, Written,
    },
};

/// A trace being written. Its bytes are never freed: it is for tests.
#[derive(Default)]
pub(crate) struct TraceScript {
    /// So far.
    pub(crate) events: Vec<TraceEvent<'static>>,
    sent: BTreeMap<u64, Sides<u64>>,
}

/// Milliseconds.
pub(crate) fn ms(n: f64) -> Timestamp {
    Timestamp((n * 1e6).round() as u64)
}

impl TraceScript {
    /// The trace that a text describes.
    pub(crate) fn parse(text: &str) -> Self {
        let mut script = Self::default();
        for (number, line) in text.lines().enumerate() {
            let words = words(line);
            if !words.is_empty() {
                script.line(&words).unwrap_or_else(|| panic!("line {}: cannot read {line:?}", number + 1));
            }
        }
        script
    }

    fn line(&mut self, words: &[Vec<u8>]) -> Option<()> {
        let text: Vec<&str> = words.iter().map(|word| str::from_utf8(word).unwrap_or("\u{fffd}")).collect();
        let (from, to) = times(text.get(1)?)?;
        if text[0] == "*" {
            let fact = Fact::ClockStep(ClockStep { at: to, by_ns: 0 });
            self.events.push(TraceEvent { connection: ConnectionId::CAPTURE, fact });
            return Some(());
        }
        let c: u64 = text[0].strip_prefix('c')?.parse().ok()?;
        match text[2..] {
            ["open", ref options @ ..] => {
                let option =
                    |name: &str| options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
                let client = option("from").unwrap_or("127.0.0.1:5001").parse().ok()?;
                self.open(c, to, option("mode").unwrap_or("forward"), client);
            }
            ["connect", authority] => self.fact(
                c,
                Fact::Connect(
                    Connect { begin: from, end: from, authority: authority.into(), answered: Some(to) },
                    b"CONNECT",
                ),
            ),
            ["dial", authority, address] => self.dial(c, from, to, authority, Some(address.parse().ok()?)),
            ["dial", authority] => self.dial(c, from, to, authority, None),
            ["tls", ref alpn @ ..] => {
                Side::BOTH.into_iter().for_each(|side| self.tls(c, side, from, to, alpn.first().copied()))
            }
            ["request", method, target, ..] => {
                let bytes = request(method, target, &words[5..]);
                self.data(c, Side::Client, to, bytes);
            }
            ["upgrade", target, ..] => {
                let mut headers = vec![b"Upgrade:websocket".to_vec(), b"Connection:Upgrade".to_vec()];
                headers.extend_from_slice(&words[4..]);
                self.data(c, Side::Client, to, request("GET", target, &headers));
            }
            ["response", status, ..] => self.data(c, Side::Server, to, response(status, &words[4..])),
            ["granted", ..] => {
                let mut headers = vec![b"Upgrade:websocket".to_vec(), b"Connection:Upgrade".to_vec()];
                headers.extend_from_slice(&words[3..]);
                self.data(c, Side::Server, to, response("101", &headers));
            }
            ["written", side] => self.written(c, direction(side)?, from, to),
            ["text", side, _] => self.frame(c, direction(side)?, to, 1, &words[4]),
            ["frame", side, opcode, _] => self.frame(c, direction(side)?, to, opcode.parse().ok()?, &words[5]),
            ["frame", side, opcode] => self.frame(c, direction(side)?, to, opcode.parse().ok()?, b""),
            [side @ (">" | "<"), _] => self.data(c, direction(side)?, to, words[3].clone()),
            ["fill", side, length] => self.data(c, direction(side)?, to, vec![b'x'; length.parse().ok()?]),
            ["gap", side, length] => {
                let range = self.advance(c, direction(side)?, length.parse().ok()?);
                self.fact(c, Fact::Gap(Gap { at: to, range, why: "test".into() }));
            }
            ["rewritten", side, start, end, kind, _] => {
                let range = ByteRange { from: direction(side)?, start: start.parse().ok()?, end: end.parse().ok()? };
                let kind = match kind {
                    "absolute-form" => RewriteKind::AbsoluteForm,
                    "host" => RewriteKind::Host,
                    "identity-header" => RewriteKind::IdentityHeader,
                    "proxy-header" => RewriteKind::ProxyHeader,
                    _ => return None,
                };
                self.fact(c, Fact::Rewritten(Rewritten { range, kind }, leak(words[7].clone())));
            }
            ["proxy-made", status, cause] => {
                let bytes = response(status, &[b"X-Firstframe-Error:test".to_vec()]);
                let made = ProxyMade { at: to, status: status.parse().ok()?, to_connect: false, cause: cause.into() };
                self.fact(c, Fact::ProxyMade(made, leak(bytes)));
            }
            ["end", side, how] => {
                self.fact(c, Fact::Ended(Ended { at: to, from: direction(side)?, how: ending(how)? }));
            }
            ["closed", by, how] => {
                let by = match by {
                    "client" => Closer::Client,
                    "server" => Closer::Server,
                    _ => Closer::Proxy,
                };
                self.closed(c, to, by, ending(how)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn fact(&mut self, connection: u64, fact: Fact<'static>) {
        self.events.push(TraceEvent { connection: ConnectionId(connection), fact });
    }

    /// A client connection.
    pub(crate) fn open(&mut self, c: u64, at: Timestamp, mode: &str, client: SocketAddr) {
        let listener = SocketAddr::from(([127, 0, 0, 1], 8080));
        self.fact(c, Fact::Opened(Opened { at, mode: mode.to_owned(), client, listener }));
    }

    fn dial(&mut self, c: u64, begin: Timestamp, end: Timestamp, authority: &str, address: Option<SocketAddr>) {
        let error = address.is_none().then(|| "refused".to_owned());
        self.fact(c, Fact::Dialed(Dialed { begin, end, authority: authority.into(), address, local: None, error }));
    }

    fn tls(&mut self, c: u64, side: Side, begin: Timestamp, end: Timestamp, alpn: Option<&str>) {
        self.fact(
            c,
            Fact::Tls(Tls {
                side,
                begin,
                end,
                sni: Some("api.test".into()),
                offered: Vec::new(),
                alpn: alpn.map(Into::into),
                version: Some("TLSv1.3".into()),
                cipher: None,
                error: None,
            }),
        );
    }

    /// The next bytes of one side.
    pub(crate) fn data(&mut self, c: u64, from: Side, at: Timestamp, bytes: Vec<u8>) {
        let offset = self.advance(c, from, bytes.len() as u64).start;
        self.fact(c, Fact::Data(Chunk { from, offset, arrived: Some(at), read: at, bytes: leak(bytes) }));
    }

    /// All that `from` sent so far was written to the other side.
    pub(crate) fn written(&mut self, c: u64, from: Side, begun: Timestamp, written: Timestamp) {
        let upto = *self.sent.entry(c).or_default().of(from);
        self.fact(c, Fact::Written(Written { from, upto, begun, written }));
    }

    /// A whole frame, masked if the client sends it.
    pub(crate) fn frame(&mut self, c: u64, from: Side, at: Timestamp, opcode: u8, payload: &[u8]) {
        self.data(c, from, at, frame(from, opcode, payload));
    }

    /// The connection is over.
    pub(crate) fn closed(&mut self, c: u64, at: Timestamp, by: Closer, how: Ending) {
        self.fact(c, Fact::Closed(Closed { at, by, how, error: None }));
    }

    fn advance(&mut self, c: u64, from: Side, length: u64) -> ByteRange {
        let sent = self.sent.entry(c).or_default().of_mut(from);
        let start = *sent;
        *sent += length;
        ByteRange { from, start, end: *sent }
    }
}

/// A request with `Host`, further headers (`Name:value`) and a body (`body=…`) with its length.
pub(crate) fn request(method: &str, target: &str, rest: &[Vec<u8>]) -> Vec<u8> {
    message(format!("{method} {target} HTTP/1.1\r\nHost: api.test\r\n"), rest, matches!(method, "POST" | "PUT"))
}

/// A response.
pub(crate) fn response(status: &str, rest: &[Vec<u8>]) -> Vec<u8> {
    message(format!("HTTP/1.1 {status} Reason\r\n"), rest, status != "101")
}

fn message(start: String, rest: &[Vec<u8>], length: bool) -> Vec<u8> {
    let mut head = start.into_bytes();
    let mut body = None;
    for word in rest {
        match word.strip_prefix(b"body=") {
            Some(bytes) => body = Some(bytes),
            None => {
                let colon = word.iter().position(|b| *b == b':').expect("Name:value");
                head.extend_from_slice(&word[..colon]);
                head.extend_from_slice(b": ");
                head.extend_from_slice(&word[colon + 1..]);
                head.extend_from_slice(b"\r\n");
            }
        }
    }
    if length || body.is_some() {
        head.extend_from_slice(format!("Content-Length: {}\r\n", body.unwrap_or_default().len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body.unwrap_or_default());
    head
}

/// The bytes of a frame of at most 64 KiB.
pub(crate) fn frame(from: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let masked = from == Side::Client;
    let mut bytes = vec![0x80 | opcode];
    let mask = if masked { 0x80 } else { 0 };
    match payload.len() {
        n @ ..126 => bytes.push(mask | n as u8),
        n => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    if masked {
        let key = [1, 2, 3, 4];
        bytes.extend_from_slice(&key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn leak(bytes: Vec<u8>) -> &'static [u8] {
    Vec::leak(bytes)
}

fn direction(word: &str) -> Option<Side> {
    match word {
        ">" => Some(Side::Client),
        "<" => Some(Side::Server),
        _ => None,
    }
}

fn ending(word: &str) -> Option<Ending> {
    Some(match word {
        "fin" => Ending::Fin,
        "close_notify" => Ending::CloseNotify,
        "rst" => Ending::Rst,
        "timeout" => Ending::Timeout,
        "error" => Ending::Error,
        _ => return None,
    })
}

/// `5ms`, `2s`, `5..6.5ms`.
fn times(word: &str) -> Option<(Timestamp, Timestamp)> {
    let (digits, unit) = match word.strip_suffix("ms") {
        Some(digits) => (digits, 1.0),
        None => (word.strip_suffix('s')?, 1000.0),
    };
    let (from, to) = digits.split_once("..").unwrap_or((digits, digits));
    let at = |text: &str| Some(ms(text.parse::<f64>().ok()? * unit));
    Some((at(from)?, at(to)?))
}

/// Whether the word is `Name:` or `name=`: then quotes may follow.
fn begins_value(word: &[u8]) -> bool {
    let marks = word.iter().filter(|b| matches!(b, b':' | b'=')).count();
    marks == 1 && matches!(word.last(), Some(b':' | b'='))
}

fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if !quoted && word.is_none() => break,
            '"' if quoted || word.as_ref().is_none_or(|word| begins_value(word)) => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => {
                let byte = match chars.next().expect("an escape") {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    'x' => {
                        let digits: String = chars.by_ref().take(2).collect();
                        u8::from_str_radix(&digits, 16).expect("two hex digits")
                    }
                    other => other as u8,
                };
                word.get_or_insert_default().push(byte);
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    words.extend(word);
    words
}
