//! `shared-token`: two users bear the same token at the same time.
//!
//! Source: a token that is fetched once and put into a property is every thread's (JMeter's `setProperty`, measured);
//! limits that an API counts by token are then reached by all together, and APIs with one session for each token mix
//! them up. Users differ where their identity headers or keys do, or their addresses. Where nothing says who is who, two
//! sockets or two unsafe requests at once on two connections are a hint, since one client may well do that.

use std::{fmt::Write as _, net::IpAddr};

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
    bearers: QuickMap<Fingerprint, Bearers>,
}

#[derive(Default)]
struct Bearers {
    /// In the order in which they came.
    in_flight: Vec<Bearer>,
    /// Whether none of them is named, and all have one address.
    alike: bool,
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
                if let Some((severity, other)) = others.worst(&bearer) {
                    raise(flag(exchange, token, severity, &bearer, other, observation));
                }
                if others.in_flight.len() < BEARERS {
                    others.add(bearer);
                }
            }
            What::Exchange(exchange, _) => {
                let Some(token) = exchange.borne.token else { return };
                let Some(bearers) = self.bearers.get_mut(&token) else { return };
                if let Some(at) = bearers.in_flight.iter().position(|bearer| bearer.exchange == exchange.id) {
                    bearers.in_flight.remove(at);
                }
                if bearers.in_flight.is_empty() {
                    self.bearers.remove(&token);
                }
            }
            _ => {}
        }
    }
}

impl Bearers {
    /// Which of them is the likeliest to be another user than `bearer`; of several, the newest.
    fn worst(&self, bearer: &Bearer) -> Option<(Severity, &Bearer)> {
        let mut others = self.in_flight.iter().rev().filter_map(|other| Some((other.differs(bearer)?, other)));
        if self.is_like(bearer) {
            // Hints alone: one is as good as the others.
            return others.next();
        }
        others.reduce(|worst, other| if other.0 > worst.0 { other } else { worst })
    }

    fn add(&mut self, bearer: Bearer) {
        self.alike = !bearer.named && (self.in_flight.is_empty() || self.is_like(&bearer));
        self.in_flight.push(bearer);
    }

    /// Whether nothing tells it and any of them apart for sure.
    fn is_like(&self, bearer: &Bearer) -> bool {
        self.alike && !bearer.named && self.in_flight.last().is_some_and(|last| last.client == bearer.client)
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
    // Where one token is all users', this is said of each request: it is made in one piece.
    let (method, path) = (words::method(exchange), words::path(exchange));
    let mut message = String::with_capacity(method.len() + path.len() + whose.len() + 160);
    for part in [&*method, " ", &*path, " bears token:"] {
        message.push_str(part);
    }
    let _ = write!(message, "{token} while {}", other.exchange);
    for part in [&*whose, " does, which is under way", doubt] {
        message.push_str(part);
    }
    Flag {
        rule: INFO.id,
        severity,
        subject,
        session: bearer.session,
        message,
        evidence: vec![
            Evidence::bytes(subject, exchange.request.range, exchange.request_first_byte),
            Evidence::instant(Subject::Exchange(other.exchange), exchange.request_first_byte),
        ],
        at: observation.at,
    }
}
