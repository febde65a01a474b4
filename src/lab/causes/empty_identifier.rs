//! `empty-identifier`: an id is empty, so that the path ends with a slash.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, no_truth},
};
use crate::lab::request::{Kind, Request};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "empty-identifier",
    summary: "reads whose id is empty; the API refuses them",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    // It makes another route of it.
    right: |_, _| vec!["empty-identifier", "contrast:route", "contrast:path:"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            if request.kind != Kind::Read {
                return false;
            }
            let kept = request.target.len() - request.last_segment().len();
            request.target.truncate(kept);
            request.flag("empty-identifier");
            true
        };
        let is_bad = |request: &Request| request.kind == Kind::Read && request.last_segment().is_empty();
        Defect::boxed(plant, spoil, is_bad, "bad.request", "An id is missing")
    },
};
