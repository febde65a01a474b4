//! `client-abort`: a client gives up in the middle of a body.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, describes, no_truth},
};
use crate::lab::request::{Ending, Request};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "client-abort",
    summary: "clients close the connection in the middle of a body; nothing is answered",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    right: |_, _| vec!["client-abort"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            if !describes(request) || request.is_message {
                return false;
            }
            request.ending = Ending::Abort(request.body.len() / 2);
            request.flag("client-abort");
            true
        };
        // There is nothing left that could be refused.
        Defect::boxed(plant, spoil, |_| false, "", "")
    },
};
