//! `refused-upgrade`: a request to become a WebSocket was answered with something else than a 101.
//!
//! Source: measured: JMeter never reads the body of such an answer, so what is kept here is the only copy.

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, answer, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "refused-upgrade",
    group: Group::ServerSide,
    summary: "a request to become a WebSocket was not answered with 101; its body is quoted",
    severity: Severity::Warning,
    needs: &[Needs::Response],
    known: Known::With,
    source: "RFC 6455, 4.2.2; measured with JMeter, which drops the body",
    default_on: true,
    why: "a refused socket explains what follows it",
    silent: super::never,
    build: |_: &Options| Box::new(RefusedUpgrade),
};

struct RefusedUpgrade;

impl Rule for RefusedUpgrade {
    fn hears(&self) -> &[Heard] {
        &[Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Exchange(exchange, body) = observation.what else { return };
        let Some(head) = exchange.response.as_ref() else { return };
        let Some(status) = head.status().filter(|status| *status != 101) else { return };
        if !exchange.asked_for_websocket() || exchange.proxy_made.is_some() {
            return;
        }
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "{} {}: the WebSocket was refused with {status} {}{}",
                words::method(exchange),
                words::path(exchange),
                words::printable(head.reason(), 40),
                answer::excerpt(&answer::text(exchange, body))
            ),
            evidence: vec![Evidence::bytes(
                subject,
                exchange.response_body.range.unwrap_or(head.range),
                observation.at,
            )],
            at: observation.at,
        });
    }
}
