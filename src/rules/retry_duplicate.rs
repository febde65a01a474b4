//! `retry-duplicate`: a client sent the same unsafe request again because the first got no answer.
//!
//! Source: measured: the Python SDK sends a POST ten more times within 10 ms when the connection ends (urllib3 retries),
//! and no user asked for that. Same means session, method, target and body; again means within the window after the
//! first ended without an answer, or while it is still under way. What was answered is not repeated by a library: a
//! thread that loops posts the same body, too.

use std::time::Duration;

use crate::model::{
    ExchangeId, SessionId, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    hash::QuickMap,
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, recent::number, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "retry-duplicate",
    group: Group::ServerSide,
    summary: "an unsafe request was sent again within moments, since the first got no answer",
    severity: Severity::Hint,
    needs: &[Needs::RequestHead, Needs::RequestBody, Needs::Session],
    known: Known::Before,
    source: "measured with the Python SDK: 11 POSTs in 10 ms",
    default_on: true,
    why: "attempts are not user actions, and counts of them mislead",
    silent: super::never,
    build: |options: &Options| {
        Box::new(RetryDuplicate { settings: options.retry_duplicate.clone(), sessions: QuickMap::default() })
    },
};

/// Requests of one session that are remembered.
const REMEMBERED: usize = 4;

/// `[rules.retry-duplicate]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How soon a copy comes.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: Duration::from_millis(50) }
    }
}

struct RetryDuplicate {
    settings: Settings,
    sessions: QuickMap<SessionId, [Option<Sent>; REMEMBERED]>,
}

#[derive(Clone, Copy)]
struct Sent {
    exchange: ExchangeId,
    what: u64,
    first_byte: Timestamp,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Open,
    Unanswered(Timestamp),
    Answered,
}

impl Rule for RetryDuplicate {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Exchange, Heard::SessionEnded]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match (observation.what, observation.session) {
            (What::Request(exchange, body), Some(session)) if is_unsafe(exchange) => {
                // The bytes decide; a body that is not there could be any.
                let Some(body) = body.whole().filter(|_| exchange.request_body.complete) else { return };
                let what = number(&[exchange.request.method(), exchange.request.target(), body]);
                let sent = self.sessions.entry(session.id).or_default();
                let at = exchange.request_first_byte;
                let copied = sent.iter().flatten().filter(|first| first.what == what && first.first_byte <= at);
                let first = copied.filter(|first| match first.end {
                    End::Open => first.first_byte.after(self.settings.window) >= at,
                    End::Unanswered(end) => end.after(self.settings.window) >= at,
                    End::Answered => false,
                });
                if let Some(first) = first.max_by_key(|first| first.first_byte) {
                    raise(flag(exchange, first, session.id, observation));
                }
                sent.rotate_right(1);
                let latest = Sent { exchange: exchange.id, what, first_byte: at, end: End::Open };
                if let Some(place) = sent.first_mut() {
                    *place = Some(latest);
                }
            }
            (What::Exchange(exchange, _), Some(session)) if is_unsafe(exchange) => {
                let Some(sent) = self.sessions.get_mut(&session.id) else { return };
                let Some(sent) = sent.iter_mut().flatten().find(|sent| sent.exchange == exchange.id) else { return };
                sent.end = match exchange.response {
                    Some(_) => End::Answered,
                    None => End::Unanswered(observation.at),
                };
            }
            (What::SessionEnded(session), _) => {
                self.sessions.remove(&session.id);
            }
            _ => {}
        }
    }
}

fn is_unsafe(exchange: &Exchange) -> bool {
    !matches!(exchange.request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

fn flag(exchange: &Exchange, first: &Sent, session: SessionId, observation: &Observation<'_>) -> Flag {
    let subject = Subject::Exchange(exchange.id);
    let at = exchange.request_first_byte;
    let why = match first.end {
        End::Unanswered(_) => "which got no answer",
        End::Open | End::Answered => "which is still under way",
    };
    Flag {
        rule: INFO.id,
        severity: INFO.severity,
        subject,
        session: Some(session),
        message: format!(
            "{} {} is the same as {} {} earlier, {why}: sent again by a library, not by a user",
            words::method(exchange),
            words::path(exchange),
            first.exchange,
            words::duration(at.since(first.first_byte))
        ),
        evidence: vec![
            Evidence::bytes(subject, exchange.request.range, at),
            Evidence::instant(Subject::Exchange(first.exchange), first.first_byte),
        ],
        at: observation.at,
    }
}
