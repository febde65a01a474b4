//! `metadata-before-open`: clients do not wait for OPEN; the API refuses metadata of a session whose socket is not open.

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
    id: "metadata-before-open",
    summary: "clients send metadata without waiting for OPEN; the API refuses it while the socket is not open",
    parameters: &[
        Parameter {
            name: "share",
            about: "share of sockets that are not waited for",
            domain: Domain::Share,
            default: 0.3,
            typical: Typical::Between(0.15, 0.5),
        },
        Parameter {
            name: "head-start",
            about: "how long after the upgrade request such metadata is sent, at most",
            domain: Domain::Duration(0, 10_000 * MILLI),
            default: 30e6,
            typical: Typical::Between(5e6, 60e6),
        },
    ],
    prepare: |scenario: &mut Scenario| {
        scenario.mix.sockets = 0.9;
        // Where metadata is a message there is no sending it before.
        if scenario.surface.is_message(Kind::Metadata) {
            scenario.surface = crate::lab::surface::Surface::Neutral;
        }
    },
    right: |_, _| vec!["metadata-before-open", "since-open"],
    // Open at the server a half round trip before the proxy knows, and what leaves the proxy is there one later.
    truth: |_: &Plant, scenario| {
        let value = -(scenario.network.rtt_ns as f64);
        Some(Truth { hypothesis: "since-open", value, direction: Direction::Below })
    },
    build: |plant, _| Box::new(Early { share: plant.number("share"), head_start: plant.number("head-start") }),
};

struct Early {
    share: f64,
    head_start: f64,
}

impl Cause for Early {
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        if client.surface.is_message(Kind::Metadata) || !client.random.share(self.share) {
            return;
        }
        let Some(open) = steps.iter().position(|step| *step == Step::Open) else { return };
        let metadata = Step::Send(Kind::Metadata);
        let Some(at) = steps.iter().position(|step| *step == metadata) else { return };
        steps.remove(at);
        let hold = client.random.between(0.0, self.head_start) as i64;
        steps.splice(open + 1..open + 1, [Step::Hold(hold), metadata]);
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let is_open = offer.socket.is_some_and(|socket| socket.opened_ns.is_some_and(|opened| opened <= offer.now));
        let early = offer.request.kind == Kind::Metadata && !offer.request.is_message && !is_open;
        early.then(|| Refusal::bad_request("bad.request", "Invalid recording payload structure"))
    }
}
