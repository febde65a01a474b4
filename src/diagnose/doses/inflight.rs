//! `inflight` and its kin: how many were being worked on when a unit arrived, itself included.

use crate::model::columns::{Columns, NONE};

use super::{Arrivals, Dose, Tally, both_ways, sorted_by};

/// All, by route, by token, by address.
pub(super) fn doses(columns: &Columns, arrivals: &Arrivals) -> Vec<Dose> {
    let units = &columns.units;
    let everything = vec![0; units.len()];
    let scopes: [(&'static str, f64, &[u32]); 4] = [
        ("inflight", 0.0, &everything),
        ("inflight-per-route", 0.6, &units.route),
        ("inflight-per-token", 0.4, &units.token),
        ("inflight-per-address", 0.5, &arrivals.address),
    ];
    let leaving = sorted_by(&arrivals.left);
    scopes
        .into_iter()
        .flat_map(|(hypothesis, special, keys)| both_ways(hypothesis, special, sweep(keys, arrivals, &leaving)))
        .collect()
}

fn sweep(keys: &[u32], arrivals: &Arrivals, leaving: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let mut offered = vec![f32::NAN; arrivals.at.len()];
    let mut admitted = offered.clone();
    let mut tally = Tally::new(keys.iter().copied());
    let unit = |number: u32| {
        let at = number as usize;
        Some((*keys.get(at)?, *arrivals.admitted.get(at)?, *arrivals.at.get(at)?, *arrivals.left.get(at)?))
    };
    let mut next_leaving = leaving.iter().copied().filter(|number| arrivals.is_load(*number)).peekable();
    for number in arrivals.order.iter().copied().filter(|number| arrivals.is_load(*number)) {
        let Some((key, was_admitted, at, _)) = unit(number) else { continue };
        // Whoever left by now had arrived before: leaving is later than arriving.
        while let Some((left_key, left_admitted, _, _)) =
            next_leaving.peek().and_then(|number| unit(*number)).filter(|(_, _, _, left)| *left <= at)
        {
            next_leaving.next();
            tally.leave(left_key, left_admitted);
        }
        tally.enter(key, was_admitted);
        if key == NONE {
            continue;
        }
        let (all, some) = tally.seen_by(key, was_admitted);
        if let (Some(offered), Some(admitted)) = (offered.get_mut(number as usize), admitted.get_mut(number as usize)) {
            *offered = all;
            *admitted = some;
        }
    }
    (offered, admitted)
}
