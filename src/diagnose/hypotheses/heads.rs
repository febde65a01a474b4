//! Heads. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "malformed-head",
        kind: Kind::Flag,
        unit: None,
        means: "The request's head breaks the grammar of HTTP.",
        advice: "Look at the bytes (`show --raw request`): a line break or a space from a variable.",
        refuted_by: "Refusals of well-formed heads.",
    },
    Hypothesis {
        id: "duplicate-header",
        kind: Kind::Flag,
        unit: None,
        means: "A header that may stand once stands twice.",
        advice: "Remove the second header manager, or merge them.",
        refuted_by: "Refusals of requests that have it once.",
    },
    Hypothesis {
        id: "authorization-malformed",
        kind: Kind::Flag,
        unit: None,
        means: "Authorization is empty, doubled, or no token.",
        advice: "See why the token's variable was empty.",
        refuted_by: "Refusals of requests with a well-formed one.",
    },
    Hypothesis {
        id: "accept-missing",
        kind: Kind::Flag,
        unit: None,
        means: "No Accept header.",
        advice: "Set Accept.",
        refuted_by: "Accepted requests without it, on the same route.",
    },
    Hypothesis {
        id: "head-too-large",
        kind: Kind::Flag,
        unit: None,
        means: "The head is larger than common servers take.",
        advice: "Clear cookies per iteration; see which header grows.",
        refuted_by: "Refusals of small heads.",
    },
    Hypothesis {
        id: "host-form",
        kind: Kind::Flag,
        unit: None,
        means: "Host is missing, doubled, or another than the connection's.",
        advice: "Send the authority of the URL as Host.",
        refuted_by: "Refusals of requests whose Host is right.",
    },
];
