//! Arms of an experiment: in which order they run, and what their refusals say. PURE.
//!
//! Each round runs every arm once, in random order, so that what changes with time hits all alike. What differs between
//! arms beyond chance is then caused by what differs in them. Requests of one run share their fate (a burst, a full
//! queue), so that counting them as independent would promise too much: where rounds of one arm disagree more than
//! chance allows, all counts are taken for as many fewer (the design effect).

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::stats::interval::{newcombe_of_fewer, wilson_of_fewer};

/// Below this, a difference is taken for real.
const LEVEL: f64 = 0.05;

/// The order of arms in each round.
pub fn order(arms: usize, rounds: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut random = Pcg64::seed_from_u64(seed);
    let round = |_| {
        let mut order: Vec<usize> = (0..arms).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random.random_range(0..=at));
        }
        order
    };
    (0..rounds).map(round).collect()
}

/// How one arm went in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that were sent.
    pub sent: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// A share with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Requests that were sent.
    pub sent: u64,
    /// Those that were refused.
    pub refused: u64,
    /// The share; `None` where nothing was sent.
    pub rate: Option<f64>,
    /// Its 95 % interval (Wilson).
    pub low: f64,
    /// Its other end.
    pub high: f64,
}

/// An arm against the control.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// Which arm.
    #[serde(skip)]
    pub arm: usize,
    /// Its rate less the control's.
    pub difference: f64,
    /// Its 95 % interval (Newcombe's, of the two Wilson intervals).
    pub low: f64,
    /// Its other end.
    pub high: f64,
    /// Two-sided, Fisher's exact, corrected for the number of arms (Holm).
    pub p: f64,
    /// What that comes to.
    pub result: Finding,
}

/// What a contrast comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// There were refusals, and with this there is none.
    Removes,
    /// Fewer.
    Lowers,
    /// More.
    Raises,
    /// Nothing that could not be chance.
    NoDifference,
    /// Nothing was sent in one of the two.
    NotEnoughData,
}

/// What an experiment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// For each arm.
    pub rates: Vec<Rate>,
    /// The arm that the others are held against.
    pub control: usize,
    /// For each other arm.
    pub contrasts: Vec<Contrast>,
    /// By what all counts were divided; 1 where rounds agree.
    pub design_effect: f64,
}

/// Judges the counts of arms, each with its rounds.
pub fn judge(arms: &[Vec<Count>], control: usize) -> Findings {
    let effect = design_effect(arms);
    let totals: Vec<Count> = arms.iter().map(|rounds| total(rounds)).collect();
    let rates: Vec<Rate> = totals.iter().map(|count| rate(*count, effect)).collect();
    let base = totals.get(control).copied().unwrap_or_default();
    let mut contrasts: Vec<Contrast> = Vec::new();
    for (arm, count) in totals.iter().enumerate().filter(|(arm, _)| *arm != control) {
        let (difference, low, high) = newcombe_of_fewer(pair(*count), pair(base), effect);
        let p = fisher(scaled(*count, effect), scaled(base, effect));
        contrasts.push(Contrast { arm, difference, low, high, p, result: Finding::NoDifference });
    }
    holm(&mut contrasts);
    for contrast in &mut contrasts {
        let own = totals.get(contrast.arm).copied().unwrap_or_default();
        contrast.result = match contrast.difference {
            _ if own.sent == 0 || base.sent == 0 => Finding::NotEnoughData,
            _ if contrast.p >= LEVEL => Finding::NoDifference,
            _ if own.refused == 0 => Finding::Removes,
            difference if difference < 0.0 => Finding::Lowers,
            _ => Finding::Raises,
        };
    }
    Findings { rates, control, contrasts, design_effect: effect }
}

fn total(rounds: &[Count]) -> Count {
    rounds.iter().fold(Count::default(), |sum, count| Count {
        sent: sum.sent + count.sent,
        refused: sum.refused + count.refused,
    })
}

/// How much more rounds of one arm differ than chance lets them: Pearson's chi-squared over its degrees of freedom.
fn design_effect(arms: &[Vec<Count>]) -> f64 {
    let mut chi = 0.0;
    let mut freedom = 0.0;
    for rounds in arms {
        let sum = total(rounds);
        let share = sum.refused as f64 / (sum.sent as f64).max(1.0);
        let used: Vec<&Count> = rounds.iter().filter(|count| count.sent > 0).collect();
        if share <= 0.0 || share >= 1.0 || used.len() < 2 {
            continue;
        }
        freedom += used.len() as f64 - 1.0;
        for count in used {
            let expected = count.sent as f64 * share;
            chi += (count.refused as f64 - expected).powi(2) / (expected * (1.0 - share));
        }
    }
    if freedom > 0.0 { (chi / freedom).max(1.0) } else { 1.0 }
}

/// The counts that remain by the design effect.
fn scaled(count: Count, effect: f64) -> Count {
    let by = |n: u64| (n as f64 / effect).round() as u64;
    let sent = by(count.sent).max(u64::from(count.sent > 0));
    Count { sent, refused: by(count.refused).min(sent) }
}

fn pair(count: Count) -> (u64, u64) {
    (count.refused, count.sent)
}

/// A rate with Wilson's interval.
fn rate(count: Count, effect: f64) -> Rate {
    let Count { sent, refused } = count;
    let (low, high) = wilson_of_fewer(refused, sent, effect);
    Rate { sent, refused, rate: (sent > 0).then(|| refused as f64 / sent as f64), low, high }
}

/// Fisher's exact test, two-sided: how likely a table at most as likely as this one is, where nothing differs.
fn fisher(own: Count, base: Count) -> f64 {
    let all = own.sent + base.sent;
    let refused = own.refused + base.refused;
    if own.sent == 0 || base.sent == 0 || refused == 0 || refused == all {
        return 1.0;
    }
    let mut logs = vec![0.0; usize::try_from(all).unwrap_or_default() + 1];
    let mut sum = 0.0;
    for (n, log) in logs.iter_mut().enumerate().skip(1) {
        sum += (n as f64).ln();
        *log = sum;
    }
    let log = |n: u64| usize::try_from(n).ok().and_then(|n| logs.get(n)).copied().unwrap_or_default();
    let choose = |n: u64, k: u64| log(n) - log(k) - log(n - k);
    let weight = |k: u64| choose(own.sent, k) + choose(base.sent, refused - k) - choose(all, refused);
    let observed = weight(own.refused);
    let tables = refused.saturating_sub(base.sent)..=refused.min(own.sent);
    // As likely up to rounding counts as well.
    tables.map(weight).filter(|weight| *weight <= observed + 1e-7).map(f64::exp).sum::<f64>().min(1.0)
}

/// Corrects for the number of contrasts (Holm 1979).
fn holm(contrasts: &mut [Contrast]) {
    let mut order: Vec<usize> = (0..contrasts.len()).collect();
    let p = |at: usize, contrasts: &[Contrast]| contrasts.get(at).map_or(1.0, |contrast| contrast.p);
    order.sort_by(|a, b| p(*a, contrasts).total_cmp(&p(*b, contrasts)));
    let mut most: f64 = 0.0;
    let all = order.len();
    for (rank, at) in order.into_iter().enumerate() {
        if let Some(contrast) = contrasts.get_mut(at) {
            most = most.max((contrast.p * (all - rank) as f64).min(1.0));
            contrast.p = most;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    fn rounds(counts: &[(u64, u64)]) -> Vec<Count> {
        counts.iter().map(|(refused, sent)| Count { sent: *sent, refused: *refused }).collect()
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-4 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    #[test]
    fn figures_are_those_of_the_books() {
        // Fisher's tea: 3 of 4 against 1 of 4.
        near(fisher(Count { sent: 4, refused: 3 }, Count { sent: 4, refused: 1 }), 0.4857);
        near(fisher(Count { sent: 5, refused: 5 }, Count { sent: 5, refused: 0 }), 0.00794);
    }

    #[test]
    fn a_cause_is_found_and_chance_is_not() {
        let found = judge(&[rounds(&[(10, 10), (10, 10)]), rounds(&[(0, 10), (0, 10)])], 0);
        let contrast = found.contrasts[0];
        assert_eq!((contrast.result, contrast.difference), (Finding::Removes, -1.0));
        assert!(contrast.p < 1e-9 && contrast.high < -0.7, "{contrast:?}");
        let none = judge(&[rounds(&[(3, 20), (4, 20)]), rounds(&[(4, 20), (3, 20)])], 0);
        assert_eq!(none.contrasts[0].result, Finding::NoDifference);
        near(none.contrasts[0].p, 1.0);
        let nothing = judge(&[rounds(&[(3, 20)]), rounds(&[(0, 0)])], 0);
        assert_eq!(nothing.contrasts[0].result, Finding::NotEnoughData);
    }

    #[test]
    fn rounds_that_disagree_prove_less() {
        // 40 of 100 against 20 of 100 would be proof, were it not that whole rounds are refused or not.
        let bursty = judge(
            &[
                rounds(&[(20, 20), (20, 20), (0, 20), (0, 20), (0, 20)]),
                rounds(&[(20, 20), (0, 20), (0, 20), (0, 20), (0, 20)]),
            ],
            0,
        );
        assert!(bursty.design_effect > 10.0, "{}", bursty.design_effect);
        assert_eq!(bursty.contrasts[0].result, Finding::NoDifference);
        let even = judge(&[rounds(&[(8, 20); 5]), rounds(&[(4, 20); 5])], 0);
        assert_eq!((even.design_effect, even.contrasts[0].result), (1.0, Finding::Lowers));
    }

    #[test]
    fn every_round_has_every_arm_in_an_order_of_its_own() {
        let order = order(3, 20, 7);
        assert!(order.iter().all(|round| {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            sorted == [0, 1, 2]
        }));
        assert!(order.iter().any(|round| *round != order[0]));
        assert_eq!(order, super::order(3, 20, 7));
        assert_ne!(order, super::order(3, 20, 8));
    }
}
