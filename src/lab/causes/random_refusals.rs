//! `random-refusals`: a null: requests are refused independently of everything. The right answer is that no cause was
//! found.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
};

use super::{
    Cause, CauseInfo,
    defect::{SHARE, as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "random-refusals",
    summary: "a null: requests are refused independently of everything",
    parameters: &[SHARE],
    prepare: as_it_is,
    right: |_, _| Vec::new(),
    truth: no_truth,
    build: |plant, _| Box::new(Chance { share: plant.number("share") }),
};

struct Chance {
    share: f64,
}

impl Cause for Chance {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        (offer.is_counted() && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "The request could not be processed"))
    }
}
