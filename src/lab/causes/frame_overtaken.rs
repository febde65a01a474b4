//! `frame-overtaken`: a client sends two messages in a row, then metadata. Nagle's algorithm holds back the second
//! message, and the metadata is there before it.

use crate::lab::{
    agent::Step,
    api::{Offer, Refusal},
    random::Random,
    request::Kind,
    scenario::{MILLI, Scenario},
    surface::Surface,
};

use super::{Cause, CauseInfo, Client, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "frame-overtaken",
    summary: "the message that names the session is held back for 40 ms, and the metadata overtakes it",
    parameters: &[
        Parameter {
            name: "share",
            about: "share of sockets where it happens",
            domain: Domain::Share,
            default: 0.3,
            typical: Typical::Between(0.15, 0.5),
        },
        Parameter {
            name: "delay",
            about: "how long the message is held back",
            domain: Domain::Duration(MILLI, 1000 * MILLI),
            default: 40e6,
            typical: Typical::Between(39e6, 44e6),
        },
    ],
    prepare: |scenario: &mut Scenario| {
        scenario.mix.sockets = 0.9;
        scenario.surface = Surface::GenesysCloud;
    },
    right: |_, _| vec!["frame-overtaken"],
    truth: no_truth,
    build: |plant, _| Box::new(Overtaken { share: plant.number("share"), delay: plant.nanos("delay") }),
};

struct Overtaken {
    share: f64,
    delay: i64,
}

/// What is sent so soon after the message was held back overtakes it.
const SOON: f64 = 15e6;

impl Cause for Overtaken {
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        if client.surface.is_message(Kind::Metadata) {
            return;
        }
        let Some(hello) = steps.iter().position(|step| *step == Step::Message(Kind::Hello)) else { return };
        let Some(hold @ Step::Hold(_)) = steps.get_mut(hello + 1) else { return };
        let bind = if client.random.share(self.share) {
            *hold = Step::Hold(client.random.between(0.0, SOON) as i64);
            Step::LateMessage(Kind::Bind, self.delay)
        } else {
            Step::Message(Kind::Bind)
        };
        steps.insert(hello + 1, bind);
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let is_bound = offer.socket.is_some_and(|socket| socket.bound_ns.is_some_and(|bound| bound <= offer.now));
        (offer.request.kind == Kind::Metadata && !is_bound)
            .then(|| Refusal::bad_request("bad.request", "The channel is not bound to a session"))
    }
}
