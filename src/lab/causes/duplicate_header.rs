//! `duplicate-header`: `Content-Type` twice, as JMeter sends what stands in two header managers.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, has_json, no_truth},
};
use crate::lab::request::Request;

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "duplicate-header",
    summary: "Content-Type stands in a head twice; the API refuses it",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    right: |_, _| vec!["duplicate-header", "contrast:header:content-type"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            if !has_json(request) || request.is_message {
                return false;
            }
            request.headers.push(("Content-Type".into(), "application/json".into()));
            request.flag("duplicate-header");
            true
        };
        let is_bad = |request: &Request| {
            request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type")).count() > 1
        };
        Defect::boxed(plant, spoil, is_bad, "bad.request", "Content-Type was given twice")
    },
};
