//! `refresh-stampede`: a token that all agents share expires, and all that notice renew it at once; only the first use
//! of the refresh token is good.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::Kind,
    scenario::{MILLI, Scenario},
    surface::Who,
};

use super::{Cause, CauseInfo, Client, Domain, Parameter, Typical, defect::no_truth};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "refresh-stampede",
    summary: "agents renew a shared token at once; all but one get 400 invalid_grant",
    parameters: &[Parameter {
        name: "lifetime",
        about: "how long a token is good",
        domain: Domain::Duration(100 * MILLI, 3_600_000 * MILLI),
        default: 8e9,
        typical: Typical::Between(4e9, 7e9),
    }],
    prepare: |scenario: &mut Scenario| scenario.tokens = 1,
    // Only that route is refused, and only while another use of it is under way.
    right: |_, _| vec!["invalid-grant-stampede", "contrast:route", "inflight-per-route"],
    truth: no_truth,
    build: |plant, _| Box::new(Stampede { lifetime: plant.nanos("lifetime").max(1), renewed: 0, used: 0 }),
};

struct Stampede {
    lifetime: i64,
    /// Client: until which of its lives the token is known to have been renewed.
    renewed: i64,
    /// Server: of which life the refresh token was used.
    used: i64,
}

impl Cause for Stampede {
    fn interpose(&mut self, client: &mut Client<'_>) -> Option<Kind> {
        (client.now / self.lifetime > self.renewed).then_some(Kind::Refresh)
    }

    fn answered(&mut self, _: &Who, kind: Kind, _: u16) {
        // Whoever gets an answer, good or bad, knows that it was renewed.
        if kind == Kind::Refresh {
            self.renewed += 1;
        }
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
