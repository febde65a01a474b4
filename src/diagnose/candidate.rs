//! Candidates: what could explain refusals, each reduced to at most 254 bins, chosen without a look at the outcomes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    model::{
        columns::{ABSENT, Columns, NONE, Outcome},
        finding::Counting,
    },
    profile::series,
    stats::draw::Draw,
};

use super::{
    doses::{Dose, Sides},
    sample::Sample,
};

/// The bin of a unit that a candidate says nothing of.
pub(super) const MISSING: u8 = u8::MAX;
/// The value that stands for none.
const LACKING: &str = "(absent)";
/// Values of a contrast that are looked at.
const MOST_VALUES: usize = 250;
/// A dose's bins: equal shares of the units in the middle, ever finer ones at the ends, where limits lie.
const MIDDLE_BINS: usize = 42;
const TAIL_BINS: usize = 11;
/// Edges are taken from so many units.
const EDGE_SAMPLE: usize = 60_000;

/// A possible cause.
pub(super) struct Candidate {
    /// Its hypothesis.
    pub(super) hypothesis: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Each position's bin; [`MISSING`] where it has none.
    pub(super) bins: Vec<u8>,
    /// How many bins.
    pub(super) count: usize,
    /// Whether it is judged within routes; not where it is the route itself, or never varies within one.
    pub(super) within_routes: bool,
    /// Whether clients that lack its value at times bear it at others: it may be the answer before that they lack.
    pub(super) comes_with_answers: bool,
}

/// What a candidate is.
pub(super) enum Kind {
    /// Bin 1 is flagged.
    Flag,
    /// Bins ascend.
    Dose {
        /// What a count leaves out.
        counting: Option<Counting>,
        /// Of which sides a refusal is thinkable.
        sides: Sides,
        /// See [`Dose::special`].
        special: f64,
        /// By position; NaN where there is none.
        values: Vec<f32>,
    },
    /// A bin is a value.
    Contrast {
        /// The values' names, by bin.
        names: Vec<String>,
        /// Whether a bin may be the cause.
        eligible: Vec<bool>,
    },
}

/// Bins on either side of a cut that are divided further where it must be exact.
const SHARPENED: usize = 2;

impl Candidate {
    /// The same dose with the bins around a cut divided as finely as there is room: what is held against a window, whose
    /// ends are exact, must not lose by its bins. Nothing of what is no dose.
    pub(super) fn sharpened(&self, cut: usize) -> Option<Self> {
        let Kind::Dose { counting, sides, special, values } = &self.kind else { return None };
        let (low, high) = (cut.saturating_sub(SHARPENED), (cut + SHARPENED).min(self.count));
        let is_near = |bin: u8| bin != MISSING && (low..high).contains(&(bin as usize));
        let mut edges: Vec<f32> =
            self.bins.iter().zip(values).filter(|(bin, _)| is_near(**bin)).map(|(_, value)| *value).collect();
        edges.sort_unstable_by(f32::total_cmp);
        edges.dedup();
        let room = (MISSING as usize).saturating_sub(self.count + 1);
        let step = edges.len().div_ceil(room.max(1)).max(1);
        // What lies below the lowest edge is the first bin.
        let edges: Vec<f32> = edges.into_iter().skip(1).step_by(step).collect();
        let fresh = edges.len() + 1;
        let rebinned = |(bin, value): (&u8, &f32)| match *bin as usize {
            _ if *bin == MISSING => MISSING,
            bin if bin < low => bin as u8,
            bin if bin < high => (low + edges.partition_point(|edge| edge <= value)) as u8,
            bin => (bin + fresh - (high - low)) as u8,
        };
        Some(Self {
            hypothesis: self.hypothesis.clone(),
            bins: self.bins.iter().zip(values).map(rebinned).collect(),
            count: self.count + fresh - (high - low),
            within_routes: self.within_routes,
            comes_with_answers: self.comes_with_answers,
            kind: Kind::Dose { counting: *counting, sides: *sides, special: *special, values: values.clone() },
        })
    }

    /// Log-likelihood that its freedom wins by chance, for `n` units: per free number half the logarithm of the units, and
    /// the logarithm of what was tried. Between equals: a flag before a dose before a contrast, the simpler dose first.
    pub(super) fn penalty(&self, n: usize) -> f64 {
        let half_log = 0.5 * (n.max(2) as f64).ln();
        let tried = |count: usize| (count.max(1) as f64).ln();
        match &self.kind {
            Kind::Flag => half_log,
            Kind::Dose { sides, special, .. } => {
                let both = if *sides == Sides::Both { std::f64::consts::LN_2 } else { 0.0 };
                2.0 * half_log + tried(self.count) + both + special
            }
            Kind::Contrast { names, .. } => half_log + tried(names.len()) + 1.0,
        }
    }
}

/// What there is to choose from.
#[derive(Default)]
pub(super) struct Candidates {
    /// All that vary, each once.
    pub(super) all: Vec<Candidate>,
    /// The ids of those that do not.
    pub(super) constant: Vec<String>,
    /// Doses that are another one here, unit by unit, where all come from one address, say: that one, and they.
    pub(super) twins: BTreeSet<(String, String)>,
}

/// All candidates.
pub(super) fn all(columns: &Columns, sample: &Sample, doses: Vec<Dose>, seed: u64) -> Candidates {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut constant = Vec::new();
    let mut twins = BTreeSet::new();
    let flags = flags(columns, sample);
    let routes = route_contrast(columns, sample);
    let contrasts = contrasts(columns, sample);
    let doses = doses.into_iter().map(|dose| of_dose(dose, sample, seed));
    for candidate in flags.into_iter().chain(doses).chain(routes).chain(contrasts) {
        if !varies(&candidate) {
            constant.push(candidate.hypothesis);
        } else if let Some(twin) = candidates.iter().find(|known| is_twin(known, &candidate)) {
            twins.insert((twin.hypothesis.clone(), candidate.hypothesis));
        } else {
            candidates.push(candidate);
        }
    }
    constant.retain(|id| candidates.iter().all(|candidate| candidate.hypothesis != *id));
    constant.dedup();
    twins.retain(|(_, twin)| candidates.iter().all(|candidate| candidate.hypothesis != *twin));
    Candidates { all: candidates, constant, twins }
}

/// Whether a dose is another one by a second name: of the same counting, and the same for every unit.
fn is_twin(known: &Candidate, candidate: &Candidate) -> bool {
    let (Kind::Dose { counting: of_known, values: known, .. }, Kind::Dose { counting, values, .. }) =
        (&known.kind, &candidate.kind)
    else {
        return false;
    };
    counting.is_some() && of_known == counting && known.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Whether there is anything to compare: two bins that hold units, or one and units that it says nothing of.
fn varies(candidate: &Candidate) -> bool {
    let first = candidate.bins.first();
    let eligible = match &candidate.kind {
        Kind::Contrast { eligible, .. } => eligible.iter().any(|eligible| *eligible),
        Kind::Flag | Kind::Dose { .. } => candidate.count > 1,
    };
    eligible && candidate.bins.iter().any(|bin| Some(bin) != first)
}

fn flags(columns: &Columns, sample: &Sample) -> Vec<Candidate> {
    let mut position = vec![u32::MAX; columns.units.len()];
    for (at, unit) in (0_u32..).zip(&sample.unit) {
        if let Some(position) = position.get_mut(*unit as usize) {
            *position = at;
        }
    }
    let flag = |flagged: &crate::model::columns::Flagged| {
        let mut bins = vec![0_u8; sample.len()];
        for unit in &flagged.units {
            let at = position.get(*unit as usize).copied().unwrap_or(u32::MAX);
            if let Some(bin) = bins.get_mut(at as usize) {
                *bin = 1;
            }
        }
        let within_routes = varies_within_routes(&bins, sample);
        Candidate {
            hypothesis: flagged.rule.clone(),
            kind: Kind::Flag,
            bins,
            count: 2,
            within_routes,
            comes_with_answers: false,
        }
    };
    columns.flags.iter().map(flag).collect()
}

fn varies_within_routes(bins: &[u8], sample: &Sample) -> bool {
    let mut seen: Vec<Option<u8>> = vec![None; sample.strata()];
    for (bin, stratum) in bins.iter().zip(&sample.stratum) {
        match seen.get_mut(*stratum as usize) {
            Some(Some(before)) if before != bin => return true,
            Some(before) => *before = Some(*bin),
            None => {}
        }
    }
    false
}

fn of_dose(dose: Dose, sample: &Sample, seed: u64) -> Candidate {
    let values: Vec<f32> =
        sample.unit.iter().map(|unit| dose.values.get(*unit as usize).copied().unwrap_or(f32::NAN)).collect();
    let edges = edges(&values, seed);
    let bins = values
        .iter()
        .map(|value| if value.is_nan() { MISSING } else { edges.partition_point(|edge| edge <= value) as u8 })
        .collect();
    Candidate {
        hypothesis: dose.hypothesis.to_owned(),
        kind: Kind::Dose { counting: dose.counting, sides: dose.sides, special: dose.special, values },
        bins,
        count: edges.len() + 1,
        within_routes: true,
        comes_with_answers: false,
    }
}

/// The lowest value of each bin but the first.
fn edges(values: &[f32], seed: u64) -> Vec<f32> {
    let mut known: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if known.len() > EDGE_SAMPLE {
        let mut draw = Draw::new(seed, 1);
        known = (0..EDGE_SAMPLE).filter_map(|_| known.get(draw.below(known.len())).copied()).collect();
    }
    known.sort_unstable_by(f32::total_cmp);
    let mut distinct = known.clone();
    distinct.dedup();
    if distinct.len() > MIDDLE_BINS + 2 * TAIL_BINS {
        let middle = (1..MIDDLE_BINS).map(|i| i as f64 / MIDDLE_BINS as f64);
        // From the outermost full bin inwards to one in some ten thousand.
        let tail = (1..=TAIL_BINS).map(|i| 0.6_f64.powi(i as i32) / MIDDLE_BINS as f64);
        let shares = middle.chain(tail.clone()).chain(tail.map(|share| 1.0 - share));
        let last = known.len().saturating_sub(1) as f64;
        distinct = shares.filter_map(|share| known.get((share * last).round() as usize).copied()).collect();
        distinct.sort_unstable_by(f32::total_cmp);
        distinct.dedup();
    }
    // What lies below the lowest edge is the first bin.
    let lowest = known.first().copied();
    distinct.retain(|edge| Some(*edge) != lowest);
    distinct
}

fn route_contrast(columns: &Columns, sample: &Sample) -> Option<Candidate> {
    let of = |unit: &u32| columns.units.route.get(*unit as usize).map_or(ABSENT, |route| (*route).min(0xffff) as u16);
    let mut candidate = of_values("contrast:route", &columns.routes, sample.unit.iter().map(of).collect())?;
    candidate.within_routes = false;
    Some(candidate)
}

fn contrasts(columns: &Columns, sample: &Sample) -> Vec<Candidate> {
    let mut found = Vec::new();
    for contrast in &columns.contrasts {
        let of = |unit: &u32| contrast.of.get(*unit as usize).copied().unwrap_or(ABSENT);
        let values = sample.unit.iter().map(of).collect();
        let Some(mut candidate) = of_values(&contrast.hypothesis, &contrast.values, values) else { continue };
        if contrast.with_answer {
            only_both_outcomes(&mut candidate, columns, sample);
        }
        candidate.comes_with_answers = is_lacked_at_times(&candidate, sample);
        found.push(candidate);
    }
    found
}

/// Whether half of the sessions that lack a value bear one at other times: an entity tag that is sent once an answer has
/// brought it, where others have a header always or never.
fn is_lacked_at_times(candidate: &Candidate, sample: &Sample) -> bool {
    let Kind::Contrast { names, .. } = &candidate.kind else { return false };
    let Some(lacking) = names.iter().position(|name| name == LACKING) else { return false };
    let mut sessions: HashMap<u32, (bool, bool)> = HashMap::new();
    for (bin, session) in candidate.bins.iter().zip(&sample.session) {
        if *bin != MISSING && *session != NONE {
            let (lacks, bears) = sessions.entry(*session).or_default();
            *lacks |= *bin as usize == lacking;
            *bears |= *bin as usize != lacking;
        }
    }
    #[expect(clippy::disallowed_methods, reason = "they are counted")]
    let (lacking, both) = sessions
        .values()
        .filter(|(lacks, _)| *lacks)
        .fold((0_usize, 0_usize), |(lacking, both), (_, bears)| (lacking + 1, both + usize::from(*bears)));
    both > 0 && 2 * both >= lacking
}

/// What stands in an answer may be the refusal's own: only a value that accepted answers bear too can be its cause, or
/// one more of a series that they bear others of, where the value belongs to the connection: an instance that refuses
/// all it is asked.
fn only_both_outcomes(candidate: &mut Candidate, columns: &Columns, sample: &Sample) {
    let by_connection = keeps_to_connections(candidate, columns, sample);
    let Kind::Contrast { eligible, names } = &mut candidate.kind else { return };
    let mut seen = vec![(false, false); eligible.len()];
    for (bin, unit) in candidate.bins.iter().zip(&sample.unit) {
        let outcome = columns.units.outcome.get(*unit as usize);
        if let Some(seen) = seen.get_mut(*bin as usize) {
            seen.0 |= outcome == Some(&Outcome::Refused);
            seen.1 |= outcome == Some(&Outcome::Accepted);
        }
    }
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.iter().zip(&seen).filter(|(_, seen)| seen.1).filter_map(|(name, _)| series(name)) {
        *accepted.entry(name).or_default() += 1;
    }
    for ((eligible, seen), name) in eligible.iter_mut().zip(seen).zip(names.iter()) {
        let is_kin =
            || by_connection && series(name).is_some_and(|name| accepted.get(&name).is_some_and(|others| *others > 1));
        *eligible &= seen.0 && (seen.1 || is_kin());
    }
}

/// Whether the value stays what it is on a connection that bears it several times.
fn keeps_to_connections(candidate: &Candidate, columns: &Columns, sample: &Sample) -> bool {
    let mut last: HashMap<u32, u8> = HashMap::new();
    let (mut same, mut other) = (0_usize, 0_usize);
    for (bin, unit) in candidate.bins.iter().zip(&sample.unit).filter(|(bin, _)| **bin != MISSING) {
        let Some(connection) = columns.units.connection.get(*unit as usize).filter(|of| **of != NONE) else { continue };
        match last.insert(*connection, *bin) {
            Some(before) if before == *bin => same += 1,
            Some(_) => other += 1,
            None => {}
        }
    }
    same > 100 * other
}

/// The most frequent values, one bin each, and all others together.
fn of_values(hypothesis: &str, names: &[String], values: Vec<u16>) -> Option<Candidate> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for value in values.iter().filter(|value| **value != ABSENT) {
        *counts.entry(*value).or_default() += 1;
    }
    let mut most: Vec<(u16, usize)> = counts.into_iter().collect();
    most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let others = most.len() > MOST_VALUES;
    most.truncate(MOST_VALUES);
    let bin_of: BTreeMap<u16, u8> = most.iter().map(|(value, _)| *value).zip(0..).collect();
    let rest = most.len() as u8;
    let bins = values
        .iter()
        .map(|value| if *value == ABSENT { MISSING } else { bin_of.get(value).copied().unwrap_or(rest) })
        .collect();
    let name = |value: &u16| names.get(*value as usize).cloned().unwrap_or_else(|| "(unknown)".to_owned());
    let mut own: Vec<String> = most.iter().map(|(value, _)| name(value)).collect();
    let mut eligible = vec![true; own.len()];
    if others {
        own.push("(others)".to_owned());
        eligible.push(false);
    }
    let count = own.len();
    let within_routes = true;
    let kind = Kind::Contrast { names: own, eligible };
    let comes_with_answers = false;
    let hypothesis = hypothesis.to_owned();
    (count > 0).then_some(Candidate { hypothesis, kind, bins, count, within_routes, comes_with_answers })
}
