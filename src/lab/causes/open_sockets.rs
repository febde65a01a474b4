//! `open-sockets`: more than so many sockets at once are refused: in all, by address, or by token.

use crate::lab::{
    api::{Dose, Refusal},
    request::Kind,
    scenario::Scenario,
};

use super::{
    CauseInfo, Domain, Parameter, Plant, Typical,
    limit::{Limit, above, limit, same_doses},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "open-sockets",
    summary: "upgrades beyond so many open sockets are refused: in all, by address, or by token",
    parameters: &[
        limit(50.0, Typical::Quantile { dose, kind: Some(Kind::Socket), low: 0.6, high: 0.9 }),
        Parameter {
            name: "per",
            about: "whose sockets are counted",
            domain: Domain::Word(&["all", "address", "token"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 2.49),
        },
    ],
    prepare: |scenario| {
        scenario.tokens = (scenario.agents / 10).max(2);
        scenario.addresses = scenario.addresses.max(3);
    },
    right: |plant, scenario: &Scenario| same_doses(dose(plant), scenario),
    truth: |plant, _| above(plant, dose(plant)),
    build: |plant, _| {
        Box::new(Limit {
            dose: dose(plant),
            limit: plant.count("limit"),
            counts_refused: true,
            soft: 0.0,
            kind: Some(Kind::Socket),
            refusal: Refusal::bad_request("bad.request", "Too many connections"),
        })
    },
};

/// What is counted.
pub(super) fn dose(plant: &Plant) -> Dose {
    match plant.word("per") {
        "address" => Dose::SocketsPerAddress,
        "token" => Dose::SocketsPerToken,
        _ => Dose::Sockets,
    }
}
