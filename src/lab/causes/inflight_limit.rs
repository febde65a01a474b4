//! `inflight-limit`: more than so many requests at once are refused, whoever sends them.

use crate::lab::api::{Dose, Refusal};

use super::{
    CauseInfo, Typical,
    defect::as_it_is,
    limit::{COUNTING, Limit, above, limit, same_doses},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "inflight-limit",
    summary: "more than so many requests at once are refused",
    parameters: &[
        limit(83.0, Typical::Quantile { dose: |_| Dose::InFlight, kind: None, low: 0.65, high: 0.93 }),
        COUNTING,
    ],
    prepare: as_it_is,
    right: |_, scenario| same_doses(Dose::InFlight, scenario),
    truth: |plant, _| above(plant, Dose::InFlight),
    build: |plant, _| {
        Box::new(Limit {
            dose: Dose::InFlight,
            limit: plant.count("limit"),
            counts_refused: plant.word("counting") == "offered",
            soft: 0.0,
            kind: None,
            refusal: Refusal::bad_request("bad.request", "The request could not be processed"),
        })
    },
};
