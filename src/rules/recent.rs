//! What rules remember for a while, in bounded memory: the oldest goes first.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher as _},
};

use crate::model::hash::{Quick, QuickMap};

/// A map that forgets what was put in first, once it holds too much.
pub(super) struct Recent<K, V> {
    values: QuickMap<K, V>,
    order: VecDeque<K>,
    most: usize,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    /// One that holds that many.
    pub(super) fn new(most: usize) -> Self {
        Self { values: QuickMap::default(), order: VecDeque::new(), most }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.values.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.values.get_mut(&key)
    }

    /// Puts a value in the place of what was there.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

/// A number that stands for these bytes. It never reaches any output.
pub(super) fn number(parts: &[&[u8]]) -> u64 {
    let mut hasher = Quick::default();
    for part in parts {
        part.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::new(2);
        for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd')] {
            recent.put(key, value);
        }
        assert_eq!((recent.get(1), recent.get(2), recent.get(3)), (None, Some(&'b'), Some(&'d')));
        assert_ne!(number(&[b"a", b"bc"]), number(&[b"ab", b"c"]));
    }
}
