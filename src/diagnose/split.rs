//! A candidate's best split: the cut, side or value that tells refused from accepted best, within strata.
#![expect(clippy::indexing_slicing, reason = "every index comes from the sizes of the tables made here")]

use std::collections::BTreeSet;

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

    /// The same without the units that have no bin; nothing where there are none.
    pub(super) fn known(&self) -> Option<Self> {
        let mut known = self.clone();
        let mut missing = 0;
        for (refused, total) in known.refused.chunks_exact_mut(self.slots).zip(known.total.chunks_exact_mut(self.slots))
        {
            missing += total[self.slots - 1];
            (refused[self.slots - 1], total[self.slots - 1]) = (0, 0);
        }
        (missing > 0).then_some(known)
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

/// Refused and all on a cause's side of a stratum, and on the other.
pub(super) type InOut = ((u32, u32), (u32, u32));

/// What a stratum must gain, beside half the logarithm of its units, to show by itself that a cause acts in it.
const SHOWS_ITSELF: f64 = 3.0;
/// A stratum in which the rate rises by less than this share of what it rises by where the cause shows best, and that
/// gains less than that share too, has another reason.
const WEAKLY: f64 = 0.1;

/// The strata in which a cause acts: those that show it, and those with too few units to show anything that look more
/// like these than like no difference. What it has nothing to do with is not covered, and left to other causes.
pub(super) fn affected(strata: &[InOut], binomial: &Binomial) -> BTreeSet<u8> {
    let rise = |(inside, outside): &InOut| rate(*inside) - rate(*outside);
    let gains: Vec<f64> = strata.iter().map(|(inside, outside)| binomial.split(*inside, *outside)).collect();
    let Some((best, most)) = gains.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return BTreeSet::new();
    };
    let rises = rise(&strata[best]);
    let shows = |at: usize| {
        let (inside, outside) = strata[at];
        let by_chance = SHOWS_ITSELF + 0.5 * f64::from((inside.1 + outside.1).max(2)).ln();
        let is_weak = rise(&strata[at]) < WEAKLY * rises && gains[at] < WEAKLY * most;
        at == best || (gains[at] > by_chance && !is_weak)
    };
    let shown: Vec<usize> = (0..strata.len()).filter(|at| shows(*at)).collect();
    let sum = shown.iter().fold((0, 0), |sum, at| (sum.0 + strata[*at].0.0, sum.1 + strata[*at].0.1));
    let usual = rate(sum).clamp(1e-3, 1.0 - 1e-3);
    let alike = |at: usize| {
        let (inside, outside) = strata[at];
        let by_chance = SHOWS_ITSELF + 0.5 * f64::from((inside.1 + outside.1).max(2)).ln();
        if inside.1 == 0 || gains[at] > by_chance || rise(&strata[at]) < 0.0 {
            return false;
        }
        let acts = f64::from(inside.0) * usual.ln()
            + f64::from(inside.1 - inside.0) * (1.0 - usual).ln()
            + binomial.at_best(outside.0, outside.1);
        acts >= binomial.at_best(inside.0 + outside.0, inside.1 + outside.1)
    };
    (0..strata.len()).filter(|at| shown.contains(at) || alike(*at)).map(|at| at as u8).collect()
}

fn rate((hits, total): (u32, u32)) -> f64 {
    f64::from(hits) / f64::from(total.max(1))
}

/// What the best curve that only rises (falls, below) gains in each stratum over its one rate: the fair measure of a
/// dose against another, since a step fits the wrong one better where the true limit is soft. Less what such a curve
/// gains where there is nothing: half of 1/2 + 1/3 + … + 1/bins (Barlow et al. 1972), in each stratum anew.
pub(super) fn curve_gain(table: &Table, split: Split, binomial: &Binomial) -> f64 {
    if split.side == Side::At {
        return split.gain;
    }
    (table.strata())
        .map(|(refused, total)| {
            let all: (u32, u32) = (refused.iter().sum(), total.iter().sum());
            let levels = ordered(refused, total, split.side);
            let gain = levels.iter().map(|level| binomial.at_best(level.hits, level.total)).sum::<f64>()
                - binomial.at_best(all.0, all.1);
            let filled = total.iter().filter(|total| **total > 0).count();
            let by_chance = if all.0 == 0 { 0.0 } else { 0.5 * (2..=filled).map(|bin| 1.0 / bin as f64).sum::<f64>() };
            gain - by_chance
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
