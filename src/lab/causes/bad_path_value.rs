//! `bad-path-value`: one of the things that are read cannot be read.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::Kind,
    surface::item_id,
};

use super::{
    Cause, CauseInfo, Domain, Parameter, Typical,
    defect::{as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "bad-path-value",
    summary: "reads of one id are refused",
    parameters: &[Parameter {
        name: "share",
        about: "share of its reads that is refused",
        domain: Domain::Share,
        default: 1.0,
        typical: Typical::Between(0.4, 1.0),
    }],
    prepare: as_it_is,
    right: |_, _| vec!["contrast:path:"],
    truth: no_truth,
    build: |plant, scenario| {
        Box::new(Bad { share: plant.number("share"), item: item_id((scenario.seed % 6) as usize) })
    },
};

struct Bad {
    share: f64,
    item: String,
}

impl Cause for Bad {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        let request = offer.request;
        (request.kind == Kind::Read && request.last_segment() == self.item && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "Invalid definition"))
    }
}
