//! Edits in the bytes of a request that leave everything else as it was sent: order, case, odd lines, what follows the
//! body. Lengths that were true stay true; wrong ones stay wrong. PURE.

use std::ops::Range;

use crate::{
    decode::http1::{
        chunks::{Chunked, chunked, chunks},
        head::{Kind, parse_head},
    },
    model::{Side, http::Head, trace::ByteRange},
};

/// A request's bytes with their parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Head, body, and what follows.
    pub bytes: Vec<u8>,
    /// Where the head ends.
    pub head: usize,
    /// Where the body ends.
    pub body: usize,
    /// Places that are to be known again after edits.
    pub cuts: Vec<usize>,
}

/// What is to stand in the place of a range.
pub type Edit = (Range<usize>, Vec<u8>);

impl Message {
    /// The head, parsed.
    pub fn parsed(&self) -> Head {
        let raw = self.bytes.get(..self.head).unwrap_or_default();
        parse_head(raw, ByteRange { from: Side::Client, start: 0, end: raw.len() as u64 }, Kind::Request).0
    }

    /// The body as sent.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head..self.body).unwrap_or_default()
    }

    /// Makes edits; overlapping ones lose to those that come first. `Content-Length` and chunk sizes follow where they
    /// were right.
    pub fn edit(&mut self, mut edits: Vec<Edit>) {
        if edits.is_empty() {
            return;
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut end = 0;
        edits.retain(|(range, _)| {
            let kept = range.start >= end && range.end <= self.bytes.len() && range.start <= range.end;
            end = if kept { range.end } else { end };
            kept
        });
        let grown = |within: Range<usize>| -> i64 {
            let inside = edits.iter().filter(|(range, _)| range.start >= within.start && range.end <= within.end);
            inside.map(|(range, with)| with.len() as i64 - range.len() as i64).sum()
        };
        if grown(self.head..self.body) != 0 {
            let head = self.parsed();
            let mut lengths = Vec::new();
            if head.has_token("transfer-encoding", "chunked") {
                for chunk in chunks(self.body(), self.head) {
                    let delta = grown(chunk.data.clone());
                    if delta != 0 {
                        let length = (chunk.data.len() as i64 + delta).max(0);
                        lengths.push((chunk.size, format!("{length:x}").into_bytes()));
                    }
                }
            } else {
                let length = (self.body - self.head) as i64;
                let delta = grown(self.head..self.body);
                let names = head.fields.iter().filter(|field| {
                    field.name.of(&head.raw).eq_ignore_ascii_case(b"content-length")
                        && field.value.of(&head.raw) == length.to_string().as_bytes()
                });
                for field in names {
                    let place = field.value.start as usize..field.value.end as usize;
                    lengths.push((place, (length + delta).to_string().into_bytes()));
                }
            }
            edits.extend(lengths);
            edits.sort_by_key(|(range, _)| (range.start, range.end));
        }
        self.splice(&edits);
    }

    /// `edits` are in order and do not overlap.
    fn splice(&mut self, edits: &[Edit]) {
        let moved = |at: usize| {
            let mut to = at as i64;
            for (range, with) in edits {
                if range.end <= at && !(range.is_empty() && range.start == at) {
                    to += with.len() as i64 - range.len() as i64;
                } else if range.start < at {
                    // Within what is replaced: behind it.
                    to += with.len() as i64 - (at - range.start) as i64;
                }
            }
            usize::try_from(to).unwrap_or_default()
        };
        let mut bytes = Vec::with_capacity(self.bytes.len() + 64);
        let mut from = 0;
        for (range, with) in edits {
            bytes.extend_from_slice(self.bytes.get(from..range.start).unwrap_or_default());
            bytes.extend_from_slice(with);
            from = range.end;
        }
        bytes.extend_from_slice(self.bytes.get(from..).unwrap_or_default());
        self.head = moved(self.head);
        self.body = moved(self.body);
        self.cuts = self.cuts.iter().map(|cut| moved(*cut)).collect();
        self.bytes = bytes;
    }

    /// Puts a header in the place of those of its name, or behind all others.
    pub fn set_header(&mut self, name: &str, value: &str) {
        let head = self.parsed();
        let mut named =
            head.fields.iter().filter(|field| field.name.of(&head.raw).eq_ignore_ascii_case(name.as_bytes()));
        let mut edits: Vec<Edit> = Vec::new();
        match named.next() {
            Some(first) => {
                edits.push((first.value.start as usize..first.value.end as usize, value.as_bytes().to_vec()));
                edits.extend(named.map(|field| (field.line.start as usize..field.line.end as usize, Vec::new())));
            }
            None => {
                let at = head.fields.last().map_or_else(|| first_line_end(&head.raw), |last| last.line.end as usize);
                edits.push((at..at, format!("{name}: {value}\r\n").into_bytes()));
            }
        }
        self.edit(edits);
    }

    /// Takes out all headers of a name.
    pub fn drop_header(&mut self, name: &str) {
        let head = self.parsed();
        let named = head.fields.iter().filter(|field| field.name.of(&head.raw).eq_ignore_ascii_case(name.as_bytes()));
        self.edit(named.map(|field| (field.line.start as usize..field.line.end as usize, Vec::new())).collect());
    }

    /// Changes the values of all headers of a name for which `change` gives another.
    pub fn map_header(&mut self, name: &str, mut change: impl FnMut(&str) -> Option<String>) {
        let head = self.parsed();
        let named = head.fields.iter().filter(|field| field.name.of(&head.raw).eq_ignore_ascii_case(name.as_bytes()));
        let edits = named.filter_map(|field| {
            let value = std::str::from_utf8(field.value.of(&head.raw)).ok()?;
            Some((field.value.start as usize..field.value.end as usize, change(value)?.into_bytes()))
        });
        self.edit(edits.collect());
    }

    /// Puts another authority in the place of its own, in `Host` and in an absolute target.
    pub fn retarget(&mut self, from: &str, to: &str, https: bool) {
        let default = if https { ":443" } else { ":80" };
        let plain = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
        let own = plain(from);
        let new = to.strip_suffix(default).unwrap_or(to).to_owned();
        let head = self.parsed();
        let [_, target, _] = head.start;
        let text = String::from_utf8_lossy(head.target()).into_owned();
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            if plain(authority) == own {
                let begin = target.start as usize + scheme.len() + 3;
                // An explicit port stays explicit.
                let with = if authority.ends_with(default) { to.to_owned() } else { new.clone() };
                self.edit(vec![(begin..begin + authority.len(), with.into_bytes())]);
            }
        }
        self.map_header("host", |host| (plain(host) == own).then(|| new.clone()));
    }

    /// The body without its transfer coding; `None` where its chunks cannot be followed to their end.
    pub fn content(&self) -> Option<Vec<u8>> {
        if !self.parsed().has_token("transfer-encoding", "chunked") {
            return Some(self.body().to_vec());
        }
        let Chunked { chunks, .. } = chunked(self.body(), self.head)?;
        Some(chunks.iter().flat_map(|chunk| self.bytes.get(chunk.data.clone()).unwrap_or_default()).copied().collect())
    }

    /// Puts another body in the place of this one. A chunked one becomes one chunk, with the end and the trailers that
    /// there were; where its chunks cannot be followed it stays.
    pub fn set_content(&mut self, content: Vec<u8>) {
        if !self.parsed().has_token("transfer-encoding", "chunked") {
            return self.edit(vec![(self.head..self.body, content)]);
        }
        let Some(Chunked { end, .. }) = chunked(self.body(), self.head) else { return };
        let mut coded = Vec::with_capacity(content.len() + 16);
        if !content.is_empty() {
            coded.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
            coded.extend_from_slice(&content);
            coded.extend_from_slice(b"\r\n");
        }
        self.edit(vec![(self.head..end, coded)]);
    }
}

fn first_line_end(raw: &[u8]) -> usize {
    let start = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let line = raw.get(start..).unwrap_or_default();
    start + line.iter().position(|b| *b == b'\n').map_or(line.len(), |at| at + 1)
}

/// A frame with another payload and another key: all else of its header as it was, the length in the fewest bytes. What
/// was not masked stays so. `None` where the bytes are no frame.
pub fn reframe(frame: &[u8], payload: &[u8], key: [u8; 4]) -> Option<Vec<u8>> {
    let [first, second, ..] = *frame else { return None };
    let masked = second & 0x80;
    let mut out = Vec::with_capacity(payload.len() + 14);
    out.push(first);
    match payload.len() {
        short @ 0..=125 => out.push(masked | u8::try_from(short).ok()?),
        middle @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&u16::try_from(middle).ok()?.to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    if masked == 0 {
        out.extend_from_slice(payload);
        return Some(out);
    }
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;
    use crate::decode::websocket::unmasked;

    fn message(head: &str, body: &str, tail: &str) -> Message {
        let head = head.replace('\n', "\r\n");
        let bytes = format!("{head}{body}{tail}").into_bytes();
        Message { head: head.len(), body: head.len() + body.len(), bytes, cuts: vec![head.len() + 2] }
    }

    fn text(message: &Message) -> String {
        String::from_utf8(message.bytes.clone()).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn true_lengths_follow_and_false_ones_stay() {
        let mut sent = message("POST /a HTTP/1.1\nX Bad:: v\nContent-Length: 7\n: noname\n\n", "{\"a\":1}", "\n\n");
        let place = sent.head + 5..sent.head + 6;
        sent.edit(vec![(place, b"12345".to_vec())]);
        assert_eq!(text(&sent), "POST /a HTTP/1.1\nX Bad:: v\nContent-Length: 11\n: noname\n\n{\"a\":12345}\n\n");
        assert_eq!(&sent.bytes[sent.cuts[0]..sent.cuts[0] + 3], b"a\":", "cuts move with their bytes");
        assert_eq!(sent.body(), b"{\"a\":12345}");
        let mut short = message("POST /a HTTP/1.1\nContent-Length: 3\n\n", "{\"a\":1}", "");
        short.set_content(b"{}".to_vec());
        assert_eq!(text(&short), "POST /a HTTP/1.1\nContent-Length: 3\n\n{}");
    }

    #[test]
    fn chunk_sizes_follow() {
        let mut sent =
            message("POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n", "5\r\nab123\r\n3\r\nxyz\r\n0\r\n\r\n", "");
        let at = sent.head + 5;
        sent.edit(vec![(at..at + 3, b"123456789abcdef".to_vec())]);
        assert_eq!(text(&sent), "POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n11\nab123456789abcdef\n3\nxyz\n0\n\n");
    }

    #[test]
    fn a_chunked_body_is_chunked_again() {
        let head = "POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n";
        let mut sent = message(head, "3;x=y\r\n{\"a\r\n4\r\n\":1,\r\n0\r\nT: v\r\n\r\n", "tail");
        assert_eq!(sent.content().as_deref(), Some(&b"{\"a\":1,"[..]));
        sent.set_content(b"{\"a\":1}".to_vec());
        assert_eq!(text(&sent), format!("{head}7\n{{\"a\":1}}\n0\nT: v\n\ntail"));
        assert_eq!(sent.content().as_deref(), Some(&b"{\"a\":1}"[..]));
        for broken in ["5\r\nab\r\n", "3\r\nabc\r\n", "zz\r\n", ""] {
            let mut sent = message(head, broken, "");
            let before = sent.clone();
            assert_eq!(sent.content(), None, "{broken}");
            sent.set_content(b"x".to_vec());
            assert_eq!(sent, before, "{broken}");
        }
    }

    #[test]
    fn headers_are_set_where_they_stood() {
        let mut sent = message("GET / HTTP/1.1\nHost: a\naccept:  x\nAccept: y\n\n", "", "");
        sent.set_header("Accept", "z");
        sent.set_header("New", "1");
        sent.drop_header("host");
        assert_eq!(text(&sent), "GET / HTTP/1.1\naccept:  z\nNew: 1\n\n");
        let mut bare = message("GET / HTTP/1.1\n\n", "", "");
        bare.set_header("A", "b");
        assert_eq!(text(&bare), "GET / HTTP/1.1\nA: b\n\n");
    }

    #[test]
    fn another_authority_takes_the_place_of_its_own_only() {
        let mut sent = message(
            "GET https://api.test:443/a?u=api.test HTTP/1.1\nHost: api.test\nOrigin: https://api.test\n\n",
            "",
            "",
        );
        sent.retarget("api.test:443", "localhost:9443", true);
        assert_eq!(
            text(&sent),
            "GET https://localhost:9443/a?u=api.test HTTP/1.1\nHost: localhost:9443\nOrigin: https://api.test\n\n"
        );
        let mut other = message("GET / HTTP/1.1\nHost: other\n\n", "", "");
        other.retarget("api.test:443", "localhost:9443", true);
        assert_eq!(text(&other), "GET / HTTP/1.1\nHost: other\n\n");
    }

    #[test]
    fn frames_keep_what_is_not_payload() {
        let frame = reframe(&[0x01, 0x83, 1, 2, 3, 4, 0, 0, 0], b"hello", [0; 4]).unwrap();
        assert_eq!(frame, [0x01, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']);
        let long = reframe(&[0x82, 0x80], &[7; 200], [1; 4]).unwrap();
        assert_eq!(long[..8], [0x82, 0xfe, 0, 200, 1, 1, 1, 1]);
        assert_eq!(long[8], 6);
        assert_eq!(reframe(&[0x81, 0x01, b'x'], b"yy", [9; 4]).unwrap(), [0x81, 0x02, b'y', b'y']);
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            for second in [0x00, 0x80] {
                let frame = reframe(&[0x82, second], &payload, [1, 2, 3, 4]).unwrap();
                assert_eq!(unmasked(&frame).as_ref(), Some(&payload), "{length}");
            }
        }
    }
}
