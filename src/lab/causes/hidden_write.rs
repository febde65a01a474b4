//! `hidden-write`: one of the things that are read is written to now and then, and reads of it are refused for a moment.

use crate::lab::{
    agent::Step,
    api::{Offer, Refusal},
    random::{Random, belongs},
    request::{Kind, Request},
    scenario::MILLI,
    surface::item_id,
};

use super::{
    Cause, CauseInfo, Client, Domain, Parameter, Typical,
    defect::{as_it_is, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "hidden-write",
    summary: "reads of what was just written to are refused for a moment",
    parameters: &[
        Parameter {
            name: "lock",
            about: "how long reads are refused behind a write",
            domain: Domain::Duration(MILLI, 60_000 * MILLI),
            default: 400e6,
            typical: Typical::Between(200e6, 600e6),
        },
        Parameter {
            name: "writers",
            about: "share of the agents that write in each round",
            domain: Domain::Share,
            default: 0.15,
            typical: Typical::Between(0.1, 0.2),
        },
    ],
    prepare: as_it_is,
    // The one thing that is written to is the one whose reads are refused.
    right: |_, _| vec!["hidden-write", "contrast:path:"],
    truth: no_truth,
    build: |plant, _| Box::new(Hidden { lock: plant.nanos("lock"), writers: plant.number("writers") }),
};

struct Hidden {
    lock: i64,
    writers: f64,
}

impl Cause for Hidden {
    fn shape(&mut self, client: &mut Client<'_>, steps: &mut Vec<Step>) {
        if belongs(client.seed, 40, u64::from(client.who.agent), self.writers) {
            let at = client.random.below(steps.len());
            // Not between the steps of a socket.
            let at =
                steps.iter().skip(at).position(|step| *step == Step::Send(Kind::Read)).map_or(steps.len(), |n| at + n);
            steps.insert(at, Step::Send(Kind::Publish));
        }
    }

    fn write(&mut self, client: &mut Client<'_>, request: &mut Request) {
        if request.kind == Kind::Publish {
            let item = (client.seed % 5) as usize;
            let kept = request.target.len() - request.last_segment().len();
            request.target.truncate(kept);
            request.target.push_str(&item_id(item));
        }
    }

    fn refuse(&mut self, offer: &Offer<'_>, _: &mut Random) -> Option<Refusal> {
        let since = offer.written_ns.map(|written| offer.now - written);
        since
            .filter(|since| *since < self.lock)
            .map(|_| Refusal::bad_request("bad.request", "The resource is being changed"))
    }
}
