//! Doses: what there could be too much or too little of, at the moment at which a unit was offered. Every exchange is
//! load, counted or not; a message on a socket is none for those who count requests. A unit counts itself. *Admitted* counts leave out what was refused (but for the unit itself).
//!
//! Counts are those at the server: a unit arrives there half a round trip after it passed here, and has left half a
//! round trip before its answer ended here.

mod inflight;
mod plain;
mod rates;
mod sockets;

use crate::model::{
    columns::{Columns, NONE, Outcome, UNKNOWN},
    finding::Counting,
    flag::Subject,
};

/// What a granted upgrade is answered with.
const SWITCHING: u16 = 101;

/// One dose of every unit; NaN where it has none.
pub(super) struct Dose {
    /// Its hypothesis.
    pub(super) hypothesis: &'static str,
    /// What a count leaves out.
    pub(super) counting: Option<Counting>,
    /// Of which sides a refusal is thinkable.
    pub(super) sides: Sides,
    /// How much more special it is than the simplest: what decides between two that cover the same, in nats.
    pub(super) special: f64,
    /// By unit.
    pub(super) values: Vec<f32>,
}

/// Of which sides a refusal is thinkable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    /// Loads: refused from so much on. That a server refuses for want of load is not thinkable, and refusals, being
    /// fast, lower the load by themselves.
    Above,
    /// Too much and too little.
    Both,
}

/// All of them.
pub(super) fn all(columns: &Columns) -> Vec<Dose> {
    let arrivals = Arrivals::new(columns);
    let mut doses = inflight::doses(columns, &arrivals);
    doses.extend(sockets::doses(columns, &arrivals));
    doses.extend(rates::doses(columns, &arrivals));
    doses.extend(plain::doses(columns));
    doses
}

/// The units in the order in which they arrived at the server.
pub(super) struct Arrivals {
    /// When each unit arrived there.
    at: Vec<i64>,
    /// When it had left; always later. `i64::MAX` where it never did.
    left: Vec<i64>,
    /// Unit numbers by `at`.
    order: Vec<u32>,
    /// Each unit's address; [`NONE`] where its connection is not known.
    address: Vec<u32>,
    /// Whether it counts as admitted.
    admitted: Vec<bool>,
    /// Whether it is load: an exchange.
    load: Vec<bool>,
    /// Half a round trip where a connection's own is not known.
    usual_half_trip: i64,
}

impl Arrivals {
    fn new(columns: &Columns) -> Self {
        let units = &columns.units;
        let usual = usual_half_trip(columns);
        let connection = |unit: usize| {
            units.connection.get(unit).filter(|c| **c != NONE).and_then(|c| columns.connections.get(*c as usize))
        };
        let half_trip = |unit: usize| {
            connection(unit).map(|c| c.server_rtt_ns).filter(|rtt| *rtt >= 0).map_or(usual, |rtt| rtt / 2)
        };
        let mut at = Vec::with_capacity(units.len());
        let mut left = Vec::with_capacity(units.len());
        let mut address = Vec::with_capacity(units.len());
        for (unit, (offered, ended)) in units.offered_ns.iter().zip(&units.ended_ns).enumerate() {
            let half = half_trip(unit);
            let arrived = offered.saturating_add(half);
            at.push(arrived);
            left.push(if *ended == UNKNOWN { i64::MAX } else { ended.saturating_sub(half).max(arrived + 1) });
            address.push(connection(unit).map_or(NONE, |c| c.address));
        }
        let admitted = units.outcome.iter().map(|outcome| *outcome != Outcome::Refused).collect();
        let load = units.subject.iter().map(|subject| !matches!(subject, Subject::Frame(_))).collect();
        let order = sorted_by(&at);
        Self { at, left, order, address, admitted, load, usual_half_trip: usual }
    }

    fn is_load(&self, unit: u32) -> bool {
        self.load.get(unit as usize).copied().unwrap_or_default()
    }
}

/// The numbers of `times` in their order; equal ones as they stand.
fn sorted_by(times: &[i64]) -> Vec<u32> {
    let mut order: Vec<(i64, u32)> = times.iter().copied().zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

/// Half the median round trip; 0 where none is known.
fn usual_half_trip(columns: &Columns) -> i64 {
    let mut trips: Vec<i64> = columns.connections.iter().map(|c| c.server_rtt_ns).filter(|rtt| *rtt >= 0).collect();
    if trips.is_empty() {
        return 0;
    }
    let middle = trips.len() / 2;
    *trips.select_nth_unstable(middle).1 / 2
}

/// How many there are of each key; keys that are not there are not counted.
struct Tally {
    all: Vec<u32>,
    admitted: Vec<u32>,
}

impl Tally {
    /// For keys of these values.
    fn new(keys: impl Iterator<Item = u32>) -> Self {
        let end = keys.filter(|key| *key != NONE).max().map_or(0, |key| key as usize + 1);
        Self { all: vec![0; end], admitted: vec![0; end] }
    }

    fn enter(&mut self, key: u32, admitted: bool) {
        if let (Some(all), Some(some)) = (self.all.get_mut(key as usize), self.admitted.get_mut(key as usize)) {
            *all += 1;
            *some += u32::from(admitted);
        }
    }

    fn leave(&mut self, key: u32, admitted: bool) {
        if let (Some(all), Some(some)) = (self.all.get_mut(key as usize), self.admitted.get_mut(key as usize)) {
            *all = all.saturating_sub(1);
            *some = some.saturating_sub(u32::from(admitted));
        }
    }

    /// What a unit that has entered finds, itself counted either way: all, and those that were admitted.
    fn seen_by(&self, key: u32, admitted: bool) -> (f32, f32) {
        match (self.all.get(key as usize), self.admitted.get(key as usize)) {
            (Some(all), Some(some)) => (*all as f32, (*some + u32::from(!admitted)) as f32),
            _ => (f32::NAN, f32::NAN),
        }
    }
}

/// A count that comes both ways.
fn both_ways(hypothesis: &'static str, special: f64, (offered, admitted): (Vec<f32>, Vec<f32>)) -> [Dose; 2] {
    let dose =
        |counting, special, values| Dose { hypothesis, counting: Some(counting), sides: Sides::Above, special, values };
    [dose(Counting::Offered, special, offered), dose(Counting::Admitted, special + 0.1, admitted)]
}
