//! `stale-keepalive`: a request was sent on a kept connection that the server had ended, or ended at that moment.
//!
//! Source: RFC 9112, 9.3.1 and 9.5: a server may close an idle connection at any time, and a client that reuses it must
//! cope. Measured: JMeter checks a pooled connection only after 4.9 s of idleness, sends, and reports
//! `NoHttpResponseException: api.test:443 failed to respond`; it does not retry. Python's SDK sends a POST again up to
//! ten times. It is no refusal by the API. What would be evidence: the server's FIN or RST stands in the trace before
//! the request's first byte.
//!
//! - error: the server's end came before the request: proven;
//! - warning: it came within two round trips after it, behind a pause: the server ended before it can have read it.

use std::time::Duration;

use crate::model::{
    ExchangeId, SessionId, Timestamp,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    side::Side,
    trace::{ByteRange, Closer},
};

use super::{Group, Known, Needs, Rule, RuleInfo, answer, connections::ByConnection, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "stale-keepalive",
    group: Group::Framing,
    summary: "a request was sent on an idle connection that the server had ended or was just ending; no answer came",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::Response],
    known: Known::Before,
    source: "RFC 9112, 9.3.1, 9.5; JMeter's NoHttpResponseException (measured)",
    default_on: true,
    why: "a request without answer that the API never saw",
    silent: super::never,
    build: |options| Box::new(StaleKeepalive::new(options.stale_keepalive.clone())),
};

/// `[rules.stale-keepalive]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a connection must have been idle for an end right behind a request to be a stale connection's.
    pub idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { idle: Duration::from_secs(1) }
    }
}

/// What counts as a round trip where it is not known.
const ROUND_TRIP: Duration = Duration::from_millis(10);

struct StaleKeepalive {
    settings: Settings,
    connections: ByConnection<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the last answer was complete.
    answered: Option<Timestamp>,
    unanswered: Option<Unanswered>,
}

/// The first request behind it that got no answer.
#[derive(Debug)]
struct Unanswered {
    exchange: ExchangeId,
    session: Option<SessionId>,
    label: String,
    request: ByteRange,
    first_byte: Timestamp,
}

impl StaleKeepalive {
    fn new(settings: Settings) -> Self {
        Self { settings, connections: ByConnection::default() }
    }

    fn judge(&self, seen: Seen, ended: Timestamp, rtt: Option<u64>, at: Timestamp) -> Option<Flag> {
        let (answered, unanswered) = (seen.answered?, seen.unanswered?);
        let idle = unanswered.first_byte.since(answered);
        let (severity, what) = if ended < unanswered.first_byte {
            let before = words::duration(unanswered.first_byte.since(ended));
            (Severity::Error, format!("{before} after the server had ended it; no answer came"))
        } else {
            let after = ended.since(unanswered.first_byte);
            let trip = rtt.map_or(ROUND_TRIP, Duration::from_nanos).max(Duration::from_millis(1));
            if after > 2 * trip || idle < self.settings.idle {
                return None;
            }
            let after = words::duration(after);
            (Severity::Warning, format!("{after} before the server's end of it arrived; no answer came"))
        };
        let idle = words::duration(idle);
        let subject = Subject::Exchange(unanswered.exchange);
        Some(Flag {
            rule: INFO.id,
            severity,
            subject,
            session: unanswered.session,
            message: format!("{}: sent on a connection that had been idle for {idle}, {what}", unanswered.label),
            evidence: vec![
                Evidence::bytes(subject, unanswered.request, unanswered.first_byte),
                Evidence::instant(subject, ended),
            ],
            at,
        })
    }
}

impl Rule for StaleKeepalive {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::Exchange, Heard::Anomaly, Heard::End]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            // Something came, though it was no answer.
            What::Anomaly(_, anomaly) if answer::is_none(anomaly) => {
                self.connections.take(observation.connection);
            }
            What::Exchange(exchange, _) => {
                let Some(seen) = self.connections.entry(exchange.connection) else { return };
                if let Some(at) = exchange.response_last_byte {
                    *seen = Seen { answered: Some(at), unanswered: None };
                } else if exchange.response.is_none()
                    && exchange.done
                    && exchange.request_body.complete
                    && seen.unanswered.is_none()
                    && seen.answered.is_some()
                {
                    seen.unanswered = Some(Unanswered {
                        exchange: exchange.id,
                        session: observation.session.map(|session| session.id),
                        label: format!("{} {}", words::method(exchange), words::path(exchange)),
                        request: exchange.request.range,
                        first_byte: exchange.request_first_byte,
                    });
                }
            }
            What::ConnectionClosed(connection) => {
                let Some(seen) = self.connections.take(connection.id) else { return };
                let Some((closed, by, _)) = connection.closed else { return };
                let ended = match connection.ended.of(Side::Server) {
                    Some(ended) => *ended,
                    None if by == Closer::Server => closed,
                    None => return,
                };
                if let Some(flag) = self.judge(seen, ended, connection.server_rtt_ns, observation.at) {
                    raise(flag);
                }
            }
            What::End => drop(self.connections.drain()),
            _ => {}
        }
    }
}
