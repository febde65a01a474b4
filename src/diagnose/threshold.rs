//! Where refusals begin: the exact first dose on the refused side, its interval, the curve, and whether it is soft.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use std::collections::BTreeSet;

use crate::{
    model::finding::{Counting, CurvePoint, Direction, Soft, Threshold},
    stats::{
        binomial::Binomial,
        draw::Draw,
        interval::{quantile, wilson},
        monotone::{Level, rising},
    },
};

use super::{
    sample::Sample,
    split::{self, Side, Split},
};

/// Doses around the cut that are looked at one by one.
const STEPS: usize = 300;
/// How often the doses around the cut are looked at more closely: 150 × 150 doses in a step.
const REFINEMENTS: usize = 2;
/// Bins of the coarse search on either side of its cut that are looked at.
const REACH: usize = 9;
/// Blocks of time that the bootstrap draws.
const BLOCKS: usize = 100;
/// Bins of the curve.
const CURVE: usize = 24;
/// What a curve must gain over a step, in nats and as a share of the step's gain, to be called soft.
const SOFT_NATS: f64 = 12.0;
const SOFT_SHARE: f64 = 0.06;

/// A dose's values, and where the coarse search cut them.
pub(super) struct Question<'a> {
    pub(super) sample: &'a Sample,
    pub(super) values: &'a [f32],
    pub(super) bins: &'a [u8],
    pub(super) split: Split,
    /// Positions that are left, in the order of time.
    pub(super) left: &'a [u32],
    pub(super) counting: Option<Counting>,
    /// How far apart transit puts what passes here and what happens at the server, in the dose's unit: by how much the
    /// server's may be less, and more.
    pub(super) hidden: (f64, f64),
    /// Of the bootstrap.
    pub(super) replicates: usize,
    pub(super) seed: u64,
}

/// What was found.
pub(super) struct Answer {
    /// As it is reported.
    pub(super) threshold: Threshold,
    /// The strata that are refused more on its refused side.
    pub(super) affected: BTreeSet<u8>,
    /// The first dose at which refusals are more than elsewhere: what is covered, also where the limit is soft.
    pub(super) begins: f32,
}

impl Answer {
    /// Whether a unit is covered.
    pub(super) fn covers(&self, value: f32, stratum: u8) -> bool {
        let side = match self.threshold.direction {
            Direction::Above => value >= self.begins,
            Direction::Below => value <= self.begins,
        };
        side && self.affected.contains(&stratum)
    }
}

/// Refused and all of each dose around the cut, in the order from the accepted side to the refused one, by stratum and
/// block of time.
struct Steps {
    /// The lowest of each step's doses on the accepted side (above), the highest (below): where it begins.
    begin: Vec<f32>,
    /// Where it ends.
    end: Vec<f32>,
    strata: usize,
    /// `[block][stratum][step]`; the first step holds all that lies further on the accepted side, the last all further on.
    cells: Vec<(u32, u32)>,
    blocks: usize,
}

/// Answers it; `None` where nothing is left of the cut when it is looked at closely.
pub(super) fn find(question: &Question<'_>, binomial: &Binomial) -> Option<Answer> {
    let mut steps = Steps::new(question, None)?;
    let mut whole = steps.weighed(&vec![1; steps.blocks]);
    let (mut cut, mut gain) = steps.best_cut(&whole, binomial)?;
    // Where there are too many doses to look at each, those around the cut are looked at again.
    for _ in 0..REFINEMENTS {
        let (a, b) = (steps.begin[cut], steps.end[cut - 1]);
        let (first, last) = (steps.end[cut], steps.begin[cut - 1]);
        let near = (a.min(b).min(first).min(last), a.max(b).max(first).max(last));
        steps = Steps::new(question, Some(near))?;
        whole = steps.weighed(&vec![1; steps.blocks]);
        (cut, gain) = steps.best_cut(&whole, binomial)?;
    }
    let affected = steps.affected(&whole, cut, binomial);
    let pooled = steps.pooled(&whole, &affected);
    let levels = rising(pooled.iter().copied());
    let mut draw = Draw::new(question.seed, 5);
    let mut cuts: Vec<f64> = (0..question.replicates)
        .filter_map(|_| {
            let weighed = steps.weighed(&draw.weights(steps.blocks));
            Some(f64::from(steps.begin[steps.best_cut(&weighed, binomial)?.0]))
        })
        .collect();
    cuts.sort_unstable_by(f64::total_cmp);
    let value = steps.begin[cut];
    let direction = if question.split.side == Side::Below { Direction::Below } else { Direction::Above };
    let curve_gain = curve_gain(&pooled, &levels, cut, binomial);
    let (low_share, high_share) = (0.15, 0.85);
    let smear = steps.smear(&levels, low_share, high_share);
    let mut ends: Vec<f64> = vec![f64::from(value), smear.0, smear.1];
    ends.extend(quantile(&cuts, 0.025));
    ends.extend(quantile(&cuts, 0.975));
    // Nothing was seen between the last accepted dose and the first refused one: the limit may be anywhere there.
    let neighbour = f64::from(steps.end[cut - 1]);
    let whole_numbers = question.counting.is_some();
    ends.push(match direction {
        Direction::Above if whole_numbers => neighbour + 1.0,
        _ => neighbour,
    });
    let (low, high) = ends.iter().fold((f64::MAX, f64::MIN), |(low, high), end| (low.min(*end), high.max(*end)));
    let (low, high) = (low - question.hidden.0, high + question.hidden.1);
    let mut soft = (curve_gain > SOFT_NATS && curve_gain > SOFT_SHARE * gain && smear.0 != smear.1)
        .then(|| steps.soft(&levels))
        .flatten();
    let (mut low, mut high) = (low, high);
    if let Some(soft) = &mut soft
        && let Some(ramp) = Ramp::of(&pooled)
    {
        // A limit that rises begins where the ramp does, which few refusals tell: as far as its likelihood admits.
        soft.begins = f64::from(steps.begin[ramp.from]);
        for step in [ramp.earliest, ramp.latest] {
            let begins = f64::from(steps.begin[step]);
            (low, high) = (low.min(begins), high.max(begins));
        }
    }
    let begins = steps.begin[steps.begins(&pooled, cut, binomial)];
    Some(Answer {
        threshold: Threshold {
            value: f64::from(value),
            low,
            high,
            direction,
            counting: question.counting,
            soft,
            curve: curve(question, &affected),
        },
        affected,
        begins,
    })
}

/// A refusal rate that rises evenly from one step to another.
struct Ramp {
    /// The last step before it rises.
    from: usize,
    /// The first `from` that the data admit.
    earliest: usize,
    /// The last one.
    latest: usize,
}

/// Steps of a ramp that are tried, at most.
const RAMP_STEPS: usize = 60;
/// Half the 95 % quantile of χ² with one degree of freedom, and as much again since neighbours are not independent.
const ADMITTED_NATS: f64 = 3.84;

impl Ramp {
    /// The likeliest one, and where else it may begin (profile likelihood).
    fn of(pooled: &[(u32, u32)]) -> Option<Self> {
        let of = |cells: &[(u32, u32)]| cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let rate = |(hits, total): (u32, u32)| f64::from(hits) / f64::from(total.max(1));
        let stride = pooled.len().div_ceil(RAMP_STEPS).max(1);
        let ends: Vec<usize> = (1..pooled.len()).step_by(stride).collect();
        let mut likeliest: Vec<(usize, f64)> = Vec::new();
        for from in &ends {
            let mut best = f64::MIN;
            for to in ends.iter().filter(|to| *to > from) {
                let (floor, top) = (rate(of(&pooled[..*from])), rate(of(&pooled[*to..])));
                let log_likelihood = (pooled.iter().enumerate())
                    .map(|(step, (hits, total))| {
                        let share = (step as f64 + 1.0 - *from as f64) / (*to as f64 + 1.0 - *from as f64);
                        let rate = (floor + (top - floor) * share.clamp(0.0, 1.0)).clamp(1e-6, 1.0 - 1e-6);
                        f64::from(*hits) * rate.ln() + f64::from(total - hits) * (1.0 - rate).ln()
                    })
                    .sum::<f64>();
                best = best.max(log_likelihood);
            }
            likeliest.push((*from, best));
        }
        let (from, most) = likeliest.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut admitted = likeliest.iter().filter(|(_, own)| *own >= most - ADMITTED_NATS).map(|(from, _)| *from);
        let earliest = admitted.next()?;
        Some(Self { from, earliest, latest: admitted.next_back().unwrap_or(earliest) })
    }
}

impl Steps {
    /// `closely`: the doses between these are looked at one by one, those further off in fewer steps.
    fn new(question: &Question<'_>, closely: Option<(f32, f32)>) -> Option<Self> {
        let below = question.split.side == Side::Below;
        let cut = question.split.cut;
        let near = cut.saturating_sub(REACH)..cut + REACH;
        let is_near = |position: &u32| near.contains(&(question.bins[*position as usize] as usize));
        let mut doses: Vec<f32> =
            question.left.iter().filter(|p| is_near(p)).map(|p| question.values[*p as usize]).collect();
        doses.sort_unstable_by(f32::total_cmp);
        let mut begins = steps_of(&doses, if closely.is_some() { STEPS / 2 } else { STEPS });
        if let Some((low, high)) = closely {
            let from = doses.partition_point(|dose| *dose < low);
            let to = doses.partition_point(|dose| *dose <= high);
            begins.extend(steps_of(&doses[from..to], STEPS / 2));
            // The step after what is looked at closely begins where that ends.
            begins.extend(doses.get(to));
            begins.sort_unstable_by(f32::total_cmp);
            begins.dedup();
        }
        let count = begins.len();
        if count < 2 {
            return None;
        }
        let ends: Vec<f32> = (0..count)
            .map(|step| {
                let next = begins.get(step + 1).copied().unwrap_or(f32::INFINITY);
                let past = doses.partition_point(|dose| *dose < next);
                doses.get(past.saturating_sub(1)).copied().unwrap_or(begins[step])
            })
            .collect();
        let blocks = BLOCKS.min(question.left.len());
        let strata = question.sample.strata();
        let mut cells = vec![(0, 0); blocks * strata * count];
        for (at, position) in question.left.iter().enumerate() {
            let position = *position as usize;
            let value = question.values[position];
            // What has no dose is as far on the accepted side as can be.
            let step = if value.is_nan() { None } else { Some(begins.partition_point(|begin| *begin <= value)) };
            let step = match (step, below) {
                (None, _) => 0,
                (Some(step), false) => step.saturating_sub(1),
                (Some(step), true) => count - step.max(1),
            };
            let block = at * blocks / question.left.len();
            let stratum = question.sample.stratum[position] as usize;
            let cell = &mut cells[(block * strata + stratum) * count + step];
            cell.0 += u32::from(question.sample.refused[position]);
            cell.1 += 1;
        }
        let (begin, end) =
            if below { (ends.into_iter().rev().collect(), begins.into_iter().rev().collect()) } else { (begins, ends) };
        Some(Self { begin, end, strata, cells, blocks })
    }

    /// The sums over blocks, each counted as often as its weight says: `[stratum][step]`.
    fn weighed(&self, weights: &[u32]) -> Vec<(u32, u32)> {
        let width = self.strata * self.begin.len();
        let mut sums = vec![(0, 0); width];
        for (weight, cells) in weights.iter().zip(self.cells.chunks_exact(width)).filter(|(weight, _)| **weight > 0) {
            for (sum, cell) in sums.iter_mut().zip(cells) {
                sum.0 += weight * cell.0;
                sum.1 += weight * cell.1;
            }
        }
        sums
    }

    /// The first step on the refused side, and the gain of that cut.
    fn best_cut(&self, sums: &[(u32, u32)], binomial: &Binomial) -> Option<(usize, f64)> {
        let count = self.begin.len();
        let mut gains = vec![0.0; count];
        for cells in sums.chunks_exact(count) {
            let all = cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            if all.0 == 0 || all.0 == all.1 {
                continue;
            }
            let mut low = (0, 0);
            for (cut, gain) in gains.iter_mut().enumerate().skip(1) {
                low = (low.0 + cells[cut - 1].0, low.1 + cells[cut - 1].1);
                *gain += binomial.split((all.0 - low.0, all.1 - low.1), low);
            }
        }
        let (cut, gain) = gains.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        (gain > 0.0).then_some((cut, gain))
    }

    fn affected(&self, sums: &[(u32, u32)], cut: usize, binomial: &Binomial) -> BTreeSet<u8> {
        let of = |cells: &[(u32, u32)]| cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let sides: Vec<_> =
            sums.chunks_exact(self.begin.len()).map(|cells| (of(&cells[cut..]), of(&cells[..cut]))).collect();
        split::affected(&sides, binomial)
    }

    /// Over the affected strata together.
    fn pooled(&self, sums: &[(u32, u32)], affected: &BTreeSet<u8>) -> Vec<(u32, u32)> {
        let count = self.begin.len();
        let mut pooled = vec![(0, 0); count];
        for (_, cells) in (0_u8..).zip(sums.chunks_exact(count)).filter(|(stratum, _)| affected.contains(stratum)) {
            for (sum, cell) in pooled.iter_mut().zip(cells) {
                sum.0 += cell.0;
                sum.1 += cell.1;
            }
        }
        pooled
    }

    /// The doses at which the curve has risen by these shares of its rise.
    fn smear(&self, levels: &[Level], low: f64, high: f64) -> (f64, f64) {
        (self.risen(levels, low), self.risen(levels, high))
    }

    /// The dose at which the curve has risen by that share of its rise.
    fn risen(&self, levels: &[Level], share: f64) -> f64 {
        let (Some(first), Some(last)) = (levels.first(), levels.last()) else { return 0.0 };
        let wanted = first.rate() + share * (last.rate() - first.rate());
        let level = levels.iter().find(|level| level.rate() >= wanted).unwrap_or(last);
        f64::from(self.begin[level.from])
    }

    fn soft(&self, levels: &[Level]) -> Option<Soft> {
        let (first, last) = (levels.first()?, levels.last()?);
        let (begins, quarter, half, most) =
            (self.risen(levels, 0.1), self.risen(levels, 0.25), self.risen(levels, 0.5), self.risen(levels, 0.75));
        // A rise within one step is a jump, whatever comes before it.
        let slope = 0.5 * (last.rate() - first.rate()) / (most - quarter);
        (most != quarter).then_some(Soft { begins, half, slope })
    }

    /// The first step from which on more is refused than before it, found by splitting the accepted side again for as
    /// long as that gains more than chance does.
    fn begins(&self, pooled: &[(u32, u32)], cut: usize, binomial: &Binomial) -> usize {
        let mut cut = cut;
        loop {
            let all = pooled[..cut].iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            let mut low = (0, 0);
            let mut best = (0.0, 0);
            for next in 1..cut {
                low = (low.0 + pooled[next - 1].0, low.1 + pooled[next - 1].1);
                let gain = binomial.split((all.0 - low.0, all.1 - low.1), low);
                if gain > best.0 {
                    best = (gain, next);
                }
            }
            let chance = 0.5 * f64::from(all.1.max(2)).ln() + 6.0;
            if best.0 <= chance {
                return cut;
            }
            cut = best.1;
        }
    }
}

/// What the curve gains over the step at `cut`.
fn curve_gain(pooled: &[(u32, u32)], levels: &[Level], cut: usize, binomial: &Binomial) -> f64 {
    let of = |cells: &[(u32, u32)]| {
        let sum = cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        binomial.at_best(sum.0, sum.1)
    };
    levels.iter().map(|level| binomial.at_best(level.hits, level.total)).sum::<f64>()
        - of(&pooled[..cut])
        - of(&pooled[cut..])
}

/// Where each step begins: every dose that was seen, or as many quantiles where there are too many.
fn steps_of(sorted: &[f32], most: usize) -> Vec<f32> {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    if distinct.len() > most {
        let at = |step: usize| sorted.get(step * sorted.len() / most).copied();
        distinct = (0..most).filter_map(at).collect();
        distinct.dedup();
    }
    distinct
}

/// The refusal curve over all doses of the affected strata, with Wilson's intervals.
fn curve(question: &Question<'_>, affected: &BTreeSet<u8>) -> Vec<CurvePoint> {
    let known = question.left.iter().map(|position| *position as usize).filter(|position| {
        !question.values[*position].is_nan() && affected.contains(&question.sample.stratum[*position])
    });
    let mut units: Vec<(f32, bool)> = known.map(|p| (question.values[p], question.sample.refused[p])).collect();
    units.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut points = Vec::new();
    let mut from = 0;
    for bin in 1..=CURVE {
        let mut to = (bin * units.len() / CURVE).max(from);
        // Equal doses stay together.
        while to > from && to < units.len() && units[to].0 == units[to - 1].0 {
            to += 1;
        }
        if to == from {
            continue;
        }
        let own = &units[from..to];
        let (total, refused) = (own.len() as u64, own.iter().filter(|unit| unit.1).count() as u64);
        let (low, high) = wilson(refused, total);
        let (first, last) = (f64::from(own[0].0), f64::from(own[own.len() - 1].0));
        points.push(CurvePoint { from: first, to: last, total, refused, low, high });
        from = to;
    }
    points
}
