//! `open-sockets` and its kin: how many sockets were open when a unit arrived. A unit that asks for one counts itself.

use std::collections::HashMap;

use crate::model::{
    columns::{Columns, NONE, SocketSpan, UNKNOWN},
    finding::Counting,
};

use super::{Arrivals, Dose, SWITCHING, Sides, Tally, sorted_by};

/// A hypothesis, how special it is, each unit's key, and a socket's.
type Scope<'a> = (&'static str, f64, &'a [u32], fn(&SocketSpan) -> u32);

/// All, by address, by token.
pub(super) fn doses(columns: &Columns, arrivals: &Arrivals) -> Vec<Dose> {
    if columns.sockets.is_empty() {
        return Vec::new();
    }
    let units = &columns.units;
    let spans = spans(columns, arrivals);
    let asks = asks_for_a_socket(columns);
    let everything = vec![0; units.len()];
    let scopes: [Scope<'_>; 3] = [
        ("open-sockets", 0.3, &everything, |_| 0),
        ("sockets-per-address", 0.55, &arrivals.address, |socket| socket.address),
        ("sockets-per-token", 0.45, &units.token, |socket| socket.token),
    ];
    let dose = |(hypothesis, special, keys, key_of): Scope<'_>| Dose {
        hypothesis,
        counting: Some(Counting::Admitted),
        sides: Sides::Above,
        special,
        values: count(keys, key_of, columns, arrivals, &spans, &asks),
    };
    scopes.into_iter().map(dose).collect()
}

/// Whether a unit asks for a socket: its route has answered with 101, and it was not itself granted one (which counts
/// already).
fn asks_for_a_socket(columns: &Columns) -> Vec<bool> {
    let units = &columns.units;
    let mut grants = vec![false; columns.routes.len()];
    for (route, status) in units.route.iter().zip(&units.status) {
        if let Some(grants) = grants.get_mut(*route as usize).filter(|_| *status == SWITCHING) {
            *grants = true;
        }
    }
    let asks = |(route, status): (&u32, &u16)| {
        *status != SWITCHING && grants.get(*route as usize).copied().unwrap_or_default()
    };
    units.route.iter().zip(&units.status).map(asks).collect()
}

/// From when to when each socket was open at the server. It counts there from the arrival of the upgrade that was
/// granted, which is found by the end of its answer.
fn spans(columns: &Columns, arrivals: &Arrivals) -> Vec<(i64, i64)> {
    let units = &columns.units;
    let granted: HashMap<i64, i64> = (units.status.iter().zip(&units.ended_ns))
        .zip(&arrivals.at)
        .filter(|((status, ended), _)| **status == SWITCHING && **ended != UNKNOWN)
        .map(|((_, ended), at)| (*ended, *at))
        .collect();
    let span = |socket: &SocketSpan| {
        let opened = granted
            .get(&socket.opened_ns)
            .copied()
            .unwrap_or_else(|| socket.opened_ns.saturating_sub(arrivals.usual_half_trip));
        let closed = if socket.closed_ns == UNKNOWN { i64::MAX } else { socket.closed_ns };
        (opened, closed.max(opened.saturating_add(1)))
    };
    columns.sockets.iter().map(span).collect()
}

fn count(
    keys: &[u32],
    key_of: fn(&SocketSpan) -> u32,
    columns: &Columns,
    arrivals: &Arrivals,
    spans: &[(i64, i64)],
    asks: &[bool],
) -> Vec<f32> {
    let opening = sorted_by(&spans.iter().map(|(opened, _)| *opened).collect::<Vec<_>>());
    let closing = sorted_by(&spans.iter().map(|(_, closed)| *closed).collect::<Vec<_>>());
    let socket_keys = columns.sockets.iter().map(key_of);
    let mut tally = Tally::new(keys.iter().copied().chain(socket_keys));
    let socket = |number: u32| {
        let (opened, closed) = *spans.get(number as usize)?;
        Some((key_of(columns.sockets.get(number as usize)?), opened, closed))
    };
    let mut opening = opening.into_iter().peekable();
    let mut closing = closing.into_iter().peekable();
    let mut values = vec![f32::NAN; arrivals.at.len()];
    for number in arrivals.order.iter().map(|number| *number as usize) {
        let (Some(at), Some(key), Some(asks)) = (arrivals.at.get(number), keys.get(number), asks.get(number)) else {
            continue;
        };
        while let Some((opened, ..)) = opening.peek().and_then(|n| socket(*n)).filter(|(_, open, _)| open <= at) {
            opening.next();
            tally.enter(opened, true);
        }
        while let Some((closed, ..)) = closing.peek().and_then(|n| socket(*n)).filter(|(_, _, close)| close <= at) {
            closing.next();
            tally.leave(closed, true);
        }
        if *key == NONE {
            continue;
        }
        if let Some(value) = values.get_mut(number) {
            *value = tally.seen_by(*key, !asks).1;
        }
    }
    values
}
