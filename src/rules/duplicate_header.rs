//! `duplicate-header`: a field that may be there once is there more than once.
//!
//! Source: RFC 9110, 5.3 (a sender must not generate several lines of a field that is no list), 7.2 (`Host`, which makes
//! it a 400 by RFC 9112, 3.2), 8.3, 8.6, 11.6.2; RFC 6455, 11.3; RFC 6265, 5.4 (`Cookie`). Measured: JMeter sends names
//! that are twice in one header manager twice, and merges those of several managers. What would be evidence: without the
//! second line the request passes.

use crate::model::{
    exchange::Exchange,
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    fault::{self, Fault},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "duplicate-header",
    group: Group::Head,
    summary: "a request header that may be there once is there more than once",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9110, 5.3; RFC 9112, 3.2; RFC 6455, 11.3; RFC 6265, 5.4",
    default_on: true,
    why: "servers disagree about which of the two counts, and many answer 400",
    silent: super::never,
    build: |_: &Options| Box::new(DuplicateHeader),
};

/// The fields that may be there once, sorted by length, and whether servers must or commonly do refuse a second one
/// even if it says the same.
const SINGLE: &[(&str, bool)] = &[
    ("host", true),
    ("date", false),
    ("from", false),
    ("range", false),
    ("cookie", false),
    ("expect", false),
    ("origin", false),
    ("referer", false),
    ("if-range", false),
    ("user-agent", false),
    ("content-type", true),
    ("max-forwards", false),
    ("authorization", true),
    ("content-range", false),
    ("content-length", true),
    ("content-location", false),
    ("if-modified-since", false),
    ("sec-websocket-key", true),
    ("if-unmodified-since", false),
    ("proxy-authorization", false),
    ("sec-websocket-version", false),
];

/// Where the fields of each length begin in `SINGLE`; behind the last one, its end.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler: an index out of bounds does not build")]
const BEGINS: [usize; 23] = {
    let mut begins = [SINGLE.len(); 23];
    let mut index = SINGLE.len();
    while index > 0 {
        index -= 1;
        let mut length = SINGLE[index].0.len() + 1;
        while length > 0 && begins[length - 1] > index {
            length -= 1;
            begins[length] = index;
        }
    }
    begins
};

struct DuplicateHeader;

impl Rule for DuplicateHeader {
    fn hears(&self) -> &[Heard] {
        &[Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::RequestHead(exchange) = observation.what else { return };
        let Some(name) = first_twice(exchange) else { return };
        if let Some(fault) = describe(exchange, name) {
            raise(fault.flag(&INFO, observation, exchange));
        }
    }

    fn judges_heads_alone(&self) -> bool {
        true
    }
}

/// The index in `SINGLE` of the first field that is there twice.
fn first_twice(exchange: &Exchange) -> Option<usize> {
    let mut seen = 0_u32;
    exchange.request.headers().find_map(|(name, _)| {
        let (begin, end) = (*BEGINS.get(name.len())?, *BEGINS.get(name.len() + 1)?);
        let alike = SINGLE.get(begin..end)?;
        let index = begin + alike.iter().position(|(single, _)| single.as_bytes().eq_ignore_ascii_case(name))?;
        let bit = 1 << index;
        let twice = seen & bit != 0;
        seen |= bit;
        twice.then_some(index)
    })
}

/// Lengths that differ are `framing-conflict`'s.
fn describe(exchange: &Exchange, index: usize) -> Option<Fault> {
    let head = &exchange.request;
    let (single, strict) = SINGLE.get(index).copied().unwrap_or_default();
    let mut lines = head.lines(single);
    let (first, second) = (lines.next(), lines.next());
    let times = 2 + lines.count();
    let values = |field: Option<&crate::model::http::Field>| field.map(|field| field.value.of(&head.raw));
    let same = values(first) == values(second);
    if !same && single == "content-length" {
        return None;
    }
    let name = first.map(|field| words::name(field.name.of(&head.raw))).unwrap_or_default();
    let how = if same { "with the same value" } else { "with different values" };
    let place = second.map_or(head.range, |field| fault::part(head, field.line));
    let severity = if strict && (!same || single == "host") { Severity::Error } else { Severity::Warning };
    let what = format!("the header {name} is there {times} times, {how}; it may be there once");
    Some(Fault { severity, what, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_single_field_is_among_those_of_its_length() {
        for (index, (name, _)) in SINGLE.iter().enumerate() {
            assert!((BEGINS[name.len()]..BEGINS[name.len() + 1]).contains(&index), "{name}");
        }
    }

    #[test]
    fn the_single_fields_fit_into_the_mask() {
        assert!(SINGLE.len() <= 32 && SINGLE.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
    }
}
