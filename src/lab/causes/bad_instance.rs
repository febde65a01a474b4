//! `bad-instance`: one of the servers behind the address refuses much of what it gets.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    scenario::Scenario,
};

use super::{Cause, CauseInfo, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "bad-instance",
    summary: "one of several instances refuses much of what it gets",
    parameters: &[Parameter {
        name: "share",
        about: "share of its requests that it refuses",
        domain: Domain::Share,
        default: 0.3,
        typical: Typical::Between(0.1, 0.6),
    }],
    prepare: |scenario: &mut Scenario| scenario.service.instances = scenario.service.instances.max(3),
    right: |_, _| vec!["contrast:server:x-served-by"],
    truth: no_truth,
    build: |plant, _| Box::new(Bad { share: plant.number("share") }),
};

struct Bad {
    share: f64,
}

impl Cause for Bad {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        (!offer.request.is_message && offer.instance == 1 && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "The request could not be processed"))
    }
}
