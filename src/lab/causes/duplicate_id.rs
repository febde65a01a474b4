//! `duplicate-id`: two users open sockets with the same session id: one CSV file on two injectors.

use super::{
    Cause, CauseInfo, Client,
    defect::{SHARE, no_truth},
};
use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::Kind,
    surface::Surface,
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "duplicate-id",
    summary: "a socket with the session id of another one that is open; the API refuses the second",
    parameters: &[SHARE],
    prepare: |scenario| scenario.surface = Surface::GenesysCloud,
    right: |_, _| vec!["duplicate-id"],
    truth: no_truth,
    build: |plant, _| Box::new(Duplicate { share: plant.number("share"), last: None }),
};

struct Duplicate {
    share: f64,
    /// The id that was used last, by whom, and when.
    last: Option<(u32, String, i64)>,
}

/// A socket that was asked for so long ago may be closed again.
const RECENT_NS: i64 = 300_000_000;

impl Cause for Duplicate {
    fn session(&mut self, client: &mut Client<'_>, id: &mut String) -> Option<&'static str> {
        let other =
            self.last.as_ref().filter(|(agent, _, at)| *agent != client.who.agent && client.now - at < RECENT_NS);
        if let Some((_, other, _)) = other.filter(|_| client.random.share(self.share)) {
            id.clone_from(other);
            return Some("duplicate-id");
        }
        self.last = Some((client.who.agent, id.clone(), client.now));
        None
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        (offer.request.kind == Kind::Socket && offer.is_duplicate)
            .then(|| Refusal::bad_request("bad.request", "The session is in use"))
    }
}
