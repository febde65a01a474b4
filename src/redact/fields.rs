//! Fields whose name ends at a colon: JSON's, also those of JSON within a JSON string, and those of what was meant to be
//! JSON or is another notation: names in single quotes (Python) or in none (scripts, Groovy, YAML), values without their
//! quotes. Malformed bodies are what is looked at here most of all, so that a secret must be found in them, too. PURE.
//!
//! A name without quotes may be a word of a sentence (`Unexpected token: }`): it is one only where a sentence has none,
//! at the begin of a line or behind a bracket.

use std::ops::Range;

use memchr::memchr_iter;

use super::{
    credentials::{self, credentials},
    nothing::is_nothing,
    places::{LONGEST_NAME, Places, Secret, plain, push},
};

/// A name that ends at a colon.
struct Name<'t> {
    begin: usize,
    bytes: &'t [u8],
    place: Place,
}

/// Where a name stands, and so what a value without quotes may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In double quotes.
    Quoted,
    /// In single quotes, or in none behind a comma: what follows without quotes may be a sentence.
    Doubtful,
    /// Behind a bracket.
    Opened,
    /// At the begin of a line.
    Line,
    /// The same, where the line's end is written as `\n`.
    EscapedLine,
    /// Right behind a quote that does not end before the colon: `"Authorization: …"`.
    Head,
}

/// What follows a colon.
enum Value {
    /// A string; one without end goes to the text's end.
    String(Range<usize>),
    /// A list whose first element begins there.
    List(usize),
    /// Something else begins there.
    Other(usize),
}

impl Places {
    /// Every colon may follow a name. (Colons are fewer than quotes.)
    pub(super) fn fields(&self, text: &[u8], out: &mut Vec<Secret>) {
        let mut done = 0;
        for colon in memchr_iter(b':', text) {
            let before = text.get(..colon).unwrap_or_default().trim_ascii_end();
            let name = match before.last() {
                Some(quote @ (b'"' | b'\'')) => self.quoted_name(before, *quote),
                Some(last) if last.is_ascii_alphanumeric() => self.bare_name(before),
                _ => None,
            };
            let Some(name) = name.filter(|name| name.begin >= done) else { continue };
            let value = match value_behind(text, colon + 1) {
                Value::String(range) if name.place != Place::Head => range,
                Value::List(from) => {
                    done = strings_of(text, from, out);
                    continue;
                }
                Value::String(Range { start, .. }) | Value::Other(start) => match bare_value(text, colon, start, &name)
                {
                    Some(range) => range,
                    None => continue,
                },
            };
            done = value.end;
            if plain(name.bytes) == b"authorization" {
                let mut inner = Vec::new();
                credentials(text.get(value.clone()).unwrap_or_default(), &mut inner);
                out.extend(inner.into_iter().map(|secret| {
                    let range = value.start + secret.range.start..value.start + secret.range.end;
                    secret.moved(range)
                }));
            } else {
                push(out, value);
            }
        }
    }

    /// A secret's name in quotes, which may be escaped.
    fn quoted_name<'t>(&self, before: &'t [u8], quote: u8) -> Option<Name<'t>> {
        let before = before.split_last()?.1;
        let escapes = before.iter().rev().take_while(|b| **b == b'\\').count();
        let before = before.get(..before.len() - escapes)?;
        let is_name = |b: &&u8| **b != quote && **b != b'\\';
        let length = before.iter().rev().take(LONGEST_NAME + 1).take_while(is_name).count();
        let begin = before.len() - length;
        let (rest, bytes) = before.split_at_checked(begin)?;
        let place = if quote == b'"' { Place::Quoted } else { Place::Doubtful };
        (rest.last() == Some(&quote) && self.is_secret(bytes, false)).then_some(Name { begin, bytes, place })
    }

    /// A secret's name without quotes.
    fn bare_name<'t>(&self, before: &'t [u8]) -> Option<Name<'t>> {
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let length = before.iter().rev().take(LONGEST_NAME + 3).take_while(is_name).count();
        let mut begin = before.len() - length;
        let escaped = begin > 0 && before.get(begin - 1) == Some(&b'\\');
        if escaped && matches!(before.get(begin), Some(b'n' | b'r' | b't')) {
            begin += 1;
        }
        // `- password: …`, an item of a list.
        let bytes = before.get(begin..)?;
        if !self.is_secret(bytes, false) {
            return None;
        }
        let begin = begin + bytes.iter().take_while(|b| **b == b'-').count();
        let ahead = before.get(..begin).unwrap_or_default();
        let blanks = ahead.iter().rev().take_while(|b| matches!(b, b' ' | b'\t' | b'-')).count();
        let place = match ahead.get(..ahead.len() - blanks)?.last() {
            _ if escaped => Place::EscapedLine,
            None | Some(b'\n' | b'\r') => Place::Line,
            Some(b'n' | b'r') if ahead.get(..ahead.len() - blanks - 1)?.last() == Some(&b'\\') => Place::EscapedLine,
            Some(b'{' | b'[' | b'(') => Place::Opened,
            Some(b',') => Place::Doubtful,
            Some(b'"' | b'\'') if blanks == 0 && plain(bytes) == b"authorization" => Place::Head,
            _ => return None,
        };
        Some(Name { begin, bytes, place })
    }
}

/// A value without quotes: a secret that lacks them, no word of a language, and no variable.
fn bare_value(text: &[u8], colon: usize, begin: usize, name: &Name<'_>) -> Option<Range<usize>> {
    let rest = text.get(begin..)?;
    let is_end = |b: &u8| matches!(b, b'\n' | b'\r');
    // What is opened here has an end of its own; what is in it has names.
    let is_opening = matches!(rest.first()?, b'{' | b'[' | b'|' | b'>' | b'&' | b'*' | b'!');
    let is_of_the_next_line = name.place == Place::Line && text.get(colon..begin)?.iter().any(is_end);
    if is_opening || is_of_the_next_line {
        return None;
    }
    let ends: &[u8] = match name.place {
        Place::Line => b"",
        Place::EscapedLine => b"\\\"",
        Place::Head => b"\"'\\",
        Place::Quoted | Place::Doubtful | Place::Opened => b",}])\"",
    };
    let length = rest.iter().position(|b| is_end(b) || ends.contains(b)).unwrap_or(rest.len());
    let value = rest.get(..length)?.trim_ascii_end();
    let value = value.strip_suffix(b",").unwrap_or(value);
    let is_missing = matches!(value, b"true" | b"false" | b"") || is_nothing(value);
    let is_harmless = match name.place {
        Place::Quoted | Place::Opened => is_variable(value),
        Place::Doubtful => is_variable(value) || value.iter().all(|b| b.is_ascii_alphabetic() || !b.is_ascii_graphic()),
        Place::Head => !credentials::begins(value),
        Place::Line | Place::EscapedLine => is_declared(value, text.get(..begin)?),
    };
    (!is_missing && !is_harmless).then_some(begin..begin + value.len())
}

/// `$name` is a variable of GraphQL's, and `${name` one whose bracket was taken for the end of the value.
fn is_variable(value: &[u8]) -> bool {
    value.strip_prefix(b"$").is_some_and(|name| {
        let name = name.strip_prefix(b"{").unwrap_or(name);
        name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    })
}

/// How far before its use a variable's declaration is looked for.
const DECLARED_WITHIN: usize = 4096;

/// A variable of GraphQL's that was declared (`$name: String!`) before: a password may begin with `$`, too.
fn is_declared(value: &[u8], before: &[u8]) -> bool {
    let Some(rest) = value.strip_prefix(b"$") else { return false };
    let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let (name, behind) = rest.split_at_checked(length).unwrap_or_default();
    let is_end = |b: &u8| matches!(b, b' ' | b')' | b'}' | b'{' | b',' | b']');
    if name.is_empty() || name.len() > LONGEST_NAME || !behind.iter().all(is_end) {
        return false;
    }
    let declaration = [b"$", name, b":"].concat();
    let near = before.get(before.len().saturating_sub(DECLARED_WITHIN)..).unwrap_or_default();
    memchr::memmem::find(near, &declaration).is_some()
}

/// What follows a colon.
fn value_behind(text: &[u8], from: usize) -> Value {
    let white = text.get(from..).unwrap_or_default().iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    let begin = from + white.count();
    let escapes = text.get(begin..).unwrap_or_default().iter().take_while(|b| **b == b'\\').count();
    match text.get(begin + escapes) {
        Some(quote @ (b'"' | b'\'')) => {
            let open = begin + escapes + 1;
            let close = closing_quote(text, open, *quote, escapes);
            let tail = close.map_or(0, |close| escapes.min(close - open));
            Value::String(open..close.unwrap_or(text.len()) - tail)
        }
        Some(b'[') => Value::List(begin + 1),
        _ => Value::Other(begin),
    }
}

/// The quote that closes a string whose opening quote had `escapes` backslashes before it.
fn closing_quote(text: &[u8], from: usize, quote: u8, escapes: usize) -> Option<usize> {
    memchr_iter(quote, text.get(from..)?).map(|at| from + at).find(|at| {
        let before = text.get(from..*at).unwrap_or_default().iter().rev().take_while(|b| **b == b'\\').count();
        if escapes == 0 { before % 2 == 0 } else { before <= escapes }
    })
}

/// The strings of a list that begins there, up to what is none; where they end.
fn strings_of(text: &[u8], from: usize, out: &mut Vec<Secret>) -> usize {
    let mut at = from;
    loop {
        let between = |b: &&u8| b.is_ascii_whitespace() || **b == b',';
        let begin = at + text.get(at..).unwrap_or_default().iter().take_while(between).count();
        let escapes = text.get(begin..).unwrap_or_default().iter().take_while(|b| **b == b'\\').count();
        let Some(quote @ (b'"' | b'\'')) = text.get(begin + escapes) else { return begin };
        let open = begin + escapes + 1;
        let close = closing_quote(text, open, *quote, escapes);
        let end = close.map_or(text.len(), |close| close - escapes.min(close - open));
        push(out, open..end);
        at = match close {
            Some(close) => close + 1,
            None => return text.len(),
        };
    }
}
