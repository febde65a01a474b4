//! `metadata-too-late`: the API drops a session of which it has heard nothing for a while after its socket was open.

use crate::{
    lab::{
        agent::Step,
        api::{Offer, Refusal},
        random::Random,
        request::Kind,
        scenario::{MILLI, Scenario},
        surface::Surface,
    },
    model::finding::Direction,
};

use super::{Cause, CauseInfo, Client, Domain, Parameter, Truth, Typical};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "metadata-too-late",
    summary: "metadata that comes too long after OPEN is refused",
    parameters: &[Parameter {
        name: "after",
        about: "how long after the 101 metadata is still accepted",
        domain: Domain::Duration(MILLI, 60_000 * MILLI),
        default: 500e6,
        typical: Typical::Between(300e6, 900e6),
    }],
    prepare: |scenario: &mut Scenario| scenario.mix.sockets = 0.9,
    right: |_, scenario| match scenario.surface {
        Surface::GenesysCloud => vec!["since-open", "metadata-too-late"],
        _ => vec!["since-open"],
    },
    truth: |plant, scenario| {
        let value = plant.number("after") - scenario.network.rtt_ns as f64;
        Some(Truth { hypothesis: "since-open", value, direction: Direction::Above })
    },
    build: |plant, _| Box::new(Late { after: plant.nanos("after") }),
};

struct Late {
    after: i64,
}

impl Cause for Late {
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        let is_metadata = |step: &Step| matches!(step, Step::Send(Kind::Metadata) | Step::Message(Kind::Metadata));
        let Some(at) = steps.iter().position(is_metadata) else { return };
        let most = self.after as f64 * 1.4;
        steps.insert(at, Step::Hold(client.random.between(0.0, most) as i64));
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let is_late =
            offer.request.kind == Kind::Metadata && offer.since_open().is_some_and(|since| since > self.after);
        is_late.then(|| Refusal::bad_request("bad.request", "The session has expired"))
    }
}
