//! `bytes-after-body`: a body was longer than its `Content-Length`, and the next request on the connection bears it.
//!
//! Source: RFC 9112, 6.3 and 9.3: what follows the announced length is the next request. Reproduced with nginx 1.22,
//! HAProxy 2.6 and Node 20: 200 for the request whose body is too long, then 400 for the innocent one behind it, and the
//! connection is closed. So the flag is on the victim and names the culprit; where no request follows, it is on the
//! culprit. What would be evidence: the 400s fall on the second and later requests of a connection alone, and these
//! bytes stand before them.
//!
//! Empty lines between requests, which servers ought to pass over (RFC 9112, 2.2), are a hint.

use crate::model::{
    ConnectionId, ExchangeId, Timestamp,
    anomaly::AnomalyKind,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Framing,
    observation::{Heard, Observation, What},
    side::Side,
    trace::ByteRange,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, connections::ByConnection, fault::Fault, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "bytes-after-body",
    group: Group::Framing,
    summary: "bytes stand behind the announced end of a body: the server takes them for the next request's beginning",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody],
    known: Known::Before,
    source: "RFC 9112, 6.3, 9.3; reproduced with nginx, HAProxy and Node",
    default_on: true,
    why: "servers answer 400 to the next request, which is innocent",
    silent: super::never,
    build: |_: &Options| Box::new(BytesAfterBody::default()),
};

#[derive(Default)]
struct BytesAfterBody {
    connections: ByConnection<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The last request.
    last: Option<Last>,
    /// What follows it.
    surplus: Option<Surplus>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    exchange: ExchangeId,
    framing: Framing,
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Surplus {
    start: u64,
    seen_to: u64,
    at: Timestamp,
    /// Whether it is more than empty lines.
    text: bool,
}

impl Rule for BytesAfterBody {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::RequestHead, Heard::Request, Heard::Anomaly, Heard::End]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::RequestHead(exchange) => {
                let Some(seen) = self.connections.get_mut(exchange.connection) else { return };
                let Some(last) = seen.last else { return };
                if let Some(surplus) = seen.surplus.take().or_else(|| glued(exchange, observation.at)) {
                    raise(victim(exchange, last, surplus).flag(observation, exchange, last, surplus));
                }
            }
            What::Request(exchange, _) => {
                let end = exchange.request_body.range.map_or(exchange.request.range.end, |body| body.end);
                let last = Last { exchange: exchange.id, framing: exchange.request_body.framing, end };
                if let Some(seen) = self.connections.entry(exchange.connection) {
                    *seen = Seen { last: Some(last), surplus: None };
                }
            }
            What::Anomaly(_, anomaly) if anomaly.range.from == Side::Client => {
                let text = match anomaly.kind {
                    AnomalyKind::BytesAfterBody => true,
                    AnomalyKind::LineEnd => false,
                    _ => return,
                };
                let Some(seen) = self.connections.get_mut(observation.connection) else { return };
                // A line end in trouble within a head is another story.
                if seen
                    .last
                    .is_none_or(|last| anomaly.range.start < last.end || (!text && anomaly.range.start > last.end))
                {
                    return;
                }
                let start = anomaly.range.start;
                let before = seen.surplus.map_or(start, |surplus| surplus.start);
                let text = text || seen.surplus.is_some_and(|surplus| surplus.text);
                seen.surplus = Some(Surplus { start: before, seen_to: anomaly.range.end, at: observation.at, text });
            }
            What::ConnectionClosed(connection) => {
                if let Some(seen) = self.connections.take(connection.id) {
                    without_victim(connection.id, &seen, observation, raise);
                }
            }
            What::End => {
                for (id, seen) in self.connections.drain() {
                    without_victim(id, &seen, observation, raise);
                }
            }
            _ => {}
        }
    }
}

/// Letters behind a body make a method that looks sound but for its case: `…done"` would not, `doneGET` does.
fn glued(exchange: &Exchange, at: Timestamp) -> Option<Surplus> {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let before = METHODS.iter().find_map(|method| exchange.request.method().strip_suffix(method.as_bytes()))?;
    let start = exchange.request.range.start;
    let odd = before.iter().any(|b| !(b.is_ascii_uppercase() || *b == b'-'));
    odd.then_some(Surplus { start, seen_to: start + before.len() as u64, at, text: true })
}

struct Victim(Fault);

impl Victim {
    fn flag(self, observation: &Observation<'_>, exchange: &Exchange, last: Last, surplus: Surplus) -> Flag {
        let place = self.0.place;
        let mut flag = self.0.flag(&INFO, observation, exchange);
        flag.evidence.push(Evidence::bytes(Subject::Exchange(last.exchange), place, surplus.at));
        flag
    }
}

fn victim(exchange: &Exchange, last: Last, surplus: Surplus) -> Victim {
    // What is glued to the request line belongs to the head that was read.
    let head = exchange.request.range;
    let place = ByteRange { from: Side::Client, start: surplus.start, end: head.start.max(surplus.seen_to) };
    let culprit = last.exchange;
    let (severity, what) = if !surplus.text {
        let n = words::bytes(place.len());
        (Severity::Hint, format!("{n} of empty lines stand between the request {culprit} and this one"))
    } else if head.start <= surplus.start {
        let what = format!(
            "bytes behind the body of {culprit} ({}) are glued to this request's line: the server sees them as its method",
            announced(last.framing)
        );
        (Severity::Error, what)
    } else {
        let n = words::bytes(place.len());
        let what = format!(
            "{n} stand behind the body of {culprit} ({}), before this request: the server takes them for its beginning",
            announced(last.framing)
        );
        (Severity::Error, what)
    };
    Victim(Fault { severity, what, place })
}

fn without_victim(id: ConnectionId, seen: &Seen, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
    let (Some(last), Some(surplus)) = (seen.last, seen.surplus.filter(|surplus| surplus.text)) else { return };
    let subject = Subject::Exchange(last.exchange);
    let place = ByteRange { from: Side::Client, start: surplus.start, end: surplus.seen_to };
    raise(Flag {
        rule: INFO.id,
        severity: Severity::Warning,
        subject,
        session: None,
        message: format!(
            "bytes stand behind the body of {} ({}) on {id}; no request followed",
            last.exchange,
            announced(last.framing)
        ),
        evidence: vec![Evidence::bytes(subject, place, surplus.at)],
        at: observation.at,
    });
}

fn announced(framing: Framing) -> String {
    match framing {
        Framing::Length(n) => format!("Content-Length: {n}"),
        Framing::Chunked => "chunked".to_owned(),
        Framing::None | Framing::UntilClose => "no body was announced".to_owned(),
    }
}
