//! `socket-eviction`: a socket beyond so many of one token closes the oldest one; what its user then says of its session
//! is refused. Twenty channels by user and application are documented so.

use crate::lab::{
    agent::Step,
    api::{Dose, Offer, Refusal},
    random::Random,
    request::Kind,
    scenario::{Pace, Scenario},
    surface::Surface,
};

use super::{Cause, CauseInfo, Client, Typical, defect::no_truth, limit::limit};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "socket-eviction",
    summary: "a socket beyond so many of one token closes the oldest one, whose session is refused from then on",
    parameters: &[limit(
        20.0,
        Typical::Quantile { dose: |_| Dose::SocketsPerToken, kind: Some(Kind::Socket), low: 0.6, high: 0.9 },
    )],
    prepare: |scenario: &mut Scenario| {
        // Some twelve that are there at once share one; who arrives by chance stays for about two seconds.
        let at_once = match scenario.pace {
            Pace::Closed => scenario.agents,
            Pace::Open(rate) => (2.0 * rate) as u32,
        };
        scenario.tokens = (at_once / 12).max(2);
        // Where all that is said of a session is said on its socket, nothing is left to be refused when that is gone.
        if scenario.surface.is_message(Kind::Metadata) {
            scenario.surface = Surface::Neutral;
        }
    },
    // The rule speaks where it is known what metadata is.
    right: |_, scenario| match scenario.surface {
        Surface::Neutral => vec!["contrast:socket", "sockets-per-token"],
        _ => vec!["metadata-after-close", "contrast:socket", "sockets-per-token"],
    },
    truth: no_truth,
    build: |plant, _| Box::new(Eviction { limit: plant.count("limit") }),
};

struct Eviction {
    limit: u32,
}

impl Cause for Eviction {
    /// The session is described once more at its end.
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        let last = steps.iter().position(|step| *step == Step::CloseSocket);
        let opens = steps.contains(&Step::Open) && !client.surface.is_message(Kind::Metadata);
        if let Some(last) = last.filter(|_| opens) {
            steps.insert(last, Step::Send(Kind::Metadata));
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let is_gone = offer.request.kind == Kind::Metadata && offer.socket.is_some_and(|s| s.closed_ns.is_some());
        is_gone.then(|| Refusal::bad_request("bad.request", "The session has no channel"))
    }

    fn evicts(&mut self, offer: &Offer<'_>) -> bool {
        offer.counts.offered(Dose::SocketsPerToken) > self.limit
    }
}
