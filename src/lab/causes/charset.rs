//! `charset`: a body that is encoded as ISO 8859-1 and said to be JSON, which is UTF-8: what JMeter up to 5.6.0 sends
//! where no content encoding is set.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, is_not_json, no_truth},
};
use crate::lab::{
    request::{Kind, Request},
    scenario::Scenario,
    surface::Surface,
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "charset",
    summary: "bodies in ISO 8859-1; the API wants UTF-8",
    parameters: &[SHARE, OF],
    // Where what bears such letters is a message, which is text and so always UTF-8, it never comes about.
    prepare: |scenario: &mut Scenario| {
        if scenario.surface.is_message(Kind::Metadata) {
            scenario.surface = Surface::Neutral;
        }
    },
    // Both rules see it: bytes that are no UTF-8 are no JSON either.
    right: |_, _| vec!["charset-loss", "malformed-json"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            // A text frame cannot bear it.
            if request.is_message || !request.replace_in_body("Zürich", b"Z\xfcrich") {
                return false;
            }
            request.flag("charset-loss");
            request.flag("malformed-json");
            true
        };
        Defect::boxed(plant, spoil, is_not_json, "bad.request", "The request body is not valid UTF-8")
    },
};
