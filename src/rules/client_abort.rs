//! `client-abort`: the client ended the connection before its body was complete, or before the answer was.
//!
//! Source: RFC 9112, 8. An AWS load balancer logs a 400 where the client closes before the body is there. Under load it
//! is mostly the client's own timeout, so that the message says how long it had waited. What would be evidence: the
//! client's FIN or RST came first, and the server's answer is missing.
//!
//! A client that ends its sending behind a whole request and then takes the answer has not aborted anything. What the
//! server or the proxy ended first is not the client's. Nor is the end of a stream of events, which has no other; and who
//! leaves within an answer may have read enough of it, so that this is a hint. Where the connection's bytes were no HTTP
//! any more, or something came that is no answer, what was complete is not known, and nobody is blamed.

use crate::model::{
    ExchangeId, SessionId, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Framing,
    observation::{Heard, Observation, What},
    side::Side,
    trace::{ByteRange, Closer},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo, answer,
    connections::{ByConnection, ended_by},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "client-abort",
    group: Group::Framing,
    summary: "the client ended the connection before its request or the answer was complete",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::Response],
    known: Known::Before,
    source: "RFC 9112, 8; AWS ALB logs 400 for a body that is cut off",
    default_on: true,
    why: "what looks like a refusal may be the client's own timeout",
    silent: super::never,
    build: |_: &Options| Box::new(ClientAbort::default()),
};

/// Requests of one connection that may be cut off at once.
const PIPELINED: usize = 64;

#[derive(Default)]
struct ClientAbort {
    /// What was not complete when its exchange was over, until it is known who closed: right afterwards.
    cut: ByConnection<Vec<Cut>>,
    /// Connections on which the server sent what is no answer, since the last one.
    odd: ByConnection<()>,
}

#[derive(Debug)]
struct Cut {
    exchange: ExchangeId,
    session: Option<SessionId>,
    label: String,
    request: ByteRange,
    last: Timestamp,
    over: Timestamp,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// So many bytes of a body that has so many, if that was said.
    Body(u64, Option<u64>),
    /// No answer had begun.
    Unanswered,
    /// So many bytes of the answer's body.
    Answer(u64),
}

impl Rule for ClientAbort {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::Exchange, Heard::Anomaly, Heard::End]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Anomaly(_, anomaly) if answer::is_none(anomaly) => {
                self.odd.set(observation.connection, ());
            }
            What::Exchange(exchange, _) => {
                if exchange.response_body.complete {
                    self.odd.take(exchange.connection);
                }
                let Some(how) = cut(exchange) else { return };
                let Some(cuts) = self.cut.entry(exchange.connection) else { return };
                if cuts.len() < PIPELINED {
                    cuts.push(Cut {
                        exchange: exchange.id,
                        session: observation.session.map(|session| session.id),
                        label: format!("{} {}", words::method(exchange), words::path(exchange)),
                        request: exchange.request.range,
                        last: exchange.request_last_byte.unwrap_or(exchange.request_first_byte),
                        over: observation.at,
                        how,
                    });
                }
            }
            What::ConnectionClosed(connection) => {
                let is_odd = self.odd.take(connection.id).is_some();
                let Some(cuts) = self.cut.take(connection.id).filter(|_| !is_odd) else { return };
                let Some((closed, ..)) = connection.closed else { return };
                let ended = connection.ended.of(Side::Client).unwrap_or(closed);
                for cut in cuts.iter().filter(|cut| ended_by(connection, cut.over) == Some(Closer::Client)) {
                    raise(flag(cut, ended, observation.at));
                }
            }
            What::End => {
                self.cut.drain();
                self.odd.drain();
            }
            _ => {}
        }
    }
}

/// What of an exchange that is over is not there.
fn cut(exchange: &Exchange) -> Option<How> {
    if !exchange.done || exchange.websocket.is_some() || exchange.proxy_made.is_some() {
        return None;
    }
    let body = &exchange.request_body;
    match (&exchange.response, body.complete) {
        // What was answered before it was complete need not be completed.
        (None, false) => {
            let of = if let Framing::Length(n) = body.framing { Some(n) } else { None };
            Some(How::Body(body.bytes, of))
        }
        (None, true) => Some(How::Unanswered),
        (Some(_), _) if exchange.status() == Some(101) => None,
        (Some(head), true) if !exchange.response_body.complete && !answer::is_endless(head) => {
            Some(How::Answer(exchange.response_body.bytes))
        }
        (Some(_), _) => None,
    }
}

fn flag(cut: &Cut, ended: Timestamp, at: Timestamp) -> Flag {
    let waited = words::duration(ended.since(cut.last));
    let (severity, what) = match cut.how {
        How::Body(bytes, Some(of)) => {
            (Severity::Error, format!("the client ended the connection after {bytes} of the {of} bytes of its body"))
        }
        How::Body(bytes, None) => {
            (Severity::Error, format!("the client ended the connection within its body, after {}", words::bytes(bytes)))
        }
        How::Unanswered => (
            Severity::Warning,
            format!("the client ended the connection {waited} after its request, before any answer"),
        ),
        How::Answer(bytes) => {
            let n = words::bytes(bytes);
            (
                Severity::Hint,
                format!("the client ended the connection {waited} after its request, within the answer (after {n})"),
            )
        }
    };
    let subject = Subject::Exchange(cut.exchange);
    Flag {
        rule: INFO.id,
        severity,
        subject,
        session: cut.session,
        message: format!("{}: {what}", cut.label),
        evidence: vec![Evidence::bytes(subject, cut.request, cut.last), Evidence::instant(subject, ended)],
        at,
    }
}
