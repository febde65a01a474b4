//! HTTP heads as they were sent: raw bytes with order, case and duplicates kept, and spans that point into them.

use serde::{Deserialize, Serialize};

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use super::{again::Again, trace::ByteRange};

/// A place within [`Text::raw`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Span {
    /// The place that `range` names. Heads are capped far below 4 GiB; what is larger is clamped.
    pub fn new(range: Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clamp(range.start), end: clamp(range.end) }
    }

    /// How many bytes.
    fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// The bytes of `raw` at this place; empty where it lies outside.
    pub fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name as written, without surrounding white space. Empty for `: noname`.
    pub name: Span,
    /// The value without surrounding white space; a folded value spans its lines.
    pub value: Span,
    /// The whole line (or lines) with its end.
    pub line: Span,
}

/// A request's or a response's head: what it says, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Heads that are alike share it.
    #[serde(flatten)]
    text: Arc<Text>,
    /// Where it stood in its side's bytes. Empty for a head that the proxy made.
    pub range: ByteRange,
    #[serde(skip)]
    again: Option<Again>,
}

/// What a head says. What cannot be parsed is still here, in `raw`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The bytes, up to and with the empty line.
    pub raw: Box<[u8]>,
    /// The three parts of the start line: method, target, version; or version, status, reason.
    pub start: [Span; 3],
    /// The header lines in order.
    pub fields: Box<[Field]>,
}

impl Head {
    /// Says this, there.
    pub fn new(text: impl Into<Arc<Text>>, range: ByteRange, again: Option<Again>) -> Self {
        Self { text: text.into(), range, again }
    }

    /// Its number, where it came before.
    pub fn again(&self) -> Option<Again> {
        self.again
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.range == other.range
    }
}

impl Eq for Head {}

impl Deref for Head {
    type Target = Text;

    fn deref(&self) -> &Text {
        &self.text
    }
}

impl Text {
    /// The method of a request.
    pub fn method(&self) -> &[u8] {
        self.part(0)
    }

    /// The target of a request, as written.
    pub fn target(&self) -> &[u8] {
        self.part(1)
    }

    /// The version of a request without `HTTP/`: `1.1`.
    pub fn request_version(&self) -> &[u8] {
        strip_http(self.part(2))
    }

    /// The version of a response without `HTTP/`.
    pub fn response_version(&self) -> &[u8] {
        strip_http(self.part(0))
    }

    /// The status of a response; `None` where it is not three digits.
    pub fn status(&self) -> Option<u16> {
        let digits = self.part(1);
        (digits.len() == 3 && digits.iter().all(u8::is_ascii_digit))
            .then(|| digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
    }

    /// The reason phrase of a response.
    pub fn reason(&self) -> &[u8] {
        self.part(2)
    }

    /// Names and values in order.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name.of(&self.raw), field.value.of(&self.raw)))
    }

    /// The first value of a header, its name compared without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.lines(name).next().map(|field| field.value.of(&self.raw))
    }

    /// All values of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines(name).map(|field| field.value.of(&self.raw))
    }

    /// All lines of a header, in order.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        // Lengths first: they tell most names apart, and are at hand.
        let same = move |field: &&Field| {
            field.name.len() == name.len() && field.name.of(&self.raw).eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.iter().filter(same)
    }

    /// Whether a comma-separated header bears a token, both compared without case (`Connection: keep-alive, Upgrade`).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a request asks to become a WebSocket.
    pub fn asks_for_websocket(&self) -> bool {
        self.has_token("upgrade", "websocket")
    }

    fn part(&self, index: usize) -> &[u8] {
        self.start.get(index).map(|span| span.of(&self.raw)).unwrap_or_default()
    }
}

fn strip_http(version: &[u8]) -> &[u8] {
    version.strip_prefix(b"HTTP/").unwrap_or(version)
}

/// What is known of a body. Its bytes stay in the segments (or in the caller's hand while they pass).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Payload bytes, transfer coding excluded.
    pub bytes: u64,
    /// Where it stood in its side's bytes, transfer coding and trailers included. `None` where there was no body.
    pub range: Option<ByteRange>,
    /// How its end was to be known.
    pub framing: Framing,
    /// Whether the end was reached; `false` for one that was cut short or is still on its way.
    pub complete: bool,
    /// Payload sizes of the chunks of a chunked body, the first 64 of them.
    pub chunks: Vec<u64>,
}

/// How the end of a body is known (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The connection's end is the body's end (responses only).
    UntilClose,
}
