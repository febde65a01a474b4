//! `shared-token`: two users bear the same token at the same time.
//!
//! Source: a token that is fetched once and put into a property is every thread's (JMeter's `setProperty`, measured);
//! limits that an API counts by token are then reached by all together, and APIs with one session for each token mix
//! them up. Users differ where their identity headers or keys do, or their addresses. Where nothing says who is who, two
//! sockets or two unsafe requests at once on two connections are a hint, since one client may well do that.

use std::net::IpAddr;

use crate::model::{
    ConnectionId, ExchangeId, SessionId,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    hash::QuickMap,
    observation::{Heard, Observation, What},
    session::{CorrelatedBy, Fingerprint},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "shared-token",
    group: Group::Identity,
    summary: "two users bear the same token at the same time",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::Before,
    source: "measured with JMeter; APIs that count or serialise by token",
    default_on: true,
    why: "one token for all threads is among the causes that are reported",
    silent: super::never,
    build: |_: &Options| Box::new(SharedToken { bearers: QuickMap::default() }),
};

/// Exchanges in flight that are remembered of one token.
const BEARERS: usize = 64;
/// Tokens that are remembered.
const TOKENS: usize = 1 << 17;

struct SharedToken {
    /// What is in flight of each token.
    bearers: QuickMap<Fingerprint, Vec<Bearer>>,
}

#[derive(Clone, Copy)]
struct Bearer {
    exchange: ExchangeId,
    connection: ConnectionId,
    client: Option<IpAddr>,
    session: Option<SessionId>,
    /// Whether the session's identity is known by more than the token.
    named: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Unsafe,
    Safe,
}

impl Rule for SharedToken {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Request(exchange, _) => {
                let Some(token) = exchange.borne.token else { return };
                if self.bearers.len() >= TOKENS && !self.bearers.contains_key(&token) {
                    return;
                }
                // Then it is no news that the two have something in common.
                if exchange.borne.clash.is_some_and(|clash| clash.is_mismatch()) {
                    return;
                }
                let bearer = Bearer::of(exchange, observation);
                let others = self.bearers.entry(token).or_default();
                let shared = others.iter().filter_map(|other| Some((other.differs(&bearer)?, other)));
                if let Some((severity, other)) = shared.max_by_key(|(severity, _)| *severity) {
                    raise(flag(exchange, token, severity, &bearer, other, observation));
                }
                if others.len() < BEARERS {
                    others.push(bearer);
                }
            }
            What::Exchange(exchange, _) => {
                let Some(token) = exchange.borne.token else { return };
                let Some(bearers) = self.bearers.get_mut(&token) else { return };
                bearers.retain(|bearer| bearer.exchange != exchange.id);
                if bearers.is_empty() {
                    self.bearers.remove(&token);
                }
            }
            _ => {}
        }
    }
}

impl Bearer {
    fn of(exchange: &Exchange, observation: &Observation<'_>) -> Self {
        let named = |by: CorrelatedBy| matches!(by, CorrelatedBy::Header | CorrelatedBy::Key);
        Self {
            exchange: exchange.id,
            connection: exchange.connection,
            client: exchange.borne.client,
            session: observation.session.map(|session| session.id),
            named: observation.session.is_some_and(|session| named(session.correlated_by)),
            kind: match exchange.request.method() {
                _ if exchange.asked_for_websocket() => Kind::Socket,
                b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" => Kind::Safe,
                _ => Kind::Unsafe,
            },
        }
    }

    /// How likely it is that both are different users' (none: as far as is known, they are one's).
    fn differs(&self, other: &Self) -> Option<Severity> {
        if self.connection == other.connection || (self.session.is_some() && self.session == other.session) {
            return None;
        }
        if (self.named && other.named) || self.client != other.client {
            return Some(Severity::Warning);
        }
        let at_once = self.kind == other.kind && self.kind != Kind::Safe;
        (at_once && !self.named && !other.named).then_some(Severity::Hint)
    }
}

fn flag(
    exchange: &Exchange,
    token: Fingerprint,
    severity: Severity,
    bearer: &Bearer,
    other: &Bearer,
    observation: &Observation<'_>,
) -> Flag {
    let subject = Subject::Exchange(exchange.id);
    let whose = match (other.session, bearer.client == other.client) {
        (Some(session), true) if severity == Severity::Warning => format!(" of {session}"),
        (_, false) => other.client.map(|client| format!(" from {client}")).unwrap_or_default(),
        _ => String::new(),
    };
    let doubt = if severity == Severity::Hint { "; nothing else says whether both are one user's" } else { "" };
    Flag {
        rule: INFO.id,
        severity,
        subject,
        session: bearer.session,
        message: format!(
            "{} {} bears token:{token} while {}{whose} does, which is under way{doubt}",
            words::method(exchange),
            words::path(exchange),
            other.exchange
        ),
        evidence: vec![
            Evidence::bytes(subject, exchange.request.range, exchange.request_first_byte),
            Evidence::instant(Subject::Exchange(other.exchange), exchange.request_first_byte),
        ],
        at: observation.at,
    }
}
