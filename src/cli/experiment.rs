//! `experiment`: arms of a replay in random order, round after round, and what they prove.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    Globals, Output, exit_code,
    output::{Usage, say},
    render::units,
    replay::more_load,
    replaying::{Replayed, ReplayingArgs, Stage},
    signals::Signals,
};
use crate::{
    app, clock,
    model::columns,
    replay::{
        Changes,
        driver::{Lateness, Outcome},
        experiment::{Count, Finding, Findings, Rate, judge, order},
        script::Exchange,
    },
};

/// Replays sessions with one thing changed, in random order, and says whether that is the cause of the refusals
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is different in each arm, as `replay` spells it: 'hold=metadata:100ms' 'copies=20,max-inflight=80' none
    #[arg(long, num_args = 1.., required = true, value_name = "ARM")]
    arms: Vec<String>,
    /// Every arm so many times
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Between one run and the next, for what the server still remembers of it
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    pause: String,
    /// How the captures' names begin [default: made from the time]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    replaying: ReplayingArgs,
}

/// One arm with what it came to.
struct Arm {
    changes: Changes,
    rounds: Vec<Count>,
    captures: Vec<String>,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let pause = Changes::pause(&args.pause)
        .ok_or_else(|| Usage(format!("--pause {:?}: expected a duration, such as 1s or 500ms", args.pause)))?;
    if !(1..=1000).contains(&args.rounds) {
        return Err(Usage(format!("--rounds {}: expected a number from 1 to 1000", args.rounds)).into());
    }
    let arms = args.arms.iter().map(|text| Changes::default().parse_arm(text));
    let arms = arms.collect::<Result<Vec<_>, _>>().map_err(|error| Usage(format!("--arms: {error}")))?;
    if arms.len() < 2 {
        return Err(Usage(
            "--arms: one arm can be compared with nothing: expected two or more, `none` is the control".to_owned(),
        )
        .into());
    }
    let mut arms: Vec<Arm> =
        arms.into_iter().map(|changes| Arm { changes, rounds: Vec::new(), captures: Vec::new() }).collect();
    for (at, arm) in arms.iter().enumerate() {
        if arms.iter().take(at).any(|other| other.changes.to_string() == arm.changes.to_string()) {
            return Err(Usage(format!("--arms: {} is there twice", arm.changes)).into());
        }
    }
    let mut stage = args.replaying.stage(globals, None)?;
    let runs = args.rounds * arms.len();
    for arm in &arms {
        let plan = stage.plan(&arm.changes)?;
        let more = more_load(&arm.changes).unwrap_or_else(|| format!("{runs} runs"));
        stage.may_load(&plan, Some(&more), globals)?;
    }
    let of_metadata = of_metadata(&stage, &arms);
    let order = order(arms.len(), args.rounds, stage.seed);
    let name = args.name.clone().unwrap_or_else(|| format!("experiment-{}", clock::wall_unix_ns() / 1_000_000_000));
    let mut lateness = Lateness::default();
    let mut stopped = false;
    // Whether messages on sockets are among what is counted.
    let mut has_messages = false;
    app::runtime()?.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut nth = 0;
        'rounds: for (round, order) in order.iter().enumerate() {
            for at in order {
                let Some(arm) = arms.get_mut(*at) else { continue };
                if nth > 0 && !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                nth += 1;
                stage.settings.name = Some(format!("{name}-{}-{}", round + 1, at + 1));
                let plan = stage.plan(&arm.changes)?;
                let replayed = stage.replay(plan, &arm.changes, nth, &mut signals).await?;
                if replayed.outcome.stopped {
                    stopped = true;
                    break 'rounds;
                }
                let count = count(&replayed.outcome, of_metadata);
                has_messages |= replayed.outcome.judged() > 0;
                if !globals.quiet {
                    let (one, many) = nouns(of_metadata, has_messages);
                    let (sent, what) = (count.sent, if count.sent == 1 { one } else { many });
                    say(&format!("round {}: {}: {} of {sent} {what} refused", round + 1, arm.changes, count.refused));
                }
                arm.take(replayed, count, &mut lateness);
            }
        }
        anyhow::Ok(())
    })?;
    if stopped {
        // Rounds that are not whole would favour whoever came first.
        let whole = arms.iter().map(|arm| arm.rounds.len()).min().unwrap_or_default();
        arms.iter_mut().for_each(|arm| arm.rounds.truncate(whole));
        say(&format!("stopped: {whole} of {} rounds are whole", args.rounds));
    }
    let control = arms.iter().position(|arm| arm.changes.is_none()).unwrap_or_default();
    let counts: Vec<Vec<Count>> = arms.iter().map(|arm| arm.rounds.clone()).collect();
    let findings = judge(&counts, control);
    let answer = answer(&arms, &findings, nouns(of_metadata, has_messages).1);
    let mut out = Output::stdout();
    if args.replaying.json {
        out.json_line(&as_json(&stage, &arms, &findings, &order, &lateness, &answer, (of_metadata, has_messages)))?;
    } else {
        text(&arms, &findings, &lateness, &answer, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}

impl Arm {
    fn take(&mut self, replayed: Replayed, count: Count, lateness: &mut Lateness) {
        self.rounds.push(count);
        self.captures.push(replayed.dir.name());
        lateness.add(replayed.outcome.lateness);
    }
}

/// Whether metadata alone is counted: where arms differ in when it is sent, everything else only dilutes.
fn of_metadata(stage: &Stage, arms: &[Arm]) -> bool {
    let held = arms.iter().any(|arm| arm.changes.hold.is_some() || arm.changes.wait_for_ready);
    let is_metadata = |one: &Exchange| one.metadata || one.frames.iter().any(|frame| frame.metadata);
    held && stage.script.connections.iter().flat_map(|connection| &connection.exchanges).any(is_metadata)
}

/// Requests that were sent, and messages that the server took or refused.
fn count(outcome: &Outcome, of_metadata: bool) -> Count {
    let requests = || outcome.requests.iter().filter(|it| it.at.is_some() && (it.metadata || !of_metadata));
    let messages = || outcome.messages.iter().filter(|it| it.metadata || !of_metadata).map(|it| it.outcome);
    let judged = messages().filter(|outcome| *outcome != columns::Outcome::Uncounted).count();
    let refused = messages().filter(|outcome| *outcome == columns::Outcome::Refused).count();
    Count {
        sent: (requests().count() + judged) as u64,
        refused: (requests().filter(|request| request.refused).count() + refused) as u64,
    }
}

/// What is counted: one, and several.
fn nouns(of_metadata: bool, has_messages: bool) -> (&'static str, &'static str) {
    match (of_metadata, has_messages) {
        (true, false) => ("metadata request", "metadata requests"),
        (true, true) => ("piece of metadata", "pieces of metadata"),
        (false, false) => ("request", "requests"),
        (false, true) => ("request or message", "requests and messages"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A p: three decimals, or its power of ten.
fn chance(p: f64) -> String {
    if p < 0.001 { format!("{p:.0e}") } else { format!("{p:.3}") }
}

fn share(rate: &Rate) -> String {
    format!("{} of {} ({} to {})", rate.refused, rate.sent, percent(rate.low), percent(rate.high))
}

/// Two sentences for each contrast.
fn answer(arms: &[Arm], findings: &Findings, what: &str) -> String {
    let name = |at: usize| arms.get(at).map(|arm| arm.changes.to_string()).unwrap_or_default();
    let control = name(findings.control);
    let base = findings.rates.get(findings.control);
    let mut sentences = Vec::new();
    for contrast in &findings.contrasts {
        let (Some(own), Some(base)) = (findings.rates.get(contrast.arm), base) else { continue };
        let arm = name(contrast.arm);
        let points = |share: f64| format!("{:+.1}", share * 100.0);
        let interval = format!(
            "{} points (95 %: {} to {}), p = {}",
            points(contrast.difference),
            points(contrast.low),
            points(contrast.high),
            chance(contrast.p)
        );
        let against = format!("{} of {what} were refused with it, {} with {control}", share(own), share(base));
        sentences.push(match contrast.result {
            Finding::Removes => format!("{arm} removes the refusals: {against}. The difference is {interval}: the arms ran in random order and differed in nothing else, so it is the cause."),
            Finding::Lowers => format!("{arm} lowers the refusals and does not remove them: {against}. The difference is {interval}: it is a cause, and not the only one."),
            Finding::Raises => format!("{arm} causes more refusals: {against}. The difference is {interval}."),
            Finding::NoDifference => format!("{arm} makes no difference that could not be chance: {against}. The difference is {interval} (hint: more --rounds narrow it)."),
            Finding::NotEnoughData => format!("{arm} cannot be judged: {} were sent with it, {} with {control}. Nothing can be said of a difference.", own.sent, base.sent),
        });
    }
    sentences.join("\n")
}

fn text(arms: &[Arm], findings: &Findings, lateness: &Lateness, answer: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{answer}\n")?;
    let width = arms.iter().map(|arm| arm.changes.to_string().chars().count()).max().unwrap_or_default();
    for (arm, rate) in arms.iter().zip(&findings.rates) {
        let rounds: Vec<String> = arm.rounds.iter().map(|count| format!("{}/{}", count.refused, count.sent)).collect();
        let shown = rate.rate.map_or_else(|| "-".to_owned(), percent);
        let (low, high) = (percent(rate.low), percent(rate.high));
        writeln!(
            out,
            "  {:width$}  {shown:>7} refused ({low} to {high})  rounds {}",
            arm.changes.to_string(),
            rounds.join(" ")
        )?;
    }
    if findings.design_effect > 1.0 {
        writeln!(
            out,
            "\nrounds of one arm differ {:.1} times as much as chance lets them: all counts were taken for as many fewer",
            findings.design_effect
        )?;
    }
    let late = lateness.quantiles();
    writeln!(
        out,
        "\nlate by our own fault: 99 % at most {}, at most {}",
        units::duration(late.p99_ns),
        units::duration(late.max_ns)
    )
}

fn as_json(
    stage: &Stage,
    arms: &[Arm],
    findings: &Findings,
    order: &[Vec<usize>],
    lateness: &Lateness,
    answer: &str,
    (of_metadata, has_messages): (bool, bool),
) -> serde_json::Value {
    let name = |at: usize| arms.get(at).map(|arm| arm.changes.to_string());
    let arm = |(arm, rate): (&Arm, &Rate)| {
        json!({
            "arm": arm.changes.to_string(),
            "sent": rate.sent,
            "refused": rate.refused,
            "rate": rate.rate,
            "low": rate.low,
            "high": rate.high,
            "rounds": arm.rounds.iter().map(|count| json!({"sent": count.sent, "refused": count.refused})).collect::<Vec<_>>(),
            "captures": arm.captures,
        })
    };
    let contrast = |contrast: &crate::replay::experiment::Contrast| {
        let mut value = json!({"arm": name(contrast.arm), "control": name(findings.control)});
        if let (Some(value), Ok(serde_json::Value::Object(more))) =
            (value.as_object_mut(), serde_json::to_value(contrast))
        {
            value.extend(more);
        }
        value
    };
    json!({
        "replay_of": stage.script.capture,
        "answer": answer,
        "of": if of_metadata { "metadata" } else { "requests" },
        "messages": has_messages,
        "arms": arms.iter().zip(&findings.rates).map(arm).collect::<Vec<_>>(),
        "comparisons": findings.contrasts.iter().map(contrast).collect::<Vec<_>>(),
        "design_effect": findings.design_effect,
        "order": order.iter().map(|round| round.iter().map(|at| name(*at)).collect::<Vec<_>>()).collect::<Vec<_>>(),
        "seed": stage.seed,
        "lateness": lateness.quantiles(),
    })
}
