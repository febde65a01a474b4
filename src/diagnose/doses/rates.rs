//! Rates: how much arrived in the second, or the minute, that ends with a unit's arrival, itself included.

use crate::model::{
    columns::{Columns, UNKNOWN},
    finding::Counting,
};

use super::{Arrivals, Dose, Sides, Tally, both_ways};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// All in a second, by token in a second and in a minute, bytes in a second, and new connections in a second.
pub(super) fn doses(columns: &Columns, arrivals: &Arrivals) -> Vec<Dose> {
    let units = &columns.units;
    let everything = vec![0; units.len()];
    let windows: [(&'static str, f64, &[u32], i64); 3] = [
        ("request-rate", 0.2, &everything, SECOND),
        ("request-rate-per-token", 0.5, &units.token, SECOND),
        ("token-requests-per-minute", 0.5, &units.token, MINUTE),
    ];
    let mut doses: Vec<Dose> = windows
        .into_iter()
        .flat_map(|(hypothesis, special, keys, window)| both_ways(hypothesis, special, slide(keys, arrivals, window)))
        .collect();
    doses.extend(both_ways("byte-rate", 0.8, bytes(columns, arrivals)));
    // What a server makes of too many new connections meets all that is asked just then, or those connections' first
    // requests alone.
    for (special, values) in [(0.6, connections(columns)), (0.7, first_requests(columns))] {
        doses.push(Dose {
            hypothesis: "connection-rate",
            counting: Some(Counting::Offered),
            sides: Sides::Above,
            special,
            values,
        });
    }
    doses
}

fn slide(keys: &[u32], arrivals: &Arrivals, window: i64) -> (Vec<f32>, Vec<f32>) {
    let mut offered = vec![f32::NAN; arrivals.at.len()];
    let mut admitted = offered.clone();
    let mut tally = Tally::new(keys.iter().copied());
    let unit = |number: u32| {
        let at = number as usize;
        Some((*keys.get(at)?, *arrivals.admitted.get(at)?, *arrivals.at.get(at)?))
    };
    let load = || arrivals.order.iter().copied().filter(|number| arrivals.is_load(*number));
    let mut oldest = load().peekable();
    for number in load() {
        let Some((key, was_admitted, at)) = unit(number) else { continue };
        while let Some((old_key, old_admitted, _)) =
            oldest.peek().and_then(|number| unit(*number)).filter(|(_, _, old)| *old <= at.saturating_sub(window))
        {
            oldest.next();
            tally.leave(old_key, old_admitted);
        }
        tally.enter(key, was_admitted);
        let (all, some) = tally.seen_by(key, was_admitted);
        if let (Some(offered), Some(admitted)) = (offered.get_mut(number as usize), admitted.get_mut(number as usize)) {
            *offered = all;
            *admitted = some;
        }
    }
    (offered, admitted)
}

/// How many bytes of requests arrived in the second that ends with each unit's arrival: all, and those that were
/// admitted, the unit's own either way.
fn bytes(columns: &Columns, arrivals: &Arrivals) -> (Vec<f32>, Vec<f32>) {
    let units = &columns.units;
    let mut offered = vec![f32::NAN; arrivals.at.len()];
    let mut admitted = offered.clone();
    let unit = |number: u32| {
        let at = number as usize;
        let size = u64::from(*units.head_bytes.get(at)?) + u64::from(*units.body_bytes.get(at)?);
        let admitted = if *arrivals.admitted.get(at)? { size } else { 0 };
        Some((*arrivals.at.get(at)?, size, admitted))
    };
    let load = || arrivals.order.iter().copied().filter(|number| arrivals.is_load(*number));
    let mut oldest = load().peekable();
    let (mut all, mut some) = (0_u64, 0_u64);
    for number in load() {
        let Some((at, size, own)) = unit(number) else { continue };
        while let Some((_, size, own)) =
            oldest.peek().and_then(|number| unit(*number)).filter(|(old, ..)| *old <= at.saturating_sub(SECOND))
        {
            oldest.next();
            (all, some) = (all.saturating_sub(size), some.saturating_sub(own));
        }
        (all, some) = (all + size, some + own);
        if let (Some(offered), Some(admitted)) = (offered.get_mut(number as usize), admitted.get_mut(number as usize)) {
            *offered = all as f32;
            *admitted = (some + size - own) as f32;
        }
    }
    (offered, admitted)
}

/// When connections were accepted, ascending. Instants are this proxy's: it dials as it accepts, so that what separates
/// two connections here separates them at the server.
fn accepted(columns: &Columns) -> Vec<i64> {
    let mut opened: Vec<i64> = columns.connections.iter().map(|c| c.opened_ns).filter(|at| *at != UNKNOWN).collect();
    opened.sort_unstable();
    opened
}

/// How many connections were accepted in the second that ends with the acceptance of each unit's own, for the first
/// request of each.
fn first_requests(columns: &Columns) -> Vec<f32> {
    let accepted = accepted(columns);
    let units = &columns.units;
    let rate = |(ordinal, connection): (&u32, &u32)| {
        let own = columns.connections.get(*connection as usize).filter(|_| *ordinal == 1)?;
        let until = |at: i64| accepted.partition_point(|opened| *opened <= at);
        (own.opened_ns != UNKNOWN).then(|| (until(own.opened_ns) - until(own.opened_ns.saturating_sub(SECOND))) as f32)
    };
    units.connection_ordinal.iter().zip(&units.connection).map(|pair| rate(pair).unwrap_or(f32::NAN)).collect()
}

/// How many connections were accepted in the second before each unit was offered.
fn connections(columns: &Columns) -> Vec<f32> {
    let opened = accepted(columns);
    let (mut begun, mut over) = (0, 0);
    columns
        .units
        .offered_ns
        .iter()
        .map(|at| {
            while opened.get(begun).is_some_and(|open| open <= at) {
                begun += 1;
            }
            while opened.get(over).is_some_and(|open| *open <= at.saturating_sub(SECOND)) {
                over += 1;
            }
            (begun - over.min(begun)) as f32
        })
        .collect()
}
