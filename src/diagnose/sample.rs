//! The units that count: accepted or refused, in the order in which they were offered, with what every candidate is
//! judged within (their routes), and what had happened just before each.

use std::collections::{BTreeMap, HashMap};

use crate::{
    model::columns::{AnsweredBy, Columns, NONE, Outcome, UNKNOWN},
    stats::interval::quantile,
};

/// Routes that are strata of their own; all others are one.
const OWN_STRATA: usize = 12;
/// So many answers are what has just happened.
const RECENT: usize = 16;
/// So many refusals on routes that are always refused are no chance.
const ALWAYS: usize = 10;

/// The counted units; `position` below is an index into these.
pub(super) struct Sample {
    /// The unit of each position.
    pub(super) unit: Vec<u32>,
    /// Whether it was refused.
    pub(super) refused: Vec<bool>,
    /// Its stratum.
    pub(super) stratum: Vec<u8>,
    /// Its session; [`NONE`] where it is not known.
    pub(super) session: Vec<u32>,
    /// The routes that have a stratum, by stratum; the one after the last is for all others.
    pub(super) routes: Vec<u32>,
    /// How much of what was answered last, before this was offered, was refused: 0 nothing, 4 nearly all.
    pub(super) recent: Vec<u8>,
    /// What became of its client's one before it (of its session, or else its connection): 0 nothing yet, 1 accepted,
    /// 2 refused.
    pub(super) own: Vec<u8>,
    /// Whether something before the API answered it.
    pub(super) by_intermediary: Vec<bool>,
    /// When each was offered.
    pub(super) offered_ns: Vec<i64>,
    /// How far round trips to the server lie apart, but for the outermost hundredths.
    pub(super) transit_ns: f64,
    /// How long this observer held back one read in a hundred, or longer.
    pub(super) held_ns: f64,
}

impl Sample {
    /// Of these columns.
    pub(super) fn new(columns: &Columns) -> Self {
        let units = &columns.units;
        let counted = |(number, outcome): (u32, &Outcome)| (*outcome != Outcome::Uncounted).then_some(number);
        let unit: Vec<u32> = (0_u32..).zip(&units.outcome).filter_map(counted).collect();
        let refused: Vec<bool> = units
            .outcome
            .iter()
            .filter(|outcome| **outcome != Outcome::Uncounted)
            .map(|outcome| *outcome == Outcome::Refused)
            .collect();
        let (stratum, routes) = strata(columns, &unit, &refused);
        let offered_ns: Vec<i64> = unit.iter().filter_map(|u| units.offered_ns.get(*u as usize).copied()).collect();
        let ended: Vec<i64> = unit.iter().filter_map(|u| units.ended_ns.get(*u as usize).copied()).collect();
        let session = unit.iter().map(|u| units.session.get(*u as usize).copied().unwrap_or(NONE)).collect();
        let recent = recent(&offered_ns, &ended, &refused);
        let own = own(columns, &unit, &refused);
        let is_own = |u: &u32| units.answered_by.get(*u as usize) == Some(&AnsweredBy::Intermediary);
        let by_intermediary = unit.iter().map(is_own).collect();
        let transit_ns = transit(columns);
        let held_ns = if columns.observer.added_p99_ns == UNKNOWN { 0.0 } else { columns.observer.added_p99_ns as f64 };
        Self { unit, refused, stratum, session, routes, recent, own, by_intermediary, offered_ns, transit_ns, held_ns }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.unit.len()
    }

    /// The positions in which there is something to compare: those of routes that are refused at all. What is never
    /// refused may be what cannot be. Where one route alone is refused, all: it may be the route.
    pub(super) fn comparable(&self, columns: &Columns) -> Vec<u32> {
        let route = |position: usize| {
            let unit = self.unit.get(position).copied().unwrap_or(u32::MAX);
            columns.units.route.get(unit as usize).copied().unwrap_or(u32::MAX)
        };
        let mut routes: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (position, refused) in self.refused.iter().enumerate() {
            let seen = routes.entry(route(position)).or_default();
            seen.0 += usize::from(*refused);
            seen.1 += 1;
        }
        routes.retain(|_, (refused, _)| *refused > 0);
        // What a route has that is refused whatever happens is seen against the others alone: a path that is spoilt is
        // no identifier any more and so makes a route of its own.
        let always: usize = routes.values().filter(|(refused, all)| refused == all).map(|(refused, _)| refused).sum();
        let all = 0..self.len() as u32;
        if routes.len() < 2 || always >= ALWAYS {
            return all.collect();
        }
        all.filter(|position| routes.contains_key(&route(*position as usize))).collect()
    }

    /// How many strata there are, that of all other routes among them.
    pub(super) fn strata(&self) -> usize {
        self.routes.len() + 1
    }
}

/// The routes with most refusals are strata of their own.
fn strata(columns: &Columns, unit: &[u32], refused: &[bool]) -> (Vec<u8>, Vec<u32>) {
    let route = |unit: &u32| columns.units.route.get(*unit as usize).copied().unwrap_or(u32::MAX);
    let mut by_route: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (unit, refused) in unit.iter().zip(refused) {
        let seen = by_route.entry(route(unit)).or_default();
        seen.0 += usize::from(*refused);
        seen.1 += 1;
    }
    let mut most: Vec<(u32, (usize, usize))> = by_route.into_iter().collect();
    most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    most.truncate(OWN_STRATA);
    let routes: Vec<u32> = most.into_iter().map(|(route, _)| route).collect();
    let stratum = |unit: &u32| {
        let route = route(unit);
        routes.iter().position(|own| *own == route).unwrap_or(routes.len()) as u8
    };
    (unit.iter().map(stratum).collect(), routes)
}

/// What became of each client's one before.
fn own(columns: &Columns, unit: &[u32], refused: &[bool]) -> Vec<u8> {
    let units = &columns.units;
    let of = |cells: &[u32], unit: u32| cells.get(unit as usize).copied().unwrap_or(NONE);
    let mut last: HashMap<(bool, u32), u8> = HashMap::new();
    let step = |(unit, refused): (&u32, &bool)| {
        let client = match of(&units.session, *unit) {
            NONE => (false, of(&units.connection, *unit)),
            session => (true, session),
        };
        last.insert(client, 1 + u8::from(*refused)).unwrap_or_default()
    };
    unit.iter().zip(refused).map(step).collect()
}

/// How far round trips lie apart.
fn transit(columns: &Columns) -> f64 {
    let trips = columns.connections.iter().map(|connection| connection.server_rtt_ns).filter(|rtt| *rtt >= 0);
    let mut trips: Vec<f64> = trips.map(|rtt| rtt as f64).collect();
    trips.sort_unstable_by(f64::total_cmp);
    match (quantile(&trips, 0.01), quantile(&trips, 0.99)) {
        (Some(low), Some(high)) => high - low,
        _ => 0.0,
    }
}

/// How much of the last answers was refused, in five steps.
fn recent(offered: &[i64], ended: &[i64], refused: &[bool]) -> Vec<u8> {
    let mut answers: Vec<(i64, bool)> =
        ended.iter().copied().zip(refused.iter().copied()).filter(|(ended, _)| *ended != UNKNOWN).collect();
    answers.sort_unstable();
    let mut answers = answers.into_iter().peekable();
    let mut last = std::collections::VecDeque::with_capacity(RECENT);
    let mut hits = 0_usize;
    let step = |hits: usize| match hits {
        0 => 0,
        1..=2 => 1,
        3..=6 => 2,
        7..=12 => 3,
        _ => 4,
    };
    offered
        .iter()
        .map(|at| {
            while let Some((_, refused)) = answers.next_if(|(ended, _)| ended < at) {
                if last.len() == RECENT {
                    hits -= usize::from(last.pop_front().unwrap_or_default());
                }
                last.push_back(refused);
                hits += usize::from(refused);
            }
            step(hits)
        })
        .collect()
}
