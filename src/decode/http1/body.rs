//! Bodies of HTTP/1 messages: how long one is (RFC 9112, 6.3), and where its payload lies. Pure, and free of buffers:
//! used by the decoder and by the relay's framer alike.

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::model::{
    anomaly::AnomalyKind,
    http::{Body, Framing, Head, Span, Text},
    trace::ByteRange,
};

use super::head::Trouble;

/// How many chunk sizes are remembered.
pub const REMEMBERED_CHUNKS: usize = 64;

/// What of a request decides how its response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// HEAD: the response has no body, whatever it says.
    Head,
    /// CONNECT: a 2xx has no body, and ends HTTP.
    Connect,
    /// Everything else.
    Other,
}

impl Asked {
    /// By a request's method, which is case-sensitive.
    pub fn by(request: &Head) -> Self {
        match request.method() {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// How the end of a request's body is known.
///
/// Where the standard calls the length undeterminable (RFC 9112, 6.3, items 4 and 5: a `Content-Length` that is no
/// number or several that differ, a `Transfer-Encoding` that does not end in `chunked`), a server is to answer 400 and
/// to close, and nobody knows what the bytes that follow are: they count as this request's body ([`Framing::UntilClose`]).
/// `Transfer-Encoding` wins over `Content-Length`; one that names nothing but `identity` is passed over.
pub fn request_framing(head: &Head) -> (Framing, Option<Trouble>) {
    request_framed(declared(head))
}

pub(super) fn request_framed((framing, trouble): Declared) -> (Framing, Option<Trouble>) {
    (framing.unwrap_or(Framing::None), trouble)
}

/// How the end of a response's body is known. HEAD, 1xx (101 included), 204, 304 and a 2xx to CONNECT have none; what
/// says nothing, or nothing that can be understood, goes until the connection closes.
pub fn response_framing(head: &Head, asked: Asked) -> (Framing, Option<Trouble>) {
    response_framed(head, declared(head), asked)
}

pub(super) fn response_framed(head: &Head, (framing, trouble): Declared, asked: Asked) -> (Framing, Option<Trouble>) {
    let none = match (head.status(), asked) {
        (Some(100..=199 | 204 | 304), _) | (_, Asked::Head) | (Some(200..=299), Asked::Connect) => true,
        (_, Asked::Connect | Asked::Other) => false,
    };
    if none {
        return (Framing::None, None);
    }
    (framing.unwrap_or(Framing::UntilClose), trouble)
}

/// What the header fields say of a body, whosoever's they are; no framing where they say nothing.
pub(super) type Declared = (Option<Framing>, Option<Trouble>);

/// See [`Declared`].
pub(super) fn declared(head: &Text) -> Declared {
    let mut length: Option<Span> = None;
    let mut codings: Option<Span> = None;
    for field in &head.fields {
        match field.name.of(&head.raw) {
            name if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") => {
                length.get_or_insert(field.line);
            }
            name if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") => {
                codings.get_or_insert(field.line);
            }
            _ => {}
        }
    }
    let mut trouble = None;
    if let Some(span) = codings {
        let faulty = Some(Trouble { kind: AnomalyKind::TransferEncoding, span });
        match transfer_codings(head) {
            Codings::Chunked { clean } => {
                let old = head.start.iter().any(|part| part.of(&head.raw) == b"HTTP/1.0");
                let fine = clean && length.is_none() && !old;
                return (Some(Framing::Chunked), faulty.filter(|_| !fine));
            }
            Codings::Unknown => return (Some(Framing::UntilClose), faulty),
            Codings::Nothing => trouble = faulty,
        }
    }
    let Some(span) = length else { return (None, trouble) };
    match content_length(head) {
        Some(n) => (Some(Framing::Length(n)), trouble),
        None => (Some(Framing::UntilClose), Some(Trouble { kind: AnomalyKind::ContentLength, span })),
    }
}

enum Codings {
    /// The last one is `chunked`; `clean` where it stands there once and bare.
    Chunked { clean: bool },
    /// Something that does not end in `chunked`.
    Unknown,
    /// Nothing, or `identity`.
    Nothing,
}

fn transfer_codings(head: &Text) -> Codings {
    let mut found = Codings::Nothing;
    let mut chunked_before = false;
    for item in head.all("transfer-encoding").flat_map(|value| value.split(|b| *b == b',')).map(trim) {
        let name = trim(item.split(|b| *b == b';').next().unwrap_or_default());
        if name.eq_ignore_ascii_case(b"chunked") {
            found = Codings::Chunked { clean: !chunked_before && name.len() == item.len() };
            chunked_before = true;
        } else if !name.is_empty() && (!name.eq_ignore_ascii_case(b"identity") || chunked_before) {
            found = Codings::Unknown;
        }
    }
    found
}

/// The one number that all `Content-Length` fields and their list items agree on.
fn content_length(head: &Text) -> Option<u64> {
    let mut agreed = None;
    for item in head.all("content-length").flat_map(|value| value.split(|b| *b == b',')) {
        let n = decimal(trim(item))?;
        if *agreed.get_or_insert(n) != n {
            return None;
        }
    }
    agreed
}

/// Digits and nothing else: `str::parse` would take a sign.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Without the white space that a list may have, folded lines included; not VT and FF, by which `chunked` is hidden.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// Follows one body through its bytes, however they are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyScanner {
    framing: Framing,
    place: Place,
    payload: u64,
    chunks: Vec<u64>,
}

/// One step of a [`BodyScanner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// How many of the given bytes belong to the body (framing included) and are done with.
    pub consumed: usize,
    /// Payload among them.
    pub payload: &'a [u8],
    /// How it stands.
    pub progress: Progress,
}

/// How a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on: call again with what was not consumed, or with what comes next.
    More,
    /// It has ended; bytes that were not consumed are another message's.
    Done,
    /// The last consumed byte is one that the chunked coding does not allow (RFC 9112, 7.1). There is no way on.
    Broken,
}

/// Where in the body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// `Content-Length`, this many to go.
    Length(u64),
    UntilClose,
    /// In a chunk's size; `None` before its first digit.
    Size(Option<u64>),
    /// In spaces behind it, which some old servers pad with.
    SizePadding(u64),
    /// Behind its `;`.
    Extension(u64),
    /// Behind the size line's CR.
    SizeEnd(u64),
    /// In a chunk's data, this many to go.
    Data(u64),
    /// Where the CR (or, tolerantly, LF) after the data stands.
    DataEnd,
    /// Behind that CR.
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    /// Within one.
    TrailerLine,
    /// Behind a CR at the start of one.
    TrailerEnd,
    Done,
    Broken,
}

impl BodyScanner {
    /// For a body framed so. One without bytes is done from the start.
    pub fn new(framing: Framing) -> Self {
        let place = match framing {
            Framing::None | Framing::Length(0) => Place::Done,
            Framing::Length(n) => Place::Length(n),
            Framing::Chunked => Place::Size(None),
            Framing::UntilClose => Place::UntilClose,
        };
        Self { framing, place, payload: 0, chunks: Vec::new() }
    }

    /// How it is framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether its end was reached.
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Whether it is whole if its side ends now.
    pub fn is_done_at_close(&self) -> bool {
        matches!(self.place, Place::Done | Place::UntilClose)
    }

    /// Takes the next bytes, up to and with the next piece of payload.
    pub fn scan<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let wanted = match self.place {
                Place::Done => return Step { consumed, payload: &[], progress: Progress::Done },
                Place::Broken => return Step { consumed, payload: &[], progress: Progress::Broken },
                Place::Length(left) | Place::Data(left) => left,
                Place::UntilClose => u64::MAX,
                _ if rest.is_empty() => return Step { consumed, payload: &[], progress: Progress::More },
                _ => {
                    consumed += self.syntax(rest);
                    continue;
                }
            };
            let taken = usize::try_from(wanted).unwrap_or(usize::MAX).min(rest.len());
            self.count(taken as u64);
            let payload = rest.get(..taken).unwrap_or_default();
            let progress = if self.is_done() { Progress::Done } else { Progress::More };
            return Step { consumed: consumed + taken, payload, progress };
        }
    }

    /// Passes `lost` bytes that nobody saw, as far as the framing tells what they were: payload. Says how many of them
    /// were this body's, or `None` where it cannot tell (they may have held a chunk's size).
    pub fn skip(&mut self, lost: u64) -> Option<u64> {
        let taken = match self.place {
            Place::Length(left) => lost.min(left),
            Place::Data(left) if lost <= left => lost,
            Place::UntilClose => lost,
            _ => return None,
        };
        self.count(taken);
        Some(taken)
    }

    /// What is known of it in the end; `range` is where it stood.
    pub fn into_body(self, range: Option<ByteRange>, complete: bool) -> Body {
        Body { bytes: self.payload, range, framing: self.framing, complete, chunks: self.chunks }
    }

    fn count(&mut self, taken: u64) {
        self.payload = self.payload.saturating_add(taken);
        self.place = match self.place {
            Place::Length(left) if left <= taken => Place::Done,
            Place::Length(left) => Place::Length(left - taken),
            Place::Data(left) if left <= taken => Place::DataEnd,
            Place::Data(left) => Place::Data(left - taken),
            other => other,
        };
    }

    /// Takes bytes of the chunked coding that are not payload; says how many. `rest` is not empty.
    fn syntax(&mut self, rest: &[u8]) -> usize {
        let first = rest.first().copied().unwrap_or_default();
        self.place = match (self.place, first) {
            (Place::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(first).to_digit(16).unwrap_or_default());
                match size.unwrap_or_default().checked_mul(16) {
                    Some(n) => Place::Size(Some(n | digit)),
                    None => Place::Broken,
                }
            }
            (Place::Size(Some(size)) | Place::SizePadding(size), b';') => Place::Extension(size),
            (Place::Size(Some(size)) | Place::SizePadding(size), b' ' | b'\t') => Place::SizePadding(size),
            (Place::Size(Some(size)) | Place::SizePadding(size), b'\r') => Place::SizeEnd(size),
            (Place::Size(Some(size)) | Place::SizePadding(size) | Place::SizeEnd(size), b'\n') => {
                self.begin_chunk(size)
            }
            (Place::Extension(size), _) => {
                let Some(end) = memchr(b'\n', rest) else { return rest.len() };
                self.place = self.begin_chunk(size);
                return end + 1;
            }
            (Place::DataEnd, b'\r') => Place::DataLf,
            (Place::DataEnd | Place::DataLf, b'\n') => Place::Size(None),
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::Trailer | Place::TrailerEnd, b'\n') => Place::Done,
            (Place::Trailer | Place::TrailerEnd | Place::TrailerLine, _) => {
                let Some(end) = memchr(b'\n', rest) else {
                    self.place = Place::TrailerLine;
                    return rest.len();
                };
                self.place = Place::Trailer;
                return end + 1;
            }
            _ => Place::Broken,
        };
        1
    }

    fn begin_chunk(&mut self, size: u64) -> Place {
        if size == 0 {
            return Place::Trailer;
        }
        if self.chunks.len() < REMEMBERED_CHUNKS {
            self.chunks.push(size);
        }
        Place::Data(size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

    use crate::model::Side;

    use super::*;
    use crate::decode::http1::head::{Kind, parse_head};

    fn head(start: &str, lines: &str, kind: Kind) -> Head {
        let raw = format!("{start}\r\n{lines}\r\n");
        let range = ByteRange { from: Side::Client, start: 0, end: raw.len() as u64 };
        parse_head(raw.as_bytes(), range, kind).0
    }

    #[test]
    fn requests_are_framed_as_the_standard_says() {
        use AnomalyKind::{ContentLength, TransferEncoding};
        use Framing::{Chunked, Length, None as Nothing, UntilClose};
        for (lines, framing, trouble) in [
            ("", Nothing, None),
            ("Content-Length: 5\r\n", Length(5), None),
            ("content-length:0\r\n", Length(0), None),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Length(5), None),
            ("Content-Length: 5, 5\r\n", Length(5), None),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", UntilClose, Some(ContentLength)),
            ("Content-Length: +5\r\n", UntilClose, Some(ContentLength)),
            ("Content-Length: -1\r\n", UntilClose, Some(ContentLength)),
            ("Content-Length:\r\n", UntilClose, Some(ContentLength)),
            ("Content-Length: 18446744073709551616\r\n", UntilClose, Some(ContentLength)),
            ("Content-Length: 18446744073709551615\r\n", Length(u64::MAX), None),
            ("Transfer-Encoding: chunked\r\n", Chunked, None),
            ("Transfer-Encoding: gzip, Chunked\r\n", Chunked, None),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Chunked, None),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Chunked, Some(TransferEncoding)),
            ("Transfer-Encoding: chunked, chunked\r\n", Chunked, Some(TransferEncoding)),
            ("Transfer-Encoding: chunked;x=y\r\n", Chunked, Some(TransferEncoding)),
            ("Transfer-Encoding: chunked, gzip\r\n", UntilClose, Some(TransferEncoding)),
            ("Transfer-Encoding: chunked, identity\r\n", UntilClose, Some(TransferEncoding)),
            ("Transfer-Encoding: xchunked\r\n", UntilClose, Some(TransferEncoding)),
            ("Transfer-Encoding: \u{b}chunked\r\n", UntilClose, Some(TransferEncoding)),
            ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Length(5), Some(TransferEncoding)),
            ("Transfer-Encoding:\r\n", Nothing, Some(TransferEncoding)),
            ("Content-Length : 5\r\n", Length(5), None),
        ] {
            let (found, named) = request_framing(&head("POST / HTTP/1.1", lines, Kind::Request));
            assert_eq!((found, named.map(|t| t.kind)), (framing, trouble), "{lines:?}");
        }
        let (framing, named) =
            request_framing(&head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", Kind::Request));
        assert_eq!((framing, named.map(|t| t.kind)), (Chunked, Some(TransferEncoding)));
    }

    #[test]
    fn responses_are_framed_by_their_request_too() {
        use Framing::{Chunked, Length, None as Nothing, UntilClose};
        let five = "Content-Length: 5\r\n";
        for (status, lines, asked, framing) in [
            (200, five, Asked::Other, Length(5)),
            (200, "", Asked::Other, UntilClose),
            (200, "Transfer-Encoding: chunked\r\n", Asked::Other, Chunked),
            (200, "Transfer-Encoding: gzip\r\n", Asked::Other, UntilClose),
            (200, five, Asked::Head, Nothing),
            (404, five, Asked::Head, Nothing),
            (200, five, Asked::Connect, Nothing),
            (407, five, Asked::Connect, Length(5)),
            (100, five, Asked::Other, Nothing),
            (101, "", Asked::Other, Nothing),
            (204, five, Asked::Other, Nothing),
            (304, five, Asked::Other, Nothing),
        ] {
            let head = head(&format!("HTTP/1.1 {status} x"), lines, Kind::Response);
            assert_eq!(response_framing(&head, asked).0, framing, "{status} {asked:?}");
        }
    }

    #[derive(Debug, PartialEq, Clone)]
    struct Scanned {
        payload: Vec<u8>,
        consumed: usize,
        progress: Progress,
        chunks: Vec<u64>,
    }

    fn scan(framing: Framing, pieces: &[&[u8]]) -> Scanned {
        let mut scanner = BodyScanner::new(framing);
        let mut out = Scanned { payload: vec![], consumed: 0, progress: Progress::More, chunks: vec![] };
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && out.progress == Progress::More {
                let step = scanner.scan(rest);
                out.payload.extend_from_slice(step.payload);
                out.consumed += step.consumed;
                out.progress = step.progress;
                rest = &rest[step.consumed..];
            }
            let state = serde_json::to_string(&scanner).unwrap();
            scanner = serde_json::from_str(&state).unwrap();
        }
        out.chunks = scanner.into_body(None, true).chunks;
        out
    }

    #[test]
    fn bodies_scan_the_same_under_every_split() {
        for (framing, bytes, payload, consumed, progress) in [
            (Framing::Length(3), "abcdef", "abc", 3, Progress::Done),
            (Framing::Length(9), "abc", "abc", 3, Progress::More),
            (Framing::UntilClose, "abc\r\n", "abc\r\n", 5, Progress::More),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nGET", "abc", 13, Progress::Done),
            (
                Framing::Chunked,
                "3;a=\"b\"\r\nabc\r\nA  \r\n0123456789\r\n0;x\r\n\r\n",
                "abc0123456789",
                38,
                Progress::Done,
            ),
            (Framing::Chunked, "3\nabc\n0\n\n", "abc", 9, Progress::Done),
            (
                Framing::Chunked,
                "00000000000000000003\r\nabc\r\n0\r\nT: v\r\n\rx\r\n\r\nrest",
                "abc",
                42,
                Progress::Done,
            ),
            (Framing::Chunked, "1\r\na\r\n\r\n", "a", 7, Progress::Broken),
            (Framing::Chunked, "1\r\nab\r\n", "a", 5, Progress::Broken),
            (Framing::Chunked, "x", "", 1, Progress::Broken),
            (Framing::Chunked, "1 2\r\n", "", 3, Progress::Broken),
            (Framing::Chunked, "1\rx", "", 3, Progress::Broken),
            (Framing::Chunked, "10000000000000000\r\n", "", 17, Progress::Broken),
            (Framing::Chunked, "5\r\nab", "ab", 5, Progress::More),
        ] {
            let bytes = bytes.as_bytes();
            let whole = scan(framing, &[bytes]);
            assert_eq!(
                (&*String::from_utf8_lossy(&whole.payload), whole.consumed, whole.progress),
                (payload, consumed, progress),
                "{}",
                String::from_utf8_lossy(bytes)
            );
            for at in 0..bytes.len() {
                assert_eq!(scan(framing, &[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
            }
            let single: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(scan(framing, &single), whole);
        }
    }

    #[test]
    fn only_the_first_chunk_sizes_are_remembered() {
        let many: String = (0..100).map(|_| "1\r\na\r\n").collect();
        let scanned = scan(Framing::Chunked, &[many.as_bytes(), b"0\r\n\r\n"]);
        assert_eq!((scanned.payload.len(), scanned.chunks.len(), scanned.progress), (100, 64, Progress::Done));
    }

    #[test]
    fn lost_bytes_count_where_the_length_is_known() {
        let mut length = BodyScanner::new(Framing::Length(10));
        assert_eq!(length.skip(4), Some(4));
        assert_eq!(length.skip(10), Some(6));
        assert!(length.is_done());
        let mut chunked = BodyScanner::new(Framing::Chunked);
        assert_eq!(chunked.skip(1), None);
        let step = chunked.scan(b"5\r\na");
        assert_eq!(step.payload, b"a");
        assert_eq!(chunked.skip(5), None);
        assert_eq!(chunked.skip(4), Some(4));
        assert_eq!(chunked.scan(b"\r\n0\r\n\r\n").progress, Progress::Done);
        assert_eq!(BodyScanner::new(Framing::UntilClose).skip(7), Some(7));
    }
}
