//! `malformed-head`: a request's head is not as HTTP/1.1 wants it.
//!
//! Source: RFC 9112, 2.2, 3 and 5. Measured with JMeter: a header named `X Bad:` goes out as `X Bad:: v`, one without a
//! name as `: noname`, a path with a space of the WebSocket plugin as a start line of four parts. Strict servers answer
//! 400, others drop the line. What would be evidence: without the line the request passes.

use crate::model::{
    anomaly::{Anomaly, AnomalyKind},
    exchange::Exchange,
    flag::{Flag, Severity},
    http::Field,
    observation::{Heard, Observation, What},
    side::Side,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, fault::Fault, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "malformed-head",
    group: Group::Head,
    summary: "a request's start line or a header line is not as HTTP/1.1 wants it",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9112, 2.2, 3, 5; what JMeter makes of odd header names (measured)",
    default_on: true,
    why: "strict servers answer 400 to it",
    silent: super::never,
    build: |_: &Options| Box::new(MalformedHead),
};

struct MalformedHead;

impl Rule for MalformedHead {
    fn hears(&self) -> &[Heard] {
        &[Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Anomaly(Some(exchange), anomaly) = observation.what else { return };
        let head = exchange.request.range;
        let place = anomaly.range;
        if place.from != Side::Client || place.start < head.start || place.end > head.end {
            return;
        }
        if let Some((severity, what)) = describe(exchange, anomaly) {
            raise(Fault { severity, what, place }.flag(&INFO, observation, exchange));
        }
    }
}

fn describe(exchange: &Exchange, anomaly: &Anomaly) -> Option<(Severity, String)> {
    let error = |what: String| Some((Severity::Error, what));
    match anomaly.kind {
        AnomalyKind::StartLine => error(start_line(exchange)),
        AnomalyKind::HeaderLine => error(header_line(exchange, anomaly)),
        AnomalyKind::LineEnd => {
            let line = line(exchange, anomaly).unwrap_or_default();
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.contains(&b'\r') {
                return error("a line of the head holds a bare CR".to_owned());
            }
            Some((Severity::Warning, "a line of the head ends with a bare LF".to_owned()))
        }
        _ => None,
    }
}

fn start_line(exchange: &Exchange) -> String {
    let head = &exchange.request;
    let target = head.target();
    if target.is_empty() {
        "the start line has no target".to_owned()
    } else if head.request_version().is_empty() {
        "the start line has no HTTP version".to_owned()
    } else if target.iter().any(|b| matches!(b, b' ' | b'\t')) {
        "the start line has more than three parts: the target holds a space".to_owned()
    } else if let Some(odd) = target.iter().find(|b| **b < b' ' || **b == 0x7f) {
        format!("the target holds the control character 0x{odd:02x}")
    } else {
        "the start line is not `METHOD target HTTP/1.1`".to_owned()
    }
}

/// Names are shown, values never.
fn header_line(exchange: &Exchange, anomaly: &Anomaly) -> String {
    let head = &exchange.request;
    let offset = anomaly.range.start.saturating_sub(head.range.start);
    let within = |field: &&Field| (u64::from(field.line.start)..u64::from(field.line.end)).contains(&offset);
    let Some((index, field)) = head.fields.iter().enumerate().find(|(_, field)| within(field)) else {
        return "a line of the head holds a NUL".to_owned();
    };
    let number = index + 1;
    let (name, line) = (field.name.of(&head.raw), field.line.of(&head.raw));
    if u64::from(field.line.start) < offset {
        return format!("the value of the header {} goes on in a further line, which is obsolete", words::name(name));
    }
    if line.contains(&0) {
        return format!("the header {} holds a NUL", words::name(name));
    }
    if !line.contains(&b':') {
        return format!("header line {number} has no colon");
    }
    if name.is_empty() {
        return format!("header line {number} has no name before its colon");
    }
    match name.iter().find(|b| !(b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))) {
        Some(odd) => {
            let colons = if field.value.of(&head.raw).first() == Some(&b':') { ", and two colons follow" } else { "" };
            let (name, odd) = (words::name(name), char::from(*odd));
            format!("the name of the header {name:?} holds {odd:?}, which no name may{colons}")
        }
        None => format!("white space stands around the name of the header {}", words::name(name)),
    }
}

fn line<'e>(exchange: &'e Exchange, anomaly: &Anomaly) -> Option<&'e [u8]> {
    let at = |n: u64| usize::try_from(n.saturating_sub(exchange.request.range.start)).unwrap_or(usize::MAX);
    exchange.request.raw.get(at(anomaly.range.start)..at(anomaly.range.end))
}
