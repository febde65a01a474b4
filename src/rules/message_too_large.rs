//! `message-too-large`: a message of a socket is larger than is looked at, as it was sent or once it is inflated.
//!
//! Source: RFC 7692, 8: a few bytes of permessage-deflate may stand for a thousand times as many. Such a message is relayed
//! like any other, but what it says was not judged: that no other rule speaks of it proves nothing. A server may close
//! with 1009 over it.

use crate::model::{
    anomaly::AnomalyKind,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "message-too-large",
    group: Group::Body,
    summary: "a socket's message is too large to be judged, as it was sent or once it is inflated",
    severity: Severity::Hint,
    needs: &[Needs::Frames],
    known: Known::Before,
    source: "RFC 7692, 8; RFC 6455, 7.4.1 (1009)",
    default_on: true,
    why: "what was not looked at is said, so that silence about it is not taken for a pass",
    silent: super::never,
    build: |_: &Options| Box::new(MessageTooLarge),
};

struct MessageTooLarge;

impl Rule for MessageTooLarge {
    fn hears(&self) -> &[Heard] {
        &[Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Anomaly(Some(exchange), anomaly) = observation.what else { return };
        let size = match anomaly.kind {
            AnomalyKind::MessageTooLarge => "",
            AnomalyKind::InflatesTooLarge => ", which inflate to more than is looked at,",
            _ => return,
        };
        let subject = Subject::Exchange(exchange.id);
        let (from, n) = (anomaly.range.from.as_str(), words::bytes(anomaly.range.len()));
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!("a message of the {from}'s on {}: its {n}{size} are too large to be judged", exchange.id),
            evidence: vec![Evidence::bytes(subject, anomaly.range, anomaly.at)],
            at: observation.at,
        });
    }
}
