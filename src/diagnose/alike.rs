//! Whether two explanations can be told apart on these data: the difference of their log-likelihoods, summed over blocks
//! of time, against its own scatter (Vuong's test on blocks, since neighbours are not independent).
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use crate::stats::{binomial::of_one, monotone::rising};

use super::{
    candidate::{Candidate, MISSING},
    sample::Sample,
    split::{Side, Split},
};

/// Blocks of time.
const BLOCKS: usize = 100;
/// A difference of fewer standard errors is none.
const TOLD: f64 = 2.0;
/// Two that make the same refusals likely agree on at least this share of them.
const THE_SAME: f64 = 0.5;

/// The refusal probability of each unit that is left, under one explanation.
pub(super) struct Model(Vec<f32>);

impl Model {
    /// Of a candidate's curve (or of its value and the rest), by stratum where `by_route`. What is compared with a route
    /// must not know the routes: it would be as good by them alone.
    pub(super) fn of_candidate(
        sample: &Sample,
        candidate: &Candidate,
        split: Split,
        left: &[u32],
        by_route: bool,
    ) -> Self {
        let slots = candidate.count + 1;
        let slot = |position: usize| {
            let bin = candidate.bins[position];
            let bin = if bin == MISSING { candidate.count } else { bin as usize };
            stratum(sample, position, by_route) * slots + bin
        };
        let mut cells = vec![(0, 0); sample.strata() * slots];
        for position in left.iter().map(|position| *position as usize) {
            cells[slot(position)].0 += u32::from(sample.refused[position]);
            cells[slot(position)].1 += 1;
        }
        let mut rates = vec![0.0_f32; cells.len()];
        for (cells, rates) in cells.chunks_exact(slots).zip(rates.chunks_exact_mut(slots)) {
            fit(cells, split, rates);
        }
        Self(left.iter().map(|position| rates[slot(*position as usize)]).collect())
    }

    /// Of a window. `inside`: whether the unit at that place of `left` lies in it.
    pub(super) fn of_window(sample: &Sample, left: &[u32], by_route: bool, inside: impl Fn(usize) -> bool) -> Self {
        let slot =
            |at: usize, position: u32| 2 * stratum(sample, position as usize, by_route) + usize::from(inside(at));
        let mut cells = vec![(0_u32, 0_u32); 2 * sample.strata()];
        for (at, position) in left.iter().enumerate() {
            let cell = &mut cells[slot(at, *position)];
            cell.0 += u32::from(sample.refused[*position as usize]);
            cell.1 += 1;
        }
        let rate = |cell: (u32, u32)| cell.0 as f32 / cell.1.max(1) as f32;
        Self(left.iter().enumerate().map(|(at, position)| rate(cells[slot(at, *position)])).collect())
    }
}

fn stratum(sample: &Sample, position: usize, by_route: bool) -> usize {
    if by_route { sample.stratum[position] as usize } else { 0 }
}

/// The rate of each slot of one stratum.
fn fit(cells: &[(u32, u32)], split: Split, rates: &mut [f32]) {
    let bins = cells.len() - 1;
    let rate = |(hits, total): (u32, u32)| hits as f32 / total.max(1) as f32;
    if split.side == Side::At {
        let at = cells[split.cut];
        let all = cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        rates.fill(rate((all.0 - at.0, all.1 - at.1)));
        rates[split.cut] = rate(at);
        return;
    }
    let order: Vec<usize> = std::iter::once(bins)
        .chain(0..bins)
        .map(|at| if at < bins && split.side == Side::Below { bins - 1 - at } else { at })
        .collect();
    for level in rising(order.iter().map(|slot| cells[*slot])) {
        for slot in &order[level.from..level.to] {
            rates[*slot] = level.rate() as f32;
        }
    }
}

/// Whether the first, which was taken, cannot be told from the second: it explains the same refusals, about as well.
pub(super) fn cannot_be_told(sample: &Sample, left: &[u32], first: &Model, second: &Model) -> bool {
    overlap(sample, left, first, second) >= THE_SAME && fits_no_worse(sample, left, first, second)
}

/// How a second explanation stands to a first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It explains something else, or worse.
    Other,
    /// It explains what the first does, and about as well.
    Alike,
    /// It explains what the first does, and better than the scatter of both admits.
    Better,
}

/// How the second stands to the first. Unlike [`cannot_be_told`] it may make those refusals far more likely, and explain
/// others beside them.
pub(super) fn standing(sample: &Sample, left: &[u32], first: &Model, second: &Model) -> Standing {
    let (mut both, mut own) = (0.0, 0.0);
    for (at, _) in left.iter().enumerate().filter(|(_, position)| sample.refused[**position as usize]) {
        both += f64::from(first.0[at].min(second.0[at]));
        own += f64::from(first.0[at]);
    }
    if both < THE_SAME * own {
        return Standing::Other;
    }
    let (sum, scatter) = lead(sample, left, first, second);
    match sum {
        _ if sum > 2.0 && sum >= TOLD * scatter => Standing::Other,
        _ if sum < -2.0 && sum <= -TOLD * scatter => Standing::Better,
        _ => Standing::Alike,
    }
}

/// How far both make the same refusals likely: 1 all of them alike, 0 where one explains what the other does not.
fn overlap(sample: &Sample, left: &[u32], first: &Model, second: &Model) -> f64 {
    let (mut both, mut either) = (0.0, 0.0);
    for (at, _) in left.iter().enumerate().filter(|(_, position)| sample.refused[**position as usize]) {
        both += f64::from(first.0[at].min(second.0[at]));
        either += f64::from(first.0[at].max(second.0[at]));
    }
    if either > 0.0 { both / either } else { 0.0 }
}

fn fits_no_worse(sample: &Sample, left: &[u32], first: &Model, second: &Model) -> bool {
    let (sum, scatter) = lead(sample, left, first, second);
    sum <= 2.0 || sum < TOLD * scatter
}

/// By how much the first is likelier than the second, and how much that scatters over blocks of time.
fn lead(sample: &Sample, left: &[u32], first: &Model, second: &Model) -> (f64, f64) {
    let mut sums = vec![0.0_f64; BLOCKS.min(left.len()).max(1)];
    let blocks = sums.len();
    for (at, position) in left.iter().enumerate() {
        let hit = sample.refused[*position as usize];
        let of = |model: &Model| of_one(hit, f64::from(model.0[at]).clamp(1e-3, 1.0 - 1e-3));
        if first.0[at] != second.0[at] {
            sums[at * blocks / left.len()] += of(first) - of(second);
        }
    }
    let sum: f64 = sums.iter().sum();
    let mean = sum / blocks as f64;
    let scatter = (sums.iter().map(|own| (own - mean).powi(2)).sum::<f64>()).sqrt();
    (sum, scatter)
}
