//! A verdict as one HTML file: nothing is fetched, it reads in light and in dark, and prints.

mod charts;
mod sessions;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    model::{
        columns::Columns,
        finding::{Cause, ClaimVerdict, Conclusion, Verdict},
    },
    report::{count, jtl::Beside},
};

use super::words::{self, Subject};

const STYLE: &str = include_str!("html/style.css");
/// Rejected candidates that are shown before one asks for the others.
const REJECTED: usize = 8;

/// The whole file. `beside` is JMeter's own record, where there is one.
pub fn full(verdict: &Verdict, columns: &Columns, beside: Option<&Beside>, subject: Subject<'_>) -> String {
    let title = format!("Refused requests: {}", subject.captures);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="firstframe";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.from { "Firstframe · capture " strong { (subject.captures) } " · began " (subject.began_at) " · profile " (subject.profile) }
                    (answer(verdict))
                }
                main {
                    (figures(verdict, columns))
                    @for (number, cause) in verdict.causes.iter().enumerate() { (one(verdict, number + 1, cause)) }
                    (when(verdict, columns))
                    (examples(verdict, columns))
                    (confounded(verdict))
                    (rejected(verdict))
                    (claims(verdict))
                    @if let Some(beside) = beside { (jmeter(beside)) }
                    (honesty(verdict))
                }
            }
        }
    };
    page.into_string()
}

fn answer(verdict: &Verdict) -> Markup {
    let [one, two] = words::lead(verdict);
    let tone = match verdict.result {
        Conclusion::Causes => "found",
        Conclusion::NoRefusals => "well",
        _ => "open",
    };
    html! { div class={ "answer " (tone) } { p.lead { (one) } p { (two) } } }
}

fn figures(verdict: &Verdict, columns: &Columns) -> Markup {
    let accepted = verdict.total.saturating_sub(verdict.refused);
    let seconds = columns.until_ns.max(0) as f64 / 1e9;
    html! {
        section.figures {
            div { b { (count(verdict.total)) } span { @if verdict.messages > 0 { "requests and messages judged" } @else { "requests judged" } } }
            div { b.refused { (count(verdict.refused)) } span { "refused, " (words::rate(verdict.refused, verdict.total)) } }
            div { b { (count(accepted)) } span { "accepted" } }
            div { b { (count(verdict.unexplained)) } span { "refused, unexplained" } }
            div { b { (format!("{seconds:.1} s")) } span { "covered" } }
            div { b { (count(columns.connections.len() as u64)) } span { "connections" } }
            div { b { (count(columns.sockets.len() as u64)) } span { "sockets opened" } }
        }
        @let who = words::answered_by(verdict);
        @if !who.is_empty() { p.who { (who) } }
    }
}

fn one(verdict: &Verdict, number: usize, cause: &Cause) -> Markup {
    html! {
        section.cause {
            h2 { span.rank { (number) } (words::title(cause)) span.share { "explains " (words::share(cause.explains)) } }
            p { (words::sentence_of(&cause.says)) }
            @if let Some(threshold) = cause.threshold.as_ref().filter(|threshold| threshold.curve.len() > 1) {
                figure {
                    (PreEscaped(charts::curve(&cause.hypothesis, threshold)))
                    figcaption {
                        "Share of refused requests by " (words::axis(&cause.hypothesis)) "; the band is the 95 % interval of each \
                         share, the shaded stripe that of the threshold."
                        @if let Some(soft) = &threshold.soft {
                            " A soft limit: refusals begin to rise at " (words::dose(&cause.hypothesis, soft.begins))
                            ", half is lost at " (words::dose(&cause.hypothesis, soft.half)) "."
                        }
                    }
                }
            }
            (contingency(verdict, cause))
            p.fine {
                (words::effect(&cause.effect)) " against the others; " (words::p(cause.p)) "."
                @if !cause.evidence.is_empty() {
                    " See " @for (at, id) in cause.evidence.iter().take(12).enumerate() { @if at > 0 { ", " } code { (id) } }
                    @if cause.evidence.len() > 12 { " and " (cause.evidence.len() - 12) " more" }
                    "."
                }
            }
        }
    }
}

/// Refused and accepted, where the cause holds and elsewhere.
fn contingency(verdict: &Verdict, cause: &Cause) -> Markup {
    // Each cause was held against what those before it left.
    let before = verdict.causes.iter().take_while(|other| *other != cause);
    let (covered, refused) =
        before.fold((0, 0), |(covered, refused), b| (covered + b.covered, refused + b.refused_covered));
    let elsewhere = verdict.total.saturating_sub(covered + cause.covered);
    let refused_elsewhere = verdict.refused.saturating_sub(refused + cause.refused_covered);
    let caption = match covered {
        0 => "Refused where it holds, and elsewhere",
        _ => "Refused where it holds, and elsewhere, of what the causes above left",
    };
    let holds = match (&cause.level, &cause.threshold, cause.window) {
        (Some(level), ..) => level.clone(),
        (_, Some(threshold), _) => words::at(&cause.hypothesis, threshold),
        (.., Some(_)) => "within the window".to_owned(),
        _ => "flagged".to_owned(),
    };
    let bar = |label: &str, refused: u64, total: u64| {
        let share = if total == 0 { 0.0 } else { refused as f64 * 100.0 / total as f64 };
        html! {
            tr {
                th { (label) }
                td.bar {
                    div.stack title={ (count(refused)) " refused of " (count(total)) } {
                        div.r style={ "width:" (format!("{share:.2}")) "%" } {}
                        div.a style={ "width:" (format!("{:.2}", if total == 0 { 0.0 } else { 100.0 - share })) "%" } {}
                    }
                }
                td.n { (words::rate(refused, total)) }
                td.n { (count(refused)) " of " (count(total)) }
            }
        }
    };
    html! {
        table.contingency {
            caption { (caption) }
            tbody { (bar(&holds, cause.refused_covered, cause.covered)) (bar("elsewhere", refused_elsewhere, elsewhere)) }
        }
    }
}

fn when(verdict: &Verdict, columns: &Columns) -> Markup {
    let windows: Vec<_> = verdict.causes.iter().filter_map(|cause| cause.window).collect();
    let Some(chart) = timeline::chart(columns, &windows) else { return html! {} };
    html! {
        section {
            h2 { "Load and refusals over time" }
            figure {
                (PreEscaped(chart))
                figcaption { "Above: requests in flight, the most in each slice of time. Below: requests by the moment they were offered, "
                    span.key.r { "refused" } " and " span.key.a { "accepted" } "." }
            }
        }
    }
}

fn examples(verdict: &Verdict, columns: &Columns) -> Markup {
    let examples = sessions::examples(verdict, columns);
    if examples.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Three sessions that met it" }
            @for example in &examples {
                figure {
                    (PreEscaped(sessions::chart(example, columns)))
                }
            }
            p.fine { "Each line is a request from its first byte to its answer's last: " span.key.r { "refused" } ", "
                span.key.a { "accepted" } ", " span.key.u { "not judged" } "; the bars above them are sockets from OPEN to close." }
        }
    }
}

fn confounded(verdict: &Verdict) -> Markup {
    if verdict.confounded.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Not told apart by these data" }
            @for confounded in &verdict.confounded {
                p { @for (at, id) in confounded.hypotheses.iter().enumerate() { @if at > 0 { ", " } code { (id) } } ": " (confounded.why) }
                @if let Some(experiment) = &confounded.experiment { pre { (experiment) } }
            }
        }
    }
}

fn rejected(verdict: &Verdict) -> Markup {
    if verdict.rejected_candidates.is_empty() {
        return html! {};
    }
    let rows = |from: usize, to: usize| {
        html! {
            table.list { tbody {
                @for rejected in verdict.rejected_candidates.iter().take(to).skip(from) {
                    tr { th { code { (rejected.hypothesis) } } td { (rejected.why) } }
                }
            } }
        }
    };
    let all = verdict.rejected_candidates.len();
    html! {
        section {
            h2 { "Tried, and explains it worse" }
            (rows(0, REJECTED))
            @if all > REJECTED { details { summary { (all - REJECTED) " more" } (rows(REJECTED, all)) } }
        }
    }
}

fn claims(verdict: &Verdict) -> Markup {
    if verdict.claims.is_empty() {
        return html! {};
    }
    let tone = |result| match result {
        ClaimVerdict::Supported => "yes",
        ClaimVerdict::Contradicted => "no",
        ClaimVerdict::NotObservable | ClaimVerdict::NotEnoughData => "unknown",
    };
    html! {
        section {
            h2 { "What people say, held against the data" }
            table.list.claims {
                thead { tr { th {} th { "claim" } th { "result" } th { "why" } } }
                tbody {
                    @for claim in &verdict.claims {
                        tr {
                            th { (claim.id) } td { (claim.text) }
                            td { span class={ "badge " (tone(claim.result)) } { (words::claim(claim.result)) } }
                            td { (claim.why) }
                        }
                    }
                }
            }
        }
    }
}

fn jmeter(beside: &Beside) -> Markup {
    html! {
        section {
            h2 { "JMeter's record" }
            pre { (beside.to_text()) }
        }
    }
}

fn honesty(verdict: &Verdict) -> Markup {
    html! {
        @if !verdict.honesty.notes.is_empty() {
            section {
                h2 { "What could not be seen" }
                ul { @for note in &verdict.honesty.notes { li { (words::sentence_of(note)) } } }
            }
        }
        section {
            h2 { "What the observer did" }
            table.list { tbody {
                @for (name, figure) in words::honesty(&verdict.honesty) { tr { th { (name) } td { (figure) } } }
            } }
        }
    }
}
