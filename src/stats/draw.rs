//! Seeded draws: the same seed, the same numbers, on every platform.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;

/// A source of numbers.
pub struct Draw(Pcg64);

impl Draw {
    /// By its seed, and by what it is for: two purposes of one seed are independent.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Shuffles.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        values.shuffle(&mut self.0);
    }

    /// How often each of `count` is drawn in `count` draws with replacement: one bootstrap replicate.
    pub fn weights(&mut self, count: usize) -> Vec<u32> {
        let mut weights = vec![0_u32; count];
        for _ in 0..count {
            if let Some(weight) = weights.get_mut(self.below(count)) {
                *weight += 1;
            }
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_purpose_does_not() {
        let draw = |seed, purpose| {
            let mut draw = Draw::new(seed, purpose);
            (0..5).map(|_| draw.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_eq!(Draw::new(1, 1).weights(50).iter().sum::<u32>(), 50);
        assert_eq!(Draw::new(1, 1).below(0), 0);
    }
}
