//! Runs in virtual time: the same by seed, and each cause does what it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;
use crate::{
    lab::{
        causes::{CAUSES, Plant},
        scenario::SECOND,
        surface::Surface,
    },
    model::columns::{Outcome, UNKNOWN},
};

fn small(surface: Surface) -> Scenario {
    Scenario { surface, agents: 40, tokens: 40, duration_ns: 12 * SECOND, ramp_ns: 2 * SECOND, ..Scenario::default() }
}

#[test]
fn the_same_seed_gives_the_same_columns() {
    for surface in Surface::ALL {
        let scenario = Scenario { base_refused: 0.02, ..small(surface) };
        let first = run(&scenario);
        assert_eq!(first.columns, run(&scenario).columns);
        assert_ne!(first.columns, run(&Scenario { seed: 2, ..scenario }).columns);
        assert!(first.columns.units.len() > 1000, "{}", first.columns.units.len());
    }
}

#[test]
fn columns_are_whole() {
    for surface in Surface::ALL {
        for pace in [Pace::Closed, Pace::Open(8.0)] {
            let run = run(&Scenario { pace, base_refused: 0.01, goes_on_without_socket: true, ..small(surface) });
            let columns = &run.columns;
            let units = &columns.units;
            let count = units.len();
            assert_eq!(run.refused_by.len(), count);
            for length in [units.ended_ns.len(), units.route.len(), units.connection.len(), units.since_open_ns.len()] {
                assert_eq!(length, count);
            }
            assert!(units.offered_ns.is_sorted());
            assert!(columns.complete);
            for unit in 0..count {
                assert!(units.ended_ns[unit] > units.offered_ns[unit], "unit {unit} of {surface:?} never ended");
                assert!(columns.connections.len() > units.connection[unit] as usize);
                assert!(columns.connections[units.connection[unit] as usize].opened_ns < units.offered_ns[unit]);
                assert_eq!(units.outcome[unit] == Outcome::Refused, run.refused_by[unit].is_some());
            }
            assert!(columns.connections.iter().all(|span| span.closed_ns > span.opened_ns), "{surface:?} {pace:?}");
            assert!(columns.sockets.len() > 20 && columns.sockets.iter().all(|span| span.closed_ns > span.opened_ns));
            for contrast in &columns.contrasts {
                assert_eq!(contrast.of.len(), count);
            }
            for flagged in &columns.flags {
                assert!(flagged.units.is_sorted_by(|a, b| a < b), "{}", flagged.rule);
            }
        }
    }
}

/// Each cause, as the evaluation would plant it, refuses something of what it means, and harmless it refuses nothing.
#[test]
fn every_cause_refuses_and_a_harmless_one_does_not() {
    let mut wrong = Vec::new();
    for info in CAUSES {
        let mut scenario = small(Surface::Neutral);
        scenario.duration_ns = 20 * SECOND;
        (info.prepare)(&mut scenario);
        let calm = run(&scenario);
        assert_eq!(refused(&calm), 0, "{}", info.id);
        let mut plant = Plant::new(info);
        plant.set_typical(&calm.counts, &mut Random::new(1, 1));
        let share = |share: f64| (share * calm.columns.units.len() as f64) as usize;
        scenario.plants = vec![plant.clone()];
        let planted = run(&scenario);
        let count = refused(&planted);
        if count <= 15 || count >= share(0.7) {
            wrong.push(format!("{plant} refuses {count} of {}", planted.columns.units.len()));
        }
        if info.id != "client-abort" {
            plant.is_harmless = true;
            scenario.plants = vec![plant];
            assert_eq!(refused(&run(&scenario)), 0, "{}", info.id);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_request_is_in_flight_at_the_proxy_for_a_round_trip_longer() {
    let rtt_ns = 80 * MILLI;
    let network = crate::lab::scenario::Network { rtt_ns, spread: 0.0, jitter: 0.0 };
    let run = run(&Scenario { network, ..small(Surface::Neutral) });
    let units = &run.columns.units;
    let shortest = (0..units.len())
        .filter(|unit| units.status[*unit] == 200)
        .map(|unit| units.ended_ns[unit] - units.offered_ns[unit]);
    assert!(shortest.min().unwrap() > rtt_ns);
    assert!(run.columns.connections.iter().all(|span| (span.server_rtt_ns - rtt_ns).abs() < 10));
    // The 101 is at the proxy half a round trip after the server wrote it.
    assert!(units.since_open_ns.iter().any(|since| *since != UNKNOWN && *since > 0));
}

fn refused(run: &Run) -> usize {
    run.columns.units.outcome.iter().filter(|outcome| **outcome == Outcome::Refused).count()
}
