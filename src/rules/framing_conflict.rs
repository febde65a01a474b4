//! `framing-conflict`: a request says in two ways, or in none that can be understood, where its body ends.
//!
//! Source: RFC 9112, 6.1 to 6.3: `Transfer-Encoding` together with `Content-Length`, several lengths that differ, a
//! length that is no number, a coding that does not end in `chunked`, a broken chunk size. A server ought to answer 400
//! and close; servers that disagree about the end take the rest of the body for the next request. What would be
//! evidence: the two fields, and a 400 on the same connection.

use crate::model::{
    anomaly::AnomalyKind,
    exchange::Exchange,
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
    side::Side,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, fault::Fault, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "framing-conflict",
    group: Group::Framing,
    summary: "a request says in two ways, or in none that can be understood, where its body ends",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9112, 6.1 to 6.3, 7.1",
    default_on: true,
    why: "servers must refuse it or will misread what follows",
    silent: super::never,
    build: |_: &Options| Box::new(FramingConflict),
};

struct FramingConflict;

impl Rule for FramingConflict {
    fn hears(&self) -> &[Heard] {
        &[Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Anomaly(Some(exchange), anomaly) = observation.what else { return };
        if anomaly.range.from != Side::Client {
            return;
        }
        let what = match anomaly.kind {
            AnomalyKind::ContentLength => lengths(exchange),
            AnomalyKind::TransferEncoding => codings(exchange),
            AnomalyKind::ChunkSize => "a line that should hold the size of a chunk holds none".to_owned(),
            _ => return,
        };
        let fault = Fault { severity: INFO.severity, what, place: anomaly.range };
        raise(fault.flag(&INFO, observation, exchange));
    }
}

fn lengths(exchange: &Exchange) -> String {
    let mut all: Vec<String> = exchange.request.all("content-length").take(4).map(words::name).collect();
    match all.pop() {
        Some(last) if all.is_empty() => format!("Content-Length is {last:?}: no number"),
        Some(last) => format!("there are several Content-Length: {} and {last}", all.join(", ")),
        None => "Content-Length cannot be understood".to_owned(),
    }
}

fn codings(exchange: &Exchange) -> String {
    let head = &exchange.request;
    let coding = head.header("transfer-encoding").map(words::name).unwrap_or_default();
    match head.header("content-length").map(words::name) {
        Some(length) => format!("there are both Content-Length: {length} and Transfer-Encoding: {coding}"),
        None if head.request_version() == b"1.0" => format!("Transfer-Encoding: {coding} in HTTP/1.0"),
        None => format!("Transfer-Encoding is {coding:?}, which does not say where the body ends"),
    }
}
