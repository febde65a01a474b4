//! `shared-token`: agents share tokens, and more than so many requests at once that bear one are refused, as some APIs
//! do with upload tokens.

use crate::lab::api::{Dose, Refusal};

use super::{
    CauseInfo, Typical,
    limit::{COUNTING, Limit, above, limit, same_doses},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "shared-token",
    summary: "more than so many requests at once that bear the same token are refused",
    parameters: &[
        limit(2.0, Typical::Quantile { dose: |_| Dose::InFlightPerToken, kind: None, low: 0.6, high: 0.93 }),
        COUNTING,
    ],
    prepare: |scenario| scenario.tokens = (scenario.agents / 12).max(2),
    right: |plant, scenario| {
        let mut right = same_doses(Dose::InFlightPerToken, scenario);
        // More than one at once is what the rule says.
        if plant.count("limit") == 1 {
            right.push("shared-token");
        }
        right
    },
    truth: |plant, _| above(plant, Dose::InFlightPerToken),
    build: |plant, _| {
        Box::new(Limit {
            dose: Dose::InFlightPerToken,
            limit: plant.count("limit"),
            counts_refused: plant.word("counting") == "offered",
            soft: 0.0,
            kind: None,
            refusal: Refusal::bad_request("bad.request", "More than one request with this token"),
        })
    },
};
