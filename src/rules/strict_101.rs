//! `strict-101`: the `Connection` header of a 101 is not exactly `Upgrade`.
//!
//! Source: measured and read: JMeter's WebSocket Samplers compare the whole value, so `Connection: keep-alive, Upgrade`,
//! which RFC 6455, 4.2.2 allows, makes its Open fail with an empty code.

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "strict-101",
    group: Group::ServerSide,
    summary: "the Connection header of a 101 is not exactly Upgrade, which JMeter refuses",
    severity: Severity::Hint,
    needs: &[Needs::Response],
    known: Known::With,
    source: "RFC 6455, 4.2.2; WebSocketClient of the JMeter WebSocket Samplers 1.3.1",
    default_on: true,
    why: "JMeter fails such an Open without saying why",
    silent: super::never,
    build: |_: &Options| Box::new(Strict101),
};

struct Strict101;

impl Rule for Strict101 {
    fn hears(&self) -> &[Heard] {
        &[Heard::ResponseHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::ResponseHead(exchange) = observation.what else { return };
        let Some(head) = exchange.response.as_ref().filter(|head| head.status() == Some(101)) else { return };
        if !exchange.asked_for_websocket() {
            return;
        }
        let mut values = head.all("connection");
        let first = values.next();
        if values.next().is_none() && first.is_some_and(|value| value.eq_ignore_ascii_case(b"upgrade")) {
            return;
        }
        let found = match first {
            Some(value) => format!("Connection: {}", words::printable(value, 60)),
            None => "no Connection header".to_owned(),
        };
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "the 101 to {} {} has {found}: JMeter accepts \"Connection: Upgrade\" alone",
                words::method(exchange),
                words::path(exchange)
            ),
            evidence: vec![Evidence::bytes(subject, head.range, observation.at)],
            at: observation.at,
        });
    }
}
