//! `id-swapped`: the metadata bears another thread's session id: variables that threads share.

use std::collections::VecDeque;

use super::{
    Cause, CauseInfo, Client,
    defect::{SHARE, no_truth},
};
use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::{Kind, Request},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "id-swapped",
    summary: "metadata with another thread's session id; the API refuses ids of other tokens",
    parameters: &[SHARE],
    // By its token the API knows whose session it is, by its key the proxy: the surface must have one.
    prepare: |scenario| {
        scenario.tokens = scenario.agents;
        scenario.surface = crate::lab::surface::Surface::GenesysCloud;
    },
    right: |_, _| vec!["id-mismatch"],
    truth: no_truth,
    build: |plant, _| Box::new(Swapped { share: plant.number("share"), recent: VecDeque::new() }),
};

struct Swapped {
    share: f64,
    /// Sessions whose metadata was sent, with their agents.
    recent: VecDeque<(u32, String)>,
}

impl Cause for Swapped {
    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        if request.kind != Kind::Metadata {
            return;
        }
        let Some(own) = request.body_field("sessionId").map(str::to_owned) else { return };
        if client.random.share(self.share) {
            let other = self.recent.iter().rev().find(|(agent, _)| *agent != client.who.agent);
            if let Some((_, other)) = other {
                request.replace_in_body(&own, other.as_bytes());
                request.flag("id-mismatch");
            }
        }
        self.recent.push_back((client.who.agent, own));
        if self.recent.len() > 16 {
            self.recent.pop_front();
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        if offer.request.kind != Kind::Metadata {
            return None;
        }
        let socket = offer.socket?;
        (socket.token != offer.token)
            .then(|| Refusal::bad_request("bad.request", "The session does not belong to this user"))
    }
}
