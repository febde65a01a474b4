//! Route templates without knowledge: what looks like an identifier in a path becomes `{id}`.

use std::borrow::Cow;

use super::route::is_uuid;

/// The path (without query) with `{id}` in the place of every segment that looks like an identifier: a UUID, digits, long
/// hexadecimal numbers, long tokens that mix letters and digits, names with a number (`order-00017`). `v2` and words stay.
pub fn generic_template(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| is_id(segment.as_bytes())) {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').map(|segment| if is_id(segment.as_bytes()) { "{id}" } else { segment });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// Shorter hexadecimal numbers may be words: `cafe`, `feedface`.
const HEX: usize = 12;
/// Shorter mixtures may be names: `oauth2-callback`.
const TOKEN: usize = 16;
/// Shorter numbers behind a name may be its version.
const NUMBER: usize = 4;
/// Shorter ones with dots may be names of files; JSON Web Tokens are longer.
const DOTTED: usize = 40;

fn is_id(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    let hex = segment.iter().all(u8::is_ascii_hexdigit);
    let token = segment.iter().all(|b| b.is_ascii_alphanumeric() || b"-_~=+".contains(b));
    let dotted = segment.iter().all(|b| b.is_ascii_alphanumeric() || b"-_~=+.".contains(b));
    // Names of things have a number at their end at most (`genesys-cloud-v2`): tokens have digits throughout.
    let trailing = segment.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let mixed = digits > trailing || digits > 4;
    let numbered = trailing >= NUMBER && segment.iter().rev().nth(trailing).is_some_and(|b| b"-_".contains(b));
    digits == segment.len()
        || numbered
        || is_uuid(segment)
        || (hex && segment.len() >= HEX)
        || (token && mixed && segment.len() >= TOKEN)
        || (dotted && mixed && segment.len() >= DOTTED)
}

/// What names of one series have in common (`node-1` and `node-3`: `node-#`): the text with its numbers masked. `None`
/// where it has no number, or nothing beside: numbers alone may count or measure anything.
pub fn series(text: &str) -> Option<String> {
    let mut masked = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            c => masked.push(c),
        }
    }
    (masked.contains('#') && masked.chars().any(char::is_alphabetic)).then_some(masked)
}
