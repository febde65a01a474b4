//! `rate-limited`: an answer says that too much came.
//!
//! Source: RFC 6585, 4 (429); RFC 9110, 10.2.3 (`Retry-After` with a 503); the headers that the profile names, else
//! `RateLimit-Remaining` and `X-RateLimit-Remaining`: on a refusal, a budget of which nothing is left says the same. On
//! an answer that is no refusal they say nothing yet.

use std::sync::Arc;

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    http::Head,
    observation::{Heard, Observation, What},
};

use crate::profile::Profile;

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "rate-limited",
    group: Group::ServerSide,
    summary: "a 429, or a refusal whose headers say that nothing is left of a rate limit",
    severity: Severity::Warning,
    needs: &[Needs::Response],
    known: Known::With,
    source: "RFC 6585, 4; RFC 9110, 10.2.3; the profile's rate-limit headers",
    default_on: true,
    why: "the server itself says so",
    silent: super::never,
    build: |options: &Options| Box::new(RateLimited { profile: options.profile.clone() }),
};

struct RateLimited {
    profile: Option<Arc<Profile>>,
}

impl Rule for RateLimited {
    fn hears(&self) -> &[Heard] {
        &[Heard::ResponseHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::ResponseHead(exchange) = observation.what else { return };
        let Some(head) = exchange.response.as_ref() else { return };
        let Some(status) = head.status().filter(|status| *status >= 400) else { return };
        if exchange.proxy_made.is_some() {
            return;
        }
        let retry = self.named(|profile| profile.rate_limit.retry.as_deref()).unwrap_or("retry-after");
        let retry =
            head.header(retry).map(|value| format!(", to be tried again after {} s", words::printable(value, 40)));
        let budget = self.budget(head);
        if status != 429 && budget.is_none() && !(status == 503 && retry.is_some()) {
            return;
        }
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "{} {}: the answer {status} says that too much came{}{}",
                words::method(exchange),
                words::path(exchange),
                budget.unwrap_or_default(),
                retry.unwrap_or_default()
            ),
            evidence: vec![Evidence::bytes(subject, head.range, observation.at)],
            at: observation.at,
        });
    }
}

impl RateLimited {
    fn named<'p>(&'p self, name: impl Fn(&'p Profile) -> Option<&'p str>) -> Option<&'p str> {
        self.profile.as_deref().and_then(name)
    }

    /// What the headers say, where they say that the budget is used up.
    fn budget(&self, head: &Head) -> Option<String> {
        let number = |name: &str| std::str::from_utf8(head.header(name)?).ok()?.trim().parse::<f64>().ok();
        let used = self.named(|profile| profile.rate_limit.used.as_deref());
        let allowed = self.named(|profile| profile.rate_limit.allowed.as_deref());
        if let (Some(used), Some(allowed)) = (used.and_then(number), allowed.and_then(number))
            && used >= allowed
        {
            return Some(format!(" ({used} of {allowed} used)"));
        }
        let left = self.named(|profile| profile.rate_limit.left.as_deref());
        let names = left.into_iter().chain(["ratelimit-remaining", "x-ratelimit-remaining"]);
        let mut left = names.filter_map(number);
        (left.next()? <= 0.0).then(|| " (nothing is left of the limit)".to_owned())
    }
}
