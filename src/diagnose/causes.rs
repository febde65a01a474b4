//! From what was taken to the causes of a verdict: shares, effects with their intervals, evidence.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use std::collections::BTreeSet;

use crate::{
    model::{
        columns::Columns,
        finding::{Cause, Effect, TimeWindow},
    },
    stats::{
        draw::Draw,
        interval::{newcombe, quantile},
    },
};

use super::{
    Options,
    candidate::{Candidate, Kind},
    list::{Taken, What},
    sample::Sample,
    says,
};

/// Ids that a cause shows.
const EVIDENCE: usize = 20;
/// Blocks of time of the bootstrap.
const BLOCKS: usize = 100;

/// One cause. `unexplained`: positions that no cause covers.
pub(super) fn cause(
    columns: &Columns,
    sample: &Sample,
    candidates: &[Candidate],
    taken: &Taken,
    unexplained: &[u32],
    all_refused: u64,
    options: &Options,
) -> Cause {
    let covered: BTreeSet<u32> = taken.covered.iter().copied().collect();
    let comparable = comparable(sample, taken);
    let blocks = blocks(sample, taken, &covered, &comparable);
    let sum = blocks.iter().fold(Cells::default(), |sum, own| sum.plus(own, 1));
    let effect = effect(&blocks, sum, options);
    let more = sum.inside.0 as f64 - base_rate(sample, &comparable, unexplained, sum.outside) * sum.inside.1 as f64;
    let explains = (more / all_refused.max(1) as f64).clamp(0.0, 1.0);
    let (hypothesis, level, threshold, window) = match &taken.what {
        What::Candidate(of, bin) => {
            let level = match &candidates[*of].kind {
                Kind::Contrast { names, .. } => names.get(*bin).cloned(),
                Kind::Flag | Kind::Dose { .. } => None,
            };
            (candidates[*of].hypothesis.clone(), level, None, None)
        }
        What::Dose(of, answer) => (candidates[*of].hypothesis.clone(), None, Some(answer.threshold.clone()), None),
        What::Answered => ("answered-by:intermediary".to_owned(), None, None, None),
        What::Window(from, to) => {
            let at = |position: u32| u64::try_from(sample.offered_ns[position as usize]).unwrap_or_default();
            ("time-window".to_owned(), None, None, Some(TimeWindow { from_ns: at(*from), to_ns: at(*to) }))
        }
    };
    let mut cause = Cause {
        hypothesis,
        level,
        threshold,
        window,
        explains,
        covered: sum.inside.1,
        refused_covered: sum.inside.0,
        effect,
        gain: taken.gain,
        p: taken.p,
        evidence: evidence(columns, sample, &taken.covered),
        says: String::new(),
    };
    cause.says = says::cause(&cause, (sum.outside.0, sum.outside.1), all_refused);
    cause
}

/// What is refused anyway: the rate where no cause holds. Where all of these strata is covered, the rate outside.
fn base_rate(sample: &Sample, strata: &BTreeSet<u8>, unexplained: &[u32], outside: (u64, u64)) -> f64 {
    let own = unexplained.iter().map(|position| *position as usize).filter(|p| strata.contains(&sample.stratum[*p]));
    let rest = own.fold((0, 0), |sum, position| (sum.0 + u64::from(sample.refused[position]), sum.1 + 1));
    let (hits, total) = if rest.1 > 0 { rest } else { outside };
    hits as f64 / total.max(1) as f64
}

/// The strata in which there is something to compare: those of covered units.
fn comparable(sample: &Sample, taken: &Taken) -> BTreeSet<u8> {
    let own: BTreeSet<u8> = taken.covered.iter().map(|position| sample.stratum[*position as usize]).collect();
    let inside: BTreeSet<u32> = taken.covered.iter().copied().collect();
    let elsewhere = taken.left.iter().any(|p| own.contains(&sample.stratum[*p as usize]) && !inside.contains(p));
    // A cause that covers whole routes is compared with the other routes.
    if elsewhere { own } else { taken.left.iter().map(|position| sample.stratum[*position as usize]).collect() }
}

/// Refused and all, inside and outside.
#[derive(Clone, Copy, Default)]
struct Cells {
    inside: (u64, u64),
    outside: (u64, u64),
}

impl Cells {
    fn plus(self, other: &Self, weight: u64) -> Self {
        let add = |a: (u64, u64), b: (u64, u64)| (a.0 + weight * b.0, a.1 + weight * b.1);
        Self { inside: add(self.inside, other.inside), outside: add(self.outside, other.outside) }
    }

    fn difference(self) -> f64 {
        let rate = |(hits, total): (u64, u64)| hits as f64 / total.max(1) as f64;
        rate(self.inside) - rate(self.outside)
    }
}

fn blocks(sample: &Sample, taken: &Taken, covered: &BTreeSet<u32>, strata: &BTreeSet<u8>) -> Vec<Cells> {
    let count = BLOCKS.min(taken.left.len()).max(1);
    let mut blocks = vec![Cells::default(); count];
    for (at, position) in taken.left.iter().enumerate() {
        let inside = covered.contains(position);
        if !inside && !strata.contains(&sample.stratum[*position as usize]) {
            continue;
        }
        let block = &mut blocks[at * count / taken.left.len()];
        let side = if inside { &mut block.inside } else { &mut block.outside };
        side.0 += u64::from(sample.refused[*position as usize]);
        side.1 += 1;
    }
    blocks
}

/// The difference of rates; its interval is the wider of Newcombe's and that of drawing blocks of time.
fn effect(blocks: &[Cells], sum: Cells, options: &Options) -> Effect {
    let (difference, mut low, mut high) = newcombe(sum.inside, sum.outside);
    let mut draw = Draw::new(options.seed, 6);
    let mut drawn: Vec<f64> = (0..options.bootstrap)
        .map(|_| {
            let weights = draw.weights(blocks.len());
            let sum = blocks.iter().zip(weights).fold(Cells::default(), |sum, (own, w)| sum.plus(own, u64::from(w)));
            sum.difference()
        })
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    low = quantile(&drawn, 0.025).map_or(low, |drawn| drawn.min(low));
    high = quantile(&drawn, 0.975).map_or(high, |drawn| drawn.max(high));
    Effect { difference, low, high }
}

/// Refused units that it covers, evenly over time.
fn evidence(columns: &Columns, sample: &Sample, covered: &[u32]) -> Vec<String> {
    let refused: Vec<u32> = covered.iter().copied().filter(|position| sample.refused[*position as usize]).collect();
    let step = refused.len().div_ceil(EVIDENCE).max(1);
    let subject = |position: &u32| columns.units.subject.get(sample.unit[*position as usize] as usize);
    refused.iter().step_by(step).filter_map(|position| Some(subject(position)?.to_string())).collect()
}
