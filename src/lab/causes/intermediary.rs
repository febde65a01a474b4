//! `intermediary`: something before the API answers 400 by itself, as nginx does.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
};

use super::{
    Cause, CauseInfo, Plant,
    defect::{SHARE, as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "intermediary",
    summary: "an intermediary answers some requests with an HTML 400 of its own",
    parameters: &[SHARE],
    prepare: as_it_is,
    right: |_, _| vec!["answered-by:intermediary", "not-from-api"],
    truth: no_truth,
    build: |plant: &Plant, _| Box::new(Intermediary { share: plant.number("share") }),
};

struct Intermediary {
    share: f64,
}

impl Cause for Intermediary {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        (!offer.request.is_message && random.share(self.share)).then(Refusal::nginx)
    }
}
