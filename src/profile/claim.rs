//! What people say causes the refusals, and the hypothesis that each saying comes to.

use serde::Serialize;

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Unique in the profile.
    pub id: String,
    /// What is said, in a sentence.
    pub text: String,
    /// What would have to be found if it is true, any of these; see [`is_hypothesis`]. Empty where it is not observable.
    #[serde(rename = "hypothesis", skip_serializing_if = "Vec::is_empty")]
    pub hypotheses: Vec<String>,
    /// Whether it says that these are *not* the cause: finding one of them contradicts it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub denies: bool,
    /// Whether traffic can tell; if not, `note` says why.
    pub observable: bool,
    /// What is known of it, or what else would have to be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Every hypothesis that can be named in full: the rules' ids, then the other candidates of the diagnosis.
pub const HYPOTHESES: &[&str] = &[
    // Ordering.
    "metadata-before-open",
    "metadata-before-ready",
    "metadata-too-soon",
    "metadata-too-late",
    "metadata-without-socket",
    "metadata-after-failed-open",
    "metadata-after-close",
    "frame-before-open",
    "frame-overtaken",
    // Body.
    "malformed-json",
    "content-type-missing",
    "content-type-mismatch",
    "schema-violation",
    "wrong-date-type",
    "charset-loss",
    "message-too-large",
    // Template leaks.
    "unresolved-variable",
    "empty-identifier",
    "identifier-shape",
    "path-encoding",
    // Head.
    "malformed-head",
    "duplicate-header",
    "authorization-malformed",
    "accept-missing",
    "head-too-large",
    "host-form",
    // Framing.
    "framing-conflict",
    "bytes-after-body",
    "client-abort",
    "stale-keepalive",
    // Identity.
    "id-mismatch",
    "duplicate-id",
    "shared-token",
    "hidden-write",
    "precondition-missing",
    "precondition-stale",
    // The server's side.
    "not-from-api",
    "rate-limited",
    "quota-as-400",
    "refused-upgrade",
    "error-frame",
    "answer-cut-short",
    "bytes-after-answer",
    "abnormal-close",
    "strict-101",
    "retry-duplicate",
    "invalid-grant-stampede",
    // Doses.
    "inflight",
    "inflight-per-route",
    "inflight-per-token",
    "inflight-per-address",
    "open-sockets",
    "sockets-per-address",
    "sockets-per-token",
    "request-rate",
    "request-rate-per-token",
    "token-requests-per-minute",
    "byte-rate",
    "connection-rate",
    "since-open",
    "connection-ordinal",
    "connection-idle",
    "head-size",
    "body-size",
    "time-window",
    // Contrasts.
    "contrast:route",
    "contrast:client",
    "contrast:address",
    "contrast:tenant",
    "contrast:socket",
    // Who answered.
    "answered-by:api",
    "answered-by:intermediary",
    "answered-by:proxy",
];

/// Hypotheses that end in a name of the traffic's own; in a claim `*` stands for any name.
pub const HYPOTHESIS_PREFIXES: &[&str] = &["contrast:header:", "contrast:path:", "contrast:query:", "contrast:server:"];

/// Whether there is a hypothesis of that id.
pub fn is_hypothesis(id: &str) -> bool {
    let named = |prefix: &str| id.strip_prefix(prefix).is_some_and(|name| !name.trim().is_empty());
    HYPOTHESES.contains(&id) || HYPOTHESIS_PREFIXES.iter().any(|prefix| named(prefix))
}
