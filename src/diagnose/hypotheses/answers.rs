//! What is known with the answer: symptoms, which support a claim and are never ranked. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "not-from-api",
        kind: Kind::Symptom,
        unit: None,
        means: "The answer lacks the marks that the API always sets: something before it answered.",
        advice: "Ask whoever runs the gateway; the answer's headers name it.",
        refuted_by: "Refusals that bear the API's marks.",
    },
    Hypothesis {
        id: "rate-limited",
        kind: Kind::Symptom,
        unit: None,
        means: "The answer says that a rate limit was reached.",
        advice: "Honour Retry-After; lower the rate or raise the limit.",
        refuted_by: "Refusals without such an answer.",
    },
    Hypothesis {
        id: "quota-as-400",
        kind: Kind::Symptom,
        unit: None,
        means: "The answer's code is one by which the API tells of a quota with status 400.",
        advice: "Free or raise the quota that the code names.",
        refuted_by: "Refusals with other codes.",
    },
    Hypothesis {
        id: "refused-upgrade",
        kind: Kind::Symptom,
        unit: None,
        means: "The upgrade to a WebSocket was refused.",
        advice: "Read its body, which JMeter does not show.",
        refuted_by: "Refusals of requests whose socket opened.",
    },
    Hypothesis {
        id: "error-frame",
        kind: Kind::Symptom,
        unit: None,
        means: "The server sent an error inside a frame.",
        advice: "Read its code and message.",
        refuted_by: "Refusals without one.",
    },
    Hypothesis {
        id: "abnormal-close",
        kind: Kind::Symptom,
        unit: None,
        means: "The socket closed without a close frame, or with a code that says trouble.",
        advice: "See which side closed first, and when.",
        refuted_by: "Refusals on sockets that stayed open.",
    },
    Hypothesis {
        id: "strict-101",
        kind: Kind::Symptom,
        unit: None,
        means: "The 101 has a form that JMeter's sampler does not accept.",
        advice: "Use another client, or another version of the sampler.",
        refuted_by: "Failures with a plain 101.",
    },
    Hypothesis {
        id: "retry-duplicate",
        kind: Kind::Symptom,
        unit: None,
        means: "The same request was sent again at once.",
        advice: "Count attempts apart from actions; see the client's retry settings.",
        refuted_by: "Refusals of first attempts.",
    },
    Hypothesis {
        id: "invalid-grant-stampede",
        kind: Kind::Symptom,
        unit: None,
        means: "Several clients renewed one token at the same time, and all but one failed.",
        advice: "Renew in one place, and share the result.",
        refuted_by: "Refusals of tokens that are renewed once.",
    },
];
