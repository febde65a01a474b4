//! The loads on which causes are planted. They differ in what makes explanations hard to tell apart: who shares tokens
//! and addresses, how far away the server is, whether the load answers to the API's slowness; and there is always
//! something about that is unusual and harmless.

use crate::lab::{
    causes::{CauseInfo, Plant},
    random::Random,
    scenario::{MILLI, Mix, Network, Pace, SECOND, Scenario, Service},
    surface::Surface,
};

/// The loads' names, and what they are.
pub const LOADS: [(&str, &str); 3] = [
    ("closed", "threads that loop, each with a token of its own, near the server"),
    ("shared", "threads that start over half of the run and share tokens, 20 ms from the server, which is slow"),
    ("open", "users that arrive by chance and make one round, 60 ms from the server"),
];

/// The scenario of a load, varied by chance.
pub(super) fn scenario(load: usize, seed: u64, random: &mut Random) -> Scenario {
    let surface = match seed % 4 {
        0 | 2 => Surface::GenesysCloud,
        1 => Surface::Neutral,
        _ if random.share(0.5) => Surface::Neutral,
        _ => Surface::GraphqlTransportWs,
    };
    let agents = |mean: f64, random: &mut Random| (mean * random.between(0.8, 1.25)) as u32;
    let think = |mean: f64, random: &mut Random| (mean * random.between(0.8, 1.25)) as i64 * MILLI;
    let base_refused = [0.0, 0.001, 0.004].get(random.below(3)).copied().unwrap_or(0.0);
    let base = Scenario {
        surface,
        seed,
        swell: random.between(0.3, 0.7),
        tenants: 2 + random.below(4) as u32,
        clients: 2,
        goes_on_without_socket: random.share(0.5),
        base_refused,
        ..Scenario::default()
    };
    match load {
        0 => {
            let agents = agents(120.0, random);
            Scenario {
                agents,
                tokens: agents,
                ramp_ns: 8 * SECOND,
                think_ns: think(300.0, random),
                addresses: 4,
                network: Network { rtt_ns: 3 * MILLI, spread: 0.05, jitter: 0.1 },
                service: Service { median_ns: 60 * MILLI, sigma: 0.5, slowest: 2.5, instances: 3 },
                ..base
            }
        }
        1 => {
            let agents = agents(200.0, random);
            Scenario {
                agents,
                tokens: agents / 8,
                ramp_ns: 20 * SECOND,
                think_ns: think(450.0, random),
                addresses: 9,
                keeps_connection: true,
                mix: Mix { sockets: 0.6, reads: 5, writes: 0.3, pings: 0.2 },
                network: Network { rtt_ns: 20 * MILLI, spread: 0.1, jitter: 0.1 },
                service: Service { median_ns: 140 * MILLI, sigma: 0.6, slowest: 3.0, instances: 4 },
                ..base
            }
        }
        _ => Scenario {
            agents: 2000,
            pace: Pace::Open(random.between(28.0, 40.0)),
            tokens: 45,
            ramp_ns: 5 * SECOND,
            think_ns: think(350.0, random),
            addresses: 6,
            mix: Mix { sockets: 0.7, reads: 3, writes: 0.2, pings: 0.2 },
            network: Network { rtt_ns: 60 * MILLI, spread: 0.05, jitter: 0.05 },
            service: Service { median_ns: 90 * MILLI, sigma: 0.5, slowest: 2.5, instances: 3 },
            ..base
        },
    }
}

/// What is unusual and does no harm, by id and what is said of it.
const HARMLESS: &[&str] = &[
    "accept-missing:share=0.3,of=agents",
    "duplicate-header:share=0.1,of=agents",
    "content-type:share=0.1,of=agents",
    "path-encoding:share=0.03",
    "wrong-date-type:share=0.4,of=agents",
    "unresolved-variable:share=0.03,place=body",
    "metadata-before-open:share=0.05",
];

/// Plants up to three of them, none that is asked about.
pub(super) fn harmless(scenario: &mut Scenario, asked: &[&CauseInfo], random: &mut Random) {
    for _ in 0..random.below(4) {
        let Some(text) = HARMLESS.get(random.below(HARMLESS.len())) else { continue };
        let Ok(mut plant) = Plant::parse(text) else { continue };
        let id = plant.info.id;
        let is_order = |id: &str| id.starts_with("metadata") || id.starts_with("frame") || id == "socket-eviction";
        let clashes = asked.iter().any(|info| info.id == id || (is_order(info.id) && is_order(id)));
        if clashes || scenario.plants.iter().any(|known| known.info.id == id) {
            continue;
        }
        plant.is_harmless = true;
        scenario.plants.push(plant);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_harmless_can_be_planted() {
        for text in HARMLESS {
            Plant::parse(text).unwrap();
        }
    }
}
