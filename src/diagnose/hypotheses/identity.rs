//! Whose ids and tokens, and which version. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "id-mismatch",
        kind: Kind::Flag,
        unit: None,
        means: "The request carries another session's id.",
        advice: "Keep variables per thread: properties and static fields are shared by all.",
        refuted_by: "Refusals of requests with their own ids.",
    },
    Hypothesis {
        id: "duplicate-id",
        kind: Kind::Flag,
        unit: None,
        means: "An id that should be new was used before.",
        advice: "Make ids per iteration.",
        refuted_by: "Refusals of requests with fresh ids.",
    },
    Hypothesis {
        id: "shared-token",
        kind: Kind::Flag,
        unit: None,
        means: "Several clients use one token at the same time.",
        advice: "Give each virtual user its own token.",
        refuted_by: "Refusals of requests that are alone with their token.",
    },
    Hypothesis {
        id: "hidden-write",
        kind: Kind::Flag,
        unit: None,
        means: "A route that should only read was written to by the same client just before.",
        advice: "Separate the login flow from the load.",
        refuted_by: "Refusals without a write before.",
    },
    Hypothesis {
        id: "precondition-missing",
        kind: Kind::Flag,
        unit: None,
        means: "A write without the precondition that the resource asks for.",
        advice: "Send If-Match with the last ETag.",
        refuted_by: "Refusals of requests that bear it.",
    },
    Hypothesis {
        id: "precondition-stale",
        kind: Kind::Flag,
        unit: None,
        means: "A precondition names a version that is no longer current.",
        advice: "Read the resource again before writing; do not share it between threads.",
        refuted_by: "Refusals of requests with the current version.",
    },
];
