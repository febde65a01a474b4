//! `hidden-write`: a read was refused shortly after, or while, something wrote to the same resource.
//!
//! Source: locks and versions: a test that reads is said to be read-only, but a login sequence, another thread or a
//! retry writes to the same path. A write is any unsafe method (RFC 9110, 9.2.1) to the same authority and path. It is a
//! symptom, not a cause: only refused reads are looked at, so that it would explain every refusal that it is found with.

use std::{sync::Arc, time::Duration};

use crate::model::{
    ExchangeId, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use crate::profile::{Profile, Refused};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    recent::{Recent, number},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "hidden-write",
    group: Group::Identity,
    summary: "a read was refused shortly after a write to the same resource",
    severity: Severity::Hint,
    needs: &[Needs::RequestHead, Needs::Response],
    known: Known::With,
    source: "RFC 9110, 9.2.1 and 13.1",
    default_on: true,
    why: "cheap to know, and nobody looks for it",
    silent: super::never,
    build: |options: &Options| {
        Box::new(HiddenWrite {
            profile: options.profile.clone(),
            settings: options.hidden_write.clone(),
            writes: Recent::new(WRITES),
        })
    },
};

/// Resources whose last write is remembered.
const WRITES: usize = 1 << 14;

/// `[rules.hidden-write]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long before the read a write may have come.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: Duration::from_secs(1) }
    }
}

struct HiddenWrite {
    profile: Option<Arc<Profile>>,
    settings: Settings,
    writes: Recent<u64, (ExchangeId, Timestamp)>,
}

impl Rule for HiddenWrite {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Request(exchange, _) if !is_safe(exchange) => {
                self.writes.put(resource(exchange), (exchange.id, exchange.request_first_byte));
            }
            What::Exchange(exchange, _) if exchange.request.method() == b"GET" => {
                self.read(exchange, observation, raise)
            }
            _ => {}
        }
    }
}

impl HiddenWrite {
    fn read(&self, exchange: &Exchange, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let refused = |status: u16| match &self.profile {
            Some(profile) => profile.is_refused(status),
            None => Refused::default().contains(status),
        };
        let Some(status) = exchange.status().filter(|status| *status >= 400 && refused(*status)) else { return };
        if exchange.proxy_made.is_some() || exchange.asked_for_websocket() {
            return;
        }
        let Some((write, at)) = self.writes.get(resource(exchange)).copied() else { return };
        let (begun, end) = (exchange.request_first_byte, exchange.response_first_byte.unwrap_or(observation.at));
        if at > end || at.after(self.settings.window) < begun {
            return;
        }
        let when = if at <= begun {
            format!("{} before it", words::duration(begun.since(at)))
        } else {
            "while it was under way".to_owned()
        };
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "GET {} was refused with {status}, and {write} wrote to the same resource {when}",
                words::path(exchange)
            ),
            evidence: vec![
                Evidence::bytes(subject, exchange.request.range, begun),
                Evidence::instant(Subject::Exchange(write), at),
            ],
            at: observation.at,
        });
    }
}

fn is_safe(exchange: &Exchange) -> bool {
    matches!(exchange.request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

fn resource(exchange: &Exchange) -> u64 {
    number(&[exchange.authority.as_bytes(), exchange.path()])
}
