//! Named places in texts that are marked up: XML elements and parts of a multipart form. PURE.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

/// Longer names are none of ours.
const LONGEST_NAME: usize = 64;

/// What elements hold whose name, without its prefix, is secret: `<wsse:Password Type="…">…</wsse:Password>`.
pub(super) fn elements(text: &[u8], is_secret: &dyn Fn(&[u8]) -> bool, out: &mut Vec<Range<usize>>) {
    for open in memchr_iter(b'<', text) {
        let after = text.get(open + 1..).unwrap_or_default();
        let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
        let length = after.iter().take(LONGEST_NAME + 1).take_while(in_name).count();
        let name = after.get(..length).unwrap_or_default();
        let name = name.get(memchr::memrchr(b':', name).map_or(0, |colon| colon + 1)..).unwrap_or_default();
        if !is_secret(name) {
            continue;
        }
        let rest = after.get(length..).unwrap_or_default();
        let Some(close) = memchr(b'>', rest).filter(|close| *close == 0 || rest.get(close - 1) != Some(&b'/')) else {
            continue;
        };
        let content = rest.get(close + 1..).unwrap_or_default();
        // Text, or text that is marked as such.
        let mark = b"<![CDATA[";
        let (skipped, end) = match content.strip_prefix(mark) {
            Some(data) => (mark.len(), memmem::find(data, b"]]>").unwrap_or(data.len())),
            None => (0, memchr(b'<', content).unwrap_or(content.len())),
        };
        let begin = open + 1 + length + close + 1 + skipped;
        push(text, begin..begin + end, out);
    }
}

/// What the parts of a multipart form hold whose name is secret (RFC 7578, 4.2).
pub(super) fn parts(text: &[u8], is_secret: &dyn Fn(&[u8]) -> bool, out: &mut Vec<Range<usize>>) {
    // A byte that few texts have first: to prepare a search is dearer.
    if memchr(b'\n', text).is_none() {
        return;
    }
    for at in memmem::find_iter(text, b"form-data") {
        let rest = text.get(at..).unwrap_or_default();
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default();
        let name = memmem::find(line, b" name=").or_else(|| memmem::find(line, b";name=")).and_then(|name| {
            let value = line.get(name + 6..)?.trim_ascii_end();
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            value.split(|b| matches!(b, b'"' | b';')).next()
        });
        if !name.is_some_and(is_secret) {
            continue;
        }
        let head_end = [&b"\r\n\r\n"[..], b"\n\n"]
            .into_iter()
            .filter_map(|end| memmem::find(rest, end).map(|at| at + end.len()))
            .min();
        let Some(begin) = head_end else { continue };
        let content = rest.get(begin..).unwrap_or_default();
        let end = memmem::find(content, b"\n--").unwrap_or(content.len());
        push(text, at + begin..at + begin + end, out);
    }
}

/// Without white space around it, if anything is left.
fn push(text: &[u8], range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let value = text.get(range.clone()).unwrap_or_default();
    let begin = range.start + value.len() - value.trim_ascii_start().len();
    let end = begin + value.trim_ascii().len();
    if begin < end {
        out.push(begin..end);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn is_secret(name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(b"password")
    }

    #[test]
    fn elements_by_their_name() {
        for (text, found) in [
            ("<Password>s3cret</Password>", &["s3cret"][..]),
            ("<wsse:Password Type='x'> s3cret\n</wsse:Password>", &["s3cret"]),
            ("<password><![CDATA[s<3]]></password><user>u</user>", &["s<3"]),
            ("<password>unterminated", &["unterminated"]),
            ("<password/><a>b</a>", &[]),
            ("<password></password>", &[]),
            ("a < password > b", &[]),
            ("<passwords>x</passwords>", &[]),
        ] {
            let mut out = Vec::new();
            elements(text.as_bytes(), &is_secret, &mut out);
            let texts: Vec<&str> = out.into_iter().map(|range| &text[range]).collect();
            assert_eq!(texts, found, "{text}");
        }
    }

    #[test]
    fn parts_by_their_name() {
        let part =
            |head: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
        let file = part("filename=\"password\"; name=\"f\"", "kept");
        let text = part("name=\"user\"", "kept") + &part("name=\"password\"", "s3cret") + &file + "--b--\r\n";
        let mut out = Vec::new();
        parts(text.as_bytes(), &is_secret, &mut out);
        assert_eq!(out.into_iter().map(|range| &text[range]).collect::<Vec<_>>(), ["s3cret"]);
        let bare = "form-data; name=password\n\nunterminated";
        let mut out = Vec::new();
        parts(bare.as_bytes(), &is_secret, &mut out);
        assert_eq!(&bare[out[0].clone()], "unterminated");
    }
}
