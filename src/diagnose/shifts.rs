//! The test against chance. Load and refusals come in bursts, so that two series which have nothing to do with each
//! other look related. The outcomes are therefore shifted in time against the doses, round the capture's end, by more
//! than they remember: the best of all candidates and cuts on shifted outcomes is what chance can do (max-T).
//!
//! Within strata each stratum's own outcomes are shifted, all by the same share of the capture: what a stratum is
//! refused stays as it was.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use crate::stats::{binomial::Binomial, draw::Draw, series};

use super::{
    candidate::Candidate,
    split::{self, Table},
};

/// Time is cut into at most so many blocks; a shift is a whole number of them.
const BLOCKS: usize = 2000;
/// What is never forgotten is shifted by at least this share of the capture.
const MOST_MEMORY: f64 = 0.25;
/// More refused ones than these tell nothing new: all units are thinned alike.
const ENOUGH_REFUSED: usize = 10_000;
/// Nor do more units than these.
const ENOUGH_UNITS: usize = 300_000;

/// Units in their strata, each stratum in the order of time.
pub(super) struct Layout {
    /// Positions, stratum by stratum.
    order: Vec<u32>,
    /// Where each stratum begins in it, and its end.
    bounds: Vec<usize>,
    /// Which of each stratum's units were refused.
    refused: Vec<Vec<u32>>,
}

impl Layout {
    /// Of these positions, ascending.
    pub(super) fn new(positions: &[u32], strata: usize, stratum: impl Fn(u32) -> usize, refused: &[bool]) -> Self {
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); strata.max(1)];
        for position in positions {
            members[stratum(*position).min(strata.saturating_sub(1))].push(*position);
        }
        let mut bounds = vec![0];
        for members in &members {
            bounds.push(bounds[bounds.len() - 1] + members.len());
        }
        let hits = |members: &Vec<u32>| {
            let hit = |(at, position): (u32, &u32)| refused[*position as usize].then_some(at);
            (0_u32..).zip(members).filter_map(hit).collect()
        };
        let refused = members.iter().map(hits).collect();
        Self { order: members.concat(), bounds, refused }
    }

    fn strata(&self) -> usize {
        self.refused.len()
    }

    /// A candidate's table as it was, and the slot of each unit in it.
    fn observed(&self, candidate: &Candidate) -> (Table, Vec<u16>) {
        let mut table = Table::new(self.strata(), candidate.count);
        let mut slots = Vec::with_capacity(self.order.len());
        for stratum in 0..self.strata() {
            for position in &self.order[self.bounds[stratum]..self.bounds[stratum + 1]] {
                let slot = table.slot(stratum, candidate.bins[*position as usize]);
                table.add(slot, false);
                slots.push(slot as u16);
            }
        }
        self.place(&mut table, &slots, |_| 0);
        (table, slots)
    }

    /// Counts the refused where they come to lie, shifted by a share of each stratum. However few units there are, they do
    /// not stay where they are: what is compared with chance must not be in it.
    fn shift(&self, table: &mut Table, slots: &[u16], share: f64) {
        self.place(table, slots, |len| ((share * len as f64).round() as usize).max(1).min(len.saturating_sub(1)));
    }

    /// Counts the refused, each so many places further on in its stratum.
    fn place(&self, table: &mut Table, slots: &[u16], by: impl Fn(usize) -> usize) {
        table.accept_all();
        for (stratum, refused) in self.refused.iter().enumerate() {
            let own = &slots[self.bounds[stratum]..self.bounds[stratum + 1]];
            let by = by(own.len());
            for hit in refused {
                let to = *hit as usize + by;
                let to = if to >= own.len() { to - own.len() } else { to };
                table.refuse(usize::from(own[to]));
            }
        }
    }
}

/// The shares of the capture by which outcomes may be shifted.
pub(super) struct Shifts {
    pub(super) shares: Vec<f64>,
    /// How many there were to choose from.
    pub(super) admissible: usize,
}

/// Draws `wanted` shifts. `refused`: the outcomes in the order of time.
pub(super) fn draw(refused: &[bool], wanted: usize, seed: u64) -> Shifts {
    let blocks = refused.len().min(BLOCKS);
    if blocks < 4 {
        return Shifts { shares: Vec::new(), admissible: 0 };
    }
    let rates = block_rates(refused, blocks);
    let memory = series::memory(&rates, (MOST_MEMORY * blocks as f64) as usize);
    let mut lags: Vec<usize> = (memory..=blocks - memory).collect();
    let admissible = lags.len();
    Draw::new(seed, 2).shuffle(&mut lags);
    lags.truncate(wanted);
    Shifts { shares: lags.into_iter().map(|lag| lag as f64 / blocks as f64).collect(), admissible }
}

/// The refusal rate in each of `blocks` equal shares of the outcomes.
pub(super) fn block_rates(refused: &[bool], blocks: usize) -> Vec<f64> {
    let n = refused.len();
    let share = |block: usize| block * n / blocks.max(1);
    (0..blocks)
        .map(|block| {
            let own = &refused[share(block)..share(block + 1)];
            own.iter().filter(|refused| **refused).count() as f64 / own.len().max(1) as f64
        })
        .collect()
}

/// Thins all units alike where there are more than can tell anything new.
pub(super) fn thinned(positions: &[u32], refused: &[bool], seed: u64) -> Vec<u32> {
    let hits = positions.iter().filter(|position| refused[**position as usize]).count();
    let keep = (ENOUGH_REFUSED as f64 / hits.max(1) as f64).min(ENOUGH_UNITS as f64 / positions.len().max(1) as f64);
    if keep >= 1.0 {
        return positions.to_vec();
    }
    let mut draw = Draw::new(seed, 3);
    positions.iter().copied().filter(|_| draw.unit() < keep).collect()
}

/// What a test said of one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tested {
    /// Its family-wise p value.
    pub(super) p: f64,
}

/// The max-T test over all of `candidates`, each in its layout. `progress` is told the share that is done.
pub(super) fn test(
    candidates: &[(&Candidate, &Layout)],
    shares: &[f64],
    binomial: &Binomial,
    progress: &mut dyn FnMut(f64),
) -> Vec<Tested> {
    let mut highest = vec![0.0_f64; shares.len()];
    let mut own = Vec::with_capacity(candidates.len());
    for (done, (candidate, layout)) in candidates.iter().enumerate() {
        let (mut table, slots) = layout.observed(candidate);
        let split = split::best(candidate, &table, binomial);
        let by_chance: Vec<f64> = shares
            .iter()
            .map(|share| {
                layout.shift(&mut table, &slots, *share);
                split::best(candidate, &table, binomial).gain
            })
            .collect();
        // A candidate that changes slowly gains more by chance than one that changes with each unit: each is measured
        // in what chance gives it, so that the one does not hide the other.
        let usual = 1.0 + by_chance.iter().sum::<f64>() / by_chance.len().max(1) as f64;
        for (highest, gain) in highest.iter_mut().zip(&by_chance) {
            *highest = highest.max((gain + 1.0) / usual);
        }
        own.push((split.gain + 1.0) / usual);
        progress((done + 1) as f64 / candidates.len() as f64);
    }
    let p = |t: f64| {
        let as_high = highest.iter().filter(|highest| **highest >= t).count();
        (1 + as_high) as f64 / (1 + highest.len()) as f64
    };
    own.into_iter().map(|t| Tested { p: p(t) }).collect()
}
