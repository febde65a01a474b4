//! `bytes-after-body`: a body is longer than announced; what is left over spoils the next request on the connection.

use std::collections::HashMap;

use super::{
    Cause, CauseInfo, Client,
    defect::{SHARE, no_truth},
};
use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    request::{Ending, Kind, Request},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "bytes-after-body",
    summary: "bytes behind a body; the next request on the connection gets 400, and the connection is closed",
    parameters: &[SHARE],
    prepare: |scenario| scenario.keeps_connection = true,
    right: |_, _| vec!["bytes-after-body"],
    truth: no_truth,
    build: |plant, _| Box::new(Surplus { share: plant.number("share"), spoilt: HashMap::new() }),
};

struct Surplus {
    share: f64,
    /// Agents whose connection has a surplus.
    spoilt: HashMap<u32, bool>,
}

impl Cause for Surplus {
    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        if request.is_message || request.kind == Kind::Socket {
            return;
        }
        let was_spoilt = self.spoilt.insert(client.who.agent, false).unwrap_or(false);
        if was_spoilt && client.ordinal > 0 {
            request.flag("bytes-after-body");
        } else if !request.body.is_empty() && client.random.share(self.share) {
            request.ending = Ending::Extra(b"}\r\n".to_vec());
            self.spoilt.insert(client.who.agent, true);
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        (!offer.request.is_message && offer.connection.has_surplus)
            .then(|| Refusal { closes: true, ..Refusal::bad_request("bad.request", "Malformed request line") })
    }
}
