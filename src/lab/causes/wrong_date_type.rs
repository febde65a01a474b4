//! `wrong-date-type`: an instant is sent as milliseconds since 1970, where a text is wanted.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, no_truth},
};
use crate::lab::request::Request;

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "wrong-date-type",
    summary: "startTime is a number of milliseconds; the API wants RFC 3339",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    right: |_, _| vec!["wrong-date-type"],
    truth: no_truth,
    build: |plant, _| {
        let spoil = |client: &mut Client<'_>, request: &mut Request| {
            let Some(date) = request.body_field("startTime").map(str::to_owned) else { return false };
            let millis = 1_767_225_600_000 + client.now / 1_000_000;
            request.replace_in_body(&format!("\"{date}\""), millis.to_string().as_bytes());
            request.flag("wrong-date-type");
            true
        };
        let is_bad = |request: &Request| request.body_has("\"startTime\":1");
        Defect::boxed(plant, spoil, is_bad, "invalid.date", "startTime is not a date-time")
    },
};
