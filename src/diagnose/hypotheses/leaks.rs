//! What a template left behind. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "unresolved-variable",
        kind: Kind::Flag,
        unit: None,
        means: "A variable was sent as it stands in the template, or the default of an extractor that found nothing.",
        advice: "See why the variable had no value: the extractor, the end of the CSV file.",
        refuted_by: "Refusals of requests without such text.",
    },
    Hypothesis {
        id: "empty-identifier",
        kind: Kind::Flag,
        unit: None,
        means: "An identifier in path or body is empty.",
        advice: "Check the variable before the request is sent.",
        refuted_by: "Refusals of requests whose identifiers are there.",
    },
    Hypothesis {
        id: "identifier-shape",
        kind: Kind::Flag,
        unit: None,
        means: "An identifier does not look like those of its place.",
        advice: "Compare with accepted ones: a name in the place of an id, a quoted or cut value.",
        refuted_by: "Refusals of identifiers of the usual shape.",
    },
    Hypothesis {
        id: "path-encoding",
        kind: Kind::Flag,
        unit: None,
        means: "The path holds characters that must be encoded, or encodes them twice.",
        advice: "Encode each path segment once.",
        refuted_by: "Refusals of paths that need no encoding.",
    },
];
