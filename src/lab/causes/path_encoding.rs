//! `path-encoding`: a character in a path that must be encoded and is not.

use super::{
    CauseInfo, Client,
    defect::{Defect, OF, SHARE, as_it_is, no_truth},
};
use crate::lab::{
    request::{Kind, Request},
    surface::Surface,
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "path-encoding",
    summary: "reads with a bare | in their path; the API refuses them",
    parameters: &[SHARE, OF],
    prepare: as_it_is,
    right: |_, scenario| match scenario.surface {
        Surface::GenesysCloud => vec!["path-encoding", "identifier-shape", "contrast:path:"],
        _ => vec!["path-encoding", "contrast:path:"],
    },
    truth: no_truth,
    build: |plant, _| {
        let spoil = |client: &mut Client<'_>, request: &mut Request| {
            if request.kind != Kind::Read {
                return false;
            }
            request.target.push_str("|v2");
            request.flag("path-encoding");
            if client.surface == Surface::GenesysCloud {
                request.flag("identifier-shape");
            }
            true
        };
        let is_bad = |request: &Request| request.target.contains('|');
        Defect::boxed(plant, spoil, is_bad, "bad.request", "Invalid character found in the request target")
    },
};
