//! `time-window`: refusals that belong to a stretch of time, an outage, and to nothing else.
//!
//! Shifting an outage in time leaves an outage, so that it is tested in its own way: time is cut into blocks longer than
//! the refusals *outside* of the window remember each other, and the blocks are shuffled. Where refusals come in bursts
//! all along, a window as good comes about by chance; where there is one outage, none does.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use crate::stats::{binomial::Binomial, draw::Draw, series};

use super::shifts::block_rates;

/// The grid on which windows are looked for.
const GRID: usize = 240;
/// Fewer blocks cannot be shuffled into anything new.
const FEWEST_BLOCKS: usize = 12;
/// A block is so many memories long, so that a burst seldom falls apart into two.
const MEMORIES: usize = 4;
/// What the best window gains by chance where refusals are independent, beside the logarithm of how many there are.
const CHANCE_NATS: f64 = 10.0;
/// What gains this share of the best is another of its kind.
const OF_ITS_KIND: f64 = 0.08;

/// The best window.
pub(super) struct Window {
    /// Index of its first unit among those that were looked at.
    pub(super) from: usize,
    /// One past its last.
    pub(super) to: usize,
    /// What it gains.
    pub(super) gain: f64,
}

/// Looks for it. `refused`: the outcomes in the order of time.
pub(super) fn find(refused: &[bool], binomial: &Binomial) -> Option<Window> {
    let n = refused.len();
    let grid = n.min(GRID);
    if grid < FEWEST_BLOCKS {
        return None;
    }
    let before = prefix(refused);
    let edges: Vec<usize> = (0..=grid).map(|i| i * n / grid).collect();
    let (from, to, _) = best_window(&before, &edges, binomial)?;
    let (from, to, gain) = refined(&before, from, to, 2 * n / grid + 1, binomial);
    Some(Window { from, to, gain })
}

/// What a given window gains.
pub(super) fn gain(refused: &[bool], from: usize, to: usize, binomial: &Binomial) -> f64 {
    gain_of(&prefix(refused), from, to, binomial)
}

/// How often chance has a window as good; 1 where refusals come in bursts all along, of which the window is but one.
/// `refused`: the outcomes in which the window lies, in the order of time, without those that something else explains.
pub(super) fn p_value(refused: &[bool], window: &Window, shuffles: usize, seed: u64, binomial: &Binomial) -> f64 {
    if is_one_of_many(refused, window, binomial) {
        return 1.0;
    }
    shuffled(refused, window, shuffles, seed, binomial)
}

/// Whether there are more than two of its kind: what is left without the two best still has one.
fn is_one_of_many(refused: &[bool], window: &Window, binomial: &Binomial) -> bool {
    let mut rest = without(refused, window);
    if let Some(second) = find(&rest, binomial) {
        rest = without(&rest, &second);
    }
    let chance = CHANCE_NATS + (refused.len().max(2) as f64).ln();
    find(&rest, binomial).is_some_and(|third| third.gain > chance.max(OF_ITS_KIND * window.gain))
}

fn without(refused: &[bool], window: &Window) -> Vec<bool> {
    refused[..window.from].iter().chain(&refused[window.to..]).copied().collect()
}

/// How many were refused before each unit, and in all.
fn prefix(refused: &[bool]) -> Vec<u32> {
    let mut sum = 0;
    let mut before = Vec::with_capacity(refused.len() + 1);
    before.push(0);
    for hit in refused {
        sum += u32::from(*hit);
        before.push(sum);
    }
    before
}

fn gain_of(before: &[u32], from: usize, to: usize, binomial: &Binomial) -> f64 {
    let n = before.len() - 1;
    let inside = (before[to] - before[from], (to - from) as u32);
    binomial.split(inside, (before[n] - inside.0, n as u32 - inside.1))
}

/// The best window between two of `edges`.
fn best_window(before: &[u32], edges: &[usize], binomial: &Binomial) -> Option<(usize, usize, f64)> {
    let mut best = None;
    let mut highest = 0.0;
    for (at, from) in edges.iter().enumerate() {
        for to in &edges[at + 1..] {
            if before[*to] == before[*from] {
                continue;
            }
            let gain = gain_of(before, *from, *to, binomial);
            if gain > highest {
                highest = gain;
                best = Some((*from, *to, gain));
            }
        }
    }
    best
}

/// Moves both ends to the units where the window gains most.
fn refined(before: &[u32], from: usize, to: usize, reach: usize, binomial: &Binomial) -> (usize, usize, f64) {
    let n = before.len() - 1;
    let (mut from, mut to) = (from, to);
    let mut best = gain_of(before, from, to, binomial);
    for _ in 0..2 {
        for candidate in from.saturating_sub(reach)..=(from + reach).min(to - 1) {
            let gain = gain_of(before, candidate, to, binomial);
            if gain > best {
                (best, from) = (gain, candidate);
            }
        }
        for candidate in to.saturating_sub(reach).max(from + 1)..=(to + reach).min(n) {
            let gain = gain_of(before, from, candidate, binomial);
            if gain > best {
                (best, to) = (gain, candidate);
            }
        }
    }
    (from, to, best)
}

fn shuffled(refused: &[bool], window: &Window, shuffles: usize, seed: u64, binomial: &Binomial) -> f64 {
    let (from, to, gain) = (window.from, window.to, window.gain);
    let n = refused.len();
    let outside = without(refused, window);
    // An outage is even within: where it is several bursts, those are what blocks must hold.
    let memory = memory(&outside).max(memory(&refused[from..to]));
    let length = (MEMORIES * memory).max(n / GRID).max(1);
    let blocks = n / length;
    if blocks < FEWEST_BLOCKS {
        return 1.0;
    }
    let hits = prefix(refused);
    let edge = |block: usize| block * n / blocks;
    let mut own: Vec<(u32, u32)> = (0..blocks)
        .map(|block| (hits[edge(block + 1)] - hits[edge(block)], (edge(block + 1) - edge(block)) as u32))
        .collect();
    let mut draw = Draw::new(seed, 4);
    let mut as_high = 0;
    for _ in 0..shuffles {
        draw.shuffle(&mut own);
        as_high += usize::from(highest_run(&own, binomial) >= gain);
    }
    (1 + as_high) as f64 / (1 + shuffles) as f64
}

/// How many units long these outcomes remember.
fn memory(outcomes: &[bool]) -> usize {
    let blocks = outcomes.len().min(2000);
    let lag = series::memory(&block_rates(outcomes, blocks), blocks / 8);
    (lag * outcomes.len()).div_ceil(blocks.max(1))
}

/// The gain of the best run of blocks.
fn highest_run(blocks: &[(u32, u32)], binomial: &Binomial) -> f64 {
    let all = blocks.iter().fold((0, 0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    let mut highest = 0.0_f64;
    for from in 0..blocks.len() {
        let mut inside = (0, 0);
        for block in &blocks[from..] {
            inside = (inside.0 + block.0, inside.1 + block.1);
            if block.0 > 0 {
                highest = highest.max(binomial.split(inside, (all.0 - inside.0, all.1 - inside.1)));
            }
        }
    }
    highest
}
