//! `metadata-before-ready`: the socket was open, but the frame by which the server says that it is ready was not here yet.
//!
//! Source: the profile's gate (`first-server-frame`, or a frame it describes: graphql-transport-ws has `connection_ack`,
//! OpenAI Realtime `session.created`). Metadata that arrived before that frame had arrived from the server is early: a
//! proof; between that and the end of its write to the client it is a hint. A gate that is `not-observable` says
//! nothing, and so does `open`. Decided when the frame comes, or when the socket ends without it.

use crate::model::flag::{Evidence, Severity, Subject};

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-before-ready",
    group: Group::Ordering,
    summary: "metadata arrived before the frame by which its socket says that it is ready",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::Session, Needs::Frames],
    known: Known::Before,
    source: "the profile's gate; causality",
    default_on: true,
    why: "it speaks only where a profile has a gate that passes here",
    silent: metadata::without_gate,
    build: |options| metadata::build(options, &["metadata-before-ready"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let Relation::AtGate(socket, opened) = case.relation else { return None };
    let (at, id) = (case.first_byte, socket.exchange);
    let Some(opened) = opened else {
        let end = socket.closed.unwrap_or(at);
        let how = format!("after the socket {id} was open, but the server never said on it that it was ready");
        let evidence = Evidence::instant(Subject::Exchange(id), end);
        return Some(Hit { severity: Severity::Error, how, evidence: Some(evidence), at: end });
    };
    let (frame, range) = opened.frame;
    let (instant, severity, how) = if at < opened.arrived {
        let how = format!("before the server said on the socket {id} that it was ready ({frame})");
        (opened.arrived, Severity::Error, how)
    } else {
        let written = opened.written.filter(|written| at < *written)?;
        let how = format!(
            "before the frame {frame}, by which the socket {id} says that it is ready, was written to the client, but after it had come: the client may have seen it"
        );
        (written, Severity::Hint, how)
    };
    let evidence = Evidence::bytes(Subject::Frame(frame), range, instant);
    let how = format!("{} {how}", words::duration(instant.since(at)));
    Some(Hit { severity, how, evidence: Some(evidence), at: instant })
}
