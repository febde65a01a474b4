//! What all limits have in common: a dose, a number, what is counted, and what is said to those above it.

use crate::{
    lab::{
        api::{Dose, Offer, Refusal},
        random::Random,
        request::Kind,
        scenario::Scenario,
    },
    model::finding::Direction,
};

use super::{Cause, Domain, Parameter, Plant, Truth};

/// Whether those that were refused count.
pub(super) const COUNTING: Parameter = Parameter {
    name: "counting",
    about: "whether requests that were refused count too",
    domain: Domain::Word(&["offered", "admitted"]),
    default: 0.0,
    typical: super::Typical::Between(-0.49, 1.49),
};

/// The last dose that is accepted.
pub(super) const fn limit(default: f64, typical: super::Typical) -> Parameter {
    Parameter {
        name: "limit",
        about: "the highest count that is still accepted, the request itself included",
        domain: Domain::Count(1, 1_000_000),
        default,
        typical,
    }
}

/// A limit at work.
pub(super) struct Limit {
    pub(super) dose: Dose,
    pub(super) limit: u32,
    pub(super) counts_refused: bool,
    /// From the limit on, the share that is refused rises to 1 over so many counts; 0: at once.
    pub(super) soft: f64,
    /// Of which requests; nothing: of all.
    pub(super) kind: Option<Kind>,
    pub(super) refusal: Refusal,
}

impl Cause for Limit {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        if offer.request.is_message || self.kind.is_some_and(|kind| kind != offer.request.kind) {
            return None;
        }
        let counts = offer.counts;
        let count = if self.counts_refused { counts.offered(self.dose) } else { counts.admitted(self.dose) };
        let beyond = f64::from(count.saturating_sub(self.limit));
        let refused = match self.soft {
            none if none <= 0.0 => beyond > 0.0,
            width => random.share(beyond / width),
        };
        refused.then(|| self.refusal.clone())
    }
}

/// Refused from one above the limit on.
pub(super) fn above(plant: &Plant, dose: Dose) -> Option<Truth> {
    let value = plant.number("limit") + 1.0;
    Some(Truth { hypothesis: dose.hypothesis(), value, direction: Direction::Above })
}

/// The doses that are the same as this one on such a load: where all come from one address, bear one token.
pub(super) fn same_doses(dose: Dose, scenario: &Scenario) -> Vec<&'static str> {
    let mut same = vec![dose.hypothesis()];
    let (one_token, one_address) = (scenario.tokens == 1, scenario.addresses == 1);
    let (whole, of_token, of_address) = match dose {
        Dose::InFlight | Dose::InFlightPerToken | Dose::InFlightPerAddress => {
            (Dose::InFlight, Some(Dose::InFlightPerToken), Some(Dose::InFlightPerAddress))
        }
        Dose::Sockets | Dose::SocketsPerToken | Dose::SocketsPerAddress => {
            (Dose::Sockets, Some(Dose::SocketsPerToken), Some(Dose::SocketsPerAddress))
        }
        Dose::RequestRate | Dose::RequestRatePerToken => (Dose::RequestRate, Some(Dose::RequestRatePerToken), None),
        _ => return same,
    };
    if one_token {
        same.extend(of_token.map(Dose::hypothesis));
    }
    if one_address {
        same.extend(of_address.map(Dose::hypothesis));
    }
    if (one_token && Some(dose) == of_token) || (one_address && Some(dose) == of_address) {
        same.push(whole.hypothesis());
    }
    same.sort_unstable();
    same.dedup();
    same
}
