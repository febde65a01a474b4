//! `inflight-per-route`: more than so many reads at once are refused; other routes have no limit.

use crate::lab::{
    api::{Dose, Refusal},
    request::Kind,
};

use super::{
    CauseInfo, Typical,
    defect::as_it_is,
    limit::{COUNTING, Limit, above, limit},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "inflight-per-route",
    summary: "more than so many reads at once are refused; other routes have no limit",
    parameters: &[
        limit(
            40.0,
            Typical::Quantile { dose: |_| Dose::InFlightPerRoute, kind: Some(Kind::Read), low: 0.65, high: 0.93 },
        ),
        COUNTING,
    ],
    prepare: as_it_is,
    right: |_, _| vec!["inflight-per-route"],
    truth: |plant, _| above(plant, Dose::InFlightPerRoute),
    build: |plant, _| {
        Box::new(Limit {
            dose: Dose::InFlightPerRoute,
            limit: plant.count("limit"),
            counts_refused: plant.word("counting") == "offered",
            soft: 0.0,
            kind: Some(Kind::Read),
            refusal: Refusal::bad_request("bad.request", "The request could not be processed"),
        })
    },
};
