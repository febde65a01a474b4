//! Recent secrets, to be found again wherever they stand.
//!
//! A needle is indexed by its last eight bytes (tokens share their first ones: `eyJhbGci…`), so that a search looks at
//! each place of the haystack once, in a bitmap that is nearly always enough to say no; where few secrets are known, one
//! of their last two bytes is enough, which is cheaper.

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Digest, places::Secret};

/// How many needles are remembered; the oldest go first.
pub(super) const CAPACITY: usize = 1024;
/// Shorter values would be found where they mean nothing.
const SHORTEST: usize = 8;
/// Longer ones are replaced at named places only.
const LONGEST: usize = 4096;
/// Longer ones get no second needle for their Base64 form.
const LONGEST_ENCODED: usize = 256;
/// How many bytes of needles one search may compare, beside 64 for each byte that it looks through.
const COMPARISONS: usize = 1 << 18;
const BUCKETS: usize = 1024;
const BITS: usize = 1 << 15;
const PAIRS: usize = 1 << 16;

#[derive(Clone)]
struct Needle {
    bytes: Box<[u8]>,
    kind: &'static str,
    digest: Digest,
    /// Whether it is a form in which another one travels.
    form: bool,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Seen {
    needles: VecDeque<Needle>,
    /// The number of the first of `needles`, counted from the first one ever.
    first: u64,
    buckets: Vec<Vec<u64>>,
    bits: Box<[u64; BITS / 64]>,
    /// By the last two bytes.
    pairs: Box<[u64; PAIRS / 64]>,
    /// Bits set by needles that are gone are cleared now and then.
    gone: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            needles: VecDeque::new(),
            first: 0,
            buckets: vec![Vec::new(); BUCKETS],
            bits: Box::new([0; BITS / 64]),
            pairs: Box::new([0; PAIRS / 64]),
            gone: 0,
        }
    }
}

impl Seen {
    /// Whether the value is one to remember, and not remembered yet.
    pub(super) fn wants(&self, value: &[u8]) -> bool {
        (SHORTEST..=LONGEST).contains(&value.len()) && !self.known(value)
    }

    /// Kinds and values, oldest first, without the forms in which they travel.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.needles.iter().filter(|needle| !needle.form).map(|needle| (needle.kind, &*needle.bytes))
    }

    /// How many needles were ever remembered: while this does not change, neither does what is found.
    pub(super) fn ever(&self) -> u64 {
        self.first + self.needles.len() as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.needles.len()
    }

    /// Remembers the value and the forms in which it travels.
    pub(super) fn add(&mut self, kind: &'static str, value: &[u8], digest: Digest) {
        self.insert(Needle { bytes: value.into(), kind, digest, form: false });
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if !value.iter().all(is_plain) {
            let encoded = value.iter().fold(String::new(), |mut text, byte| {
                if is_plain(byte) {
                    text.push(char::from(*byte));
                } else {
                    text.push_str(&format!("%{byte:02X}"));
                }
                text
            });
            self.insert(Needle { bytes: encoded.into_bytes().into(), kind, digest, form: true });
        }
        if value.len() <= LONGEST_ENCODED {
            self.insert(Needle { bytes: STANDARD.encode(value).into_bytes().into(), kind, digest, form: true });
        }
    }

    /// Whether any secret stands in the bytes.
    pub(super) fn any_in(&self, bytes: &[u8]) -> bool {
        let mut found = false;
        self.each(bytes, |_, _| found = true);
        found
    }

    /// Appends the places of all secrets in the bytes.
    pub(super) fn find(&self, bytes: &[u8], out: &mut Vec<Secret>) {
        self.each(bytes, |range, needle| {
            out.push(match needle {
                Some(needle) => Secret::known(range, needle.kind, needle.digest),
                None => Secret::new(range, "secret"),
            });
        });
    }

    /// From the end to the begin, the longest needle at each place, and no place twice: what a hostile client sends
    /// (values that are each other's ends, in long runs of one letter) must not make this quadratic. Where comparing
    /// costs too much all the same, everything before that place is taken for one secret (`None`).
    fn each<'s>(&'s self, bytes: &[u8], mut found: impl FnMut(std::ops::Range<usize>, Option<&'s Needle>)) {
        if self.needles.is_empty() {
            return;
        }
        let mut budget = COMPARISONS + 64 * bytes.len();
        let mut end = bytes.len();
        while let Some(at) = self.last_marked(bytes.get(..end).unwrap_or_default()) {
            end = at + SHORTEST;
            let before = bytes.get(..end).unwrap_or_default();
            let mut longest: Option<&Needle> = None;
            for needle in self.bucket(place(before.get(at..).unwrap_or_default())) {
                budget = match budget.checked_sub(needle.bytes.len()) {
                    Some(left) => left,
                    None => return found(0..end, None),
                };
                let longer = longest.is_none_or(|longest| longest.bytes.len() < needle.bytes.len());
                if longer && before.ends_with(&needle.bytes) {
                    longest = Some(needle);
                }
            }
            match longest {
                Some(needle) => {
                    let start = end - needle.bytes.len();
                    found(start..end, Some(needle));
                    end = start;
                }
                None => end -= 1,
            }
        }
    }

    /// Where the last eight bytes stand that may be a needle's last ones.
    fn last_marked(&self, bytes: &[u8]) -> Option<usize> {
        let (mut last, before) = bytes.get(SHORTEST - 2..)?.split_last()?;
        for (at, byte) in before.iter().enumerate().rev() {
            let pair = [*byte, *last];
            last = byte;
            if self.pair(pair) && bytes.get(at..at + SHORTEST).is_some_and(|window| self.bit(place(window))) {
                return Some(at);
            }
        }
        None
    }

    fn known(&self, value: &[u8]) -> bool {
        let Some(tail) = value.len().checked_sub(SHORTEST).and_then(|at| value.get(at..)) else { return false };
        let place = place(tail);
        self.bit(place) && self.bucket(place).any(|needle| *needle.bytes == *value)
    }

    fn insert(&mut self, needle: Needle) {
        if self.known(&needle.bytes) {
            return;
        }
        let Some(tail) = needle.bytes.len().checked_sub(SHORTEST).and_then(|at| needle.bytes.get(at..)) else { return };
        let place = place(tail);
        if self.needles.len() == CAPACITY {
            self.forget_oldest();
        }
        let number = self.first + self.needles.len() as u64;
        if let Some(bucket) = self.buckets.get_mut(place % BUCKETS) {
            bucket.push(number);
        }
        self.set_bit(place);
        self.set_pair(tail);
        self.needles.push_back(needle);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.needles.pop_front()
            && let Some(tail) = oldest.bytes.len().checked_sub(SHORTEST).and_then(|at| oldest.bytes.get(at..))
            && let Some(bucket) = self.buckets.get_mut(place(tail) % BUCKETS)
        {
            bucket.retain(|number| *number != self.first);
        }
        self.first += 1;
        self.gone += 1;
        if self.gone >= CAPACITY {
            self.gone = 0;
            self.bits.fill(0);
            self.pairs.fill(0);
            let needles = std::mem::take(&mut self.needles);
            for needle in &needles {
                let tail = needle.bytes.get(needle.bytes.len().saturating_sub(SHORTEST)..).unwrap_or_default();
                self.set_bit(place(tail));
                self.set_pair(tail);
            }
            self.needles = needles;
        }
    }

    fn bucket(&self, place: usize) -> impl Iterator<Item = &Needle> {
        self.buckets
            .get(place % BUCKETS)
            .into_iter()
            .flatten()
            .filter_map(|number| self.needles.get(usize::try_from(number - self.first).ok()?))
    }

    fn bit(&self, place: usize) -> bool {
        self.bits.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Whether a needle's last two bytes are these bytes' last two.
    fn pair(&self, pair: [u8; 2]) -> bool {
        let pair = usize::from(u16::from_le_bytes(pair));
        self.pairs.get(pair / 64).is_some_and(|word| word & (1 << (pair % 64)) != 0)
    }

    fn set_pair(&mut self, tail: &[u8]) {
        let Some(pair) = tail.last_chunk().map(|pair| usize::from(u16::from_le_bytes(*pair))) else { return };
        if let Some(word) = self.pairs.get_mut(pair / 64) {
            *word |= 1 << (pair % 64);
        }
    }

    fn set_bit(&mut self, place: usize) {
        if let Some(word) = self.bits.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }
}

/// Where the last eight bytes of a needle lead.
fn place(tail: &[u8]) -> usize {
    let word = tail.try_into().map_or(0, u64::from_le_bytes);
    let hash = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).unwrap_or(0) % BITS
}
