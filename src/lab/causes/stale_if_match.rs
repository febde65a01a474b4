//! `stale-if-match`: a write names a version that is not the one that was last told: lost updates.

use super::{Cause, CauseInfo, Client, Domain, Parameter, Typical, defect::no_truth};
use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::{Kind, Request},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "stale-if-match",
    summary: "writes with an outdated If-Match; the API refuses them with 400, as SCIM does",
    parameters: &[Parameter {
        name: "share",
        about: "share of the writes that name a version",
        domain: Domain::Share,
        default: 0.2,
        typical: Typical::Between(0.06, 0.36),
    }],
    prepare: |scenario| scenario.mix.writes = 0.8,
    right: |_, _| vec!["precondition-stale"],
    truth: no_truth,
    build: |plant, _| Box::new(Stale { share: plant.number("share") }),
};

struct Stale {
    share: f64,
}

impl Cause for Stale {
    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        if request.kind == Kind::Write && request.header("if-match").is_some() && client.random.share(self.share) {
            request.set_header("If-Match", "\"v0\"");
            request.flag("precondition-stale");
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let wanted = offer.request.header("if-match")?;
        let stands = offer.etag.as_deref()?;
        (offer.request.kind == Kind::Write && wanted != stands)
            .then(|| Refusal::bad_request("invalid.update.wrong.version", "Version does not match current version"))
    }
}
