//! `unresolved-variable`: a template's `${name}` goes out as it stands.

use super::{
    CauseInfo, Client, Domain, Parameter, Typical,
    defect::{Defect, OF, SHARE, as_it_is, describes, no_truth},
};
use crate::lab::{
    request::{Kind, Request},
    surface::Surface,
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "unresolved-variable",
    summary: "a variable was not resolved: ${name} in a path or a body; the API refuses it",
    parameters: &[
        SHARE,
        OF,
        Parameter {
            name: "place",
            about: "where: in the path of reads, or in the body of what describes a session",
            domain: Domain::Word(&["path", "body"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 1.49),
        },
    ],
    prepare: as_it_is,
    right: |plant, scenario| match (plant.word("place"), scenario.surface) {
        ("path", Surface::GenesysCloud) => vec!["unresolved-variable", "identifier-shape", "contrast:path:"],
        ("path", _) => vec!["unresolved-variable", "contrast:path:"],
        _ => vec!["unresolved-variable"],
    },
    truth: no_truth,
    build: |plant, _| {
        let in_path = plant.word("place") == "path";
        let spoil = move |client: &mut Client<'_>, request: &mut Request| {
            if in_path && request.kind == Kind::Read {
                let name = client.surface.parameter(Kind::Read);
                let kept = request.target.len() - request.last_segment().len();
                request.target.truncate(kept);
                request.target.push_str(&format!("%24%7B{name}%7D"));
                if client.surface == Surface::GenesysCloud {
                    request.flag("identifier-shape");
                }
            // What another cause has spoilt stays so: its bytes would be gone, not what flags them.
            } else if !in_path && describes(request) && std::str::from_utf8(&request.body).is_ok() {
                if let Some(at) = memchr::memmem::rfind(&request.body, b"\":\"") {
                    let end = request.body.iter().skip(at + 3).position(|byte| *byte == b'"').unwrap_or(0);
                    request.body.splice(at + 3..at + 3 + end, b"${place}".iter().copied());
                }
            } else {
                return false;
            }
            request.flag("unresolved-variable");
            true
        };
        let is_bad = |request: &Request| request.target.contains("%24%7B") || request.body_has("${");
        Defect::boxed(plant, spoil, is_bad, "invalid.value", "The value is not valid")
    },
};
