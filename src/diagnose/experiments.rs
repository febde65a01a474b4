//! What to try next: the command whose result would tell confounded causes apart, or show that a cause is one.

use crate::model::finding::{Cause, Confounded, Direction};

/// Needs a file that nobody but the person who tests can write.
const TOKENS: &str = "unique-token=tokens.csv";

/// A change that takes one cause away and leaves the others, as `firstframe experiment` spells it; `None` where no change
/// of the client's does.
pub(super) fn arm(hypothesis: &str, cause: Option<&Cause>) -> Option<String> {
    let threshold = cause.filter(|cause| cause.hypothesis == hypothesis).and_then(|cause| cause.threshold.as_ref());
    let value = threshold.map(|threshold| threshold.value);
    let arm = match hypothesis {
        "inflight" | "inflight-per-route" | "inflight-per-address" => {
            format!("max-inflight={:.0}", value.map_or(10.0, |value| (value - 1.0).max(1.0)))
        }
        "inflight-per-token"
        | "shared-token"
        | "request-rate-per-token"
        | "token-requests-per-minute"
        | "sockets-per-token"
        | "authorization-malformed"
        | "invalid-grant-stampede" => TOKENS.to_owned(),
        "request-rate" | "byte-rate" => "delay=websocket=false:200ms".to_owned(),
        "connection-rate" => "ramp=60s".to_owned(),
        "since-open" => since_open(threshold.map(|threshold| (threshold.direction, threshold.value))),
        "metadata-before-open" | "metadata-too-soon" => "hold=metadata:100ms".to_owned(),
        "metadata-too-late" => "hold=metadata:0ms".to_owned(),
        "metadata-before-ready" => "wait-for=ready".to_owned(),
        "malformed-json" | "schema-violation" | "wrong-date-type" | "charset-loss" => "fix-json".to_owned(),
        "content-type-missing" | "content-type-mismatch" => "set-header=Content-Type: application/json".to_owned(),
        "accept-missing" => "set-header=Accept: application/json".to_owned(),
        "head-size" | "head-too-large" => "drop-header=Cookie".to_owned(),
        "connection-idle" | "stale-keepalive" => "retry=1:0ms".to_owned(),
        "precondition-missing" | "precondition-stale" => "drop-header=If-Match".to_owned(),
        _ => return header(hypothesis),
    };
    Some(arm)
}

fn since_open(threshold: Option<(Direction, f64)>) -> String {
    match threshold {
        // Half as long again as what was refused, in steps of 10 ms.
        Some((Direction::Below, ns)) => format!("hold=metadata:{:.0}ms", ((ns * 1.5 / 1e7).ceil() * 10.0).max(10.0)),
        _ => "hold=metadata:0ms".to_owned(),
    }
}

fn header(hypothesis: &str) -> Option<String> {
    let name = hypothesis.strip_prefix("contrast:header:")?;
    Some(format!("drop-header={name}"))
}

/// The command: each of these causes taken away alone, against the session as it was, in the capture that `selector`
/// chooses. `None` where none can be taken away: the session as it was can be compared with nothing.
pub(super) fn command(hypotheses: &[String], cause: &Cause, selector: &str) -> Option<String> {
    let mut arms = vec!["none".to_owned()];
    for arm in hypotheses.iter().filter_map(|hypothesis| arm(hypothesis, Some(cause))) {
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    let words: Vec<String> = arms.iter().map(|arm| quoted(arm)).collect();
    (arms.len() > 1).then(|| format!("firstframe{selector} experiment --arms {} --rounds 5", words.join(" ")))
}

/// Two names of one thing, on these data: no experiment of this load tells them apart.
pub(super) fn one_and_the_same(cause: &str, twin: &str) -> Confounded {
    let scope = |hypothesis: &str| {
        let scope = hypothesis.rsplit_once("-per-").map(|(_, scope)| scope.to_owned());
        scope.filter(|scope| scope != "minute")
    };
    let why = match (scope(twin), scope(cause)) {
        (Some(scope), None) => format!("all of the load has one {scope}, so that they are one and the same here"),
        _ => "they are the same for every request, so that they are one and the same here".to_owned(),
    };
    Confounded { hypotheses: vec![cause.to_owned(), twin.to_owned()], same: true, experiment: None, why }
}

/// A cause, and other flags that the same defect raises: there is nothing to tell apart.
pub(super) fn signs(hypotheses: Vec<String>) -> Confounded {
    let why = "the same defect shows as either".to_owned();
    Confounded { hypotheses, same: true, experiment: None, why }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=/:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How its result tells them apart.
pub(super) fn why(hypotheses: &[String], cause: &Cause) -> String {
    let named = |wanted: bool| {
        let ids: Vec<&str> = hypotheses
            .iter()
            .filter(|hypothesis| arm(hypothesis, Some(cause)).is_some() == wanted)
            .map(String::as_str)
            .collect();
        ids.join(", ")
    };
    let (changed, unchanged) = (named(true), named(false));
    let rest = match (changed.is_empty(), unchanged.is_empty()) {
        (true, _) => {
            "no change of a replay's takes one of them away alone: change the load by hand so that one of them \
             changes and the others do not, run it again, and see which of them the refusals follow"
                .to_owned()
        }
        (false, true) => {
            format!("each arm takes one of {changed} away: the refusals go with the one that is the cause")
        }
        (false, false) => {
            format!("if the refusals stay where {changed} is taken away, what is left is {unchanged}")
        }
    };
    let tokens = hypotheses.iter().filter_map(|hypothesis| arm(hypothesis, Some(cause))).any(|arm| arm == TOKENS);
    let tokens = if tokens { "; tokens.csv is yours to write first, a token a line" } else { "" };
    format!("they cover nearly the same requests here; {rest}{tokens}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("max-inflight=80"), "max-inflight=80");
        assert_eq!(quoted("set-header=Accept: a"), "'set-header=Accept: a'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
