//! Where messages begin and end, and connections with them. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "framing-conflict",
        kind: Kind::Flag,
        unit: None,
        means: "Content-Length and Transfer-Encoding contradict each other or themselves.",
        advice: "Let the client library set them.",
        refuted_by: "Refusals of requests whose framing is clear.",
    },
    Hypothesis {
        id: "bytes-after-body",
        kind: Kind::Flag,
        unit: None,
        means: "Bytes after the declared body: the server takes them for the next request, which is then refused.",
        advice: "Correct Content-Length: it counts bytes, not characters.",
        refuted_by: "Refusals on connections without stray bytes.",
    },
    Hypothesis {
        id: "client-abort",
        kind: Kind::Flag,
        unit: None,
        means: "The client gave up before its request was complete.",
        advice: "Raise the client's time-out; look at its CPU and memory.",
        refuted_by: "Refusals of complete requests.",
    },
    Hypothesis {
        id: "stale-keepalive",
        kind: Kind::Flag,
        unit: None,
        means: "A connection was used again after a rest that the server may not wait for.",
        advice: "Shorten the client's keep-alive, or let it check connections before use.",
        refuted_by: "Refusals on fresh connections.",
    },
];
