//! `answer-cut-short`: the server ended the connection within its answer.
//!
//! Source: RFC 9112, 8: a body shorter than its `Content-Length`, chunks without the last one, or a head without its end
//! are an incomplete message. JMeter reports `ConnectionClosedException: Premature end of Content-Length delimited
//! message body`, `requests` an `IncompleteRead`; a tester takes that for the client's or the network's fault. What would
//! be evidence: the server's FIN or RST stands in the trace before the answer's last byte.
//!
//! An answer that only the connection's end completes cannot be told from one that was cut. Streams of events end so. A
//! client that ended first, or had ended its sending, may be the reason: that is `client-abort`. Nor is it said where the
//! server's bytes were not understood any more.

use crate::model::{
    ExchangeId, SessionId, Timestamp,
    anomaly::AnomalyKind,
    connection::Connection,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Framing,
    observation::{Heard, Observation, What},
    side::Side,
    trace::{ByteRange, Closer, Ending},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo, answer,
    connections::{ByConnection, ended_by},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "answer-cut-short",
    group: Group::ServerSide,
    summary: "the server ended the connection within its answer",
    severity: Severity::Error,
    needs: &[Needs::Response],
    known: Known::After,
    source: "RFC 9112, 8; JMeter's ConnectionClosedException",
    default_on: true,
    why: "the client reports an error of its own where the server broke off",
    silent: super::never,
    build: |_: &Options| Box::new(AnswerCutShort::default()),
};

/// Answers of one connection, one server's after another's, that may be cut short.
const MOST: usize = 64;

#[derive(Default)]
struct AnswerCutShort {
    connections: ByConnection<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// A head of an answer that did not end.
    head: Option<ByteRange>,
    /// What was not complete when its exchange was over, until it is known who closed.
    cuts: Vec<Cut>,
    /// Whether the server's bytes are not understood any more.
    opaque: bool,
}

#[derive(Debug)]
struct Cut {
    exchange: ExchangeId,
    session: Option<SessionId>,
    label: String,
    how: String,
    answer: ByteRange,
    began: Timestamp,
    over: Timestamp,
}

impl Rule for AnswerCutShort {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::Exchange, Heard::Anomaly, Heard::End]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Anomaly(_, anomaly) if anomaly.opaque && anomaly.range.from == Side::Server => {
                if let Some(seen) = self.connections.entry(observation.connection) {
                    seen.opaque = true;
                }
            }
            What::Anomaly(_, anomaly)
                if anomaly.kind == AnomalyKind::CutShort && anomaly.range.from == Side::Server =>
            {
                if let Some(seen) = self.connections.entry(observation.connection) {
                    seen.head = Some(anomaly.range);
                }
            }
            What::Exchange(exchange, _) if !exchange.done || exchange.proxy_made.is_some() => {}
            What::Exchange(exchange, _) => {
                let head = self.connections.get_mut(exchange.connection).and_then(|seen| seen.head.take());
                let Some((answer, how)) = cut(exchange, head) else { return };
                let Some(seen) = self.connections.entry(exchange.connection) else { return };
                if !seen.opaque && seen.cuts.len() < MOST {
                    seen.cuts.push(Cut {
                        exchange: exchange.id,
                        session: observation.session.map(|session| session.id),
                        label: format!("{} {}", words::method(exchange), words::path(exchange)),
                        how,
                        answer,
                        began: exchange.response_first_byte.unwrap_or(observation.at),
                        over: observation.at,
                    });
                }
            }
            What::ConnectionClosed(connection) => {
                let Some(seen) = self.connections.take(connection.id) else { return };
                for cut in seen.cuts {
                    if let Some(how) = by_server(&cut, connection) {
                        raise(flag(cut, how, observation.at));
                    }
                }
            }
            What::End => drop(self.connections.drain()),
            _ => {}
        }
    }
}

/// Where the answer of an exchange that is over stands, if it is not complete, and how far it came. `head` is one that
/// did not end.
fn cut(exchange: &Exchange, head: Option<ByteRange>) -> Option<(ByteRange, String)> {
    let Some(response) = &exchange.response else {
        let head = head?;
        return Some((head, format!("within the head of its answer, after {}", words::bytes(head.len()))));
    };
    let body = &exchange.response_body;
    if body.complete || exchange.websocket.is_some() || exchange.status() == Some(101) || answer::is_endless(response) {
        return None;
    }
    let how = match body.framing {
        Framing::Length(of) => format!("after {} of the {of} bytes of its answer", body.bytes),
        Framing::Chunked => format!("within its chunked answer, after {}", words::bytes(body.bytes)),
        // What was not read to its end for another reason: the connection was given up.
        Framing::None | Framing::UntilClose => return None,
    };
    let end = body.range.map_or(response.range.end, |range| range.end);
    Some((ByteRange { end, ..response.range }, how))
}

/// How the server ended the connection, if it was the server.
fn by_server(cut: &Cut, connection: &Connection) -> Option<&'static str> {
    let is_reset = matches!(connection.closed, Some((_, Closer::Server, Ending::Rst)));
    let by_server = ended_by(connection, cut.over) == Some(Closer::Server);
    by_server.then_some(if is_reset { "reset" } else { "ended" })
}

fn flag(cut: Cut, ended: &str, at: Timestamp) -> Flag {
    let subject = Subject::Exchange(cut.exchange);
    Flag {
        rule: INFO.id,
        severity: INFO.severity,
        subject,
        session: cut.session,
        message: format!("{}: the server {ended} the connection {}", cut.label, cut.how),
        evidence: vec![Evidence::bytes(subject, cut.answer, cut.began), Evidence::instant(subject, cut.over)],
        at,
    }
}
