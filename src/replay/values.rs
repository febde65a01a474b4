//! Values that a server issues and a client sends back: channel ids, tokens, ETags, cookies. Where they stand in what
//! the server says ([`Place`]), so that at replay the value of the same place is carried on; and where they stand in
//! what the client sends ([`Use`]). PURE.
//!
//! A value counts as issued where the client had never sent it before: what a server echoes is the client's own.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use serde_json::Value;

use crate::model::{ExchangeId, SessionId, Timestamp, http::Head};

/// Shorter values are words and counts that occur anywhere.
const SHORTEST: usize = 6;
/// What has no digit in it is a word, unless it is at least so long.
const WORDLESS: usize = 20;
/// Longer values are documents.
const LONGEST: usize = 8 << 10;
/// Values of one answer that are looked at.
const MOST: usize = 512;
/// Bytes before a value in a text that is no JSON, which tell its place.
const CONTEXT: usize = 24;
/// From this length on a value may come from another session's answer: shorter ones are equal by chance.
const FOREIGN: usize = 16;

/// Where in an answer, or in a message of a socket, a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The cookie of that name.
    Cookie(String),
    /// A header, and which of its parts between separators; 0 is all of it.
    Header(String, usize),
    /// A place in the JSON of the body, and which of its parts; 0 is all of it.
    Body(String, usize),
    /// In a body that is no JSON, what follows this text.
    After(String),
    /// In the socket's message of that number, from 0: a place in its JSON, and which of its parts.
    Message(usize, String, usize),
}

/// A value and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Where.
    pub place: Place,
    /// What.
    pub value: String,
}

/// Whose answer a value stands in, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The exchange, or the one that opened the socket.
    pub exchange: ExchangeId,
    /// Where.
    pub place: Place,
}

/// A place in what the client sends that bears an issued value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where.
    pub range: Range<usize>,
    /// Whence.
    pub source: Source,
    /// Whether it is written percent-encoded.
    pub encoded: bool,
}

/// The headers of an answer that may issue values, beside `Set-Cookie`.
const HEADERS: &[&str] = &["location", "etag", "authorization", "last-modified", "content-location"];
/// Parts of names of headers that issue values.
const TELLING: &[&str] = &["token", "session", "csrf", "xsrf", "nonce", "-id", "key", "cursor"];

/// The values in an answer.
pub fn in_answer(head: &Head, body: &[u8]) -> Vec<Issued> {
    let mut found = Vec::new();
    for (name, value) in head.headers() {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = String::from_utf8_lossy(value);
        if name == "set-cookie" {
            if let Some((cookie, value)) = value.split(';').next().and_then(|pair| pair.split_once('=')) {
                push(&mut found, Place::Cookie(cookie.trim().to_owned()), value.trim());
            }
        } else if HEADERS.contains(&name.as_str()) || TELLING.iter().any(|part| name.contains(part)) {
            parts(&value, &mut |nth, part| push(&mut found, Place::Header(name.clone(), nth), part));
        }
    }
    let trimmed = body.trim_ascii_start();
    if trimmed.first().is_some_and(|b| matches!(b, b'{' | b'[' | b'"'))
        && let Ok(json) = serde_json::from_slice::<Value>(body)
    {
        leaves(&json, &mut String::new(), &mut |pointer, value| {
            parts(value, &mut |nth, part| push(&mut found, Place::Body(pointer.to_owned(), nth), part));
        });
    } else if let Ok(text) = std::str::from_utf8(body) {
        in_text(text, &mut found);
    }
    found
}

/// The values in a text message, the socket's `nth`.
pub fn in_message(nth: usize, text: &str) -> Vec<Issued> {
    let mut found = Vec::new();
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        leaves(&json, &mut String::new(), &mut |pointer, value| {
            parts(value, &mut |part_nth, part| {
                push(&mut found, Place::Message(nth, pointer.to_owned(), part_nth), part);
            });
        });
    }
    found
}

fn push(found: &mut Vec<Issued>, place: Place, value: &str) {
    if found.len() < MOST && is_telling(value) {
        found.push(Issued { place, value: value.to_owned() });
    }
}

/// Whether a value can be told from words and small numbers.
fn is_telling(value: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&value.len())
        && (value.len() >= WORDLESS || value.bytes().any(|b| b.is_ascii_digit()))
        && value.bytes().next().is_some_and(is_token)
        && !value.bytes().any(|b| b.is_ascii_whitespace())
}

/// A value as a whole, and where it is put together (a URL, a list), its parts.
fn parts(value: &str, each: &mut dyn FnMut(usize, &str)) {
    each(0, value);
    let separator = |c: char| matches!(c, '/' | '?' | '&' | '=' | ' ' | ',' | ';' | ':' | '"' | '#');
    if value.contains(separator) {
        value.split(separator).enumerate().for_each(|(nth, part)| each(nth + 1, part));
    }
}

fn leaves(json: &Value, pointer: &mut String, each: &mut dyn FnMut(&str, &str)) {
    let mut within = |key: &str, value: &Value, pointer: &mut String| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        leaves(value, pointer, each);
        pointer.truncate(length);
    };
    match json {
        Value::Object(map) => map.iter().for_each(|(key, value)| within(key, value, pointer)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| within(&at.to_string(), value, pointer));
        }
        Value::String(text) => each(pointer, text),
        Value::Number(number) => each(pointer, &number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Forms and pages: long values in quotes or between tags, each known by what stands before it.
fn in_text(text: &str, found: &mut Vec<Issued>) {
    let mut from = 0;
    for (range, token) in tokens(text.as_bytes()) {
        if range.start < from || token.len() < FOREIGN {
            continue;
        }
        let start = (range.start.saturating_sub(CONTEXT)..=range.start).find(|at| text.is_char_boundary(*at));
        let (Some(before), Ok(token)) = (start.and_then(|at| text.get(at..range.start)), std::str::from_utf8(token))
        else {
            continue;
        };
        let place = Place::After(before.to_owned());
        if before.len() >= 4 && !found.iter().any(|other| other.place == place) {
            push(found, place, token);
        }
        from = range.end;
    }
}

/// The bytes of which tokens are made: those that no encoding changes.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// The longest runs of token bytes.
fn tokens(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes.get(at..)?.iter().position(|b| is_token(*b))?;
        let rest = bytes.get(start..)?;
        let length = rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
        at = start + length;
        Some((start..at, rest.get(..length)?))
    })
}

/// What a value's first token is: under it the value is found again.
fn first_token(value: &[u8]) -> &[u8] {
    tokens(value).next().map(|(_, token)| token).unwrap_or_default()
}

/// A candidate: a value that somebody's answer held.
#[derive(Clone, Debug)]
struct Candidate {
    value: String,
    encoded: String,
    source: Source,
    session: SessionId,
    at: Timestamp,
}

/// All values that were issued, to be found again in what clients sent.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    by_token: HashMap<Vec<u8>, Vec<Candidate>>,
    /// When a client first sent a token.
    sent: HashMap<Vec<u8>, Timestamp>,
}

impl Origins {
    /// Something that a client sent.
    pub fn sent(&mut self, bytes: &[u8], at: Timestamp) {
        for (_, token) in tokens(bytes).filter(|(_, token)| token.len() >= SHORTEST) {
            match self.sent.get_mut(token) {
                Some(first) => *first = at.min(*first),
                None => {
                    self.sent.insert(token.to_vec(), at);
                }
            }
        }
    }

    /// Something that a server said to a session. All that clients sent must be known by then.
    pub fn issued(&mut self, session: SessionId, exchange: ExchangeId, at: Timestamp, values: &[Issued]) {
        for issued in values {
            let token = first_token(issued.value.as_bytes());
            // Short first tokens (of `a/1234567`) are no proof of an echo; the longest one is.
            let longest = tokens(issued.value.as_bytes()).map(|(_, token)| token).max_by_key(|token| token.len());
            if longest.and_then(|longest| self.sent.get(longest)).is_some_and(|sent| *sent < at) {
                continue;
            }
            let candidates = self.by_token.entry(token.to_vec()).or_default();
            // The first that said it issued it; later ones repeat it.
            if candidates.iter().any(|known| known.session == session && known.value == issued.value && known.at <= at)
            {
                continue;
            }
            candidates.push(Candidate {
                value: issued.value.clone(),
                encoded: percent_encoded(&issued.value),
                source: Source { exchange, place: issued.place.clone() },
                session,
                at,
            });
        }
    }

    /// Where what a session sent bears values that were issued before `at`, in order; they do not overlap.
    pub fn uses(&self, session: SessionId, bytes: &[u8], at: Timestamp) -> Vec<Use> {
        let mut found: Vec<Use> = Vec::new();
        for (range, token) in tokens(bytes) {
            if found.last().is_some_and(|last| last.range.end > range.start) {
                continue;
            }
            let Some(candidates) = self.by_token.get(token) else { continue };
            let fits = candidates.iter().filter(|candidate| {
                candidate.at <= at && (candidate.session == session || candidate.value.len() >= FOREIGN)
            });
            let best = fits
                .filter_map(|candidate| {
                    let (length, encoded) = occurs(candidate, bytes.get(range.start..)?)?;
                    Some((length, candidate.session == session, candidate, encoded))
                })
                .max_by_key(|(length, own, candidate, _)| (*length, *own, std::cmp::Reverse(candidate.at)));
            if let Some((length, _, candidate, encoded)) = best {
                found.push(Use { range: range.start..range.start + length, source: candidate.source.clone(), encoded });
            }
        }
        found
    }
}

/// How long the value is at the beginning of `bytes`, if it stands there and ends there, and whether it is encoded.
fn occurs(candidate: &Candidate, bytes: &[u8]) -> Option<(usize, bool)> {
    let stands = |value: &str| {
        let ends = bytes.get(value.len()).is_none_or(|next| !is_token(*next));
        (bytes.starts_with(value.as_bytes()) && ends).then_some(value.len())
    };
    let plain = stands(&candidate.value).map(|length| (length, false));
    plain.or_else(|| stands(&candidate.encoded).map(|length| (length, true)))
}

/// As in a query (RFC 3986, 2.1).
pub fn percent_encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_token(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Values as they came, by place.
pub type Values = BTreeMap<Place, String>;

/// Puts an answer's values in their places; of those wanted that stand behind a text, by that text.
pub fn learn(issued: Vec<Issued>, into: &mut Values) {
    for Issued { place, value } in issued {
        into.entry(place).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;
    use crate::{
        decode::http1::head::{Kind, parse_head},
        model::{Side, trace::ByteRange},
    };

    fn answer(head: &str, body: &str) -> Vec<Issued> {
        let raw = head.replace('\n', "\r\n") + "\r\n";
        let range = ByteRange { from: Side::Server, start: 0, end: raw.len() as u64 };
        in_answer(&parse_head(raw.as_bytes(), range, Kind::Response).0, body.as_bytes())
    }

    const S1: SessionId = SessionId(1);
    const S2: SessionId = SessionId(2);

    #[test]
    fn an_id_is_found_wherever_it_comes_back() {
        let values = answer(
            "HTTP/1.1 200 OK\nSet-Cookie: sid=abc123def; Path=/\nLocation: /v2/things/thing-77\n",
            r#"{"id":"channel-0001","connectUri":"wss://h/channels/channel-0001","n":[{"key":"q+1/2=345"}],"status":200}"#,
        );
        let mut origins = Origins::default();
        origins.issued(S1, ExchangeId(1), Timestamp(10), &values);
        let sent = b"GET /channels/channel-0001?k=q%2B1%2F2%3D345 HTTP/1.1\r\nCookie: sid=abc123def\r\n\r\n{\"t\":\"thing-77\"}";
        let uses = origins.uses(S1, sent, Timestamp(11));
        let shown: Vec<_> = uses
            .iter()
            .map(|u| (std::str::from_utf8(&sent[u.range.clone()]).unwrap(), &u.source.place, u.encoded))
            .collect();
        assert_eq!(
            shown,
            [
                ("channel-0001", &Place::Body("/id".into(), 0), false),
                ("q%2B1%2F2%3D345", &Place::Body("/n/0/key".into(), 0), true),
                ("abc123def", &Place::Cookie("sid".into()), false),
                ("thing-77", &Place::Header("location".into(), 4), false),
            ]
        );
        assert!(
            origins.uses(S1, sent, Timestamp(9)).is_empty(),
            "what was sent before it was issued is not carried on"
        );
        assert!(origins.uses(S2, b"channel-0001", Timestamp(11)).is_empty(), "short ones of other sessions are chance");
        assert!(origins.uses(S1, b"channel-00012 xchannel-0001", Timestamp(11)).is_empty(), "no parts of words");
    }

    #[test]
    fn an_echo_is_the_clients_own_value() {
        let mut origins = Origins::default();
        origins.sent(b"{\"correlation\":\"own-0123456\"}", Timestamp(1));
        origins.issued(S1, ExchangeId(1), Timestamp(2), &answer("HTTP/1.1 200 OK\n", r#"{"echo":"own-0123456"}"#));
        assert!(origins.uses(S1, b"own-0123456", Timestamp(3)).is_empty());
    }

    #[test]
    fn pages_issue_by_what_stands_before() {
        let page = r#"<input name="csrf" value="0123456789abcdef0123">"#;
        let values = answer("HTTP/1.1 200 OK\n", page);
        let [Issued { place: Place::After(before), value }] = values.as_slice() else { panic!("{values:?}") };
        assert_eq!(value, "0123456789abcdef0123");
        let later = answer("HTTP/1.1 200 OK\n", &page.replace('0', "9"));
        assert_eq!(later, [Issued { place: Place::After(before.clone()), value: "9123456789abcdef9123".into() }]);
    }

    #[test]
    fn messages_know_their_number() {
        let values = in_message(3, r#"{"registered":"agent-0042"}"#);
        assert_eq!(values, [Issued { place: Place::Message(3, "/registered".into(), 0), value: "agent-0042".into() }]);
        assert!(in_message(0, "no json agent-0042").is_empty());
    }
}
