//! `connection-rate`: connections beyond so many a second get a refusal as their first answer. They stay open: were they
//! closed, clients would open ever more.

use crate::lab::{
    api::{Dose, Offer, Refusal},
    random::Random,
};

use super::{
    Cause, CauseInfo, Typical,
    limit::{above, limit},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "connection-rate",
    summary: "of connections beyond so many a second, the first request is refused",
    parameters: &[limit(30.0, Typical::Quantile { dose: |_| Dose::ConnectionRate, kind: None, low: 0.6, high: 0.92 })],
    prepare: |scenario| scenario.keeps_connection = false,
    right: |_, _| vec!["connection-rate"],
    truth: |plant, _| above(plant, Dose::ConnectionRate),
    build: |plant, _| Box::new(Rate { limit: plant.count("limit") }),
};

struct Rate {
    limit: u32,
}

impl Cause for Rate {
    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let connection = offer.connection;
        let refused = !offer.request.is_message && connection.ordinal == 1 && connection.rate > self.limit;
        refused.then(|| Refusal::bad_request("bad.request", "Too many new connections"))
    }
}
