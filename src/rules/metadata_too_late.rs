//! `metadata-too-late`: metadata came later after OPEN than the profile's window allows.
//!
//! Source: the profile's window. How well that is known decides the severity: what people only report is a hint.

use crate::model::flag::{Evidence, Severity, Subject};

use super::{
    Group, Known, Needs, RuleInfo,
    metadata::{self, Case, Hit, Member, Relation},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-too-late",
    group: Group::Ordering,
    summary: "metadata came later after its socket was open than the profile's window allows",
    severity: Severity::Warning,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::Before,
    source: "the profile's window",
    default_on: true,
    why: "it speaks only where a profile has a window",
    silent: metadata::without_window,
    build: |options| metadata::build(options, &["metadata-too-late"]),
};

/// See `metadata`.
pub(super) const MEMBER: Member = Member { info: &INFO, judge };

fn judge(case: &Case<'_>) -> Option<Hit> {
    let Relation::On(socket) = case.relation else { return None };
    let window = case.window?;
    let (most, open) = (window.max?, socket.client_open_written?);
    if case.first_byte <= open.after(most) {
        return None;
    }
    let severity = metadata::certainty(window.confidence);
    let how = format!(
        "{} after its socket {} was open, later than the {} that the profile names",
        words::duration(case.first_byte.since(open)),
        socket.exchange,
        words::duration(most)
    );
    let evidence = Evidence::instant(Subject::Exchange(socket.exchange), open);
    Some(Hit { severity, how, evidence: Some(evidence), at: case.first_byte })
}
