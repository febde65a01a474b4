//! Bodies that say something else than they should. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "malformed-json",
        kind: Kind::Flag,
        unit: None,
        means: "The body is not JSON: cut off, merged with another, or wrongly escaped.",
        advice: "Build bodies with a JSON library, per thread; look at the position that the flag names.",
        refuted_by: "Refusals of bodies that parse, at the same load.",
    },
    Hypothesis {
        id: "content-type-missing",
        kind: Kind::Flag,
        unit: None,
        means: "A body without Content-Type.",
        advice: "Set Content-Type in the header manager.",
        refuted_by: "Refusals of requests that have it.",
    },
    Hypothesis {
        id: "content-type-mismatch",
        kind: Kind::Flag,
        unit: None,
        means: "Content-Type says something else than the body is, or than the route takes.",
        advice: "Set the type that the route takes.",
        refuted_by: "Refusals of requests of the right type.",
    },
    Hypothesis {
        id: "schema-violation",
        kind: Kind::Flag,
        unit: None,
        means: "The body does not match the route's schema.",
        advice: "Compare with an accepted body of the same route.",
        refuted_by: "Refusals of bodies that match.",
    },
    Hypothesis {
        id: "wrong-date-type",
        kind: Kind::Flag,
        unit: None,
        means: "A date is a number, or not ISO 8601.",
        advice: "Send ISO 8601.",
        refuted_by: "Refusals of requests with dates of the right form.",
    },
    Hypothesis {
        id: "charset-loss",
        kind: Kind::Flag,
        unit: None,
        means: "Characters were lost in an encoding: `?` or U+FFFD where letters should be.",
        advice: "Write files and bodies as UTF-8; set the content encoding of the sampler.",
        refuted_by: "Refusals of bodies without lost characters.",
    },
    Hypothesis {
        id: "message-too-large",
        kind: Kind::Flag,
        unit: None,
        means: "A socket's message is too large to be looked at, as it was sent or once it is inflated.",
        advice: "Send it in smaller messages; see what the API takes.",
        refuted_by: "Refusals on sockets without such messages.",
    },
];
