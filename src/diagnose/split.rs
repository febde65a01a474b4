//! A candidate's best split: the cut, side or value that tells refused from accepted best, within strata.
#![expect(clippy::indexing_slicing, reason = "every index comes from the sizes of the tables made here")]

use crate::stats::{
    binomial::Binomial,
    monotone::{Level, rising},
};

use super::{
    candidate::{Candidate, Kind, MISSING},
    doses::Sides,
};

/// Refused and all, by stratum and bin; the last slot of a stratum is for units without a bin.
#[derive(Clone)]
pub(super) struct Table {
    slots: usize,
    refused: Vec<u32>,
    total: Vec<u32>,
}

impl Table {
    /// An empty one.
    pub(super) fn new(strata: usize, bins: usize) -> Self {
        let slots = bins + 1;
        Self { slots, refused: vec![0; strata * slots], total: vec![0; strata * slots] }
    }

    /// Where a unit counts.
    #[inline]
    pub(super) fn slot(&self, stratum: usize, bin: u8) -> usize {
        stratum * self.slots + if bin == MISSING { self.slots - 1 } else { bin as usize }
    }

    /// Counts one unit.
    #[inline]
    pub(super) fn add(&mut self, slot: usize, refused: bool) {
        self.refused[slot] += u32::from(refused);
        self.total[slot] += 1;
    }

    /// Forgets the refused, not how many units there are.
    pub(super) fn accept_all(&mut self) {
        self.refused.fill(0);
    }

    /// Counts a unit that is there as refused.
    #[inline]
    pub(super) fn refuse(&mut self, slot: usize) {
        self.refused[slot] += 1;
    }

    fn strata(&self) -> impl Iterator<Item = (&[u32], &[u32])> {
        self.refused.chunks_exact(self.slots).zip(self.total.chunks_exact(self.slots))
    }
}

/// Which bins are the refused ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// From the cut on.
    Above,
    /// Below the cut.
    Below,
    /// The one.
    At,
}

/// A split and what it gains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) side: Side,
    pub(super) cut: usize,
    pub(super) gain: f64,
}

impl Split {
    /// Whether a bin is a refused one; never the missing one.
    pub(super) fn covers(&self, bin: usize) -> bool {
        bin != MISSING as usize
            && match self.side {
                Side::Above => bin >= self.cut,
                Side::Below => bin < self.cut,
                Side::At => bin == self.cut,
            }
    }
}

/// The best split of a candidate in a table; gains nothing where none does.
pub(super) fn best(candidate: &Candidate, table: &Table, binomial: &Binomial) -> Split {
    let bins = candidate.count;
    let mut best = Split { side: Side::Above, cut: bins, gain: 0.0 };
    let mut keep = |side, gains: &[f64]| {
        for (cut, gain) in gains.iter().enumerate() {
            if *gain > best.gain {
                best = Split { side, cut, gain: *gain };
            }
        }
    };
    match &candidate.kind {
        Kind::Flag => keep(Side::At, &at_each(table, binomial, |bin| bin == 1)),
        Kind::Contrast { eligible, .. } => keep(Side::At, &at_each(table, binomial, |bin| eligible[bin])),
        Kind::Dose { sides, .. } => {
            let (above, below) = at_cuts(table, binomial);
            keep(Side::Above, &above);
            if *sides == Sides::Both {
                keep(Side::Below, &below);
            }
        }
    }
    best
}

/// What each single bin gains against all others.
fn at_each(table: &Table, binomial: &Binomial, eligible: impl Fn(usize) -> bool) -> Vec<f64> {
    let bins = table.slots - 1;
    let mut gains = vec![0.0; bins];
    for (refused, total) in table.strata() {
        let all: (u32, u32) = (refused.iter().sum(), total.iter().sum());
        if all.0 == 0 || all.0 == all.1 {
            continue;
        }
        for (bin, gain) in gains.iter_mut().enumerate().filter(|(bin, _)| eligible(*bin)) {
            let one = (refused[bin], total[bin]);
            *gain += binomial.split(one, (all.0 - one.0, all.1 - one.1));
        }
    }
    gains
}

/// What each cut gains, by the first bin above it: with the upper side refused, and with the lower one.
fn at_cuts(table: &Table, binomial: &Binomial) -> (Vec<f64>, Vec<f64>) {
    let bins = table.slots - 1;
    let mut above = vec![0.0; bins];
    let mut below = vec![0.0; bins];
    for (refused, total) in table.strata() {
        let all: (u32, u32) = (refused.iter().sum(), total.iter().sum());
        if all.0 == 0 || all.0 == all.1 {
            continue;
        }
        // Units without a dose are on the accepted side of either.
        let missing = (refused[bins], total[bins]);
        let known = (all.0 - missing.0, all.1 - missing.1);
        let mut low = (0, 0);
        for cut in 1..bins {
            low = (low.0 + refused[cut - 1], low.1 + total[cut - 1]);
            let high = (known.0 - low.0, known.1 - low.1);
            above[cut] += binomial.split(high, (low.0 + missing.0, low.1 + missing.1));
            below[cut] += binomial.split(low, (high.0 + missing.0, high.1 + missing.1));
        }
    }
    (above, below)
}

/// What the best curve that only rises (falls, below) gains in each stratum over its one rate: the fair measure of a
/// dose against another, since a step fits the wrong one better where the true limit is soft.
pub(super) fn curve_gain(table: &Table, split: Split, binomial: &Binomial) -> f64 {
    if split.side == Side::At {
        return split.gain;
    }
    (table.strata())
        .map(|(refused, total)| {
            let all: (u32, u32) = (refused.iter().sum(), total.iter().sum());
            let levels = ordered(refused, total, split.side);
            levels.iter().map(|level| binomial.at_best(level.hits, level.total)).sum::<f64>()
                - binomial.at_best(all.0, all.1)
        })
        .sum()
}

/// The curve's levels, from the accepted side to the refused one; units without a dose come first.
fn ordered(refused: &[u32], total: &[u32], side: Side) -> Vec<Level> {
    let bins = total.len() - 1;
    let bin = |at: usize| (refused[at], total[at]);
    let missing = std::iter::once(bin(bins));
    if side == Side::Below {
        rising(missing.chain((0..bins).rev().map(bin)))
    } else {
        rising(missing.chain((0..bins).map(bin)))
    }
}
