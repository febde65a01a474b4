//! `accept-missing`: requests without `Accept`, as JMeter sends them by default.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, no_truth},
};
use crate::lab::request::Request;

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "accept-missing",
    summary: "requests without Accept; the API refuses them",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    right: |_, _| vec!["accept-missing", "contrast:header:accept"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            if request.is_message {
                return false;
            }
            // The rule that sees it is off by default, since JMeter never sends the field: the field itself remains.
            request.drop_header("accept");
            true
        };
        let is_bad = |request: &Request| !request.is_message && request.header("accept").is_none();
        Defect::boxed(plant, spoil, is_bad, "bad.request", "Accept is required")
    },
};
