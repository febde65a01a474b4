//! `replay`: captured sessions again, perhaps with something different, and what then was different.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    Globals, Output, compare, exit_code,
    output::{Usage, say},
    render::units,
    replaying::{Replayed, ReplayingArgs, Stage},
    signals::Signals,
};
use crate::{
    app,
    model::Timestamp,
    replay::{
        Changes, Plan,
        compare::{Comparison, compare as compare_scripts},
        plan::{Act, Planned, Run, Step},
        trail,
    },
    report,
};

/// Replays captured sessions through the proxy, byte for byte, and says what was different
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    replaying: ReplayingArgs,
    /// The new capture's name [default: made from the time]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// So much faster than captured, such as 2x
    #[arg(long, value_name = "FACTOR", help_heading = "Changes")]
    speed: Option<String>,
    /// Each session so many times, with fresh ids and keys
    #[arg(long, value_name = "N", help_heading = "Changes")]
    copies: Option<String>,
    /// Metadata not before so long after its session's OPEN was read: metadata:150ms
    #[arg(long, value_name = "metadata:DURATION", help_heading = "Changes")]
    hold: Option<String>,
    /// Requests that the filter takes so much later, repeatable
    #[arg(long, value_name = "FILTER:DURATION", help_heading = "Changes")]
    delay: Vec<String>,
    /// Metadata not before its socket is ready, by the profile's gate
    #[arg(long, value_name = "ready", help_heading = "Changes")]
    wait_for: Option<String>,
    /// Every request has this header, repeatable
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Changes")]
    set_header: Vec<String>,
    /// No request has this header, repeatable
    #[arg(long, value_name = "NAME", help_heading = "Changes")]
    drop_header: Vec<String>,
    /// Bodies that are almost JSON are made JSON
    #[arg(long, help_heading = "Changes")]
    fix_json: bool,
    /// Each session and copy bears a token of its own, from the first column
    #[arg(long, value_name = "CSV", help_heading = "Changes")]
    unique_token: Option<String>,
    /// Sessions begin evenly over so long: 0s is all at once
    #[arg(long, value_name = "DURATION", help_heading = "Changes")]
    ramp: Option<String>,
    /// So many requests wait for their answer at once, at most
    #[arg(long, value_name = "N", help_heading = "Changes")]
    max_inflight: Option<String>,
    /// What is refused is sent again, each time after twice the pause: 3:200ms
    #[arg(long, value_name = "TIMES:PAUSE", help_heading = "Changes")]
    retry: Option<String>,
    /// Prints what would be sent when, and sends nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let changes = args.changes()?;
    let stage = args.replaying.stage(globals, args.name.as_deref())?;
    let plan = stage.plan(&changes)?;
    if args.dry_run {
        let mut out = Output::stdout();
        if args.replaying.json {
            schedule_json(&plan, &mut out)?
        } else {
            schedule(&stage, &plan, &mut out)?
        }
        out.flush()?;
        return Ok(ExitCode::from(exit_code::DONE));
    }
    stage.may_load(&plan, more_load(&changes).as_deref(), globals)?;
    if !globals.quiet {
        for host in &stage.settings.proxy.insecure {
            say(&format!("warning: the certificate of {host} is NOT verified: anybody between could be answering"));
        }
        plan.notes.iter().for_each(|note| say(&format!("note: {note}")));
        say(&format!(
            "replaying {} of {} over {}",
            units::count(plan.requests() as u64, "request"),
            units::count(plan.sessions as u64, "session"),
            units::duration(plan.length.0)
        ));
    }
    let planned = plan.requests();
    let notes = plan.notes.clone();
    let sessions = plan.sessions;
    let replayed = app::runtime()?.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        stage.replay(plan, &changes, 0, &mut signals).await
    })?;
    let comparison = match stage.script_of(replayed.dir.clone()) {
        Ok(script) => Some(compare_scripts(&stage.script, &script, trail::Record::read(replayed.dir.path()).as_ref())),
        Err(error) => {
            say(&format!("note: the new capture cannot be compared: {error}"));
            None
        }
    };
    let mut out = Output::stdout();
    if args.replaying.json {
        let mut value = as_json(&stage, &changes, &replayed, sessions, comparison.as_ref());
        if let Some(value) = value.as_object_mut() {
            value.insert("notes".to_owned(), notes.into());
        }
        out.json_line(&value)?;
    } else {
        summary(&stage, &replayed, sessions, comparison.as_ref(), &mut out)?;
    }
    out.flush()?;
    let sent = replayed.outcome.requests.iter().filter(|request| request.at.is_some()).count();
    if sent == 0 && planned > 0 {
        anyhow::bail!(
            "nothing could be sent: {}",
            replayed.outcome.troubles.keys().next().map_or("no reason is known", String::as_str)
        );
    }
    Ok(ExitCode::from(exit_code::DONE))
}

impl Args {
    fn changes(&self) -> Result<Changes, Usage> {
        let mut changes = Changes::default();
        let one = |name: &'static str, value: &Option<String>| {
            value.iter().map(|value| (name, value.clone())).collect::<Vec<_>>()
        };
        let many = |name: &'static str, values: &[String]| {
            values.iter().map(|value| (name, value.clone())).collect::<Vec<_>>()
        };
        let all = [
            one("speed", &self.speed),
            one("copies", &self.copies),
            one("hold", &self.hold),
            many("delay", &self.delay),
            one("wait-for", &self.wait_for),
            many("set-header", &self.set_header),
            many("drop-header", &self.drop_header),
            one("fix-json", &self.fix_json.then(String::new)),
            one("unique-token", &self.unique_token),
            one("ramp", &self.ramp),
            one("max-inflight", &self.max_inflight),
            one("retry", &self.retry),
        ];
        for (name, value) in all.into_iter().flatten() {
            changes.add(name, &value).map_err(|error| Usage(format!("--{error}")))?;
        }
        Ok(changes)
    }
}

/// What of the changes makes more load than was captured.
pub(super) fn more_load(changes: &Changes) -> Option<String> {
    if changes.copies > 1 {
        return Some(format!("{} copies", changes.copies));
    }
    if changes.speed > 1.0 {
        return Some(format!("{} times the captured pace", changes.speed));
    }
    if changes.ramp.is_some() {
        return Some("another ramp than the captured one".to_owned());
    }
    changes.retry.map(|retry| format!("up to {} retries of each request", retry.times))
}

/// A step as a line of the schedule says it.
fn words(step: &Step) -> String {
    match &step.act {
        Act::Request(request) => {
            let kind = if request.upgrade { " (WebSocket)" } else { "" };
            format!("{} {} {}{kind}", request.exchange, request.method, request.path)
        }
        Act::Frame { socket, opcode, payload, .. } => {
            format!("frame on {socket}: opcode {opcode}, {}", units::size(payload.bytes().len() as u64))
        }
        Act::Bytes { socket, bytes } => format!("{} on {socket} that are no frame", units::size(bytes.len() as u64)),
    }
}

/// The steps of all runs in the order of their deadlines.
fn steps(plan: &Plan) -> Vec<(Timestamp, &Run, &Planned, &Step)> {
    let mut all = Vec::new();
    for run in &plan.runs {
        let Some(planned) = plan.connections.get(run.connection) else { continue };
        for step in &planned.steps {
            all.push((Timestamp(run.start.0 + step.at.0).after(step.delay), run, &**planned, step));
        }
    }
    all.sort_by_key(|(at, run, ..)| (*at, run.copy, run.connection));
    all
}

fn schedule(stage: &Stage, plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    for (at, run, planned, step) in steps(plan) {
        let copy = if run.copy > 0 { format!(" copy {}", run.copy) } else { String::new() };
        write!(out, "{:>12}  {}{copy}  {}  {}", units::offset(at), planned.session, planned.of, words(step))?;
        let waits: Vec<String> = step.waits.iter().map(crate::replay::plan::Wait::words).collect();
        if !waits.is_empty() {
            write!(out, "  after {}", waits.join(", "))?;
        }
        writeln!(out)?;
    }
    let to: Vec<&str> = plan.authorities().into_iter().collect();
    writeln!(
        out,
        "\n{} of {} on {} over {}, to {}; nothing was sent",
        units::count(plan.requests() as u64, "request"),
        units::count(plan.sessions as u64, "session"),
        units::count(plan.runs.len() as u64, "connection"),
        units::duration(plan.length.0),
        to.join(", ")
    )?;
    for host in stage.foreign_hosts(plan) {
        writeln!(out, "{host} is not loopback: more than one copy needs --i-may-load-this-host {host}")?;
    }
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

fn schedule_json(plan: &Plan, out: &mut Output) -> io::Result<()> {
    for (at, run, planned, step) in steps(plan) {
        let (kind, exchange, bytes) = match &step.act {
            Act::Request(request) => ("request", request.exchange, request.template.bytes().len()),
            Act::Frame { socket, payload, .. } => ("frame", *socket, payload.bytes().len()),
            Act::Bytes { socket, bytes } => ("bytes", *socket, bytes.len()),
        };
        let (method, path, metadata) = match &step.act {
            Act::Request(request) => (Some(&request.method), Some(&request.path), request.metadata),
            Act::Frame { metadata, .. } => (None, None, *metadata),
            Act::Bytes { .. } => (None, None, false),
        };
        out.json_line(&json!({
            "at_ns": at,
            "session": planned.session,
            "copy": run.copy,
            "connection": planned.of,
            "kind": kind,
            "exchange": exchange,
            "method": method,
            "path": path,
            "metadata": metadata,
            "bytes": bytes,
            "waits": step.waits.iter().map(crate::replay::plan::Wait::words).collect::<Vec<_>>(),
        }))?;
    }
    Ok(())
}

fn as_json(
    stage: &Stage,
    changes: &Changes,
    replayed: &Replayed,
    sessions: usize,
    comparison: Option<&Comparison>,
) -> serde_json::Value {
    let outcome = &replayed.outcome;
    json!({
        "replay_of": stage.script.capture,
        "capture": replayed.dir.path(),
        "changes": changes.to_string(),
        "sessions": sessions,
        "requests": outcome.requests.len(),
        "sent": outcome.requests.iter().filter(|request| request.at.is_some()).count(),
        "refused": outcome.refused(),
        "messages": outcome.judged(),
        "messages_refused": outcome.refused_messages(),
        "refused_before": refused_before(stage, changes),
        "frames": outcome.frames,
        "lateness": outcome.lateness.quantiles(),
        "waited": outcome.waited.quantiles(),
        "troubles": outcome.troubles,
        "stopped": outcome.stopped,
        "complete": replayed.summary.complete,
        "comparison": comparison,
    })
}

/// How many of the captured requests were refused, copies counted.
fn refused_before(stage: &Stage, changes: &Changes) -> usize {
    let exchanges = stage.script.connections.iter().flat_map(|connection| &connection.exchanges);
    exchanges.filter(|exchange| exchange.refused).count() * changes.copies as usize
}

fn summary(
    stage: &Stage,
    replayed: &Replayed,
    sessions: usize,
    comparison: Option<&Comparison>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let outcome = &replayed.outcome;
    let exchanges = || stage.script.connections.iter().flat_map(|connection| &connection.exchanges);
    let before = exchanges().filter(|exchange| exchange.refused).count() as u64;
    let all = exchanges().count() as u64;
    let sent = outcome.requests.iter().filter(|request| request.at.is_some()).count();
    let requests = outcome.requests.len() as u64;
    if outcome.stopped {
        writeln!(out, "stopped before its end")?;
    }
    writeln!(
        out,
        "{} of {} sent in {}, {}",
        report::count(sent as u64),
        units::count(requests, "request"),
        units::count(sessions as u64, "session"),
        units::count(outcome.frames, "frame"),
    )?;
    writeln!(
        out,
        "refused: {} of {} ({}); in {} it was {} of {} ({})",
        report::count(outcome.refused() as u64),
        report::count(requests),
        report::percent(outcome.refused() as u64, requests),
        stage.script.capture,
        report::count(before),
        report::count(all),
        report::percent(before, all),
    )?;
    if outcome.judged() > 0 {
        let (refused, judged) = (outcome.refused_messages() as u64, outcome.judged() as u64);
        writeln!(
            out,
            "messages refused: {} of {} that the server said something to ({})",
            report::count(refused),
            report::count(judged),
            report::percent(refused, judged)
        )?;
    }
    let late = outcome.lateness.quantiles();
    writeln!(
        out,
        "late by our own fault: half at most {}, 99 % at most {}, at most {}",
        units::duration(late.p50_ns),
        units::duration(late.p99_ns),
        units::duration(late.max_ns)
    )?;
    let waited = outcome.waited.quantiles();
    writeln!(
        out,
        "behind the captured time, waiting for the server: half at most {}, 99 % at most {}",
        units::duration(waited.p50_ns),
        units::duration(waited.p99_ns)
    )?;
    for (trouble, times) in &outcome.troubles {
        writeln!(out, "{times} times: {trouble}")?;
    }
    if let Some(comparison) = comparison {
        writeln!(out)?;
        compare::text(comparison, out)?;
    }
    writeln!(out, "\nrecorded as {} (firstframe ls exchanges -c {0})", replayed.dir.name())
}
