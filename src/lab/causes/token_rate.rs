//! `token-rate`: more than so many requests a minute that bear the same token are refused: with 429, as it is
//! documented, or with a 400.

use crate::lab::{
    api::{Dose, Refusal},
    scenario::{SECOND, Scenario},
};

use super::{
    CauseInfo, Domain, Parameter, Plant, Typical,
    limit::{COUNTING, Limit, above, limit},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "token-rate",
    summary: "more than so many requests within 60 s that bear the same token are refused, with 429 or 400",
    parameters: &[
        limit(300.0, Typical::Quantile { dose: |_| Dose::TokenRequestsPerMinute, kind: None, low: 0.5, high: 0.9 }),
        COUNTING,
        Parameter {
            name: "answer",
            about: "the status of a refusal",
            domain: Domain::Word(&["429", "400"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 1.49),
        },
    ],
    prepare,
    right,
    truth: |plant, _| above(plant, Dose::TokenRequestsPerMinute),
    build: |plant, _| {
        let limited = Refusal::too_many("client.credentials.token.rate.per.minute");
        let refusal = match plant.word("answer") {
            "429" => limited,
            _ => Refusal::bad_request("bad.request", "The request could not be processed"),
        };
        Box::new(Limit {
            dose: Dose::TokenRequestsPerMinute,
            limit: plant.count("limit"),
            counts_refused: plant.word("counting") == "offered",
            soft: 0.0,
            kind: None,
            refusal,
        })
    },
};

/// Tokens that some share more than others, and minutes to count in.
fn prepare(scenario: &mut Scenario) {
    scenario.tokens = (scenario.agents / 8).max(2);
    scenario.duration_ns = scenario.duration_ns.max(130 * SECOND);
    scenario.think_ns *= 2;
}

fn right(_: &Plant, _: &Scenario) -> Vec<&'static str> {
    vec!["token-requests-per-minute"]
}
