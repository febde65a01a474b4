//! A verdict as text for a terminal, 80 columns wide.

use std::fmt::Write as _;

use crate::{
    model::finding::{Cause, ClaimVerdict, Conclusion, Verdict},
    report::count,
};

use super::{
    curve,
    words::{self, Subject},
};

const WIDTH: usize = 80;
/// Ids of evidence, rejected candidates that are listed; the rest is counted.
const LISTED: usize = 8;

/// The whole verdict, lines with their ends.
pub fn full(verdict: &Verdict, subject: Subject<'_>) -> String {
    let mut text = String::new();
    head(&mut text, verdict);
    for (number, cause) in verdict.causes.iter().enumerate() {
        cause_lines(&mut text, number + 1, cause);
    }
    answered(&mut text, verdict);
    confounded(&mut text, verdict);
    rejected(&mut text, verdict);
    claims(&mut text, verdict);
    unseen(&mut text, verdict);
    observer(&mut text, verdict);
    next(&mut text, verdict, subject);
    text
}

/// The answer, the causes a line each, and how to see the rest: for the end of a run.
pub fn short(verdict: &Verdict, subject: Subject<'_>) -> String {
    let mut text = String::from("verdict\n");
    wrapped(&mut text, &words::lead(verdict).join(" "), 2);
    for cause in &verdict.causes {
        if let Some([line, mark]) = cause.threshold.as_ref().and_then(|t| curve::lines(&cause.hypothesis, t)) {
            let _ = writeln!(text, "\n  {}\n  {line}\n  {mark}", words::axis(&cause.hypothesis));
        }
    }
    for confounded in &verdict.confounded {
        let how = if confounded.same { "the same here" } else { "not told apart" };
        wrapped(&mut text, &format!("{how}: {}", confounded.hypotheses.join(", ")), 2);
    }
    if verdict.refused > 0 {
        let _ = writeln!(text, "  firstframe{} diagnose  says all of it", subject.selector);
    }
    text
}

fn head(text: &mut String, verdict: &Verdict) {
    let [one, two] = words::lead(verdict);
    wrapped(text, &one, 0);
    wrapped(text, &two, 0);
}

fn cause_lines(text: &mut String, number: usize, cause: &Cause) {
    let _ = writeln!(text);
    let name = format!("{number}. {}", words::title(cause));
    let share = format!("explains {}", words::share(cause.explains));
    let gap = WIDTH.saturating_sub(name.chars().count() + share.len()).max(2);
    let _ = writeln!(text, "{name}{:gap$}{share}", "");
    wrapped(text, &words::sentence_of(&cause.says), 3);
    if let Some([line, mark]) = cause.threshold.as_ref().and_then(|t| curve::lines(&cause.hypothesis, t)) {
        let _ = writeln!(text, "\n   refusal rate by {}\n   {line}\n   {mark}", words::axis(&cause.hypothesis));
        if let Some(soft) = cause.threshold.as_ref().and_then(|threshold| threshold.soft.as_ref()) {
            let dose = |value| words::dose(&cause.hypothesis, value);
            let soft = format!("a soft limit: it begins at {}, half is lost at {}", dose(soft.begins), dose(soft.half));
            wrapped(text, &soft, 3);
        }
        let _ = writeln!(text);
    }
    let figures = format!(
        "refused {} of {} that it covers; {} against the others; {}",
        count(cause.refused_covered),
        count(cause.covered),
        words::effect(&cause.effect),
        words::p(cause.p)
    );
    wrapped(text, &figures, 3);
    if !cause.evidence.is_empty() {
        let shown: Vec<&str> = cause.evidence.iter().take(LISTED).map(String::as_str).collect();
        let more = cause.evidence.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {} more", count(more as u64)) } else { String::new() };
        wrapped(text, &format!("see {}{more}", shown.join(" ")), 3);
    }
}

fn answered(text: &mut String, verdict: &Verdict) {
    let who = words::answered_by(verdict);
    if !who.is_empty() {
        let _ = writeln!(text);
        wrapped(text, &who, 0);
    }
}

fn confounded(text: &mut String, verdict: &Verdict) {
    if verdict.confounded.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nnot told apart by these data");
    for confounded in &verdict.confounded {
        wrapped(text, &format!("{}: {}", confounded.hypotheses.join(", "), confounded.why), 2);
        if let Some(experiment) = &confounded.experiment {
            // A command is to be pasted: it is not wrapped.
            let _ = writeln!(text, "    {experiment}");
        }
    }
}

fn rejected(text: &mut String, verdict: &Verdict) {
    if verdict.rejected_candidates.is_empty() {
        return;
    }
    let _ = writeln!(text, "\ntried, and explains it worse");
    for rejected in verdict.rejected_candidates.iter().take(LISTED) {
        labelled(text, &rejected.hypothesis, 27, &rejected.why);
    }
    let more = verdict.rejected_candidates.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more (--json has all)");
    }
}

fn claims(text: &mut String, verdict: &Verdict) {
    let seen: Vec<_> = verdict.claims.iter().filter(|claim| claim.result != ClaimVerdict::NotObservable).collect();
    if seen.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nwhat people say");
    for claim in seen {
        labelled(text, &format!("{} {}", claim.id, words::claim(claim.result)), 22, &claim.text);
        wrapped(text, &claim.why, 24);
    }
}

fn unseen(text: &mut String, verdict: &Verdict) {
    let unseen: Vec<_> = verdict.claims.iter().filter(|claim| claim.result == ClaimVerdict::NotObservable).collect();
    if unseen.is_empty() && verdict.honesty.notes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nwhat could not be seen");
    for note in &verdict.honesty.notes {
        wrapped(text, &words::sentence_of(note), 2);
    }
    for claim in unseen {
        labelled(text, &claim.id, 6, &format!("{} ({})", claim.text, claim.why));
    }
}

fn observer(text: &mut String, verdict: &Verdict) {
    let _ = writeln!(text, "\nthe observer");
    for (name, figure) in words::honesty(&verdict.honesty) {
        labelled(text, name, 14, &figure);
    }
}

fn next(text: &mut String, verdict: &Verdict, subject: Subject<'_>) {
    let first = verdict.causes.iter().find_map(|cause| cause.evidence.first());
    let mut commands = Vec::new();
    if let Some(id) = first {
        commands.push((format!("show {id}"), "the first of them, byte for byte"));
    }
    if verdict.result == Conclusion::Causes {
        commands.push(("diagnose --html report.html".to_owned(), "the same with charts"));
    }
    if commands.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nnext");
    for (command, what) in commands {
        let _ = writeln!(text, "  firstframe{} {command}  {what}", subject.selector);
    }
}

/// A label and, beside it, text that wraps under itself.
fn labelled(text: &mut String, label: &str, wide: usize, what: &str) {
    let indent = wide + 2;
    let mut body = String::new();
    wrapped(&mut body, what, indent);
    if label.chars().count() < wide {
        let _ = write!(text, "  {label:<wide$}{}", body.trim_start());
        if what.trim().is_empty() {
            let _ = writeln!(text);
        }
    } else {
        let _ = write!(text, "  {label}\n{body}");
    }
}

/// Words in lines of at most 80 columns.
fn wrapped(text: &mut String, words: &str, indent: usize) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let wide = word.chars().count();
        if column > 0 && column + 1 + wide > WIDTH {
            text.push('\n');
            column = 0;
        }
        if column == 0 {
            let _ = write!(text, "{:indent$}", "");
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        // Nothing that traffic brought may move the terminal's cursor.
        text.extend(word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
        column += wide;
    }
    if column > 0 {
        text.push('\n');
    }
}
