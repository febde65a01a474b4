//! `stale-keepalive`: the server ends connections that were idle for a while; a client that does not look sends its next
//! request into nothing.

use crate::{
    lab::{
        api::{Offer, Refusal},
        random::Random,
        scenario::{MILLI, Scenario},
    },
    model::finding::Direction,
};

use super::{Cause, CauseInfo, Domain, Parameter, Truth, Typical};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "stale-keepalive",
    summary: "the server ends idle connections, and clients use them again; nothing is answered",
    parameters: &[Parameter {
        name: "timeout",
        about: "how long a connection may be idle",
        domain: Domain::Duration(MILLI, 3_600_000 * MILLI),
        default: 1.5e9,
        typical: Typical::Between(0.8e9, 1.6e9),
    }],
    prepare: |scenario: &mut Scenario| {
        scenario.keeps_connection = true;
        scenario.think_ns = scenario.think_ns.max(600 * MILLI);
    },
    right: |_, _| vec!["stale-keepalive", "connection-idle"],
    // Idle at the server for a round trip longer than at the proxy.
    truth: |plant, scenario| {
        let value = plant.number("timeout") - scenario.network.rtt_ns as f64;
        Some(Truth { hypothesis: "connection-idle", value, direction: Direction::Above })
    },
    build: |plant, _| Box::new(Stale { timeout: plant.nanos("timeout") }),
};

struct Stale {
    timeout: i64,
}

impl Cause for Stale {
    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let idle = offer.connection.last_end_ns.map(|end| offer.now - end).filter(|_| !offer.request.is_message);
        idle.filter(|idle| *idle > self.timeout)
            .map(|_| Refusal { flag: Some("stale-keepalive"), ..Refusal::nothing() })
    }
}
