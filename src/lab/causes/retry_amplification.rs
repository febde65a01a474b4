//! `retry-amplification`: requests beyond a number at once are dropped without an answer, and clients send them again at
//! once, several times.

use crate::lab::{
    api::{Dose, Offer, Refusal},
    random::Random,
};

use super::{
    Cause, CauseInfo, Domain, Parameter, Typical,
    defect::as_it_is,
    limit::{above, limit, same_doses},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "retry-amplification",
    summary: "requests beyond a number at once are dropped, and clients repeat them at once",
    parameters: &[
        limit(60.0, Typical::Quantile { dose: |_| Dose::InFlight, kind: None, low: 0.8, high: 0.95 }),
        Parameter {
            name: "retries",
            about: "how often a request is sent again",
            domain: Domain::Count(1, 20),
            default: 3.0,
            typical: Typical::Between(1.0, 5.0),
        },
    ],
    prepare: as_it_is,
    right: |_, scenario| {
        let mut right = same_doses(Dose::InFlight, scenario);
        right.push("retry-duplicate");
        right
    },
    truth: |plant, _| above(plant, Dose::InFlight),
    build: |plant, _| Box::new(Amplified { limit: plant.count("limit"), retries: plant.count("retries") }),
};

struct Amplified {
    limit: u32,
    retries: u32,
}

impl Cause for Amplified {
    fn retries(&self) -> u32 {
        self.retries
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let is_beyond = !offer.request.is_message && offer.counts.offered(Dose::InFlight) > self.limit;
        is_beyond.then(Refusal::nothing)
    }
}
