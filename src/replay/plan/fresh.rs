//! Ids and keys that clients make: found, and made anew, the same for the same seed. PURE.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64;

use crate::replay::script::Script;

/// The ids that each session made itself: UUIDs that no other session sends, and that did not first stand in a target,
/// where they name what the server already has.
pub(super) fn own_ids(script: &Script) -> BTreeMap<usize, BTreeSet<String>> {
    let mut owners: BTreeMap<String, Option<usize>> = BTreeMap::new();
    let mut targets: BTreeSet<String> = BTreeSet::new();
    let mut answers: BTreeSet<String> = BTreeSet::new();
    for exchange in script.connections.iter().flat_map(|connection| &connection.exchanges) {
        let mut meet = |bytes: &[u8]| {
            for (_, id) in ids(bytes) {
                let owner = owners.entry(id).or_insert(Some(exchange.session));
                if *owner != Some(exchange.session) {
                    *owner = None;
                }
            }
        };
        meet(&exchange.bytes);
        exchange.frames.iter().for_each(|frame| meet(&frame.payload));
        let line = exchange.bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        if !exchange.upgrade {
            targets.extend(ids(line).map(|(_, id)| id));
        }
        let said = exchange.issued.iter().chain(exchange.messages.iter().flat_map(|(_, issued)| issued));
        answers.extend(said.flat_map(|issued| ids(issued.value.as_bytes()).map(|(_, id)| id).collect::<Vec<_>>()));
    }
    let mut own: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (id, owner) in owners {
        if let Some(owner) = owner.filter(|_| !targets.contains(&id) && !answers.contains(&id)) {
            own.entry(owner).or_default().insert(id);
        }
    }
    own
}

/// The UUIDs in some bytes (RFC 9562, 4), as written.
pub(super) fn ids(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, String)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let candidate = bytes.get(at..at + 36)?;
            let begins =
                at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|b| !b.is_ascii_alphanumeric());
            let ends = bytes.get(at + 36).is_none_or(|b| !b.is_ascii_alphanumeric());
            if begins && ends && is_id(candidate) {
                let start = at;
                at += 36;
                return Some((start..at, String::from_utf8_lossy(candidate).into_owned()));
            }
            at += 1;
        }
    })
}

/// The bytes with the ids of others where both have one at the same place: for comparing what was made anew.
pub(in crate::replay) fn with_same_ids(bytes: &[u8], others: &[u8]) -> Vec<u8> {
    let mut same = bytes.to_vec();
    for (range, id) in ids(others) {
        if let Some(place) = same.get_mut(range).filter(|place| is_id(place)) {
            place.copy_from_slice(id.as_bytes());
        }
    }
    same
}

fn is_id(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// The id that stands for `was` under a seed, in the same version and case.
pub(super) fn id(seed: u64, was: &str) -> String {
    let mut random = Pcg64::seed_from_u64(seed ^ hash(was));
    let upper = was.bytes().any(|b| b.is_ascii_uppercase());
    let digit = |n: u64| char::from_digit((n % 16) as u32, 16).unwrap_or('0');
    was.chars()
        .enumerate()
        .map(|(at, c)| match at {
            8 | 13 | 18 | 23 | 14 => c,
            19 => char::from_digit(8 + (random.next_u64() % 4) as u32, 16).unwrap_or('8'),
            _ => digit(random.next_u64()),
        })
        .map(|c| if upper { c.to_ascii_uppercase() } else { c })
        .collect()
}

/// Sixteen bytes that are the same for the same seed and number.
pub(super) fn random(seed: u64, nth: u64) -> [u8; 16] {
    let mut random = Pcg64::seed_from_u64(seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes
}

/// FNV-1a: the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn ids_are_found_and_made_anew() {
        let bytes = b"{\"a\":\"3F2504E0-4F89-41D3-9A0C-0305E82C3301\",\"b\":\"x3f2504e0-4f89-41d3-9a0c-0305e82c3301\"}";
        let found: Vec<_> = ids(bytes).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 6..42);
        let fresh = id(7, &found[0].1);
        assert_ne!(fresh, found[0].1);
        assert_eq!(fresh, id(7, &found[0].1));
        assert_ne!(fresh, id(8, &found[0].1));
        assert!(
            is_id(fresh.as_bytes()) && fresh.as_bytes()[14] == b'4' && !fresh.bytes().any(|b| b.is_ascii_lowercase())
        );
        assert_ne!(random(1, 1), random(1, 2));
    }
}
