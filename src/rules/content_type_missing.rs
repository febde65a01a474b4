//! `content-type-missing`: a request has a body and does not say what it is.
//!
//! Source: RFC 9110, 8.3: a sender that generates content SHOULD say its type. Many an API answers 400 or 415 without.
//! What is put somewhere as it is, and is no JSON, need not (`curl -T`; uploads to URLs that were signed without a type):
//! that is a hint.

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Collected, Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "content-type-missing",
    group: Group::Body,
    summary: "a request has a body, but no Content-Type, or an empty one",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9110, 8.3",
    default_on: true,
    why: "many an API answers 400 or 415 to it",
    silent: super::never,
    build: |_: &Options| Box::new(ContentTypeMissing),
};

struct ContentTypeMissing;

impl Rule for ContentTypeMissing {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Request(exchange, body) = observation.what else { return };
        let mut types = exchange.request.all("content-type");
        let size = exchange.request_body.bytes;
        if size == 0 || types.any(|value| !value.trim_ascii().is_empty()) {
            return;
        }
        let how = if exchange.request.header("content-type").is_some() { "an empty" } else { "no" };
        let (method, path) = (words::method(exchange), words::path(exchange));
        let at = exchange.request_last_byte.unwrap_or(observation.at);
        let upload = exchange.request.method() == b"PUT" && body == Collected::Not;
        raise(Flag {
            rule: INFO.id,
            severity: if upload { Severity::Hint } else { INFO.severity },
            subject: Subject::Exchange(exchange.id),
            session: observation.session.map(|session| session.id),
            message: format!("{method} {path} has a body of {size} bytes and {how} Content-Type"),
            evidence: vec![Evidence::bytes(Subject::Exchange(exchange.id), exchange.request.range, at)],
            at,
        });
    }
}
