//! `schema`: a field of a body has a type that its schema does not have.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, no_truth},
};
use crate::lab::{request::Request, surface::Surface};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "schema",
    summary: "a coordinate is a text instead of a number; the API refuses what its schema does not have",
    parameters: &[SHARE, OF],
    // Only a profile has schemas.
    prepare: |scenario| scenario.surface = Surface::GenesysCloud,
    right: |_, _| vec!["schema-violation"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |_: &mut Client<'_>, request: &mut Request| {
            let spoilt = request.replace_in_body("\"originX\":0", b"\"originX\":\"0\"");
            if spoilt {
                request.flag("schema-violation");
            }
            spoilt
        };
        let is_bad = |request: &Request| request.body_has("\"originX\":\"");
        Defect::boxed(plant, spoil, is_bad, "invalid.value", "originX must be an integer")
    },
};
