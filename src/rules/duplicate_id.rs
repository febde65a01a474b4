//! `duplicate-id`: two users bear the same id.
//!
//! Source: ids from `${__threadNum}` or one CSV file repeat on every injector (measured with two). It takes a key that
//! the profile names: on two sockets that are open at once, or on requests of two sessions. Whether the other socket was
//! still open is known when this one was answered, since its end may be recorded a little later.

use crate::model::{
    ExchangeId, SessionId, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    session::Clash,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "duplicate-id",
    group: Group::Identity,
    summary: "two users bear the same id at once",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::RequestBody, Needs::Session],
    known: Known::Before,
    source: "measured: two injectors send the same ids",
    default_on: true,
    why: "an id that the profile calls a key belongs to one user",
    silent: super::never,
    build: |_: &Options| Box::new(DuplicateId { waiting: Vec::new() }),
};

/// Sockets that may wait for their answer; further ones are not judged.
const WAITING: usize = 1024;

struct DuplicateId {
    waiting: Vec<Waiting>,
}

/// A socket whose id another one bears.
struct Waiting {
    exchange: ExchangeId,
    other: ExchangeId,
    session: Option<SessionId>,
    asked: Timestamp,
    flag: Flag,
}

impl Rule for DuplicateId {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::ResponseHead, Heard::Open, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Request(exchange, _) => {
                let Some(Clash::Shared(other)) = exchange.borne.clash else { return };
                let session = observation.session.map(|session| session.id);
                let flag = flag(exchange, other, session, observation.at);
                if !exchange.asked_for_websocket() {
                    raise(flag);
                } else if self.waiting.len() < WAITING {
                    let asked = exchange.request_first_byte;
                    self.waiting.push(Waiting { exchange: exchange.id, other, session, asked, flag });
                }
            }
            _ if self.waiting.is_empty() => {}
            // The answer; a 101 counts once it was written.
            What::Open(exchange) => self.answered(exchange, observation.at, raise),
            What::ResponseHead(exchange) if exchange.status() != Some(101) => {
                self.answered(exchange, observation.at, raise);
            }
            What::Exchange(exchange, _) if exchange.asked_for_websocket() => {
                let ended = exchange.websocket.as_ref().map_or(exchange.response_last_byte, |socket| socket.ended);
                let overlaps = |waiting: &Waiting| ended.is_none_or(|ended| waiting.asked < ended);
                self.settle(|waiting| (waiting.other == exchange.id).then(|| overlaps(waiting)), observation.at, raise);
                self.waiting.retain(|waiting| waiting.exchange != exchange.id);
            }
            _ => {}
        }
    }
}

impl DuplicateId {
    fn answered(&mut self, exchange: &Exchange, at: Timestamp, raise: &mut dyn FnMut(Flag)) {
        self.settle(|waiting| (waiting.exchange == exchange.id).then_some(true), at, raise);
    }

    /// Takes out those about which `decide` knows something, and raises what is true.
    fn settle(&mut self, decide: impl Fn(&Waiting) -> Option<bool>, at: Timestamp, raise: &mut dyn FnMut(Flag)) {
        self.waiting.retain(|waiting| match decide(waiting) {
            Some(true) => {
                raise(Flag { at, session: waiting.session, ..waiting.flag.clone() });
                false
            }
            Some(false) => false,
            None => true,
        });
    }
}

fn flag(exchange: &Exchange, other: ExchangeId, session: Option<SessionId>, at: Timestamp) -> Flag {
    let subject = Subject::Exchange(exchange.id);
    let place = exchange.request_body.range.unwrap_or(exchange.request.range);
    let what = if exchange.asked_for_websocket() { "the open socket" } else { "another user's" };
    Flag {
        rule: INFO.id,
        severity: INFO.severity,
        subject,
        session,
        message: format!(
            "{} {}: its id is that of {what} {other}, too",
            words::method(exchange),
            words::path(exchange)
        ),
        evidence: vec![
            Evidence::bytes(subject, place, exchange.request_first_byte),
            Evidence::instant(Subject::Exchange(other), exchange.request_first_byte),
        ],
        at,
    }
}
