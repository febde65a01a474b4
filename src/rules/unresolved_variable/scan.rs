//! Finds what templates leave behind in texts. One pass for each thing looked for, nothing allocated.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memmem};

use crate::{model::flag::Severity, rules::words};

/// A longer name is none.
const LONGEST: usize = 128;

/// Something that a template left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leak {
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
    /// Whether it is all of its value: a segment, a header's value, a JSON string.
    pub(super) whole: bool,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `${name}`
    Dollar,
    /// `%24%7Bname%7D`
    Encoded,
    /// `{{name}}`
    Braces,
    /// `%7B%7Bname%7D%7D`
    EncodedBraces,
    /// `<EOF>`
    EndOfFile,
    /// `NOT_FOUND`
    NotFound,
    /// `undefined`
    Undefined,
    /// `null`
    Null,
    /// `NaN`
    NotANumber,
    /// `[object Object]`
    Object,
    /// One that the profile names.
    Named,
}

impl Leak {
    fn new(at: Range<usize>, kind: Kind, of: usize) -> Self {
        let whole = at.len() == of;
        Self { at, kind, whole }
    }

    /// What it is, in words. Arguments of functions may be secrets and are left out.
    pub(super) fn words(&self, text: &[u8]) -> String {
        let raw = text.get(self.at.clone()).unwrap_or_default();
        let inner = |open: usize, close: usize| {
            let name = raw.get(open..raw.len().saturating_sub(close)).unwrap_or_default();
            match memchr(b'(', name) {
                Some(at) => format!("{}(…)", words::name(name.get(..at).unwrap_or_default())),
                None => words::name(without_spaces(name.trim_ascii())),
            }
        };
        match self.kind {
            Kind::Dollar => format!("the variable ${{{}}} was not resolved", inner(2, 1)),
            Kind::Encoded => format!("the variable ${{{}}} was not resolved (and then encoded)", inner(6, 3)),
            Kind::Braces => format!("the variable {{{{{}}}}} was not resolved", inner(2, 2)),
            Kind::EncodedBraces => {
                format!("the variable {{{{{}}}}} was not resolved (and then encoded)", inner(6, 6))
            }
            Kind::EndOfFile => "<EOF> is what a CSV Data Set gives at its end".to_owned(),
            Kind::NotFound => "NOT_FOUND is what extractors give by default".to_owned(),
            Kind::Undefined => "`undefined` is what scripts make of a variable without value".to_owned(),
            Kind::Null => "`null` is what scripts make of a variable without value".to_owned(),
            Kind::NotANumber => "`NaN` is what scripts make of a failed calculation".to_owned(),
            Kind::Object => "[object Object] is what scripts make of an object in a text".to_owned(),
            Kind::Named => format!("{} stands for a value that was not there", words::name(raw)),
        }
    }

    /// How bad it is where it could not be meant.
    pub(super) fn severity(&self) -> Severity {
        match self.kind {
            Kind::Dollar | Kind::Encoded | Kind::EndOfFile | Kind::Object => Severity::Error,
            Kind::Braces
            | Kind::EncodedBraces
            | Kind::Undefined
            | Kind::Null
            | Kind::NotANumber
            | Kind::NotFound
            | Kind::Named => Severity::Warning,
        }
    }
}

/// The first leak of a request target.
pub(super) fn target(target: &[u8], named: &[String]) -> Option<Leak> {
    // Most targets have no byte that a template's marks have, and no segment as long as a word of a script's.
    let odd = !named.is_empty() || target.iter().any(|b| matches!(b, b'$' | b'{' | b'<' | b'[' | b'%'));
    let query = memchr(b'?', target).unwrap_or(target.len());
    let mut start = 0;
    while start <= target.len() {
        let rest = target.get(start..).unwrap_or_default();
        let in_query = start > query;
        let length = rest.iter().position(|b| if in_query { *b == b'&' } else { matches!(b, b'/' | b'?') });
        let segment = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let value = if in_query { memchr(b'=', segment).map_or(segment.len(), |at| at + 1) } else { 0 };
        let bare = segment.get(value..).unwrap_or_default();
        let marked = || anywhere(bare).or_else(|| encoded(bare));
        let leak = if odd { whole(bare, in_query, named).or_else(marked) } else { word(bare, in_query) };
        if let Some(mut leak) = leak {
            leak.at = start + value + leak.at.start..start + value + leak.at.end;
            return Some(leak);
        }
        start += segment.len() + 1;
    }
    None
}

/// The first leak of a header's value.
pub(super) fn header(value: &[u8], named: &[String]) -> Option<Leak> {
    match value.len() {
        9 => match value {
            b"undefined" => return Some(Leak::new(0..9, Kind::Undefined, 9)),
            b"NOT_FOUND" => return Some(Leak::new(0..9, Kind::NotFound, 9)),
            _ => {}
        },
        0 => return None,
        _ => {}
    }
    if named.iter().any(|known| known.as_bytes() == value) {
        return Some(Leak::new(0..value.len(), Kind::Named, value.len()));
    }
    anywhere(value)
}

/// A word of a script's or an extractor's that is a whole segment of a path, or a whole value of a query.
fn word(text: &[u8], in_query: bool) -> Option<Leak> {
    let kind = match text {
        b"NaN" => Kind::NotANumber,
        // A query may say that it wants nothing.
        b"null" if !in_query => Kind::Null,
        b"undefined" => Kind::Undefined,
        b"NOT_FOUND" => Kind::NotFound,
        _ => return None,
    };
    Some(Leak::new(0..text.len(), kind, text.len()))
}

/// A whole segment of a path, or a whole value of a query.
fn whole(text: &[u8], in_query: bool, named: &[String]) -> Option<Leak> {
    let marked = || {
        let kind = match text.len() {
            9 if text.eq_ignore_ascii_case(b"%3CEOF%3E") => Kind::EndOfFile,
            _ if is_object(text) => Kind::Object,
            _ if named.iter().any(|known| known.as_bytes() == text) => Kind::Named,
            _ => return None,
        };
        Some(Leak::new(0..text.len(), kind, text.len()))
    };
    word(text, in_query).or_else(marked)
}

fn is_object(text: &[u8]) -> bool {
    (15..=21).contains(&text.len())
        && ["[object%20Object]", "[object+Object]", "%5Bobject%20Object%5D", "%5Bobject+Object%5D"]
            .iter()
            .any(|object| text.eq_ignore_ascii_case(object.as_bytes()))
}

/// What is a leak wherever it stands.
fn anywhere(text: &[u8]) -> Option<Leak> {
    let odd = |b: &u8| matches!(b, b'$' | b'{' | b'<' | b'[');
    if !text.iter().any(odd) {
        return None;
    }
    dollar(text)
        .or_else(|| braces(text))
        .or_else(|| literal(text, b"<EOF>", Kind::EndOfFile))
        .or_else(|| literal(text, b"[object Object]", Kind::Object))
}

fn literal(text: &[u8], literal: &[u8], kind: Kind) -> Option<Leak> {
    // To look for its first byte, which is rare, is quicker than to prepare a search.
    memchr(*literal.first()?, text)?;
    memmem::find(text, literal).map(|at| Leak::new(at..at + literal.len(), kind, text.len()))
}

/// `${name}`, `${__function(…)}`.
pub(super) fn dollar(text: &[u8]) -> Option<Leak> {
    memchr_iter(b'$', text).find_map(|at| {
        let rest = text.get(at + 1..)?.strip_prefix(b"{")?;
        let name = name(rest, b"}")?;
        Some(Leak::new(at..at + 2 + name + 1, Kind::Dollar, text.len()))
    })
}

/// `{{name}}`, spaces allowed.
fn braces(text: &[u8]) -> Option<Leak> {
    all_braces(text).next()
}

fn all_braces(text: &[u8]) -> impl Iterator<Item = Leak> {
    // Each pair once, as in a search for both.
    let mut next = 0;
    let pairs = memchr_iter(b'{', text).filter(move |at| {
        let is_pair = *at >= next && text.get(at + 1) == Some(&b'{');
        next = if is_pair { at + 2 } else { next };
        is_pair
    });
    pairs.filter_map(|at| {
        let rest = text.get(at + 2..)?;
        let name = name(rest, b"}}")?;
        let inner = rest.get(..name)?.trim_ascii();
        let plain = inner.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(b));
        plain.then(|| Leak::new(at..at + 2 + name + 2, Kind::Braces, text.len()))
    })
}

/// `%24%7Bname%7D`, `%7B%7Bname%7D%7D`.
fn encoded(text: &[u8]) -> Option<Leak> {
    memchr_iter(b'%', text).find_map(|at| {
        let open = text.get(at..at + 6)?;
        let (kind, close): (Kind, &[u8]) = if open.eq_ignore_ascii_case(b"%24%7B") {
            (Kind::Encoded, b"%7D")
        } else if open.eq_ignore_ascii_case(b"%7B%7B") {
            (Kind::EncodedBraces, b"%7D%7D")
        } else {
            return None;
        };
        let rest = text.get(at + 6..)?;
        let rest = rest.get(..LONGEST).unwrap_or(rest);
        let ends = |at: &usize| rest.get(*at..*at + close.len()).is_some_and(|end| end.eq_ignore_ascii_case(close));
        let length = memchr_iter(b'%', rest).find(ends)?;
        let sound = match kind {
            // As bare ones: what is within may be meant otherwise.
            Kind::EncodedBraces => is_plain(rest.get(..length)?),
            _ => length > 0,
        };
        sound.then(|| Leak::new(at..at + 6 + length + close.len(), kind, text.len()))
    })
}

/// Whether that is a name, with encoded spaces around it.
fn is_plain(encoded: &[u8]) -> bool {
    let name = without_spaces(encoded);
    let begins = name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    begins && name.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(b))
}

fn without_spaces(encoded: &[u8]) -> &[u8] {
    let mut name = encoded;
    while let Some(rest) = name.strip_prefix(b"%20").or_else(|| name.strip_prefix(b"+")) {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"%20").or_else(|| name.strip_suffix(b"+")) {
        name = rest;
    }
    name
}

/// How long the name is that ends before `close`. It begins with a letter or `_`, after spaces; behind a parenthesis
/// there may be anything but a line's end.
fn name(rest: &[u8], close: &[u8]) -> Option<usize> {
    let window = rest.get(..LONGEST).unwrap_or(rest);
    let length = memmem::find(window, close)?;
    let name = window.get(..length)?;
    let bare = name.trim_ascii();
    let first = *bare.first()?;
    let plain = bare.get(..memchr(b'(', bare).unwrap_or(bare.len()))?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_-.:# ".contains(b) || *b >= 0x80;
    let sound = (first.is_ascii_alphabetic() || first == b'_') && plain.iter().all(allowed);
    (sound && !name.contains(&b'\n')).then_some(length)
}

/// What a body is, as far as it changes what can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Json,
    Form,
    /// `<EOF>` may be an element.
    Xml,
    Text,
}

/// Whether two quotes stand nine bytes apart, and behind the first what both begin with.
fn has_string_of_nine(text: &[u8]) -> bool {
    memchr_iter(b'"', text).any(|at| text.get(at + 10) == Some(&b'"') && matches!(text.get(at + 1), Some(b'u' | b'N')))
}

/// The first leak of a body or a message.
pub(super) fn body(text: &[u8], language: Language, named: &[String]) -> Option<Leak> {
    if language == Language::Form {
        return form(text, named);
    }
    let value = |leak: Leak| {
        let whole = leak.whole || (language == Language::Json && Strings::default().is_value(text, &leak.at));
        Leak { whole, ..leak }
    };
    if let Some(leak) = dollar(text).or_else(|| literal(text, b"[object Object]", Kind::Object)) {
        return Some(value(leak));
    }
    if language == Language::Xml {
        return None;
    }
    if let Some(leak) = literal(text, b"<EOF>", Kind::EndOfFile) {
        return Some(value(leak));
    }
    if language == Language::Text {
        return None;
    }
    // In a longer string it is a template that is meant to be one (`Hello {{name}}`).
    let mut strings = Strings::default();
    if let Some(leak) = all_braces(text).find(|leak| strings.is_value(text, &leak.at)) {
        return Some(Leak { whole: true, ..leak });
    }
    let named = named.iter().map(|known| (known.as_bytes(), Kind::Named));
    let known = [(&b"undefined"[..], Kind::Undefined), (b"NOT_FOUND", Kind::NotFound)];
    // Both have nine bytes and are whole strings: most bodies have no string of that length.
    let known = known.into_iter().filter(|_| has_string_of_nine(text));
    known.into_iter().chain(named).find_map(|(literal, kind)| {
        let all = memmem::find_iter(text, literal).map(|at| at..at + literal.len());
        let mut values = all.filter(|at| is_quoted(text, at) && is_value(text, at.end + 1));
        values.next().map(|at| Leak { at, kind, whole: true })
    })
}

/// `name=value&…`; the first leak in any of it.
fn form(text: &[u8], named: &[String]) -> Option<Leak> {
    let quick = |b: &u8| matches!(b, b'$' | b'%' | b'<' | b'{' | b'[' | b'u' | b'N');
    if named.is_empty() && !text.iter().any(quick) {
        return None;
    }
    let mut start = 0;
    for pair in text.split(|b| *b == b'&') {
        let value = memchr(b'=', pair).map_or(pair.len(), |at| at + 1);
        let bare = pair.get(value..).unwrap_or_default();
        if let Some(mut leak) = whole(bare, true, named).or_else(|| anywhere(bare)).or_else(|| encoded(bare)) {
            leak.at = start + value + leak.at.start..start + value + leak.at.end;
            return Some(leak);
        }
        start += pair.len() + 1;
    }
    None
}

/// Whether quotes stand right around it, no escaped ones.
fn is_quoted(text: &[u8], at: &Range<usize>) -> bool {
    let before = |n: usize| at.start.checked_sub(n).and_then(|at| text.get(at));
    before(1) == Some(&b'"') && before(2) != Some(&b'\\') && text.get(at.end) == Some(&b'"')
}

/// How far a JSON text was looked through, and whether that is within a string.
#[derive(Default)]
struct Strings {
    at: usize,
    inside: bool,
}

impl Strings {
    /// Whether a place, behind those asked for before, is all of a string or lies outside of any.
    fn is_value(&mut self, text: &[u8], place: &Range<usize>) -> bool {
        while let Some(n) = text.get(self.at..place.start).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            let found = self.at + n;
            let escape = text.get(found) == Some(&b'\\');
            self.inside ^= !escape;
            self.at = found + 1 + usize::from(escape);
        }
        self.at = self.at.max(place.start);
        !self.inside || is_quoted(text, place)
    }
}

/// Whether what ends there is a value and not a key.
fn is_value(text: &[u8], end: usize) -> bool {
    text.get(end..).unwrap_or_default().trim_ascii_start().first() != Some(&b':')
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn shown(text: &str, leak: Option<Leak>) -> Option<(&str, bool)> {
        leak.map(|leak| (&text[leak.at.clone()], leak.whole))
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("/a/${id}/b", Some(("${id}", true))),
            ("/a-${id}", Some(("${id}", false))),
            ("/a?b=${__P(x,secret)}", Some(("${__P(x,secret)}", true))),
            ("/a?b=%24%7bid%7D&c=1", Some(("%24%7bid%7D", true))),
            ("/{{id}}/x", Some(("{{id}}", true))),
            ("/a/undefined", Some(("undefined", true))),
            ("/a/null/b", Some(("null", true))),
            ("/a?x=undefined", Some(("undefined", true))),
            ("/a/NOT_FOUND?x=1", Some(("NOT_FOUND", true))),
            ("/a/%3CEOF%3E", Some(("%3CEOF%3E", true))),
            ("/a/<EOF>", Some(("<EOF>", true))),
            ("/a/[object%20Object]", Some(("[object%20Object]", true))),
            ("/a/NaN", Some(("NaN", true))),
            ("/a?x=null", None),
            ("/a/undefined-things", None),
            ("/nullable/a", None),
            ("/a/$batch?$filter=x", None),
            ("/a?price=$5&x={1}", None),
            ("/a?q=%24%7B", None),
            ("/a/${}", None),
            ("", None),
        ] {
            assert_eq!(shown(text, target(text.as_bytes(), &[])), expected, "{text}");
        }
        let named = ["MISSING".to_owned()];
        assert_eq!(shown("/MISSING/a", target(b"/MISSING/a", &named)), Some(("MISSING", true)));
    }

    #[test]
    fn bodies() {
        use Language::{Form, Json, Text, Xml};
        for (language, text, expected) in [
            (Json, "{\"a\":\"${x}\"}", Some(("${x}", true))),
            (Json, "{\"a\":${x}}", Some(("${x}", true))),
            (Json, "{\"a\":\"b ${x} c\"}", Some(("${x}", false))),
            (Json, "{\"a\":\"{{x}}\"}", Some(("{{x}}", true))),
            (Json, "{\"a\":{{x}}}", Some(("{{x}}", true))),
            (Json, "{\"a\":\"Hello {{x}}\"}", None),
            (Json, "{\"a\":\"Hello, {{x}}, \\\"{{y}}\\\"\",\"b\":\"{{z}}\"}", Some(("{{z}}", true))),
            (Json, "{\"a\":\"b, ${x}, c\"}", Some(("${x}", false))),
            (Json, "{\"a\":\"it is, NOT_FOUND, undefined\"}", None),
            (Json, "{\"a\":\"undefined\"}", Some(("undefined", true))),
            (Json, "{\"undefined\":1}", None),
            (Json, "{\"a\":\"is undefined\"}", None),
            (Json, "{\"a\":\"it is \\\"undefined\\\"\"}", None),
            (Json, "{\"a\":null,\"b\":[null]}", None),
            (Json, "[\"NOT_FOUND\"]", Some(("NOT_FOUND", true))),
            (Json, "{\"a\":\"user-<EOF>\"}", Some(("<EOF>", false))),
            (Json, "{\"a\":{\"b\":{\"c\":1}}}", None),
            (Json, "{\"query\":\"query ($x: ID) { a(x: $x) { b } }\"}", None),
            (Xml, "<EOF></EOF>", None),
            (Xml, "<a>${x}</a>", Some(("${x}", false))),
            (Text, "hello {{x}}", None),
            (Text, "hello ${x}", Some(("${x}", false))),
            (Form, "a=%24%7Bx%7D&b=1", Some(("%24%7Bx%7D", true))),
            (Form, "a=1&b=undefined", Some(("undefined", true))),
            (Form, "undefined=1&b=null", None),
        ] {
            assert_eq!(shown(text, body(text.as_bytes(), language, &[])), expected, "{text}");
        }
    }

    #[test]
    fn words_hold_names_and_no_arguments() {
        let text = "${__P(token,secret)}";
        let leak = dollar(text.as_bytes()).unwrap();
        assert_eq!(leak.words(text.as_bytes()), "the variable ${__P(…)} was not resolved");
        let text = "/%24%7Bid%7D";
        let leak = target(text.as_bytes(), &[]).unwrap();
        assert_eq!(leak.words(text.as_bytes()), "the variable ${id} was not resolved (and then encoded)");
    }
}
