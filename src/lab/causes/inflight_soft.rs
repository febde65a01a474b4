//! `inflight-soft`: beyond a number of requests at once, refusals become likelier with each one more.

use crate::{
    lab::api::{Dose, Refusal},
    model::finding::Direction,
};

use super::{
    CauseInfo, Domain, Parameter, Truth, Typical,
    defect::as_it_is,
    limit::{COUNTING, Limit, limit, same_doses},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "inflight-soft",
    summary: "beyond a number of requests at once, the share that is refused rises",
    parameters: &[
        limit(60.0, Typical::Quantile { dose: |_| Dose::InFlight, kind: None, low: 0.5, high: 0.8 }),
        COUNTING,
        Parameter {
            name: "width",
            about: "over how much of the limit the share that is refused rises to all",
            domain: Domain::Share,
            default: 0.5,
            typical: Typical::Between(0.3, 1.0),
        },
    ],
    prepare: as_it_is,
    right: |_, scenario| same_doses(Dose::InFlight, scenario),
    // Where refusals begin.
    truth: |plant, _| {
        let value = plant.number("limit") + 1.0;
        Some(Truth { hypothesis: "inflight", value, direction: Direction::Above })
    },
    build: |plant, _| {
        Box::new(Limit {
            dose: Dose::InFlight,
            limit: plant.count("limit"),
            counts_refused: plant.word("counting") == "offered",
            soft: (plant.number("width") * plant.number("limit")).max(1.0),
            kind: None,
            refusal: Refusal::bad_request("bad.request", "The request could not be processed"),
        })
    },
};
