//! `metadata-without-socket`: a session sent metadata and never asked for a socket.
//!
//! Source: measured with JMeter: a thread whose Open sampler is disabled, or in another thread group, posts all the same.
//! Known when the session ends. Only where a profile or a filter says what metadata is, and where the session is sure:
//! a token may be on the requests alone, and then its sockets are another session's.

use crate::model::flag::Severity;

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-without-socket",
    group: Group::Ordering,
    summary: "a session sent metadata and never asked for a socket",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::After,
    source: "thread groups measured with JMeter",
    default_on: true,
    why: "it speaks only where it is known what metadata is, and whose",
    silent: metadata::unnamed,
    build: |options| metadata::build(options, &["metadata-without-socket"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let is_known = matches!(case.relation, Relation::NoSocket) && case.named && case.sure;
    is_known.then(|| Hit {
        severity: Severity::Warning,
        how: "though its session never asked for a socket".to_owned(),
        evidence: None,
        at: case.first_byte,
    })
}
