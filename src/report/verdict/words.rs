//! The sentences and figures that all forms of a verdict share.

use crate::{
    model::finding::{Cause, ClaimVerdict, Conclusion, Counting, Direction, Effect, Honesty, Threshold, Verdict},
    report::{bytes, count, millis},
};

/// What a verdict is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The captures' names, with commas.
    pub captures: &'a str,
    /// The profile's name.
    pub profile: &'a str,
    /// What follows `firstframe` in commands about it, with a space before; empty where it is what would be taken anyway.
    pub selector: &'a str,
    /// RFC 3339: when the first of them began.
    pub began_at: &'a str,
}

/// The answer, in two sentences.
pub fn lead(verdict: &Verdict) -> [String; 2] {
    let Verdict { refused, total, .. } = verdict;
    let counted = format!("{} of {} were refused ({})", count(*refused), units(verdict), rate(*refused, *total));
    match verdict.result {
        Conclusion::NoRefusals => [
            format!("None of {} was refused.", units(verdict)),
            "There is nothing to explain; more load, or a longer run, may show where refusals begin.".to_owned(),
        ],
        Conclusion::NotEnoughData => [
            format!("{counted}, and that is not enough to tell why."),
            sentences(&verdict.missing, "More data are needed."),
        ],
        Conclusion::Withheld => [
            format!("{counted}, and the verdict is withheld: the recording itself may have caused it."),
            sentences(&verdict.missing, "The proxy was the bottleneck."),
        ],
        Conclusion::NoCause => [
            format!("{counted}, and nothing that was tried explains it."),
            format!(
                "{} candidates were held against the data and none did better than chance: the refusals look random, or \
                 their cause does not show on the wire.",
                verdict.rejected_candidates.len()
            ),
        ],
        Conclusion::Causes => causes(verdict),
    }
}

fn causes(verdict: &Verdict) -> [String; 2] {
    let Some((first, others)) = verdict.causes.split_first() else { return [String::new(), String::new()] };
    let one = format!(
        "{}: this explains {} of {} refusals among {} ({}){}.",
        opening(first),
        share(first.explains),
        count(verdict.refused),
        units(verdict),
        rate(verdict.refused, verdict.total),
        caveat(first)
    );
    let mut rest: Vec<String> =
        others.iter().map(|cause| format!("{} by {}", share(cause.explains), title(cause))).collect();
    let unexplained = format!("{} of {} refusals stay unexplained", count(verdict.unexplained), count(verdict.refused));
    let two = match (rest.pop(), verdict.unexplained) {
        (None, 0) => "No refusal is left unexplained.".to_owned(),
        (None, _) => format!("Nothing else holds against the data; {unexplained}."),
        (Some(last), left) => {
            let list = if rest.is_empty() { last } else { format!("{} and {last}", rest.join(", ")) };
            let left = if left == 0 { "none is left unexplained".to_owned() } else { unexplained };
            format!("Beside it, {list}; {left}.")
        }
    };
    [one, two]
}

/// What keeps the first cause from being the whole of it, with what joins it; empty where nothing does.
fn caveat(cause: &Cause) -> String {
    let soft = cause.threshold.as_ref().is_some_and(|threshold| threshold.soft.is_some());
    if !soft && cause.refused_covered * 2 < cause.covered {
        return format!(
            "; but it takes more: only {} of the {} that it covers were refused, and what decides among them is not seen",
            rate(cause.refused_covered, cause.covered),
            count(cause.covered)
        );
    }
    let sizes = cause.threshold.as_ref().filter(|_| matches!(cause.hypothesis.as_str(), "head-size" | "body-size"));
    match sizes.filter(|threshold| threshold.curve.len() <= FEW_SIZES) {
        Some(_) => "; there were few sizes, so that it may be what is in them, and not how long they are".to_owned(),
        None => String::new(),
    }
}

/// Where requests have so few sizes, each size is a kind of request.
const FEW_SIZES: usize = 8;

/// `8,290 requests`; where messages on sockets can be refused as well, `8,290 requests and 1,741 messages`.
fn units(verdict: &Verdict) -> String {
    let requests = format!("{} requests", count(verdict.total.saturating_sub(verdict.messages)));
    match verdict.messages {
        0 => requests,
        messages => format!("{requests} and {} messages", count(messages)),
    }
}

/// What the first cause comes to, without its figures.
fn opening(cause: &Cause) -> String {
    let dose = |value| dose(&cause.hypothesis, value);
    if let Some(threshold) = &cause.threshold {
        let quantity = quantity(&cause.hypothesis);
        let (value, low, high) = (dose(threshold.value), dose(threshold.low), dose(threshold.high));
        let admitted = match threshold.counting {
            Some(Counting::Admitted) => ", those refused not counted,",
            Some(Counting::Offered) | None => "",
        };
        return match threshold.direction {
            Direction::Above => format!("Refusals begin where {quantity}{admitted} reaches {value} ({low} to {high})"),
            Direction::Below => format!("Refusals end where {quantity}{admitted} exceeds {value} ({low} to {high})"),
        };
    }
    if let Some(window) = cause.window {
        return format!("Requests were refused from {} to {}", millis(window.from_ns), millis(window.to_ns));
    }
    match &cause.level {
        Some(level) => format!("Requests are refused where {} is {level}", cause.hypothesis),
        None => format!("Requests are refused with {}", cause.hypothesis),
    }
}

/// What a dose measures, as a sentence says it.
fn quantity(hypothesis: &str) -> String {
    match hypothesis {
        "request-rate" => "the rate of requests".to_owned(),
        "request-rate-per-token" => "the rate of requests with the same token".to_owned(),
        "byte-rate" => "the rate of bytes in requests".to_owned(),
        "connection-rate" => "the rate of new connections".to_owned(),
        "since-open" => "the time since the socket's OPEN".to_owned(),
        "connection-ordinal" => "the request's place on its connection".to_owned(),
        "connection-idle" => "the time its connection had been idle".to_owned(),
        "head-size" => "the size of the head".to_owned(),
        "body-size" => "the size of the body".to_owned(),
        _ => format!("the number of {}", axis(hypothesis)),
    }
}

fn sentences(all: &[String], or: &str) -> String {
    let all: Vec<String> = all.iter().map(|sentence| sentence_of(sentence)).collect();
    if all.is_empty() { or.to_owned() } else { all.join(" ") }
}

/// With a capital and a full stop.
pub(super) fn sentence_of(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', ')']) && !text.ends_with("..") { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// `inflight at 84 or more (82 to 86)`, `contrast:server:x-served-by = b`.
pub(super) fn title(cause: &Cause) -> String {
    let mut title = cause.hypothesis.clone();
    if let Some(level) = &cause.level {
        title.push_str(&format!(" = {level}"));
    }
    if let Some(threshold) = &cause.threshold {
        title.push_str(&format!(" {}", at(&cause.hypothesis, threshold)));
    }
    if let Some(window) = cause.window {
        title.push_str(&format!(" from {} to {}", millis(window.from_ns), millis(window.to_ns)));
    }
    title
}

/// `at 84 or more (82 to 86)`; `at 84 or more admitted …` where those refused do not count.
pub(super) fn at(hypothesis: &str, threshold: &Threshold) -> String {
    let side = match threshold.direction {
        Direction::Above => "or more",
        Direction::Below => "or less",
    };
    let value = |value| dose(hypothesis, value);
    let counting = match threshold.counting {
        Some(Counting::Admitted) => " admitted",
        Some(Counting::Offered) | None => "",
    };
    format!("at {} {side}{counting} ({} to {})", value(threshold.value), value(threshold.low), value(threshold.high))
}

/// A dose in its unit.
pub(super) fn dose(hypothesis: &str, value: f64) -> String {
    let signed = |text: String| if value < 0.0 { format!("-{text}") } else { text };
    let whole = value.abs().round() as u64;
    match hypothesis {
        "since-open" | "connection-idle" => signed(millis(whole)),
        "head-size" | "body-size" => bytes(whole),
        "byte-rate" => format!("{}/s", bytes(whole)),
        "request-rate" | "request-rate-per-token" | "connection-rate" => format!("{}/s", number(value)),
        "token-requests-per-minute" => format!("{}/min", number(value)),
        _ => number(value),
    }
}

/// What a dose is, as an axis says it.
pub(super) fn axis(hypothesis: &str) -> String {
    match hypothesis {
        "inflight" => "requests in flight".to_owned(),
        "inflight-per-route" => "requests in flight on the route".to_owned(),
        "inflight-per-token" => "requests in flight with the same token".to_owned(),
        "inflight-per-address" => "requests in flight from the same address".to_owned(),
        "open-sockets" => "open sockets".to_owned(),
        "sockets-per-address" => "open sockets of the same address".to_owned(),
        "sockets-per-token" => "open sockets with the same token".to_owned(),
        "request-rate" => "requests per second".to_owned(),
        "request-rate-per-token" => "requests per second with the same token".to_owned(),
        "token-requests-per-minute" => "requests with the same token in a minute".to_owned(),
        "byte-rate" => "bytes of requests per second".to_owned(),
        "connection-rate" => "new connections per second".to_owned(),
        "since-open" => "time since the socket's OPEN".to_owned(),
        "connection-ordinal" => "which request of its connection".to_owned(),
        "connection-idle" => "how long its connection had been idle".to_owned(),
        "head-size" => "bytes of the head".to_owned(),
        "body-size" => "bytes of the body".to_owned(),
        other => other.to_owned(),
    }
}

/// `84`, `12.5`, `1,234`.
fn number(value: f64) -> String {
    let whole = value.round();
    if (value - whole).abs() < 0.05 || value.abs() >= 100.0 {
        let sign = if whole < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(whole.abs() as u64));
    }
    format!("{value:.1}")
}

/// `93 %`; what is little is not rounded to nothing.
pub(super) fn share(of_one: f64) -> String {
    let percent = of_one * 100.0;
    if percent > 0.0 && percent < 1.0 { "under 1 %".to_owned() } else { format!("{percent:.0} %") }
}

/// `7.1 %`.
pub(super) fn rate(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    if percent > 0.0 && percent < 0.1 { format!("{percent:.3} %") } else { format!("{percent:.1} %") }
}

/// `+98.9 % (98.1 to 99.4)`.
pub(super) fn effect(effect: &Effect) -> String {
    format!("{:+.1} % ({:.1} to {:.1})", effect.difference * 100.0, effect.low * 100.0, effect.high * 100.0)
}

/// `p < 0.005`, as far as the permutations can tell.
pub(super) fn p(value: f64) -> String {
    if value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {value:.3}") }
}

/// In a word or three.
pub(super) fn claim(result: ClaimVerdict) -> &'static str {
    match result {
        ClaimVerdict::Supported => "supported",
        ClaimVerdict::Contradicted => "contradicted",
        ClaimVerdict::NotObservable => "not observable",
        ClaimVerdict::NotEnoughData => "not enough data",
    }
}

/// Who answered the refused ones, in a sentence; empty where none was refused.
pub(super) fn answered_by(verdict: &Verdict) -> String {
    let mut who: Vec<(&str, u64)> = verdict.answered_by.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    who.retain(|(_, number)| *number > 0);
    who.sort_by_key(|(name, number)| (u64::MAX - number, *name));
    let name = |name: &str| match name {
        "api" => "the API itself",
        "intermediary" => "an intermediary before the API",
        "proxy" => "this proxy",
        "nobody" => "nobody",
        _ => "somebody who cannot be told",
    };
    match who.as_slice() {
        [] => String::new(),
        [("unknown", _)] => "Who refused them cannot be told: the profile knows no marks of the API.".to_owned(),
        [(one, _)] => format!("All refused requests were answered by {}.", name(one)),
        several => {
            let parts: Vec<String> = several.iter().map(|(who, n)| format!("{} by {}", count(*n), name(who))).collect();
            format!("The refused requests were answered: {}.", parts.join(", "))
        }
    }
}

/// What the observer did and missed, name and figure.
pub(super) fn honesty(honesty: &Honesty) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.push((
        "added delay",
        match (honesty.added_p50_ns, honesty.added_p99_ns) {
            (Some(p50), Some(p99)) => {
                format!("{} median, {} at the 99th percentile, for each chunk", millis(p50), millis(p99))
            }
            _ => "not known for this capture".to_owned(),
        },
    ));
    if honesty.stalled_ns > 0 {
        lines.push(("slowed", format!("traffic by {} in all, waiting for the disk", millis(honesty.stalled_ns))));
    }
    if honesty.gaps > 0 {
        let lost = bytes(honesty.gap_bytes);
        lines.push(("not recorded", format!("{lost} in {} places", count(honesty.gaps))));
    }
    if honesty.clock_steps > 0 {
        lines.push(("wall clock", format!("moved {} times", count(honesty.clock_steps))));
    }
    if honesty.undecoded_connections > 0 {
        lines.push(("not decoded", format!("{} connections", count(honesty.undecoded_connections))));
    }
    if let Some(cores) = honesty.cpu_cores {
        lines.push(("CPU", format!("{cores:.2} cores in its busiest second")));
    }
    if honesty.uncounted > 0 {
        lines.push((
            "not counted",
            format!("{} requests: load, and neither accepted nor refused", count(honesty.uncounted)),
        ));
    }
    let whole = if honesty.complete { "the whole capture" } else { "not the whole capture" };
    lines.push(("covers", format!("{whole}, until {} after its begin", millis(honesty.until_ns))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_bear_their_units() {
        for (hypothesis, value, text) in [
            ("inflight", 84.0, "84"),
            ("inflight", 1234.0, "1,234"),
            ("since-open", -1_500_000.0, "-1.50 ms"),
            ("since-open", 80_000_000.0, "80.0 ms"),
            ("request-rate", 12.54, "12.5/s"),
            ("token-requests-per-minute", 300.0, "300/min"),
        ] {
            assert_eq!(dose(hypothesis, value), text);
        }
    }

    #[test]
    fn small_shares_are_not_rounded_away() {
        assert_eq!(share(0.934), "93 %");
        assert_eq!(share(0.004), "under 1 %");
        assert_eq!(rate(1, 10_000), "0.010 %");
        assert_eq!(rate(0, 0), "0 %");
    }

    #[test]
    fn sentences_begin_and_end() {
        assert_eq!(sentence_of("too few refusals"), "Too few refusals.");
        assert_eq!(sentence_of("Is it?"), "Is it?");
    }
}
