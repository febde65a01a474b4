//! `quota-as-400`: a 400 whose body says that a quota is used up.
//!
//! Source: the profile's codes and its place of a limiter: some APIs answer 400 where a number of things, not a rate, is
//! at its limit (`max.entity.count.reached`), and no change of the request helps.

use std::sync::Arc;

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use crate::profile::Profile;

use super::{Group, Known, Needs, Options, Rule, RuleInfo, answer, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "quota-as-400",
    group: Group::ServerSide,
    summary: "a 400 says in its body that a quota is used up",
    severity: Severity::Warning,
    needs: &[Needs::Response],
    known: Known::With,
    source: "the profile's quota codes and limiter",
    default_on: true,
    why: "it speaks only where a profile knows the codes",
    silent: |options| {
        let known = options.profile.as_ref().is_some_and(knows_quotas);
        (!known).then_some("the profile names no quota codes")
    },
    build: |options: &Options| Box::new(QuotaAs400 { profile: options.profile.clone().filter(knows_quotas) }),
};

fn knows_quotas(profile: &Arc<Profile>) -> bool {
    !profile.error.quota_400.is_empty() || profile.error.limiter.is_some()
}

struct QuotaAs400 {
    profile: Option<Arc<Profile>>,
}

impl Rule for QuotaAs400 {
    fn hears(&self) -> &[Heard] {
        &[Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let (Some(profile), What::Exchange(exchange, body)) = (&self.profile, observation.what) else { return };
        let Some(head) = exchange.response.as_ref().filter(|head| head.status() == Some(400)) else { return };
        if exchange.proxy_made.is_some() {
            return;
        }
        let Some(json) = answer::json(exchange, body) else { return };
        let code = profile.error.code(&json).filter(|code| profile.error.is_quota(code));
        let limiter = profile.error.limiter(&json);
        let what = match (code, limiter) {
            (Some(code), Some(limiter)) => {
                format!("{} ({})", words::printable(code.as_bytes(), 80), words::printable(limiter.as_bytes(), 80))
            }
            (Some(one), None) | (None, Some(one)) => words::printable(one.as_bytes(), 80).into_owned(),
            (None, None) => return,
        };
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "{} {}: the 400 is a quota that is used up: {what}",
                words::method(exchange),
                words::path(exchange)
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
