//! Heads of HTTP/1 messages: where one ends, and what is in it. Pure functions over bytes, used by the decoder and by
//! the relay's framer alike. Nothing is refused here: what the standard forbids stays in `raw`, gets the spans that
//! make most sense of it, and is named as a [`Trouble`].

use memchr::{memchr, memchr_iter, memchr2};

use crate::model::{
    anomaly::AnomalyKind,
    http::{Field, Head, Span, Text},
    trace::ByteRange,
};

/// Which start line is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `GET /path HTTP/1.1`
    Request,
    /// `HTTP/1.1 200 OK`
    Response,
}

/// Something in a head that the standard does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub kind: AnomalyKind,
    /// Where, within the head's `raw`: the line.
    pub span: Span,
}

impl Trouble {
    /// The place in the side's bytes; empty, as the head's is, for a head that the proxy made.
    pub fn range(&self, head: &Head) -> ByteRange {
        let whole = head.range;
        let at = |n: u32| whole.start.saturating_add(u64::from(n)).min(whole.end);
        ByteRange { from: whole.from, start: at(self.span.start), end: at(self.span.end) }
    }
}

/// What first bytes can still become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Not the start of an HTTP/1 message.
    No,
    /// Too few bytes to tell.
    Maybe,
    /// It begins like one.
    Yes,
}

/// The longest method that is taken for one. The longest registered is UPDATEREDIRECTREF (17).
pub const MAX_METHOD_BYTES: usize = 32;

/// What a client that speaks HTTP/2 without asking sends first (RFC 9113, 3.4); its beginning parses as a request.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Whether these first bytes can become a request line: a method of at most [`MAX_METHOD_BYTES`] token characters, then
/// a space. Empty lines before it are skipped (RFC 9112, 2.2). HTTP/2's preface is not one.
pub fn looks_like_request(prefix: &[u8]) -> Looks {
    probe_request(prefix).into()
}

/// Whether these first bytes can become a status line: `HTTP/`. Empty lines before it are skipped.
pub fn looks_like_response(prefix: &[u8]) -> Looks {
    probe_response(prefix).into()
}

/// How many bytes of empty lines (CR and LF in any order) come first.
pub fn blank_prefix(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// One past the head's last byte: past the first empty line that follows a line with something in it. CRLF CRLF, and
/// tolerantly LF LF and LF CRLF. Of `bytes`, the first `already_scanned` were searched in vain before; a caller that
/// gets its head in pieces passes the length it had, so that each byte is looked at once.
pub fn find_head_end(bytes: &[u8], already_scanned: usize) -> Option<usize> {
    let from = already_scanned.saturating_sub(2).max(blank_prefix(bytes));
    let tail = bytes.get(from..)?;
    memchr_iter(b'\n', tail).find_map(|at| match tail.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// Parses a whole head, as `find_head_end` delimits it; `range` is its place in the side's bytes. Never fails. The
/// troubles name the first place of each kind.
///
/// - Request: the method is the first token, the version the last one if it begins with `HTTP/`, the target all between
///   them. Response: version, status, and all the rest is the reason. What is missing is an empty span.
/// - A line without a colon is a field without a name, its text the value. A folded line (RFC 9112, 5.2) belongs to
///   the value of the field before it.
pub fn parse_head(raw: &[u8], range: ByteRange, kind: Kind) -> (Head, Vec<Trouble>) {
    let (text, troubles) = parse(raw, kind);
    (Head::new(text, range, None), troubles)
}

/// [`parse_head`] wherever it stands. Two allocations: the bytes and the fields; a third where there is trouble.
pub(super) fn parse(raw: &[u8], kind: Kind) -> (Text, Vec<Trouble>) {
    let mut troubles = Vec::new();
    // Once for all lines: nearly all heads are sound.
    let mut ends = 0;
    let sound_ends = memchr_iter(b'\n', raw)
        .inspect(|_| ends += 1)
        .filter(|at| at.checked_sub(1).and_then(|before| raw.get(before)) == Some(&b'\r'))
        .count();
    let odd = memchr(0, raw).is_some() || memchr_iter(b'\r', raw).count() != sound_ends;
    let mut lines = Lines { raw, next: blank_prefix(raw), odd };
    let start = match lines.next() {
        Some(line) => {
            line.check_ends(AnomalyKind::StartLine, &mut troubles);
            match kind {
                Kind::Request => request_line(&line, &mut troubles),
                Kind::Response => status_line(&line, &mut troubles),
            }
        }
        None => [Span::default(); 3],
    };
    let mut fields: Vec<Field> = Vec::with_capacity(usize::saturating_sub(ends, 2));
    for line in lines {
        if line.text.is_empty() {
            break;
        }
        line.check_ends(AnomalyKind::HeaderLine, &mut troubles);
        let folded = matches!(line.text.first(), Some(b' ' | b'\t'));
        if let (true, Some(before)) = (folded, fields.last_mut()) {
            note(&mut troubles, AnomalyKind::HeaderLine, line.whole());
            let (_, end) = trimmed(line.text);
            before.value.end = line.span(0, end).end.max(before.value.start);
            before.line.end = line.whole().end;
        } else {
            fields.push(field(&line, &mut troubles));
        }
    }
    (Text { raw: raw.into(), start, fields: fields.into_boxed_slice() }, troubles)
}

/// What was found out about first bytes; `No` says at which byte. A longer prefix never changes a `No` or a `Yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    No(usize),
    Maybe,
    Yes,
}

impl From<Probe> for Looks {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::No(_) => Self::No,
            Probe::Maybe => Self::Maybe,
            Probe::Yes => Self::Yes,
        }
    }
}

pub(super) fn probe_request(prefix: &[u8]) -> Probe {
    let blank = blank_prefix(prefix);
    let prefix = prefix.get(blank..).unwrap_or_default();
    match prefix.iter().take(MAX_METHOD_BYTES + 1).position(|b| !is_token(*b)) {
        Some(at) if at > 0 && prefix.get(at) == Some(&b' ') => {
            if prefix.starts_with(HTTP2_PREFACE) {
                Probe::No(blank + HTTP2_PREFACE.len() - 1)
            } else if HTTP2_PREFACE.starts_with(prefix) {
                Probe::Maybe
            } else {
                Probe::Yes
            }
        }
        Some(at) => Probe::No(blank + at),
        None if prefix.len() > MAX_METHOD_BYTES => Probe::No(blank + MAX_METHOD_BYTES),
        None => Probe::Maybe,
    }
}

pub(super) fn probe_response(prefix: &[u8]) -> Probe {
    let blank = blank_prefix(prefix);
    let prefix = prefix.get(blank..).unwrap_or_default();
    match prefix.iter().zip(b"HTTP/").position(|(is, wanted)| is != wanted) {
        Some(at) => Probe::No(blank + at),
        None if prefix.len() >= b"HTTP/".len() => Probe::Yes,
        None => Probe::Maybe,
    }
}

/// The lines of a head. The last one may lack its end.
struct Lines<'a> {
    raw: &'a [u8],
    next: usize,
    /// Whether any of them holds a NUL or a bare CR.
    odd: bool,
}

struct Line<'a> {
    /// Without its end.
    text: &'a [u8],
    /// Where it begins in the head.
    start: usize,
    /// Where the next one begins.
    end: usize,
    crlf: bool,
    odd: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.next;
        let rest = self.raw.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let whole = rest.get(..length)?;
        let (text, crlf) = match whole {
            [text @ .., b'\r', b'\n'] => (text, true),
            [text @ .., b'\n'] => (text, false),
            text => (text, true),
        };
        self.next = start + length;
        Some(Line { text, start, end: self.next, crlf, odd: self.odd })
    }
}

impl Line<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.start + start..self.start + end)
    }

    fn whole(&self) -> Span {
        Span::new(self.start..self.end)
    }

    /// Bare LF, bare CR, and NUL (which is trouble of `kind`).
    fn check_ends(&self, kind: AnomalyKind, troubles: &mut Vec<Trouble>) {
        if !self.crlf {
            note(troubles, AnomalyKind::LineEnd, self.whole());
        }
        if self.odd && memchr2(0, b'\r', self.text).is_some() {
            if memchr(0, self.text).is_some() {
                note(troubles, kind, self.whole());
            }
            if memchr(b'\r', self.text).is_some() {
                note(troubles, AnomalyKind::LineEnd, self.whole());
            }
        }
    }
}

fn request_line(line: &Line<'_>, troubles: &mut Vec<Trouble>) -> [Span; 3] {
    let text = line.text;
    let (start, end) = trimmed(text);
    let method_end = text.iter().skip(start).position(|b| is_space(*b)).map_or(end, |n| start + n);
    let rest = text.get(method_end..end).unwrap_or_default();
    let last = rest.iter().rposition(|b| is_space(*b)).map_or(method_end, |n| method_end + n + 1);
    let version =
        if text.get(last..end).is_some_and(|token| token.starts_with(b"HTTP/")) && last > start { last } else { end };
    let (from, to) = trimmed(text.get(method_end..version).unwrap_or_default());
    let (target, target_end) = (method_end + from, method_end + to);

    let part = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let strict = start == 0
        && !part(0, method_end).is_empty()
        && part(0, method_end).iter().all(|b| is_token(*b))
        && part(method_end, target) == b" "
        && target < target_end
        && part(target, target_end).iter().all(|b| *b > b' ' && *b != 0x7f)
        && part(target_end, version) == b" "
        && end == text.len()
        && is_version(part(version, end));
    if !strict {
        note(troubles, AnomalyKind::StartLine, line.whole());
    }
    [line.span(start, method_end), line.span(target, target_end), line.span(version, end)]
}

/// The space after the status is not missed where the reason is empty too: many servers leave it out.
fn status_line(line: &Line<'_>, troubles: &mut Vec<Trouble>) -> [Span; 3] {
    let text = line.text;
    let (start, end) = trimmed(text);
    let token_end =
        |from: usize| text.iter().skip(from).position(|b| is_space(*b)).map_or(end, |n| (from + n).min(end));
    let version_end = token_end(start);
    let gap = |from: usize| text.iter().skip(from).take_while(|b| is_space(**b)).count();
    let status = (version_end + gap(version_end)).min(end);
    let status_end = token_end(status);
    let reason = (status_end + gap(status_end)).min(end);

    let part = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let digits = part(status, status_end);
    if digits.len() != 3 || !digits.iter().all(u8::is_ascii_digit) {
        note(troubles, AnomalyKind::Status, line.whole());
    }
    if start != 0 || !is_version(part(0, version_end)) || (version_end < end && part(version_end, status) != b" ") {
        note(troubles, AnomalyKind::StartLine, line.whole());
    }
    [line.span(start, version_end), line.span(status, status_end), line.span(reason, end)]
}

fn field(line: &Line<'_>, troubles: &mut Vec<Trouble>) -> Field {
    let text = line.text;
    let name_end = text.iter().position(|b| !is_token(*b)).unwrap_or(text.len());
    let (colon, name) = if name_end > 0 && text.get(name_end) == Some(&b':') {
        (name_end, (0, name_end))
    } else {
        note(troubles, AnomalyKind::HeaderLine, line.whole());
        match memchr(b':', text) {
            Some(colon) => (colon, trimmed(text.get(..colon).unwrap_or_default())),
            None => {
                let (start, end) = trimmed(text);
                return Field { name: line.span(0, 0), value: line.span(start, end), line: line.whole() };
            }
        }
    };
    let after = colon + 1;
    let (from, to) = trimmed(text.get(after..).unwrap_or_default());
    Field { name: line.span(name.0, name.1), value: line.span(after + from, after + to), line: line.whole() }
}

/// Keeps the first place of each kind: a hostile head may be in trouble on every line.
fn note(troubles: &mut Vec<Trouble>, kind: AnomalyKind, span: Span) {
    if !troubles.iter().any(|trouble| trouble.kind == kind) {
        troubles.push(Trouble { kind, span });
    }
}

/// Where `text` begins and ends without the spaces around it. Of nothing but spaces: its end, twice.
fn trimmed(text: &[u8]) -> (usize, usize) {
    let start = text.iter().position(|b| !is_space(*b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_space(*b)).map_or(text.len(), |n| n + 1);
    (start, end)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `HTTP/` DIGIT `.` DIGIT (RFC 9112, 2.3).
fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// `tchar` of RFC 9110, 5.6.2.
pub fn is_token(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "in bounds, and checked when this is compiled")]
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0usize;
        while byte < 256 {
            table[byte] = matches!(
                byte as u8,
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-'
                    | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
            byte += 1;
        }
        table
    };
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use crate::model::Side;

    use super::*;

    fn parse(raw: &str, kind: Kind) -> (Head, Vec<AnomalyKind>) {
        let range = ByteRange { from: Side::Client, start: 100, end: 100 + raw.len() as u64 };
        let (head, troubles) = parse_head(raw.as_bytes(), range, kind);
        (head, troubles.iter().map(|trouble| trouble.kind).collect())
    }

    fn request(raw: &str) -> (Head, Vec<AnomalyKind>) {
        parse(raw, Kind::Request)
    }

    #[test]
    fn the_end_of_a_head_is_its_empty_line() {
        for (bytes, end) in [
            ("GET / HTTP/1.1\r\n\r\nx", Some(18)),
            ("GET / HTTP/1.1\n\nx", Some(16)),
            ("GET / HTTP/1.1\n\r\nx", Some(17)),
            ("GET / HTTP/1.1\r\n\nx", Some(17)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(22)),
            ("\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r", None),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
            ("", None),
        ] {
            assert_eq!(find_head_end(bytes.as_bytes(), 0), end, "{bytes:?}");
            for scanned in 0..bytes.len() {
                if find_head_end(&bytes.as_bytes()[..scanned], 0).is_none() {
                    assert_eq!(find_head_end(bytes.as_bytes(), scanned), end, "{bytes:?} after {scanned}");
                }
            }
        }
    }

    #[test]
    fn plain_heads_have_no_trouble() {
        let (head, troubles) = request("POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nA:  b c\t\r\n\r\n");
        assert_eq!(troubles, []);
        assert_eq!((head.method(), head.target(), head.request_version()), (&b"POST"[..], &b"/a?b=c"[..], &b"1.1"[..]));
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(headers, [(&b"Host"[..], &b"h"[..]), (b"X-Empty", b""), (b"A", b"b c")]);
        assert_eq!(head.fields[2].line.of(&head.raw), b"A:  b c\t\r\n");

        let (head, troubles) = parse("HTTP/1.0 404 Not  Found\r\n\r\n", Kind::Response);
        assert_eq!(troubles, []);
        assert_eq!(
            (head.response_version(), head.status(), head.reason()),
            (&b"1.0"[..], Some(404), &b"Not  Found"[..])
        );
        let (head, troubles) = parse("HTTP/1.1 200\r\n\r\n", Kind::Response);
        assert_eq!((head.status(), head.reason(), troubles), (Some(200), &b""[..], vec![]));
    }

    #[test]
    fn odd_request_lines_keep_their_parts() {
        for (line, parts) in [
            ("GET /a b c HTTP/1.1", ["GET", "/a b c", "HTTP/1.1"]),
            ("GET  / HTTP/1.1", ["GET", "/", "HTTP/1.1"]),
            ("GET /  HTTP/1.1", ["GET", "/", "HTTP/1.1"]),
            ("GET / HTTP/1.1 ", ["GET", "/", "HTTP/1.1"]),
            (" GET / HTTP/1.1", ["GET", "/", "HTTP/1.1"]),
            ("GET /", ["GET", "/", ""]),
            ("GET /a b", ["GET", "/a b", ""]),
            ("GET HTTP/1.1", ["GET", "", "HTTP/1.1"]),
            ("GET", ["GET", "", ""]),
            ("HTTP/1.1", ["HTTP/1.1", "", ""]),
            ("\"}GET / HTTP/1.1", ["\"}GET", "/", "HTTP/1.1"]),
            ("GET / HTTP/11", ["GET", "/", "HTTP/11"]),
            ("GET /\0 HTTP/1.1", ["GET", "/\0", "HTTP/1.1"]),
            ("   ", ["", "", ""]),
        ] {
            let (head, troubles) = request(&format!("{line}\r\nHost: h\r\n\r\n"));
            let found = head.start.map(|span| String::from_utf8(span.of(&head.raw).to_vec()).unwrap());
            assert_eq!(found, parts.map(str::to_owned), "{line:?}");
            assert_eq!(troubles, [AnomalyKind::StartLine], "{line:?}");
            assert_eq!(head.header("host"), Some(&b"h"[..]), "{line:?}");
        }
    }

    #[test]
    fn odd_status_lines_keep_their_parts() {
        use AnomalyKind::{StartLine, Status};
        for (line, parts, kinds) in [
            ("HTTP/1.1 20 OK", ["HTTP/1.1", "20", "OK"], vec![Status]),
            ("HTTP/1.1 2000", ["HTTP/1.1", "2000", ""], vec![Status]),
            ("HTTP/1.1  200 OK", ["HTTP/1.1", "200", "OK"], vec![StartLine]),
            ("HTTP/1.1", ["HTTP/1.1", "", ""], vec![Status]),
            ("HTTP/x 200 OK", ["HTTP/x", "200", "OK"], vec![StartLine]),
        ] {
            let (head, troubles) = parse(&format!("{line}\r\n\r\n"), Kind::Response);
            let found = head.start.map(|span| String::from_utf8(span.of(&head.raw).to_vec()).unwrap());
            assert_eq!(found, parts.map(str::to_owned), "{line:?}");
            assert_eq!(troubles, kinds, "{line:?}");
        }
    }

    #[test]
    fn odd_header_lines_are_kept_and_named() {
        use AnomalyKind::{HeaderLine, LineEnd};
        for (line, name, value, kind) in [
            ("X Bad:: v\r\n", "X Bad", ": v", HeaderLine),
            (": noname\r\n", "", "noname", HeaderLine),
            ("no colon \r\n", "", "no colon", HeaderLine),
            ("Name : v\r\n", "Name", "v", HeaderLine),
            (" Name: v\r\n", "Name", "v", HeaderLine),
            ("A: b\r\n c\r\n", "A", "b\r\n c", HeaderLine),
            ("A:\r\n\tc \r\n", "A", "\r\n\tc", HeaderLine),
            ("A: b\0c\r\n", "A", "b\0c", HeaderLine),
            ("A: b\n", "A", "b", LineEnd),
            ("A: b\rc\r\n", "A", "b\rc", LineEnd),
        ] {
            let (head, troubles) = request(&format!("GET / HTTP/1.1\r\n{line}\r\n"));
            assert_eq!(head.fields.len(), 1, "{line:?}");
            let found = head.headers().next().unwrap();
            let trimmed = found.1.trim_ascii_start();
            assert_eq!((found.0, trimmed), (name.as_bytes(), value.trim_ascii_start().as_bytes()), "{line:?}");
            assert_eq!(troubles, [kind], "{line:?}");
            assert_eq!(head.fields[0].line.of(&head.raw), line.as_bytes());
        }
    }

    #[test]
    fn troubles_name_the_line_in_the_sides_bytes() {
        let raw = b"GET / HTTP/1.1\r\nA: b\r\nbad\r\nworse\r\n\r\n";
        let range = ByteRange { from: Side::Client, start: 100, end: 100 + raw.len() as u64 };
        let (head, troubles) = parse_head(raw, range, Kind::Request);
        assert_eq!(troubles.len(), 1);
        assert_eq!(troubles[0].range(&head), ByteRange { from: Side::Client, start: 122, end: 127 });
    }

    #[test]
    fn empty_lines_before_the_start_line_are_skipped() {
        let (head, troubles) = request("\r\n\nGET / HTTP/1.1\r\nA: b\r\n\r\n");
        assert_eq!((head.method(), head.fields.len(), troubles), (&b"GET"[..], 1, vec![]));
    }

    #[test]
    fn what_can_become_a_message() {
        use Looks::{Maybe, No, Yes};
        for (prefix, looks) in [
            ("", Maybe),
            ("G", Maybe),
            ("GET", Maybe),
            ("GET ", Yes),
            ("\r\n\r\nGET /", Yes),
            (" GET", No),
            ("}GET / HTTP/1.1", No),
            ("PRI", Maybe),
            ("PRI * HTTP/2.", Maybe),
            ("PRI * HTTP/2.0", No),
            ("PRI * HTTP/1.1", Yes),
            ("PRI /", Yes),
            ("SSH-2.0-OpenSSH\r\n", No),
            ("\u{16}\u{3}\u{1}", No),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", Maybe),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF ", Yes),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", No),
        ] {
            assert_eq!(looks_like_request(prefix.as_bytes()), looks, "{prefix:?}");
        }
        for (prefix, looks) in [("", Maybe), ("HTTP", Maybe), ("HTTP/", Yes), ("HTTX", No), ("220 mail", No)] {
            assert_eq!(looks_like_response(prefix.as_bytes()), looks, "{prefix:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_head(raw in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(b"\r\n: \tHTTP/1.GE\0".to_vec()), 1 => any::<u8>()], 0..200)) {
            for kind in [Kind::Request, Kind::Response] {
                let range = ByteRange { from: Side::Client, start: 0, end: raw.len() as u64 };
                let (head, troubles) = parse_head(&raw, range, kind);
                prop_assert_eq!(&*head.raw, &raw[..]);
                let spans = head.fields.iter().flat_map(|f| [f.name, f.value, f.line]).chain(head.start);
                for span in spans.chain(troubles.iter().map(|t| t.span)) {
                    prop_assert!(span.start <= span.end && span.end as usize <= raw.len(), "{:?}", span);
                }
            }
        }

        #[test]
        fn a_verdict_on_a_prefix_is_final(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            for probe in [probe_request, probe_response] {
                let mut before = Probe::Maybe;
                for end in 0..=bytes.len() {
                    let now = probe(&bytes[..end]);
                    prop_assert!(before == Probe::Maybe || now == before);
                    if let (Probe::Maybe, Probe::No(at)) = (before, now) { prop_assert_eq!(at + 1, end); }
                    before = now;
                }
            }
        }

        /// httparse is the oracle for valid heads.
        #[test]
        fn valid_heads_parse_as_httparse_does(
            method in "[A-Z]{1,12}", target in "/[!-~]{0,40}", minor in 0u8..2, status in 100u16..1000,
            reason in "([!-~]([ -~]{0,20}[!-~])?)?",
            headers in prop::collection::vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", "([!-~]([\t -~]{0,40}[!-~])?)?"), 0..20),
        ) {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let mut slots = [httparse::EMPTY_HEADER; 32];

            let raw = format!("{method} {target} HTTP/1.{minor}\r\n{lines}\r\n");
            prop_assert_eq!(find_head_end(raw.as_bytes(), 0), Some(raw.len()));
            let (head, troubles) = parse(&raw, Kind::Request);
            let mut oracle = httparse::Request::new(&mut slots);
            prop_assert!(oracle.parse(raw.as_bytes()).unwrap().is_complete());
            prop_assert_eq!(troubles, vec![]);
            prop_assert_eq!(head.method(), oracle.method.unwrap().as_bytes());
            prop_assert_eq!(head.target(), oracle.path.unwrap().as_bytes());
            prop_assert_eq!(head.request_version(), [b'1', b'.', b'0' + oracle.version.unwrap()]);
            let expected: Vec<_> = oracle.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(head.headers().collect::<Vec<_>>(), expected);

            let raw = format!("HTTP/1.{minor} {status} {reason}\r\n{lines}\r\n");
            let (head, troubles) = parse(&raw, Kind::Response);
            let mut oracle = httparse::Response::new(&mut slots);
            prop_assert!(oracle.parse(raw.as_bytes()).unwrap().is_complete());
            prop_assert_eq!(troubles, vec![]);
            prop_assert_eq!(head.status(), oracle.code);
            prop_assert_eq!(head.reason(), oracle.reason.unwrap().as_bytes());
            let expected: Vec<_> = oracle.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(head.headers().collect::<Vec<_>>(), expected);
        }
    }
}
