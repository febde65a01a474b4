//! `bytes-after-answer`: the server sent more than it had announced: its answer's end is not where its bytes end.
//!
//! Source: RFC 9112, 6.3: a client must not take what follows an answer for another one, and may close the connection. A
//! wrong `Content-Length`, and bodies behind 204, 304 and answers to HEAD, which have none, are what does this. What
//! clients do differs: they drop the connection, skip lines until an answer begins, or take the surplus for the next
//! answer and report an error for a request that is innocent. What would be evidence: these bytes stand behind the end
//! that the answer announced.
//!
//! A second whole answer to one request is such a surplus, too, and the worst: a client that keeps the connection cannot
//! but take it for the next answer. Where the next request was on its way already, it is not said: a server that answers
//! what it has not read yet means to end the connection.

use crate::model::{
    ExchangeId, SessionId,
    anomaly::AnomalyKind,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Framing,
    observation::{Heard, Observation, What},
    side::Side,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, connections::ByConnection};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "bytes-after-answer",
    group: Group::ServerSide,
    summary: "bytes stand behind the announced end of an answer: the client drops the connection, or takes them for the next answer",
    severity: Severity::Error,
    needs: &[Needs::Response],
    known: Known::After,
    source: "RFC 9112, 6.3",
    default_on: true,
    why: "the next request on the connection fails, which is innocent",
    silent: super::never,
    build: |_: &Options| Box::new(BytesAfterAnswer::default()),
};

#[derive(Default)]
struct BytesAfterAnswer {
    /// The last answer that ended.
    connections: ByConnection<Answer>,
    /// A second answer, until it is known when the next request began.
    second: ByConnection<Flag>,
}

#[derive(Debug)]
struct Answer {
    exchange: ExchangeId,
    session: Option<SessionId>,
    status: Option<u16>,
    framing: Framing,
}

impl Answer {
    fn of(exchange: &Exchange, session: Option<SessionId>) -> Self {
        let framing = exchange.response_body.framing;
        Self { exchange: exchange.id, session, status: exchange.status(), framing }
    }

    fn message(&self, whole: bool) -> String {
        let status = self.status.map_or_else(String::new, |status| format!(" {status}"));
        let end = match self.framing {
            Framing::Length(n) => format!("whose Content-Length is {n}"),
            Framing::Chunked => "behind its last chunk".to_owned(),
            Framing::None | Framing::UntilClose => "which has no body".to_owned(),
        };
        if whole {
            return format!(
                "the server sent another whole answer behind its answer{status} to {}: a client takes it for that to its next \
                 request",
                self.exchange
            );
        }
        format!("the server sent more bytes behind its answer{status} to {}, {end}", self.exchange)
    }
}

impl Rule for BytesAfterAnswer {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::RequestHead, Heard::Exchange, Heard::Anomaly, Heard::End]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let session = observation.session.map(|session| session.id);
        match observation.what {
            What::Exchange(exchange, _) if exchange.response.is_some() && exchange.websocket.is_none() => {
                self.connections.set(exchange.connection, Answer::of(exchange, session));
            }
            What::Anomaly(open, anomaly)
                if matches!(anomaly.kind, AnomalyKind::BytesAfterBody | AnomalyKind::SurplusResponse)
                    && anomaly.range.from == Side::Server =>
            {
                // An answer may be over before its request is.
                let answered = open.filter(|exchange| exchange.response.is_some());
                let last = answered.map(|exchange| Answer::of(exchange, session));
                let Some(last) = last.or_else(|| self.connections.take(observation.connection)) else { return };
                let subject = Subject::Exchange(last.exchange);
                let whole = anomaly.kind == AnomalyKind::SurplusResponse;
                let flag = Flag {
                    rule: INFO.id,
                    severity: INFO.severity,
                    subject,
                    session: last.session,
                    message: last.message(whole),
                    evidence: vec![Evidence::bytes(subject, anomaly.range, anomaly.at)],
                    at: observation.at,
                };
                if whole {
                    self.second.set(observation.connection, flag);
                } else {
                    raise(flag);
                }
            }
            What::RequestHead(exchange) => {
                let Some(flag) = self.second.take(exchange.connection) else { return };
                if flag.evidence.iter().all(|place| place.at <= exchange.request_first_byte) {
                    raise(Flag { at: observation.at, ..flag });
                }
            }
            What::ConnectionClosed(connection) => {
                self.connections.take(connection.id);
                if let Some(flag) = self.second.take(connection.id) {
                    raise(Flag { at: observation.at, ..flag });
                }
            }
            What::End => {
                self.connections.drain();
                self.second.drain().into_iter().for_each(|(_, flag)| raise(Flag { at: observation.at, ..flag }));
            }
            _ => {}
        }
    }
}
