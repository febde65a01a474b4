//! `frame-before-open`: the client's first frame came before the 101 began to be written to it.
//!
//! Source: RFC 6455, 4.1: a client sends nothing before it has validated the server's answer. What arrived before the
//! write of the 101 began cannot be a reaction to it; what arrived during that write may be.

use std::collections::HashMap;

use crate::model::{
    ExchangeId, FrameId, Side, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    trace::ByteRange,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "frame-before-open",
    group: Group::Ordering,
    summary: "the client's first frame came before the 101 began to be written to it",
    severity: Severity::Error,
    needs: &[Needs::Frames],
    known: Known::Before,
    source: "RFC 6455, 4.1; causality",
    default_on: true,
    why: "it is proven, and no correct client does it",
    silent: super::never,
    build: |_: &Options| Box::new(FrameBeforeOpen { waiting: HashMap::new() }),
};

/// First frames whose socket's 101 is not written yet.
const WAITING: usize = 1 << 16;

struct FrameBeforeOpen {
    waiting: HashMap<ExchangeId, First>,
}

#[derive(Clone, Copy)]
struct First {
    frame: FrameId,
    range: ByteRange,
    at: Timestamp,
}

impl Rule for FrameBeforeOpen {
    fn hears(&self) -> &[Heard] {
        &[Heard::Open, Heard::Frame, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Frame(exchange, frame, _) if frame.from == Side::Client => {
                let Some(socket) = &exchange.websocket else { return };
                if frame.range.start != exchange_end(exchange) {
                    return;
                }
                let first = First { frame: frame.id, range: frame.range, at: frame.first_byte };
                match socket.open_write_begun {
                    Some(begun) if first.at < begun => raise(flag(exchange, &first, Some(begun), observation)),
                    Some(_) => {}
                    None if self.waiting.len() < WAITING => {
                        self.waiting.insert(exchange.id, first);
                    }
                    None => {}
                }
            }
            _ if self.waiting.is_empty() => {}
            What::Open(exchange) | What::Exchange(exchange, _) => {
                let Some(first) = self.waiting.remove(&exchange.id) else { return };
                let begun = exchange.websocket.as_ref().and_then(|socket| socket.open_write_begun);
                if begun.is_none_or(|begun| first.at < begun) {
                    raise(flag(exchange, &first, begun, observation));
                }
            }
            _ => {}
        }
    }
}

/// Where the client's first frame begins: right behind its upgrade request.
fn exchange_end(exchange: &Exchange) -> u64 {
    let head = exchange.request.range.end;
    exchange.request_body.range.map_or(head, |body| body.end.max(head))
}

fn flag(exchange: &Exchange, first: &First, begun: Option<Timestamp>, observation: &Observation<'_>) -> Flag {
    let how = match begun {
        Some(begun) => {
            format!("{} before the 101 began to be written to the client", words::duration(begun.since(first.at)))
        }
        None => "and the 101 was never written to the client".to_owned(),
    };
    let opened = begun.map(|begun| Evidence::instant(Subject::Exchange(exchange.id), begun));
    let frame = Evidence::bytes(Subject::Frame(first.frame), first.range, first.at);
    Flag {
        rule: INFO.id,
        severity: INFO.severity,
        subject: Subject::Exchange(exchange.id),
        session: observation.session.map(|session| session.id),
        message: format!(
            "the client's first frame {} on the socket {} reached the proxy {how}",
            first.frame,
            words::path(exchange)
        ),
        evidence: std::iter::once(frame).chain(opened).collect(),
        at: observation.at,
    }
}
