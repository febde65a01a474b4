//! Findings as sentences, with the numbers in them.

use crate::model::finding::{Cause, Counting, Direction, Threshold};

/// A cause. `outside`: refused and all where it does not hold.
pub(super) fn cause(cause: &Cause, outside: (u64, u64), all_refused: u64) -> String {
    let mut text = format!(
        "{} of {} are refused {}, and {} of {} otherwise",
        cause.refused_covered,
        cause.covered,
        condition(cause),
        outside.0,
        outside.1
    );
    text.push_str(&format!("; it explains {} of the {all_refused} refusals", percent(cause.explains)));
    if let Some(soft) = cause.threshold.as_ref().and_then(|threshold| threshold.soft.as_ref()) {
        let unit = |value| amount(&cause.hypothesis, value);
        text.push_str(&format!(
            "; the limit is soft: refusals begin at {} and reach half of their height at {}",
            unit(soft.begins),
            unit(soft.half)
        ));
    }
    text
}

/// When it holds: `from 84 (82 to 86) in flight on`.
fn condition(cause: &Cause) -> String {
    if let Some(threshold) = &cause.threshold {
        return at_dose(&cause.hypothesis, threshold);
    }
    if let Some(window) = cause.window {
        return format!("from {:.1} s to {:.1} s", window.from_ns as f64 / 1e9, window.to_ns as f64 / 1e9);
    }
    if cause.hypothesis == "answered-by:intermediary" {
        return "where something before the API answered".to_owned();
    }
    match &cause.level {
        Some(level) => format!("where {} is {level:?}", cause.hypothesis),
        None => format!("with {}", cause.hypothesis),
    }
}

fn at_dose(hypothesis: &str, threshold: &Threshold) -> String {
    let unit = |value| amount(hypothesis, value);
    let interval = if threshold.low == threshold.high {
        String::new()
    } else {
        format!(" ({} to {})", unit(threshold.low), unit(threshold.high))
    };
    let counting = match threshold.counting {
        Some(Counting::Offered) => ", all offered",
        Some(Counting::Admitted) => ", those admitted",
        None => "",
    };
    match threshold.direction {
        Direction::Above => format!("from {hypothesis} {}{interval}{counting} on", unit(threshold.value)),
        Direction::Below => format!("up to {hypothesis} {}{interval}{counting}", unit(threshold.value)),
    }
}

/// A dose in its unit.
pub(super) fn amount(hypothesis: &str, value: f64) -> String {
    match hypothesis {
        "since-open" | "connection-idle" if value.abs() >= 1e9 => format!("{:.2} s", value / 1e9),
        "since-open" | "connection-idle" => format!("{:.1} ms", value / 1e6),
        "head-size" | "body-size" => format!("{value:.0} bytes"),
        "byte-rate" => format!("{value:.0} bytes a second"),
        "request-rate" | "request-rate-per-token" | "connection-rate" => format!("{value:.0} a second"),
        "token-requests-per-minute" => format!("{value:.0} a minute"),
        _ => format!("{value:.0}"),
    }
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0995 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}
