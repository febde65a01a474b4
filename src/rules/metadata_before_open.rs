//! `metadata-before-open`: metadata reached us before the client can have seen its socket OPEN.
//!
//! Source: measured. A client's prompt reply on loopback arrives before the write that carries the 101 has *returned* in
//! 11–50 % of cases, but never before that write *began*: what arrived earlier cannot be an answer to the 101. Hence a
//! proof (error) before `open_write_begun`, a hint between it and `client_open_written`, nothing after.
//!
//! What came before its session had even asked for a socket belongs to the next one. If a profile or filter says that it
//! is metadata, it is early without doubt. Else it is a login or the creation of a channel if it was answered before
//! the socket was asked for: nothing is said. If it was still unanswered then, the client did not wait for it: a hint.
//!
//! Which request is metadata and which socket is its own: see `metadata`. It is decided with the fact that decides it:
//! at the request, at the write of the 101, at its refusal or at the end of its connection.

use crate::model::{
    flag::{Evidence, Severity, Subject},
    session::SessionSocket,
};

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-before-open",
    group: Group::Ordering,
    summary: "metadata arrived before its session's socket was open: before the 101 began to be written to the client",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::Before,
    source: "causality: no client answers what was not sent to it yet; stamps measured on loopback",
    default_on: true,
    why: "it is what this tool is for, and it is proven or said to be a guess",
    silent: super::never,
    build: |options| metadata::build(options, &["metadata-before-open"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let at = case.first_byte;
    let (socket, instant, how, severity) = match case.relation {
        Relation::On(socket) if !case.message => on(case, socket)?,
        Relation::BeforeAsked(next) if case.named => {
            let how = format!("before its session even asked for the socket {}", next.exchange);
            (next, next.asked, how, Severity::Error)
        }
        Relation::BeforeAsked(next) => {
            let how =
                format!("before its session asked for the socket {}, and was still unanswered then", next.exchange);
            (next, next.asked, how, Severity::Hint)
        }
        _ => return None,
    };
    let early = instant.since(at);
    let by = if early.is_zero() { String::new() } else { format!("{} ", words::duration(early)) };
    let subject = Subject::Exchange(socket.exchange);
    let evidence = match socket.answer.filter(|_| instant != socket.asked) {
        Some(range) => Evidence::bytes(subject, range, instant),
        None => Evidence::instant(subject, instant),
    };
    Some(Hit { severity, how: format!("{by}{how}"), evidence: Some(evidence), at: instant })
}

fn on<'a>(
    case: &Case<'a>,
    socket: &'a SessionSocket,
) -> Option<(&'a SessionSocket, crate::model::Timestamp, String, Severity)> {
    let (at, id) = (case.first_byte, socket.exchange);
    Some(match (socket.open_write_begun, socket.client_open_written) {
        (Some(begun), _) if at < begun => {
            let how = format!("before the 101 of its session's socket {id} began to be written to the client");
            (socket, begun, how, Severity::Error)
        }
        (Some(_), Some(written)) if at < written => {
            let how = format!(
                "before the write of the 101 of its session's socket {id} to the client had returned, but after it had begun: the client may have seen it"
            );
            (socket, written, how, Severity::Hint)
        }
        (Some(_), _) => return None,
        (None, _) => {
            let how = match socket.status {
                Some(101) => {
                    format!(
                        "while its session's socket {id} was opening; its connection ended before the 101 was written"
                    )
                }
                Some(status) => {
                    format!("before its session's socket {id} was answered; it was then refused with {status}")
                }
                None => format!("while its session's socket {id} was opening; it was never answered"),
            };
            (socket, socket.closed.unwrap_or(at), how, Severity::Error)
        }
    })
}
