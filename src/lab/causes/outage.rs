//! `outage`: for a while, much is refused, whatever it is.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    scenario::MILLI,
};

use super::{
    Cause, CauseInfo, Domain, Parameter, Typical,
    defect::{as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "outage",
    summary: "for a while, much is refused, whatever it is",
    parameters: &[
        Parameter {
            name: "from",
            about: "when it begins",
            domain: Domain::Duration(0, 3_600_000 * MILLI),
            default: 15e9,
            typical: Typical::Between(8e9, 26e9),
        },
        Parameter {
            name: "length",
            about: "how long it is",
            domain: Domain::Duration(MILLI, 3_600_000 * MILLI),
            default: 4e9,
            typical: Typical::Between(2e9, 8e9),
        },
        Parameter {
            name: "share",
            about: "share that is refused in it",
            domain: Domain::Share,
            default: 0.7,
            typical: Typical::Between(0.4, 1.0),
        },
    ],
    prepare: as_it_is,
    right: |_, _| vec!["time-window"],
    truth: no_truth,
    build: |plant, _| {
        let from = plant.nanos("from");
        Box::new(Outage { from, to: from + plant.nanos("length"), share: plant.number("share") })
    },
};

struct Outage {
    from: i64,
    to: i64,
    share: f64,
}

impl Cause for Outage {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        let is_within = (self.from..self.to).contains(&offer.now) && offer.is_counted();
        (is_within && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "The request could not be processed"))
    }
}
