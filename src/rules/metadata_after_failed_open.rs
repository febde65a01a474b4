//! `metadata-after-failed-open`: the socket was refused, and its metadata came all the same.
//!
//! Source: measured: a JMeter thread goes on after a failed sampler (`on_sample_error=continue` is the default), so a
//! WebSocket Open that got a 403 is followed by its POST. Without knowledge of what metadata is, the first unsafe request
//! after the refusal is meant: a hint, since it may begin the thread's next round.

use crate::model::flag::{Evidence, Severity, Subject};

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-after-failed-open",
    group: Group::Ordering,
    summary: "metadata came after its session's socket had been refused",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Session, Needs::Response],
    known: Known::Before,
    source: "measured with JMeter: a failed Open does not stop the following POST",
    default_on: true,
    why: "what follows a refused socket is refused for that reason, not for its own",
    silent: super::never,
    build: |options| metadata::build(options, &["metadata-after-failed-open"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let Relation::AfterRefused(socket) = case.relation else { return None };
    let closed = socket.closed?;
    let (id, status) = (socket.exchange, socket.status.unwrap_or_default());
    let evidence = match socket.answer {
        Some(range) => Evidence::bytes(Subject::Exchange(id), range, closed),
        None => Evidence::instant(Subject::Exchange(id), closed),
    };
    Some(Hit {
        severity: if case.named { Severity::Warning } else { Severity::Hint },
        how: format!(
            "{} after its session's socket {id} had been refused with {status}",
            words::duration(case.first_byte.since(closed))
        ),
        evidence: Some(evidence),
        at: case.first_byte,
    })
}
