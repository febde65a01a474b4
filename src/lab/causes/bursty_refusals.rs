//! `bursty-refusals`: a null: refusals come in bursts at random times, whatever is sent. The right answer is that no
//! cause was found.

use crate::lab::{
    api::{Offer, Refusal},
    random::Random,
    scenario::MILLI,
};

use super::{
    Cause, CauseInfo, Domain, Parameter, Typical,
    defect::{as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "bursty-refusals",
    summary: "a null: refusals come in bursts at random times, whatever is sent",
    parameters: &[
        Parameter {
            name: "share",
            about: "share that is refused in a burst",
            domain: Domain::Share,
            default: 0.4,
            typical: Typical::Between(0.2, 0.7),
        },
        Parameter {
            name: "length",
            about: "how long a burst is on average",
            domain: Domain::Duration(MILLI, 60_000 * MILLI),
            default: 300e6,
            typical: Typical::Between(100e6, 600e6),
        },
        Parameter {
            name: "pause",
            about: "how long it is quiet between bursts on average",
            domain: Domain::Duration(MILLI, 600_000 * MILLI),
            default: 2.5e9,
            typical: Typical::Between(1.5e9, 4e9),
        },
    ],
    prepare: as_it_is,
    right: |_, _| Vec::new(),
    truth: no_truth,
    build: |plant, _| {
        Box::new(Bursts {
            share: plant.number("share"),
            length: plant.number("length"),
            pause: plant.number("pause"),
            is_burst: false,
            until: 0,
        })
    },
};

struct Bursts {
    share: f64,
    length: f64,
    pause: f64,
    is_burst: bool,
    until: i64,
}

impl Cause for Bursts {
    fn refuse(&mut self, offer: &Offer<'_>, random: &mut Random) -> Option<Refusal> {
        while offer.now >= self.until {
            self.is_burst = !self.is_burst && self.until > 0;
            let mean = if self.is_burst { self.length } else { self.pause };
            self.until += (random.exponential(mean) as i64).max(1);
        }
        (self.is_burst && offer.is_counted() && random.share(self.share))
            .then(|| Refusal::bad_request("bad.request", "The request could not be processed"))
    }
}
