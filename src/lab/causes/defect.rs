//! What most causes of clients have in common: some requests are spoilt, and the API refuses what is spoilt so.

use crate::lab::{
    api::{Offer, Refusal},
    random::{Random, belongs},
    request::{Kind, Request},
    scenario::Scenario,
};

use super::{Cause, Client, Domain, Parameter, Plant, Truth, Typical};

/// Which share is spoilt.
pub(super) const SHARE: Parameter = Parameter {
    name: "share",
    about: "which share of them",
    domain: Domain::Share,
    default: 0.05,
    typical: Typical::Between(0.02, 0.12),
};

/// Share of what.
pub(super) const OF: Parameter = Parameter {
    name: "of",
    about: "share of all such requests, or of the agents: some spoil each of theirs, the others none",
    domain: Domain::Word(&["requests", "agents"]),
    default: 0.0,
    typical: Typical::Default,
};

/// A spoilt request.
pub(super) struct Defect {
    share: f64,
    of_agents: bool,
    /// Spoils it, and says whether it could; it also notes which rules will flag it.
    spoil: Spoil,
    /// Whether the API takes it for spoilt.
    is_bad: fn(&Request) -> bool,
    refusal: Refusal,
    part: u64,
}

type Spoil = Box<dyn FnMut(&mut Client<'_>, &mut Request) -> bool + Send>;

impl Defect {
    pub(super) fn boxed(
        plant: &Plant,
        spoil: impl FnMut(&mut Client<'_>, &mut Request) -> bool + Send + 'static,
        is_bad: fn(&Request) -> bool,
        code: &'static str,
        message: &'static str,
    ) -> Box<dyn Cause> {
        // Two defects of agents fall on different agents.
        let part = plant.info.id.bytes().fold(100, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Box::new(Self {
            share: plant.number("share"),
            of_agents: plant.word("of") == "agents",
            spoil: Box::new(spoil),
            is_bad,
            refusal: Refusal::bad_request(code, message),
            part,
        })
    }
}

impl Cause for Defect {
    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        let chosen = if self.of_agents {
            belongs(client.seed, self.part, u64::from(client.who.agent), self.share)
        } else {
            client.random.share(self.share)
        };
        if chosen {
            (self.spoil)(client, request);
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        (self.is_bad)(offer.request).then(|| self.refusal.clone())
    }
}

/// Whether it has a JSON body.
pub(super) fn has_json(request: &Request) -> bool {
    !request.body.is_empty() && !matches!(request.kind, Kind::Token | Kind::Refresh)
}

/// Whether it describes a session: what the reports are about.
pub(super) fn describes(request: &Request) -> bool {
    matches!(request.kind, Kind::Metadata | Kind::Details)
}

/// Whether its body is not JSON.
pub(super) fn is_not_json(request: &Request) -> bool {
    // What is ignored is not checked to be UTF-8.
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    has_json(request) && !std::str::from_utf8(&request.body).is_ok_and(is_json)
}

/// The scenario is good as it is.
pub(super) fn as_it_is(_: &mut Scenario) {}

/// There is no threshold.
pub(super) fn no_truth(_: &Plant, _: &Scenario) -> Option<Truth> {
    None
}
