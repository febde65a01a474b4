//! How late things were: durations, and what is said of them.

use serde::Serialize;

/// Durations in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Lateness(Vec<u64>);

/// What is said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Half were at most so late.
    pub p50_ns: u64,
    /// Of a hundred, 99 were at most so late.
    pub p99_ns: u64,
    /// The latest.
    pub max_ns: u64,
}

impl Lateness {
    /// One more.
    pub fn push(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    /// All of another's.
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What is said of them.
    pub fn quantiles(&self) -> Quantiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: a value that occurred.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(rank).copied().unwrap_or_default()
        };
        Quantiles { count: sorted.len() as u64, p50_ns: at(50), p99_ns: at(99), max_ns: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut late = Lateness::default();
        assert_eq!(late.quantiles(), Quantiles::default());
        (1..=200).rev().for_each(|nanos| late.push(nanos));
        assert_eq!(late.quantiles(), Quantiles { count: 200, p50_ns: 100, p99_ns: 198, max_ns: 200 });
    }
}
