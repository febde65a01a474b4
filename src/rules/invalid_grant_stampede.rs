//! `invalid-grant-stampede`: one refresh token was used several times at once, and all but one use was refused.
//!
//! Source: RFC 6749, 5.2 and 6: a refresh token may be rotated with each use, and a used one is answered with 400
//! `invalid_grant`. Threads that share one refresh together when it expires. Which token it was is never said.

use std::collections::VecDeque;

use crate::model::{
    ExchangeId, Timestamp,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, answer, recent::number, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "invalid-grant-stampede",
    group: Group::ServerSide,
    summary: "one refresh token was used several times at once, and refused with invalid_grant",
    severity: Severity::Warning,
    needs: &[Needs::RequestBody, Needs::Response],
    known: Known::With,
    source: "RFC 6749, 5.2 and 6",
    default_on: true,
    why: "a token that is used twice is refused for that reason",
    silent: super::never,
    build: |_: &Options| Box::new(InvalidGrantStampede { uses: VecDeque::new() }),
};

/// Uses that are remembered.
const USES: usize = 1024;

struct InvalidGrantStampede {
    uses: VecDeque<Use>,
}

#[derive(Clone, Copy)]
struct Use {
    exchange: ExchangeId,
    token: u64,
    first_byte: Timestamp,
    end: Option<Timestamp>,
}

impl Rule for InvalidGrantStampede {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Request(exchange, body) if exchange.is_at_token_endpoint() => {
                let Some(token) = body.whole().and_then(refresh_token) else { return };
                if self.uses.len() == USES {
                    self.uses.pop_front();
                }
                let token = number(&[token]);
                let first_byte = exchange.request_first_byte;
                self.uses.push_back(Use { exchange: exchange.id, token, first_byte, end: None });
            }
            What::Exchange(exchange, body) if exchange.is_at_token_endpoint() => {
                let Some(place) = self.uses.iter().rposition(|used| used.exchange == exchange.id) else { return };
                let end = exchange.response_first_byte.unwrap_or(observation.at);
                let Some(own) = self.uses.get_mut(place) else { return };
                own.end = Some(end);
                let own = *own;
                let refused = exchange.status() == Some(400)
                    && answer::json(exchange, body)
                        .is_some_and(|json| json.pointer("/error").and_then(|e| e.as_str()) == Some("invalid_grant"));
                let overlaps = |other: &&Use| {
                    other.token == own.token
                        && other.exchange != own.exchange
                        && other.first_byte < end
                        && other.end.is_none_or(|end| own.first_byte < end)
                };
                let others: Vec<&Use> = self.uses.iter().filter(|_| refused).filter(overlaps).collect();
                let Some(first) = others.first() else { return };
                let subject = Subject::Exchange(exchange.id);
                raise(Flag {
                    rule: INFO.id,
                    severity: INFO.severity,
                    subject,
                    session: observation.session.map(|session| session.id),
                    message: format!(
                        "POST {} was refused with invalid_grant: {} used the same refresh token at the same time{}",
                        words::path(exchange),
                        first.exchange,
                        if others.len() > 1 { format!(", and {} more did", others.len() - 1) } else { String::new() }
                    ),
                    evidence: vec![
                        Evidence::bytes(subject, exchange.request.range, own.first_byte),
                        Evidence::instant(Subject::Exchange(first.exchange), first.first_byte),
                    ],
                    at: observation.at,
                });
            }
            _ => {}
        }
    }
}

/// The refresh token in a form or in JSON.
fn refresh_token(body: &[u8]) -> Option<&[u8]> {
    if body.trim_ascii_start().starts_with(b"{") {
        let at = memchr::memmem::find(body, b"\"refresh_token\"")?;
        let rest = body.get(at + b"\"refresh_token\"".len()..)?.trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        return rest.split(|b| *b == b'"').next().filter(|value| !value.is_empty());
    }
    let value = body.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(b"refresh_token="))?;
    (!value.is_empty()).then_some(value)
}
