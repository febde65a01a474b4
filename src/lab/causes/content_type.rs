//! `content-type`: JSON that is sent as something else, or without saying what it is.

use super::{
    CauseInfo, Client, Domain, Parameter, Typical,
    defect::{Defect, OF, SHARE, as_it_is, has_json, no_truth},
};
use crate::lab::request::Request;

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "content-type",
    summary: "JSON bodies with another Content-Type or none; the API refuses them",
    parameters: &[
        SHARE,
        OF,
        Parameter {
            name: "kind",
            about: "text/plain, or no field at all",
            domain: Domain::Word(&["wrong", "missing"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 1.49),
        },
    ],
    prepare: as_it_is,
    right: |plant, _| match plant.word("kind") {
        "wrong" => vec!["content-type-mismatch", "contrast:header:content-type"],
        _ => vec!["content-type-missing", "contrast:header:content-type"],
    },
    truth: no_truth,
    build: |plant, _| {
        let is_wrong = plant.word("kind") == "wrong";
        let spoil = move |_: &mut Client<'_>, request: &mut Request| {
            if !has_json(request) || request.is_message {
                return false;
            }
            if is_wrong {
                request.set_header("Content-Type", "text/plain");
                request.flag("content-type-mismatch");
            } else {
                request.drop_header("content-type");
                request.flag("content-type-missing");
            }
            true
        };
        Defect::boxed(plant, spoil, is_bad, "bad.request", "Content-Type must be application/json")
    },
};

fn is_bad(request: &Request) -> bool {
    has_json(request)
        && !request.is_message
        && !request.header("content-type").is_some_and(|value| value.starts_with("application/json"))
}
