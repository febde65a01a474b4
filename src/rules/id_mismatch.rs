//! `id-mismatch`: a request bears the id of one session, and the name or token of another.
//!
//! Source: threads that share state put another thread's id into their bodies. It takes a key that the profile names: on
//! the request, and on another session's socket. Against an identity header that is certain; against a token it is
//! likely, where both sessions have tokens of their own. Rules about order say nothing of such a request.

use crate::model::{
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    session::Clash,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "id-mismatch",
    group: Group::Identity,
    summary: "a request bears another session's id",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody, Needs::Session],
    known: Known::Before,
    source: "shared variables of concurrent threads",
    default_on: true,
    why: "two means say two different things",
    silent: super::never,
    build: |options: &Options| {
        let mut headers = options.identity_headers.clone();
        if headers.is_empty() {
            headers.push("X-JM-Thread".to_owned());
        }
        Box::new(IdMismatch { headers })
    },
};

struct IdMismatch {
    /// Headers that name the virtual user.
    headers: Vec<String>,
}

impl Rule for IdMismatch {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Request(exchange, _) = observation.what else { return };
        let Some(clash) = exchange.borne.clash.filter(|clash| clash.is_mismatch()) else { return };
        let own = observation.session.map(|session| session.id);
        let is_own = own.map(|own| format!("{own}'s")).unwrap_or_default();
        let subject = Subject::Exchange(exchange.id);
        let place = exchange.request_body.range.unwrap_or(exchange.request.range);
        let first = Evidence::bytes(subject, place, exchange.request_first_byte);
        let (severity, how, other) = match clash {
            Clash::KeyOf(other, socket) => (
                Severity::Error,
                format!("its id is that of the socket {socket} of {other}, its {} is {is_own}", self.means(exchange)),
                Some(Evidence::instant(Subject::Exchange(socket), exchange.request_first_byte)),
            ),
            Clash::TokenOf(other) => {
                (Severity::Warning, format!("its id is {is_own}, its token is that of {other}"), None)
            }
            Clash::Shared(_) => return,
        };
        raise(Flag {
            rule: INFO.id,
            severity,
            subject,
            session: own,
            message: format!("{} {}: {how}", words::method(exchange), words::path(exchange)),
            evidence: std::iter::once(first).chain(other).collect(),
            at: observation.at,
        });
    }
}

impl IdMismatch {
    /// By what else the request is known.
    fn means(&self, exchange: &Exchange) -> &'static str {
        let named = self.headers.iter().any(|name| exchange.request.header(name).is_some());
        if named { "identity header" } else { "other id" }
    }
}
