//! `head-growth`: a cookie grows with each request until a gateway refuses the head.

use std::collections::HashMap;

use super::{Cause, CauseInfo, Client, Domain, Parameter, Truth, Typical, defect::as_it_is};
use crate::{
    lab::{
        api::{Offer, Refusal},
        random::Random,
        request::{Kind, Request},
    },
    model::finding::Direction,
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "head-growth",
    summary: "a cookie grows from request to request; heads beyond a size are refused",
    parameters: &[
        Parameter {
            name: "limit",
            about: "bytes of a head that are still accepted",
            domain: Domain::Count(500, 1_000_000),
            default: 8192.0,
            typical: Typical::Between(1500.0, 9000.0),
        },
        Parameter {
            name: "step",
            about: "bytes by which the cookie grows with each request, on average",
            domain: Domain::Count(1, 10_000),
            default: 250.0,
            typical: Typical::Between(120.0, 320.0),
        },
    ],
    prepare: as_it_is,
    right: |_, _| vec!["head-size", "head-too-large"],
    truth: |plant, _| {
        let value = plant.number("limit") + 1.0;
        Some(Truth { hypothesis: "head-size", value, direction: Direction::Above })
    },
    build: |plant, _| {
        let (limit, step) = (plant.count("limit") as usize, plant.number("step"));
        Box::new(Growth { limit, step, cookies: HashMap::new() })
    },
};

struct Growth {
    limit: usize,
    step: f64,
    /// By agent: the cookie's length, and the head's length when its connection was fresh.
    cookies: HashMap<u32, (usize, usize)>,
}

/// The rule's: a line that common servers do not take.
const LARGE_LINE: usize = 8192;

impl Cause for Growth {
    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        if request.is_message || request.kind == Kind::Socket {
            return;
        }
        let (length, first) = self.cookies.entry(client.who.agent).or_insert((0, 0));
        *length += client.random.between(0.5 * self.step, 1.5 * self.step) as usize;
        // Somebody clears it at last.
        if *length > self.limit + self.limit / 2 {
            *length = 0;
        }
        request.set_header("Cookie", format!("history={}", "x".repeat(*length)));
        let head = request.head_bytes();
        if client.ordinal == 0 {
            *first = head;
        }
        if *length + 16 > LARGE_LINE || head >= 2 * *first {
            request.flag("head-too-large");
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        (offer.request.head_bytes() > self.limit)
            .then(|| Refusal::bad_request("bad.request", "Header fields too large"))
    }
}
