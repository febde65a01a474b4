//! `metadata-after-close`: metadata came when its socket had closed.
//!
//! Which socket it was is known where the request bears its key, else when the session ends without
//! another socket: until then it belongs to the next one. Only where a profile or a filter says what metadata is.

use crate::model::flag::{Evidence, Severity, Subject};

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-after-close",
    group: Group::Ordering,
    summary: "metadata came after its session's socket had closed",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::Before,
    source: "a socket that was closed or replaced is among the causes found with JMeter",
    default_on: true,
    why: "it speaks only where it is known what metadata is",
    silent: metadata::unnamed,
    build: |options| metadata::build(options, &["metadata-after-close"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let Relation::AfterClosed(socket) = case.relation else { return None };
    let closed = socket.closed.filter(|_| case.named)?;
    let id = socket.exchange;
    Some(Hit {
        severity: Severity::Warning,
        how: format!("{} after its session's socket {id} had closed", words::duration(case.first_byte.since(closed))),
        evidence: Some(Evidence::instant(Subject::Exchange(id), closed)),
        at: case.first_byte,
    })
}
