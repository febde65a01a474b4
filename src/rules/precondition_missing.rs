//! `precondition-missing`: a resource with versions is changed without `If-Match`.
//!
//! Source: RFC 9110, 13.1.1; RFC 6585, 3. Most APIs that tell an `ETag` do not ask for it, so it speaks only where the
//! profile says with which status the API refuses a failed precondition.

use std::sync::Arc;

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use crate::profile::{Profile, Refusal};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, etags::Etags, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "precondition-missing",
    group: Group::Identity,
    summary: "a resource whose answers tell an ETag is changed without If-Match",
    severity: Severity::Hint,
    needs: &[Needs::RequestHead, Needs::Response],
    known: Known::Before,
    source: "RFC 9110, 13.1.1; RFC 6585, 3",
    default_on: true,
    why: "it speaks only where the profile says that the API has preconditions",
    silent: |options| {
        let known = options.profile.as_ref().is_some_and(wants_preconditions);
        (!known).then_some("the profile does not say that the API has preconditions")
    },
    build: |options: &Options| {
        let profile = options.profile.clone().filter(wants_preconditions);
        Box::new(PreconditionMissing { is_wanted: profile.is_some(), etags: Etags::default() })
    },
};

fn wants_preconditions(profile: &Arc<Profile>) -> bool {
    profile.expected_status.contains_key(&Refusal::Precondition)
}

struct PreconditionMissing {
    is_wanted: bool,
    etags: Etags,
}

impl Rule for PreconditionMissing {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::ResponseHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            _ if !self.is_wanted => {}
            What::ResponseHead(exchange) => self.etags.learn(exchange),
            What::Request(exchange, _) => {
                let changes = matches!(exchange.request.method(), b"PUT" | b"PATCH" | b"DELETE");
                let conditions = ["if-match", "if-none-match", "if-unmodified-since"];
                if !changes || conditions.iter().any(|name| exchange.request.header(name).is_some()) {
                    return;
                }
                let Some(last) = self.etags.before(exchange) else { return };
                let subject = Subject::Exchange(exchange.id);
                raise(Flag {
                    rule: INFO.id,
                    severity: INFO.severity,
                    subject,
                    session: observation.session.map(|session| session.id),
                    message: format!(
                        "{} {} has no If-Match, and {} told its version {}",
                        words::method(exchange),
                        words::path(exchange),
                        last.told_by,
                        words::printable(&last.etag, 60)
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
