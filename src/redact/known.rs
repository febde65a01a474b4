//! All secrets of a capture, to be found wherever they stand, in whatever form they travel: as they are, percent-encoded
//! (wholly or in part), escaped in JSON, in Base64 of either alphabet and at any alignment. Filled first, then searched; memory is some 40
//! bytes for each form of each value, whatever its length.
//!
//! A value is known by its last eight bytes (tokens share their first ones: `eyJhbGci…`), its length and a hash. Where
//! none can end, the search goes on by up to six bytes at once (Wu and Manber, *A fast algorithm for multi-pattern
//! searching*, 1994, from the end to the begin); a bitmap says no at nearly every other place.

use std::{collections::HashSet, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Digest, places::Secret, quick_hash};

/// Shorter values would be found where they mean nothing: they are replaced at named places only.
pub(super) const SHORTEST: usize = 8;
/// Longer values than this are replaced at named places only.
const LONGEST: usize = 64 << 10;
/// Longer ones get no Base64 forms.
const LONGEST_ENCODED: usize = 4096;
/// Longer words are not decoded: no URL is.
const LONGEST_TOKEN: usize = 256 << 10;
/// How often a word is decoded.
const LEVELS: usize = 3;
/// How many bytes one search may compare, beside 64 for each byte that it looks through.
const COMPARISONS: usize = 1 << 20;

/// One form of one value.
#[derive(Clone, Copy)]
struct Form {
    tail: u64,
    length: usize,
    hash: u64,
    kind: &'static str,
    digest: Digest,
}

/// Values as they are collected.
#[derive(Default)]
pub(super) struct Gathered {
    values: HashSet<Digest>,
    forms: Vec<Form>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Known {
    forms: Vec<Form>,
    bits: Vec<u64>,
    shift: u32,
    steps: Steps,
}

/// How far the search may go on, by the first bytes of the eight at hand.
#[derive(Default)]
struct Steps {
    /// By the hash of three bytes: how many bytes before them the nearest form's last eight would begin.
    by_triple: Vec<u8>,
    shift: u32,
}

/// Where three bytes stand in none of the forms' last eight, the next place is behind all that hold them.
const FARTHEST: u8 = 6;

impl Gathered {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Adds a value in all its forms, and in one more (`said`), if it is new and of a length that can be found again.
    pub(super) fn add(&mut self, kind: &'static str, value: &[u8], digest: Digest, said: &[u8]) {
        // What is short when it is unescaped may be long enough as it was said.
        let longest = value.len().max(said.len());
        if !(SHORTEST..=LONGEST).contains(&longest) || !self.values.insert(digest) {
            return;
        }
        let mut forms: Vec<Vec<u8>> = vec![value.to_vec(), said.to_vec()];
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if !value.iter().all(is_plain) {
            let json = serde_json::to_string(&String::from_utf8_lossy(value)).unwrap_or_default();
            let json = json.trim_matches('"');
            forms.push(json.as_bytes().to_vec());
            forms.push(json.replace('/', "\\/").into_bytes());
            // As Gson writes them, which is what JMeter scripts use.
            let mut gson = json.replace('=', "\\u003d").replace('&', "\\u0026");
            gson = gson.replace('<', "\\u003c").replace('>', "\\u003e").replace('\'', "\\u0027");
            forms.push(gson.into_bytes());
            forms.extend(in_ascii(json));
            forms.extend(in_markup(value));
            // As forms write a space.
            forms.push(value.iter().map(|b| if *b == b' ' { b'+' } else { *b }).collect());
        }
        // As it was said, too: what looks escaped may be none.
        let other = Some(said).filter(|said| *said != value);
        for bytes in [Some(value), other].into_iter().flatten().filter(|bytes| bytes.len() <= LONGEST_ENCODED) {
            for shift in 0..3 {
                let form = in_base64(bytes, shift);
                let other: Vec<u8> = form
                    .iter()
                    .map(|b| {
                        if *b == b'+' {
                            b'-'
                        } else if *b == b'/' {
                            b'_'
                        } else {
                            *b
                        }
                    })
                    .collect();
                forms.push(form);
                forms.push(other);
            }
        }
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_unstable();
        forms.dedup();
        for form in forms {
            if let Some(tail) = tail_of(&form, form.len()) {
                self.forms.push(Form { tail, length: form.len(), hash: quick_hash(&form), kind, digest });
            }
        }
    }

    /// Ready to be searched.
    pub(super) fn finish(self) -> Known {
        let mut forms = self.forms;
        // The longest of those with the same end comes first.
        forms.sort_unstable_by_key(|form| (form.tail, std::cmp::Reverse(form.length), form.digest));
        forms.dedup_by_key(|form| (form.tail, form.length, form.hash));
        let bits = (forms.len() * 64).next_power_of_two().clamp(1 << 15, 1 << 27);
        let mut known = Known {
            forms: Vec::new(),
            bits: vec![0; bits / 64],
            shift: 64 - bits.trailing_zeros(),
            steps: Steps::new(forms.len()),
        };
        for form in &forms {
            known.steps.add(form.tail);
            let place = known.place(form.tail);
            if let Some(word) = known.bits.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        known.forms = forms;
        known
    }
}

impl Known {
    /// Appends the places of all secrets in the bytes, as they are and percent-encoded (which may be every character, or
    /// some).
    pub(super) fn find(&self, bytes: &[u8], out: &mut Vec<Secret>) {
        self.find_plain(bytes, out);
        if memchr::memchr(b'%', bytes).is_none() || self.forms.is_empty() {
            return;
        }
        let parts = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>');
        let mut begin = 0;
        for token in bytes.split(parts) {
            // What is in a URL that is in a URL is encoded twice.
            let mut decoded: Option<(Vec<u8>, Vec<usize>)> = None;
            for _ in 0..LEVELS {
                let before = decoded.as_ref().map_or(token, |(plain, _)| plain);
                if token.len() > LONGEST_TOKEN || memchr::memchr(b'%', before).is_none() {
                    break;
                }
                let (plain, mut places) = percent_places(before);
                if let Some((_, outer)) = &decoded {
                    places.iter_mut().for_each(|place| *place = outer.get(*place).copied().unwrap_or(token.len()));
                }
                let mut found = Vec::new();
                self.find_plain(&plain, &mut found);
                for secret in found {
                    let at = |index: usize| places.get(index).copied().unwrap_or(token.len());
                    let range = begin + at(secret.range.start)..begin + at(secret.range.end);
                    out.push(secret.moved(range));
                }
                decoded = Some((plain, places));
            }
            begin += token.len() + 1;
        }
    }

    /// From the end to the begin, the longest at each place, and no place twice. Where comparing costs too much (a hostile
    /// client sent values that are each other's ends), everything before that place is taken for one secret.
    fn find_plain(&self, bytes: &[u8], out: &mut Vec<Secret>) {
        if self.forms.is_empty() {
            return;
        }
        let mut budget = COMPARISONS.saturating_add(64 * bytes.len());
        let mut end = bytes.len();
        while let Some((last, tail)) = self.steps.next(bytes, end) {
            end = last;
            let place = self.place(tail);
            if self.bits.get(place / 64).is_none_or(|word| word & (1 << (place % 64)) == 0) {
                end -= 1;
                continue;
            }
            match self.longest(bytes, end, tail, &mut budget) {
                Found::Form(range, form) => {
                    end = range.start;
                    out.push(Secret::known(range, form.kind, form.digest));
                }
                Found::Nothing => end -= 1,
                Found::TooMuch => return out.push(Secret::new(0..end, "secret")),
            }
        }
    }

    fn longest(&self, bytes: &[u8], end: usize, tail: u64, budget: &mut usize) -> Found {
        let first = self.forms.partition_point(|form| form.tail < tail);
        for form in self.forms.get(first..).unwrap_or_default().iter().take_while(|form| form.tail == tail) {
            let Some(begin) = end.checked_sub(form.length) else { continue };
            match budget.checked_sub(form.length) {
                Some(left) => *budget = left,
                None => return Found::TooMuch,
            }
            if bytes.get(begin..end).is_some_and(|there| quick_hash(there) == form.hash) {
                return Found::Form(begin..end, *form);
            }
        }
        Found::Nothing
    }

    fn place(&self, tail: u64) -> usize {
        usize::try_from(tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift).unwrap_or(0)
    }
}

enum Found {
    Form(Range<usize>, Form),
    Nothing,
    TooMuch,
}

impl Steps {
    fn new(forms: usize) -> Self {
        // Six triples each; a table that no cache holds would cost more than it saves.
        let size = (forms * 64).next_power_of_two().clamp(1 << 12, 1 << 20);
        Self { by_triple: vec![FARTHEST; size], shift: 32 - size.trailing_zeros() }
    }

    fn add(&mut self, tail: u64) {
        for before in 0..FARTHEST {
            let place = self.place(tail >> (8 * before));
            if let Some(step) = self.by_triple.get_mut(place) {
                *step = before.min(*step);
            }
        }
    }

    /// The last place up to `end` at which some form may end, and the eight bytes before it.
    fn next(&self, bytes: &[u8], mut end: usize) -> Option<(usize, u64)> {
        loop {
            let tail = tail_of(bytes, end)?;
            match self.by_triple.get(self.place(tail)) {
                Some(0) | None => return Some((end, tail)),
                Some(step) => end = end.checked_sub(usize::from(*step))?,
            }
        }
    }

    /// By the first three bytes.
    fn place(&self, tail: u64) -> usize {
        // They are the lowest, and what is above them falls out.
        let triple = (tail as u32) << 8;
        usize::try_from(triple.wrapping_mul(0x9e37_79b1) >> self.shift).unwrap_or(0)
    }
}

/// The eight bytes before `end`.
fn tail_of(bytes: &[u8], end: usize) -> Option<u64> {
    let window = bytes.get(end.checked_sub(SHORTEST)?..end)?;
    Some(u64::from_le_bytes(window.try_into().ok()?))
}

/// Without percent-encoding, and where each byte (and the end) stood.
pub(super) fn percent_places(token: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let digit = |at: usize| token.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let (mut plain, mut places) = (Vec::with_capacity(token.len()), Vec::with_capacity(token.len() + 1));
    let mut at = 0;
    while let Some(byte) = token.get(at) {
        places.push(at);
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    places.push(token.len());
    (plain, places)
}

/// JSON without a character beyond ASCII, where there is one: as Python writes it.
fn in_ascii(json: &str) -> Option<Vec<u8>> {
    if json.is_ascii() {
        return None;
    }
    let mut units = [0; 2];
    let mut out = String::with_capacity(json.len() * 2);
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    Some(out.into_bytes())
}

/// As HTML and XML write it, in the ways that are about, where that is another.
fn in_markup(value: &[u8]) -> Vec<Vec<u8>> {
    if !value.iter().any(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'')) {
        return Vec::new();
    }
    let escaped = |quote: &str, apostrophe: &str| {
        let mut out = Vec::with_capacity(value.len() + 16);
        for byte in value {
            match byte {
                b'&' => out.extend_from_slice(b"&amp;"),
                b'<' => out.extend_from_slice(b"&lt;"),
                b'>' => out.extend_from_slice(b"&gt;"),
                b'"' => out.extend_from_slice(quote.as_bytes()),
                b'\'' => out.extend_from_slice(apostrophe.as_bytes()),
                other => out.push(*other),
            }
        }
        out
    };
    [("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&apos;"), ("&#34;", "&#39;"), ("\"", "'")]
        .map(|(quote, apostrophe)| escaped(quote, apostrophe))
        .into()
}

/// The characters of Base64 that depend on the value alone, where it begins `shift` bytes behind a multiple of three.
fn in_base64(value: &[u8], shift: usize) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(value);
    let whole = padded.len() * 8 / 6;
    let encoded = STANDARD.encode(&padded).into_bytes();
    encoded.get((shift * 8).div_ceil(6)..whole.min(encoded.len())).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// From the end to the begin, at each place the longest: one byte after the other.
    fn naively(values: &[String], text: &str) -> Vec<Range<usize>> {
        let (mut found, mut end) = (Vec::new(), text.len());
        while end > 0 {
            let longest = values.iter().filter(|value| text[..end].ends_with(*value)).map(String::len).max();
            end -= longest.unwrap_or(1);
            found.extend(longest.map(|length| end..end + length));
        }
        found
    }

    proptest! {
        /// Values with much in common, in texts made of their letters.
        #[test]
        fn no_place_is_stepped_over(
            values in proptest::collection::vec("[ab.]{8,12}", 1..5),
            between in proptest::collection::vec("[ab.]{0,9}", 0..9),
        ) {
            let mut gathered = Gathered::default();
            for (nth, value) in values.iter().enumerate() {
                gathered.add("token", value.as_bytes(), Digest([u8::try_from(nth).unwrap(); 16]), value.as_bytes());
            }
            let text: String =
                between.iter().enumerate().flat_map(|(nth, gap)| [&values[nth % values.len()], gap]).map(String::as_str).collect();
            let mut found = Vec::new();
            gathered.finish().find_plain(text.as_bytes(), &mut found);
            let places: Vec<_> = found.into_iter().map(|secret| secret.range).collect();
            prop_assert_eq!(places, naively(&values, &text));
        }
    }
}
