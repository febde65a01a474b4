//! Hash maps for ids and digests, which are spread well already: no flooding is possible, since ids are counted and
//! digests keyed. What a client chooses may be hashed so where a map is bounded and a wrong match costs a hint at most.
//! Their order must never reach any output.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use serde::{Serialize, Serializer};

/// A map over ids or digests.
pub type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.write_u64(rest.iter().fold(1, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

/// Stores a map in the order of its keys, so that equal states are stored alike.
#[expect(clippy::disallowed_methods, reason = "a BTreeMap is made of it")]
pub fn sorted<K: Ord + Hash + Serialize, V: Serialize, S: Serializer>(
    map: &QuickMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    map.iter().collect::<BTreeMap<_, _>>().serialize(serializer)
}
