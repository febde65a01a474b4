//! One way to flag a request, so that all flags read alike: `POST /a: what is wrong`.

use std::ops::Range;

use crate::model::{
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::{Framing, Head, Span},
    observation::Observation,
    trace::ByteRange,
};

use super::{RuleInfo, words};

/// What is wrong with a request, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) severity: Severity,
    /// The rest of a sentence that begins with the request's method and path.
    pub(super) what: String,
    pub(super) place: ByteRange,
}

impl Fault {
    /// The fault as a flag on the exchange.
    pub(super) fn flag(self, info: &RuleInfo, observation: &Observation<'_>, exchange: &Exchange) -> Flag {
        let subject = Subject::Exchange(exchange.id);
        Flag {
            rule: info.id,
            severity: self.severity,
            subject,
            session: observation.session.map(|session| session.id),
            message: format!("{} {}: {}", words::method(exchange), words::path(exchange), self.what),
            evidence: vec![Evidence::bytes(subject, self.place, observation.at)],
            at: observation.at,
        }
    }
}

/// Where a part of a head stands in its side's bytes.
pub(super) fn part(head: &Head, span: Span) -> ByteRange {
    let at = |n: u32| (head.range.start + u64::from(n)).min(head.range.end);
    ByteRange { from: head.range.from, start: at(span.start), end: at(span.end) }
}

/// Where the request's target, or a part of it, stands.
pub(super) fn target(exchange: &Exchange, part: Range<usize>) -> ByteRange {
    let head = &exchange.request;
    let [_, target, _] = head.start;
    let at = |n: usize| target.start.saturating_add(u32::try_from(n).unwrap_or(u32::MAX)).min(target.end);
    self::part(head, Span { start: at(part.start), end: at(part.end) })
}

/// Where a part of a request's body stands, where the body is sent as it is; else all of the body.
pub(super) fn body(exchange: &Exchange, part: Range<usize>) -> ByteRange {
    let range = exchange.request_body.range.unwrap_or(exchange.request.range);
    if !matches!(exchange.request_body.framing, Framing::Length(_)) {
        return range;
    }
    let at = |n: usize| (range.start + n as u64).min(range.end);
    ByteRange { from: range.from, start: at(part.start), end: at(part.end) }
}
