//! `refresh-stampede`: a token that all agents share expires, and all that need it before they notice that another one
//! has renewed it renew it too; only the first use of the refresh token is good.

use std::collections::HashMap;

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::Kind,
    scenario::{MILLI, Scenario},
};

use super::{Cause, CauseInfo, Client, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "refresh-stampede",
    summary: "agents renew a shared token at once; all but one get 400 invalid_grant",
    parameters: &[
        Parameter {
            name: "lifetime",
            about: "how long a token is good",
            domain: Domain::Duration(100 * MILLI, 3_600_000 * MILLI),
            default: 8e9,
            typical: Typical::Between(4e9, 7e9),
        },
        Parameter {
            name: "notice",
            about: "how long it takes until the others notice",
            domain: Domain::Duration(MILLI, 60_000 * MILLI),
            default: 500e6,
            typical: Typical::Between(300e6, 800e6),
        },
    ],
    prepare: |scenario: &mut Scenario| scenario.tokens = 1,
    // Only that route is refused.
    right: |_, _| vec!["invalid-grant-stampede", "contrast:route"],
    truth: no_truth,
    build: |plant, _| {
        let (lifetime, notice) = (plant.nanos("lifetime").max(1), plant.nanos("notice"));
        Box::new(Stampede { lifetime, notice, asked: (0, 0), own: HashMap::new(), used: 0 })
    },
};

struct Stampede {
    lifetime: i64,
    notice: i64,
    /// Client: which life was renewed last, and when first.
    asked: (i64, i64),
    /// Client: by agent, which life it renewed last.
    own: HashMap<u32, i64>,
    /// Server: of which life the refresh token was used.
    used: i64,
}

impl Cause for Stampede {
    fn interpose(&mut self, client: &mut Client<'_>) -> Option<Kind> {
        let life = client.now / self.lifetime;
        if life > self.asked.0 {
            self.asked = (life, client.now);
        }
        let expired = life > 0 && client.now < self.asked.1 + self.notice;
        // Each knows what it did itself.
        (expired && self.own.insert(client.who.agent, life) != Some(life)).then_some(Kind::Refresh)
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        if offer.request.kind != Kind::Refresh {
            return None;
        }
        let life = offer.now / self.lifetime;
        if life > self.used {
            self.used = life;
            return None;
        }
        Some(Refusal::bad_request("invalid_grant", "The refresh token was used already"))
    }
}
