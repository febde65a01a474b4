//! `bad-tenant`: one customer's requests are refused more than others'.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    scenario::Scenario,
    surface::tenant,
};

use super::{Cause, CauseInfo, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "bad-tenant",
    summary: "much of what one tenant sends is refused",
    parameters: &[Parameter {
        name: "share",
        about: "share of its requests that is refused",
        domain: Domain::Share,
        default: 0.2,
        typical: Typical::Between(0.06, 0.4),
    }],
    prepare: |scenario: &mut Scenario| scenario.tenants = scenario.tenants.max(3),
    right: |_, _| vec!["contrast:tenant", "contrast:header:x-tenant"],
    truth: no_truth,
    build: |plant, _| Box::new(Bad { share: plant.number("share"), tenant: tenant(1) }),
};

struct Bad {
    share: f64,
    tenant: String,
}

impl Cause for Bad {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        (offer.request.header("x-tenant") == Some(&*self.tenant) && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "The request could not be processed"))
    }
}
