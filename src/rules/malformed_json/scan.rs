//! A validator for one JSON document (RFC 8259) that says what is wrong and where.
//!
//! One pass, no recursion, memory bounded by the document and by [`MAX_DEPTH`]. It judges as `serde_json` does (which
//! also refuses lone surrogates), except that duplicate keys are told and that nesting may go deeper.

use std::fmt;

/// What is deeper is not judged.
pub(super) const MAX_DEPTH: usize = 4096;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Bom,
    NotUtf8,
    Truncated,
    TrailingData,
    Merged,
    DuplicateKey,
    BadEscape,
    ControlCharacter,
    Unquoted,
    NotANumber,
    SingleQuotes,
    TrailingComma,
    LeadingZero,
    BadNumber,
    Comment,
    Unexpected,
    TooDeep,
}

impl Kind {
    /// Kebab-case, for messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Bom => "bom",
            Self::NotUtf8 => "not-utf8",
            Self::Truncated => "truncated",
            Self::TrailingData => "trailing-data",
            Self::Merged => "merged-documents",
            Self::DuplicateKey => "duplicate-key",
            Self::BadEscape => "bad-escape",
            Self::ControlCharacter => "control-character",
            Self::Unquoted => "unquoted",
            Self::NotANumber => "nan-or-infinity",
            Self::SingleQuotes => "single-quotes",
            Self::TrailingComma => "trailing-comma",
            Self::LeadingZero => "leading-zero",
            Self::BadNumber => "bad-number",
            Self::Comment => "comment",
            Self::Unexpected => "unexpected",
            Self::TooDeep => "too-deep",
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Empty => "there is no document",
            Self::Bom => "a byte order mark stands before the document",
            Self::NotUtf8 => "the bytes are not UTF-8",
            Self::Truncated => "the document ends before it is complete",
            Self::TrailingData => "something follows the document",
            Self::Merged => "a second document follows the first",
            Self::DuplicateKey => "an object has the same key twice",
            Self::BadEscape => "a backslash is followed by what JSON does not know",
            Self::ControlCharacter => "a string holds a raw control character",
            Self::Unquoted => "a word stands without quotes",
            Self::NotANumber => "NaN and Infinity are not JSON",
            Self::SingleQuotes => "a single quote stands where a double one must",
            Self::TrailingComma => "a comma is followed by a closing bracket",
            Self::LeadingZero => "a number begins with a zero that means nothing",
            Self::BadNumber => "a number is not written as JSON wants it",
            Self::Comment => "JSON has no comments",
            Self::Unexpected => "a character does not belong here",
            Self::TooDeep => "it is nested too deeply to be judged",
        }
    }
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// The byte, from 0.
    pub(super) offset: usize,
    /// From 1.
    pub(super) line: usize,
    /// In bytes, from 1.
    pub(super) column: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset, line, column } = self;
        write!(f, "{} at line {line}, column {column} (byte {offset}): {}", kind.as_str(), kind.words())
    }
}

/// Judges a document. A duplicate key is told where nothing else is wrong.
pub(super) fn check(text: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner { text, at: 0, open: Vec::new(), keys: Vec::new(), decoded: Vec::new(), duplicate: None };
    let wrong = match scanner.document() {
        Err(wrong) => wrong,
        Ok(()) => match scanner.duplicate {
            Some(offset) => (Kind::DuplicateKey, offset),
            None => return Ok(()),
        },
    };
    let (kind, offset) = wrong;
    let before = text.get(..offset).unwrap_or(text);
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    Err(Fault { kind, offset, line, column: 1 + before.len() - line_start })
}

/// How many bytes at the beginning are nothing but themselves in a string; looked at in steps, since nearly all are.
fn plain(text: &[u8]) -> usize {
    let whole = plain_steps::<64>(text);
    let whole = whole + plain_steps::<16>(text.get(whole..).unwrap_or_default());
    let rest = text.get(whole..).unwrap_or_default();
    whole + rest.iter().take(16).take_while(|b| !is_odd(**b)).count()
}

/// The same in steps of `N`: without a way out in the midst of one the compiler looks at all of it at once.
fn plain_steps<const N: usize>(text: &[u8]) -> usize {
    let (steps, _) = text.as_chunks::<N>();
    let is_plain = |step: &&[u8; N]| step.iter().fold(0, |odd, b| odd | u8::from(is_odd(*b))) == 0;
    steps.iter().take_while(is_plain).count() * N
}

/// Whether a byte in a string is to be looked at: not ASCII (negative), a control character, a quote, a backslash.
fn is_odd(byte: u8) -> bool {
    byte.cast_signed() < 0x20 || byte == b'"' || byte == b'\\'
}

type Judged<T = ()> = Result<T, (Kind, usize)>;

/// What a bracket opened.
#[derive(Clone, Copy)]
enum Open {
    Array,
    /// With the number of keys that were there before it.
    Object {
        keys: usize,
    },
}

/// A key's place: in the text as written, or, where it has escapes, decoded.
#[derive(Clone, Copy)]
struct Key {
    start: usize,
    end: usize,
    decoded: bool,
    offset: usize,
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    open: Vec<Open>,
    /// Of all objects that are open.
    keys: Vec<Key>,
    /// Keys with escapes, decoded.
    decoded: Vec<u8>,
    /// The first duplicate key's offset.
    duplicate: Option<usize>,
}

impl<'t> Scanner<'t> {
    fn document(&mut self) -> Judged {
        if self.text.starts_with(b"\xef\xbb\xbf") {
            return Err((Kind::Bom, 0));
        }
        // UTF-16 and UTF-32, with or without their mark.
        if self.text.starts_with(b"\xff\xfe") || self.text.starts_with(b"\xfe\xff") {
            return Err((Kind::NotUtf8, 0));
        }
        self.white();
        if self.at == self.text.len() {
            return Err((Kind::Empty, 0));
        }
        self.values()?;
        self.white();
        match self.peek() {
            None => Ok(()),
            Some(b'{' | b'[') => Err((Kind::Merged, self.at)),
            Some(_) => Err((self.kind_of_utf8(Kind::TrailingData), self.at)),
        }
    }

    /// One value with all that is in it.
    fn values(&mut self) -> Judged {
        loop {
            // At the begin of a value.
            self.white();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if self.open.len() == MAX_DEPTH {
                        return Err((Kind::TooDeep, self.at));
                    }
                    self.at += 1;
                    self.white();
                    if bracket == b'[' {
                        self.open.push(Open::Array);
                        if self.peek() != Some(b']') {
                            continue;
                        }
                    } else {
                        self.open.push(Open::Object { keys: self.keys.len() });
                        if self.peek() != Some(b'}') {
                            self.key()?;
                            continue;
                        }
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => self.word()?,
            }
            // Behind a value, or before the bracket that closes an empty one.
            loop {
                self.white();
                let Some(open) = self.open.last().copied() else { return Ok(()) };
                match (open, self.peek()) {
                    (Open::Array, Some(b']')) => {}
                    (Open::Object { keys }, Some(b'}')) => self.close_object(keys),
                    (_, Some(b',')) => {
                        let comma = self.at;
                        self.at += 1;
                        self.white();
                        if matches!((open, self.peek()), (Open::Array, Some(b']')) | (Open::Object { .. }, Some(b'}')))
                        {
                            return Err((Kind::TrailingComma, comma));
                        }
                        if matches!(open, Open::Object { .. }) {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return Err(self.wrong()),
                }
                self.at += 1;
                self.open.pop();
            }
        }
    }

    fn key(&mut self) -> Judged {
        let offset = self.at;
        match self.peek() {
            Some(b'"') => {}
            _ => return Err(self.wrong()),
        }
        let escaped = self.string()?;
        let (start, end) = (offset + 1, self.at - 1);
        let key = if escaped {
            let from = self.decoded.len();
            let raw = self.text.get(start..end).unwrap_or_default();
            unescape(raw, &mut self.decoded);
            Key { start: from, end: self.decoded.len(), decoded: true, offset }
        } else {
            Key { start, end, decoded: false, offset }
        };
        self.keys.push(key);
        self.white();
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.wrong()),
        }
    }

    /// Looks for duplicates among the keys of the object that closes, and forgets them.
    fn close_object(&mut self, first: usize) {
        let mut all = std::mem::take(&mut self.keys);
        let keys = all.get_mut(first..).unwrap_or_default();
        let decoded_from = keys.iter().find(|key| key.decoded).map(|key| key.start);
        if keys.len() > 1 {
            keys.sort_by(|a, b| self.name(*a).cmp(self.name(*b)).then(a.offset.cmp(&b.offset)));
            let twice = keys.windows(2).filter_map(|pair| match pair {
                [a, b] if self.name(*a) == self.name(*b) => Some(b.offset),
                _ => None,
            });
            self.duplicate = twice.chain(self.duplicate).min();
        }
        if let Some(from) = decoded_from {
            self.decoded.truncate(from);
        }
        all.truncate(first);
        self.keys = all;
    }

    fn name(&self, key: Key) -> &[u8] {
        let text = if key.decoded { &self.decoded } else { self.text };
        text.get(key.start..key.end).unwrap_or_default()
    }

    /// A string, from its opening quote to behind its closing one. Tells whether it has escapes.
    fn string(&mut self) -> Judged<bool> {
        let begin = self.at + 1;
        let mut escaped = false;
        let mut ascii = true;
        self.at = begin;
        loop {
            self.at += plain(self.rest());
            match self.peek() {
                None => return Err(self.utf8(begin).err().unwrap_or((Kind::Truncated, self.text.len()))),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(..0x20) => {
                    let control = (Kind::ControlCharacter, self.at);
                    return Err(if ascii { control } else { self.utf8(begin).err().unwrap_or(control) });
                }
                Some(byte) => {
                    ascii &= byte.is_ascii();
                    self.at += 1;
                }
            }
        }
        if !ascii {
            self.utf8(begin)?;
        }
        self.at += 1;
        Ok(escaped)
    }

    fn utf8(&self, begin: usize) -> Judged {
        match std::str::from_utf8(self.text.get(begin..self.at).unwrap_or_default()) {
            Ok(_) => Ok(()),
            Err(error) => Err((Kind::NotUtf8, begin + error.valid_up_to())),
        }
    }

    fn escape(&mut self) -> Judged {
        let backslash = self.at;
        match self.text.get(self.at + 1) {
            None => Err((Kind::Truncated, self.text.len())),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let first = self.hex(backslash)?;
                match first {
                    0xd800..=0xdbff => {
                        let low = self.at;
                        match self.text.get(low..low + 2) {
                            Some(b"\\u") => {}
                            _ if self.text.len() < low + 2
                                && b"\\u".starts_with(self.text.get(low..).unwrap_or_default()) =>
                            {
                                return Err((Kind::Truncated, self.text.len()));
                            }
                            _ => return Err((Kind::BadEscape, backslash)),
                        }
                        match self.hex(low)? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => Err((Kind::BadEscape, backslash)),
                        }
                    }
                    0xdc00..=0xdfff => Err((Kind::BadEscape, backslash)),
                    _ => Ok(()),
                }
            }
            Some(_) => Err((Kind::BadEscape, backslash)),
        }
    }

    /// `\uXXXX` at `backslash`; goes behind it.
    fn hex(&mut self, backslash: usize) -> Judged<u32> {
        let mut value = 0;
        for at in backslash + 2..backslash + 6 {
            let byte = self.text.get(at).ok_or((Kind::Truncated, self.text.len()))?;
            let digit = char::from(*byte).to_digit(16).ok_or((Kind::BadEscape, backslash))?;
            value = value * 16 + digit;
        }
        self.at = backslash + 6;
        Ok(value)
    }

    fn number(&mut self) -> Judged {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.rest().starts_with(b"Infinity") || self.rest().starts_with(b"NaN") {
                return Err((Kind::NotANumber, begin));
            }
        }
        let digits = self.digits();
        let zero = digits > 1 && self.text.get(self.at - digits) == Some(&b'0');
        if digits == 0 {
            return Err(self.number_fault(begin));
        }
        if zero {
            return Err((Kind::LeadingZero, begin));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.number_fault(begin));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.number_fault(begin));
            }
        }
        match self.peek() {
            Some(b'.' | b'+' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z') => Err((Kind::BadNumber, begin)),
            _ => Ok(()),
        }
    }

    fn number_fault(&self, begin: usize) -> (Kind, usize) {
        match self.peek() {
            None => (Kind::Truncated, self.text.len()),
            Some(_) => (Kind::BadNumber, begin),
        }
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// `true`, `false`, `null`, or what is wrong instead.
    fn word(&mut self) -> Judged {
        for word in [&b"true"[..], b"false", b"null"] {
            let rest = self.rest();
            if rest.starts_with(word) {
                if rest.get(word.len()).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                    return Err((Kind::Unquoted, self.at));
                }
                self.at += word.len();
                return Ok(());
            }
            if !rest.is_empty() && word.starts_with(rest) {
                return Err((Kind::Truncated, self.text.len()));
            }
        }
        Err(self.wrong())
    }

    /// What is wrong with the byte at hand.
    fn wrong(&self) -> (Kind, usize) {
        let rest = self.rest();
        let kind = match rest.first() {
            None => return (Kind::Truncated, self.text.len()),
            Some(b'\'') => Kind::SingleQuotes,
            Some(b'/') if matches!(rest.get(1), Some(b'/' | b'*')) => Kind::Comment,
            Some(b'+' | b'.') if rest.get(1).is_some_and(u8::is_ascii_digit) => Kind::BadNumber,
            Some(_) if rest.starts_with(b"NaN") || rest.starts_with(b"Infinity") || rest.starts_with(b"+Infinity") => {
                Kind::NotANumber
            }
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => Kind::Unquoted,
            Some(_) => self.kind_of_utf8(Kind::Unexpected),
        };
        (kind, self.at)
    }

    /// `otherwise`, unless the bytes at hand are not even UTF-8.
    fn kind_of_utf8(&self, otherwise: Kind) -> Kind {
        let character = self.rest().get(..4).unwrap_or_else(|| self.rest());
        match std::str::from_utf8(character) {
            Err(error) if error.valid_up_to() == 0 => Kind::NotUtf8,
            _ if self.peek() == Some(0) => Kind::NotUtf8,
            _ => otherwise,
        }
    }

    fn white(&mut self) {
        let count = self.rest().iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += count;
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}

/// The string that `raw` writes with escapes, which are known to be sound.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let hex =
        |at: usize| raw.get(at..at + 4)?.iter().try_fold(0, |value, b| Some(value * 16 + char::from(*b).to_digit(16)?));
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let escape = raw.get(at).copied().unwrap_or_default();
        at += 1;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex(at).unwrap_or_default();
                at += 4;
                if let (0xd800..=0xdbff, Some(low)) = (code, hex(at + 2)) {
                    code = 0x10000 + ((code - 0xd800) << 10) + low.saturating_sub(0xdc00);
                    at += 6;
                }
                let mut buffer = [0; 4];
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_with_its_place() {
        for (text, kind, offset) in [
            ("", Kind::Empty, 0),
            (" \n", Kind::Empty, 0),
            ("\u{feff}{}", Kind::Bom, 0),
            ("{\"a\":1", Kind::Truncated, 6),
            ("{\"a\":", Kind::Truncated, 5),
            ("{\"a", Kind::Truncated, 3),
            ("{\"a\\", Kind::Truncated, 4),
            ("{\"a\":tr", Kind::Truncated, 7),
            ("{\"a\":\"\\u12", Kind::Truncated, 10),
            ("[1,", Kind::Truncated, 3),
            ("-", Kind::Truncated, 1),
            ("1.", Kind::Truncated, 2),
            ("{\"a\":1}}", Kind::TrailingData, 7),
            ("{\"a\":1} x", Kind::TrailingData, 8),
            ("{\"a\":1}{\"b\":2}", Kind::Merged, 7),
            ("{\"a\":1}\n{\"b\":2}", Kind::Merged, 8),
            ("{\"a\":1,\"a\":2}", Kind::DuplicateKey, 7),
            ("{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":1}}", Kind::DuplicateKey, 18),
            ("{\"\\ud83d\\ude00\":1,\"😀\":1}", Kind::DuplicateKey, 18),
            (r#"{"re":"\d+"}"#, Kind::BadEscape, 7),
            (r#"["\ud800"]"#, Kind::BadEscape, 2),
            (r#"["\udc00"]"#, Kind::BadEscape, 2),
            (r#"["\u12g4"]"#, Kind::BadEscape, 2),
            ("[\"a\nb\"]", Kind::ControlCharacter, 3),
            ("{a:1}", Kind::Unquoted, 1),
            ("{\"a\":undefined}", Kind::Unquoted, 5),
            ("{\"a\":True}", Kind::Unquoted, 5),
            ("{\"a\":nulls}", Kind::Unquoted, 5),
            ("[NaN]", Kind::NotANumber, 1),
            ("[-Infinity]", Kind::NotANumber, 1),
            ("{'a':1}", Kind::SingleQuotes, 1),
            ("[1,]", Kind::TrailingComma, 2),
            ("{\"a\":1, }", Kind::TrailingComma, 6),
            ("[01]", Kind::LeadingZero, 1),
            ("[-00]", Kind::LeadingZero, 1),
            ("[1.x]", Kind::BadNumber, 1),
            ("[.5]", Kind::BadNumber, 1),
            ("[+1]", Kind::BadNumber, 1),
            ("[0x1F]", Kind::BadNumber, 1),
            ("[1 // one\n]", Kind::Comment, 3),
            ("{\"a\":${x}}", Kind::Unexpected, 5),
            ("[,]", Kind::Unexpected, 1),
            ("[1 2]", Kind::Unexpected, 3),
            ("{\"a\" 1}", Kind::Unexpected, 5),
            ("{\"a\":1 \"b\":2}", Kind::Unexpected, 7),
            ("{,}", Kind::Unexpected, 1),
            ("[1}", Kind::Unexpected, 2),
            ("]", Kind::Unexpected, 0),
        ] {
            let fault = check(text.as_bytes()).expect_err(text);
            assert_eq!((fault.kind, fault.offset), (kind, offset), "{text}");
            if kind != Kind::DuplicateKey {
                assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
            }
        }
        for (text, kind, offset) in [
            (&b"{\"n\":\"caf\xe9\"}"[..], Kind::NotUtf8, 9),
            (b"\xff\xfe{\0}\0", Kind::NotUtf8, 0),
            (b"[\xe9]", Kind::NotUtf8, 1),
            (b"{\0\"\0", Kind::NotUtf8, 1),
            (b"[\"\xe9", Kind::NotUtf8, 2),
        ] {
            let fault = check(text).unwrap_err();
            assert_eq!((fault.kind, fault.offset), (kind, offset), "{text:?}");
        }
    }

    #[test]
    fn sound_documents_pass() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "{ }",
            "0",
            "-0",
            "1.5e+10",
            "\"\"",
            "null",
            "true",
            "[[],{},[{}]]",
            r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#,
            r#"["\"\\\/\b\f\n\r\tA😀é"]"#,
            "[\"\u{7f}\"]",
            "{\"a\" : 1 , \"b\" :\r\n\t2}",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_place_is_line_and_column() {
        let fault = check(b"{\n  \"a\": 1,\n  \"b\": x\n}").unwrap_err();
        assert_eq!((fault.line, fault.column), (3, 8));
        assert_eq!(fault.to_string(), "unquoted at line 3, column 8 (byte 19): a word stands without quotes");
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(check("[".repeat(MAX_DEPTH + 1).as_bytes()).unwrap_err().kind, Kind::TooDeep);
        let sound = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(check(sound.as_bytes()), Ok(()));
    }

    #[test]
    fn a_million_keys_are_no_trouble() {
        let many: String = (0..100_000).map(|n| format!("\"\\u0061{n}\":[,],").replace("[,]", "[]")).collect();
        assert_eq!(check(format!("{{{many}\"z\":0}}").as_bytes()), Ok(()));
    }

    mod oracle {
        use proptest::prelude::*;

        use super::*;

        fn document() -> impl Strategy<Value = serde_json::Value> {
            let leaf = prop_oneof![
                Just(serde_json::Value::Null),
                any::<bool>().prop_map(Into::into),
                any::<i64>().prop_map(Into::into),
                any::<f64>().prop_map(|f| serde_json::json!(f)),
                ".*".prop_map(Into::into),
            ];
            leaf.prop_recursive(4, 32, 6, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                    prop::collection::btree_map("[a-c\\\\\"é]{0,2}", inner, 0..6)
                        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
                ]
            })
        }

        /// Whether serde_json takes it; `None` where it refuses for a reason that is not ours (number range, depth).
        fn taken(text: &[u8]) -> Option<bool> {
            match serde_json::from_slice::<serde_json::Value>(text) {
                Ok(_) => Some(true),
                Err(error) if ["out of range", "recursion"].iter().any(|s| error.to_string().contains(s)) => None,
                Err(_) => Some(false),
            }
        }

        fn agrees(text: &[u8]) {
            let ours = match check(text) {
                Err(Fault { kind: Kind::DuplicateKey, .. }) | Ok(()) => true,
                Err(Fault { kind: Kind::TooDeep, .. }) => return,
                Err(_) => false,
            };
            if let Some(theirs) = taken(text) {
                assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(text));
            }
        }

        proptest! {
            #[test]
            fn what_serde_writes_is_sound(document in document(), pretty: bool) {
                let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
                prop_assert_eq!(check(&text.unwrap()), Ok(()));
            }

            #[test]
            fn mutated_documents_are_judged_as_serde_does(document in document(),
                    edits in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..3, "[ \\[\\]{}\",:0-9eE+.\\\\/'nulltrefas\u{1}\u{e9}-]"), 1..4)) {
                let mut text = serde_json::to_vec(&document).unwrap();
                for (at, how, with) in edits {
                    let at = at.index(text.len() + 1);
                    match how {
                        0 => { text.splice(at..at, with.bytes()); }
                        1 if at < text.len() => { text.remove(at); }
                        _ if at < text.len() => { text[at] = with.as_bytes()[0]; }
                        _ => {}
                    }
                }
                agrees(&text);
                agrees(&text[..text.len() / 2]);
            }

            #[test]
            fn anything_is_judged_as_serde_does(text in "[ \\[\\]{}\",:0-2eE+.\\\\u/'nulltrefas\u{1}\u{e9}-]{0,12}", raw: Vec<u8>) {
                agrees(text.as_bytes());
                agrees(&raw);
            }
        }
    }
}
