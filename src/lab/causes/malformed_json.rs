//! `malformed-json`: bodies that are no JSON: cut short, two of them in one, or parts of two mixed up.

use crate::lab::request::Request;

use super::{
    CauseInfo, Client, Domain, Parameter, Typical,
    defect::{Defect, OF, SHARE, as_it_is, describes, is_not_json, no_truth},
};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "malformed-json",
    summary: "bodies that are no JSON; the API refuses them",
    parameters: &[
        SHARE,
        OF,
        Parameter {
            name: "kind",
            about: "cut short, two bodies in one, or the parts of two mixed up",
            domain: Domain::Word(&["truncated", "merged", "swapped"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 2.49),
        },
    ],
    prepare: as_it_is,
    right: |_, _| vec!["malformed-json"],
    truth: no_truth,
    build: |plant, _| {
        let kind = plant.word("kind");
        let mut last = b"{\"other\":".to_vec();
        let spoil = move |_: &mut Client<'_>, request: &mut Request| spoil(kind, &mut last, request);
        Defect::boxed(plant, spoil, is_not_json, "bad.request", "The request body is not valid JSON")
    },
};

fn spoil(kind: &str, last: &mut Vec<u8>, request: &mut Request) -> bool {
    if !describes(request) {
        return false;
    }
    let half = request.body.len() / 2;
    let whole = request.body.clone();
    match kind {
        "truncated" => request.body.truncate(half),
        "merged" => request.body.extend_from_slice(&whole),
        // The first half of this one, the first half of the one before: as threads do that share a buffer.
        _ => {
            request.body.truncate(half);
            request.body.extend_from_slice(last);
        }
    }
    *last = whole.into_iter().take(half).collect();
    request.flag("malformed-json");
    true
}
