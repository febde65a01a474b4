//! `metadata-before-ready`: the socket is open, but the API takes a while to register it, and refuses metadata until
//! then. Where the API says when it is ready (graphql-transport-ws), clients do not wait for that.

use crate::{
    lab::{
        agent::Step,
        api::{Offer, Refusal},
        random::Random,
        request::Kind,
        scenario::{MILLI, Scenario},
    },
    model::finding::Direction,
};

use super::{Cause, CauseInfo, Client, Domain, Parameter, Plant, Truth, Typical};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "metadata-before-ready",
    summary: "registering a socket takes the API a while after its 101, and clients do not wait for it",
    parameters: &[
        Parameter {
            name: "delay",
            about: "how long after the 101 metadata is refused",
            domain: Domain::Duration(MILLI, 60_000 * MILLI),
            default: 80e6,
            typical: Typical::Between(60e6, 250e6),
        },
        Parameter {
            name: "spread",
            about: "how long after OPEN clients send metadata, at most, in delays",
            domain: Domain::Count(1, 20),
            default: 3.0,
            typical: Typical::Between(2.0, 5.0),
        },
    ],
    prepare: |scenario: &mut Scenario| scenario.mix.sockets = 0.9,
    right: |_, scenario| match scenario.surface.has_gate_message() {
        true => vec!["metadata-before-ready", "since-open"],
        false => vec!["since-open"],
    },
    truth,
    build: |plant, scenario| {
        Box::new(Ready {
            delay: plant.nanos("delay"),
            spread: plant.number("spread") * plant.number("delay"),
            by_message: scenario.surface.has_gate_message(),
        })
    },
};

/// Where the API says when it is ready, the instant is that of its message, not a time after OPEN.
fn truth(plant: &Plant, scenario: &Scenario) -> Option<Truth> {
    let value = plant.number("delay") - scenario.network.rtt_ns as f64;
    let truth = Truth { hypothesis: "since-open", value, direction: Direction::Below };
    (!scenario.surface.has_gate_message()).then_some(truth)
}

struct Ready {
    delay: i64,
    spread: f64,
    by_message: bool,
}

impl Cause for Ready {
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        steps.retain(|step| *step != Step::AwaitReady);
        let is_metadata = |step: &Step| matches!(step, Step::Send(Kind::Metadata) | Step::Message(Kind::Metadata));
        let Some(at) = steps.iter().position(is_metadata) else { return };
        let wait = Step::Hold(client.random.between(0.0, self.spread) as i64);
        match at.checked_sub(1).and_then(|before| steps.get_mut(before)) {
            Some(hold @ Step::Hold(_)) => *hold = wait,
            _ => steps.insert(at, wait),
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        if offer.request.kind != Kind::Metadata {
            return None;
        }
        let is_early = if self.by_message {
            offer.socket.and_then(|socket| socket.ready_ns).is_none_or(|ready| ready > offer.now)
        } else {
            offer.since_open().is_some_and(|since| since < self.delay)
        };
        is_early.then(|| Refusal::bad_request("bad.request", "The session is not registered"))
    }
}
