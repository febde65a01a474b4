//! `frame-errors`: messages on sockets are answered with errors, while all requests are accepted.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    scenario::Scenario,
    surface::Surface,
};

use super::{Cause, CauseInfo, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "frame-errors",
    summary: "messages on sockets are answered with errors",
    parameters: &[Parameter {
        name: "share",
        about: "share of messages that is refused",
        domain: Domain::Share,
        default: 0.3,
        typical: Typical::Between(0.15, 0.6),
    }],
    prepare: |scenario: &mut Scenario| {
        if !scenario.surface.counts_messages() {
            scenario.surface = Surface::GenesysCloud;
        }
        scenario.mix.sockets = 0.9;
        scenario.mix.pings = 0.4;
    },
    // Only what goes over sockets is refused.
    right: |_, _| vec!["error-frame", "contrast:route"],
    truth: no_truth,
    build: |plant, _| Box::new(Errors { share: plant.number("share") }),
};

struct Errors {
    share: f64,
}

impl Cause for Errors {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        (offer.request.is_message && random.share(self.share))
            .then(|| Refusal::bad_request("400", "The request could not be processed"))
    }
}
