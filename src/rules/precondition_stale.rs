//! `precondition-stale`: `If-Match` names another version than the last one that was told.
//!
//! Source: RFC 9110, 13.1.1: such a request is to be refused, with 412, 409 or, in some APIs, 400. The last version is
//! what an answer for the same target said before the request came, weak or strong.

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    etags::{Etags, Version, strong},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "precondition-stale",
    group: Group::Identity,
    summary: "If-Match names another version than the last one that was told",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Response],
    known: Known::Before,
    source: "RFC 9110, 13.1.1",
    default_on: true,
    why: "a lost update is refused for that reason",
    silent: super::never,
    build: |_: &Options| Box::new(PreconditionStale { etags: Etags::default() }),
};

struct PreconditionStale {
    etags: Etags,
}

impl Rule for PreconditionStale {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::ResponseHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::ResponseHead(exchange) => self.etags.learn(exchange),
            What::Request(exchange, _) => {
                let Some(condition) = exchange.request.header("if-match") else { return };
                let Some(last) = self.etags.before(exchange) else { return };
                let names = |told: &Version| condition.split(|b| *b == b',').any(|etag| *strong(etag) == *told.etag);
                if condition.trim_ascii() == b"*" || names(last) {
                    return;
                }
                // To whom the other version was told, another resource may have been shown.
                let guess = self.etags.told_to_sender_of(exchange).is_some_and(names);
                let doubt = if guess { ", to another user, whose resource it may be" } else { "" };
                let subject = Subject::Exchange(exchange.id);
                raise(Flag {
                    rule: INFO.id,
                    severity: if guess { Severity::Hint } else { INFO.severity },
                    subject,
                    session: observation.session.map(|session| session.id),
                    message: format!(
                        "{} {} has If-Match: {}, but {} told the version {} {} before{doubt}",
                        words::method(exchange),
                        words::path(exchange),
                        words::printable(condition, 60),
                        last.told_by,
                        words::printable(&last.etag, 60),
                        words::duration(exchange.request_first_byte.since(last.at))
                    ),
                    evidence: vec![
                        Evidence::bytes(subject, exchange.request.range, exchange.request_first_byte),
                        Evidence::instant(Subject::Exchange(last.told_by), last.at),
                    ],
                    at: observation.at,
                });
            }
            _ => {}
        }
    }
}
