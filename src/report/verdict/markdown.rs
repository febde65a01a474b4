//! A verdict as Markdown, for tickets and wikis.

use std::fmt::Write as _;

use crate::{model::finding::Verdict, report::count};

use super::words::{self, Subject};

/// The whole verdict.
pub fn full(verdict: &Verdict, subject: Subject<'_>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# Refused requests: {}\n", escaped(subject.captures));
    for sentence in words::lead(verdict) {
        let _ = writeln!(text, "{}\n", escaped(&sentence));
    }
    let _ = writeln!(text, "Capture began {}, profile {}.\n", subject.began_at, escaped(subject.profile));
    if !verdict.causes.is_empty() {
        let _ = writeln!(text, "## Causes\n\n| | cause | explains | refused of covered | difference (95 %) | p |");
        let _ = writeln!(text, "|---|---|---:|---:|---:|---:|");
        for (number, cause) in verdict.causes.iter().enumerate() {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} of {} | {} | {} |",
                number + 1,
                escaped(&words::title(cause)),
                words::share(cause.explains),
                count(cause.refused_covered),
                count(cause.covered),
                words::effect(&cause.effect),
                words::p(cause.p),
            );
        }
        let _ = writeln!(text);
        for (number, cause) in verdict.causes.iter().enumerate() {
            let _ = writeln!(text, "{}. {}", number + 1, escaped(&words::sentence_of(&cause.says)));
            if !cause.evidence.is_empty() {
                let _ = writeln!(text, "   Evidence: {}", escaped(&cause.evidence.join(" ")));
            }
        }
        let _ = writeln!(text);
        for cause in &verdict.causes {
            let Some(threshold) = cause.threshold.as_ref().filter(|threshold| threshold.curve.len() > 1) else {
                continue;
            };
            let axis = words::axis(&cause.hypothesis);
            let _ = writeln!(text, "### Refusal rate by {axis}\n\n| {axis} | requests | refused | rate (95 %) |");
            let _ = writeln!(text, "|---:|---:|---:|---:|");
            for point in &threshold.curve {
                let dose = |value| words::dose(&cause.hypothesis, value);
                let from = dose(point.from);
                let doses = if point.from == point.to { from } else { format!("{from} to {}", dose(point.to)) };
                let _ = writeln!(
                    text,
                    "| {doses} | {} | {} | {} ({:.1} to {:.1}) |",
                    count(point.total),
                    count(point.refused),
                    words::rate(point.refused, point.total),
                    point.low * 100.0,
                    point.high * 100.0
                );
            }
            let _ = writeln!(text);
        }
    }
    let who = words::answered_by(verdict);
    if !who.is_empty() {
        let _ = writeln!(text, "{who}\n");
    }
    if !verdict.confounded.is_empty() {
        let _ = writeln!(text, "## Not told apart by these data\n");
        for confounded in &verdict.confounded {
            let _ = writeln!(text, "- {}: {}", escaped(&confounded.hypotheses.join(", ")), escaped(&confounded.why));
            if let Some(experiment) = &confounded.experiment {
                let _ = writeln!(text, "\n  ```sh\n  {}\n  ```", experiment.replace("```", "` ` `"));
            }
        }
        let _ = writeln!(text);
    }
    if !verdict.rejected_candidates.is_empty() {
        let _ = writeln!(text, "## Tried, and explains it worse\n\n| candidate | why |\n|---|---|");
        for rejected in &verdict.rejected_candidates {
            let _ = writeln!(text, "| {} | {} |", escaped(&rejected.hypothesis), escaped(&rejected.why));
        }
        let _ = writeln!(text);
    }
    if !verdict.claims.is_empty() {
        let _ = writeln!(text, "## What people say\n\n| | claim | result | why |\n|---|---|---|---|");
        for claim in &verdict.claims {
            let (id, result) = (escaped(&claim.id), words::claim(claim.result));
            let _ = writeln!(text, "| {id} | {} | {result} | {} |", escaped(&claim.text), escaped(&claim.why));
        }
        let _ = writeln!(text);
    }
    if !verdict.honesty.notes.is_empty() {
        let _ = writeln!(text, "## What could not be seen\n");
        for note in &verdict.honesty.notes {
            let _ = writeln!(text, "- {}", escaped(&words::sentence_of(note)));
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(text, "## The observer\n\n| | |\n|---|---|");
    for (name, figure) in words::honesty(&verdict.honesty) {
        let _ = writeln!(text, "| {name} | {figure} |");
    }
    text
}

/// Text from the traffic must neither break a table nor become markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_does_not_become_markup() {
        assert_eq!(escaped("a|b\n<img> `x` *y*"), "a\\|b &lt;img&gt; \\`x\\` \\*y\\*");
    }
}
