//! `accept-missing`: a request does not say which answers it takes.
//!
//! Source: RFC 9110, 12.5.1: without `Accept` any media type is acceptable, so this is no fault. Some say that it causes
//! a 400. JMeter never sends the field unless the plan does (measured), so that it would be flagged on every request of
//! a plan, refused or not. What would be evidence: requests with and without it on one route, and only the latter
//! refused; the contrast of headers shows that without this rule.

use crate::model::{
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, fault::Fault};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "accept-missing",
    group: Group::Head,
    summary: "a request has no Accept",
    severity: Severity::Hint,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9110, 12.5.1; JMeter sends none by itself (measured)",
    default_on: false,
    why: "the standard allows it, and JMeter never sends it: it would flag every request",
    silent: super::never,
    build: |_: &Options| Box::new(AcceptMissing),
};

struct AcceptMissing;

impl Rule for AcceptMissing {
    fn hears(&self) -> &[Heard] {
        &[Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::RequestHead(exchange) = observation.what else { return };
        if exchange.request.header("accept").is_some() || exchange.asked_for_websocket() {
            return;
        }
        let what = "there is no Accept: any type of answer is acceptable".to_owned();
        let fault = Fault { severity: INFO.severity, what, place: exchange.request.range };
        raise(fault.flag(&INFO, observation, exchange));
    }

    fn judges_heads_alone(&self) -> bool {
        true
    }
}
