//! Chance by seed: the same numbers by the same seed, whatever machine. A part of the model that draws has a source of
//! its own, so that one more draw here does not change what happens there.

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// A source of chance.
#[derive(Clone, Debug)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The source of one part of one run.
    pub fn new(seed: u64, part: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(mix(seed ^ mix(part))))
    }

    /// True in that share of all draws.
    pub fn share(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// Evenly in `0..1`.
    pub fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// Evenly between the two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly in `0..count`; 0 where there is nothing to choose from.
    pub fn below(&mut self, count: usize) -> usize {
        if count < 2 { 0 } else { self.0.random_range(0..count) }
    }

    /// Exponential with that mean: distances of independent arrivals.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Lognormal with that median: service times.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.random::<u64>()
    }

    /// A UUID of version 4.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 50),
            low & 0xffff_ffff_ffff
        )
    }
}

/// Whether something of that number belongs to that share, the same each time it is asked.
pub fn belongs(seed: u64, part: u64, number: u64, share: f64) -> bool {
    let bits = mix(mix(seed ^ mix(part)) ^ mix(number.wrapping_add(1)));
    ((bits >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// The finaliser of splitmix64.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn draws_follow_the_seed_and_their_distributions() {
        let draw = |seed, part| {
            let mut random = Random::new(seed, part);
            (0..4).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        let mut random = Random::new(7, 0);
        let mut sorted: Vec<f64> = (0..10_001).map(|_| random.lognormal(40.0, 0.5)).collect();
        sorted.sort_by(f64::total_cmp);
        assert!((sorted[5000] - 40.0).abs() < 2.0, "{}", sorted[5000]);
        let mean = (0..10_000).map(|_| random.exponential(3.0)).sum::<f64>() / 10_000.0;
        assert!((mean - 3.0).abs() < 0.15, "{mean}");
        let members = (0..10_000).filter(|number| belongs(5, 1, *number, 0.02)).count();
        assert!((150..250).contains(&members), "{members}");
        let id = random.uuid();
        assert_eq!((id.len(), id.as_bytes()[14], &id[8..9]), (36, b'4', "-"));
    }
}
