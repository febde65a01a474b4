//! The chunks of a body that is all there (RFC 9112, 7.1), for whoever shows, redacts or changes it; the decoder follows
//! one that is still coming.

use std::ops::Range;

/// A chunk: where its size is written, and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The digits of its size, without extensions.
    pub size: Range<usize>,
    /// Its data.
    pub data: Range<usize>,
}

/// A body that ends as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// The chunks that hold data.
    pub chunks: Vec<Chunk>,
    /// Where the last chunk, which holds none, begins.
    pub end: usize,
    /// What stands behind it, without the line that ends it.
    pub trailers: Range<usize>,
}

/// The chunks of a body that begins at `base`, as far as they can be followed: the one without data ends them.
pub fn chunks(body: &[u8], base: usize) -> Vec<Chunk> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(line) = body.get(at..) {
        let Some(end) = memchr::memchr(b'\n', line) else { break };
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let text = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(size) = text.and_then(|text| usize::from_str_radix(text, 16).ok()) else { break };
        let Some(data_end) = (at + end + 1).checked_add(size).filter(|end| *end <= body.len()) else { break };
        let data = base + at + end + 1..base + data_end;
        found.push(Chunk { size: base + at..base + at + digits, data });
        if size == 0 {
            break;
        }
        let after = body.get(data_end..).unwrap_or_default();
        at = data_end + memchr::memchr(b'\n', after).map_or(after.len(), |at| at + 1);
    }
    found
}

/// All of a body that begins at `base`; `None` where its chunks cannot be followed to their end.
pub fn chunked(body: &[u8], base: usize) -> Option<Chunked> {
    let mut chunks = chunks(body, base);
    let last = chunks.pop().filter(|last| last.data.is_empty())?;
    let begin = last.data.end;
    let trailers = begin..(base + body.len()).saturating_sub(2).max(begin);
    Some(Chunked { chunks, end: last.size.start, trailers })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_where_they_are_said_to() {
        let body = b"3;x=1\r\nabc\r\n1\nd\n0\r\nA: b\r\n\r\n";
        let whole = [b"head", &body[..]].concat();
        let found = chunked(body, 4).unwrap();
        let parts: Vec<_> =
            found.chunks.iter().map(|chunk| (&whole[chunk.size.clone()], &whole[chunk.data.clone()])).collect();
        assert_eq!(parts, [(&b"3"[..], &b"abc"[..]), (&b"1"[..], &b"d"[..])]);
        assert!(whole[found.end..].starts_with(b"0\r\n"));
        assert_eq!(&whole[found.trailers], b"A: b\r\n");
        assert_eq!(chunked(b"0\r\n\r\n", 0).unwrap().trailers, 3..3);
    }

    #[test]
    fn what_does_not_end_is_followed_as_far_as_it_goes() {
        for (body, followed) in
            [(&b""[..], 0), (b"3\r\nab", 0), (b"3\r\nabc\r\n", 1), (b"x\r\n", 0), (b"ffffffffffffffffff\r\n", 0)]
        {
            assert_eq!((chunked(body, 0), chunks(body, 0).len()), (None, followed), "{body:?}");
        }
    }
}
