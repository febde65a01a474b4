//! `lab run`: API, agents and proxy in one, recorded and judged; the verdict held against what was planted.

use std::{fmt::Write as _, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use serde_json::json;

use super::{
    accuracy,
    rig::{self, Done},
    scenario::ScenarioArgs,
};
use crate::{
    app,
    cli::{
        Globals, Output, exit_code,
        output::{Usage, say},
        signals::Signals,
    },
    diagnose,
    lab::{
        causes::{CAUSES, CauseInfo, Plant},
        evaluate::{LONGEST_NS, reach},
        random::Random,
        scenario::Scenario,
        world,
    },
    model::finding::Conclusion,
    report::count,
};

/// Options of `lab run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Every cause once, one after the other, each on a load on which it can show, with limits that this load reaches
    #[arg(long, conflicts_with = "cause")]
    every_cause: bool,
    /// Writes what --every-cause came to into this file as well, as its section "Over real sockets"
    #[arg(long, value_name = "FILE", requires = "every_cause")]
    write: Option<PathBuf>,
    /// One JSON object; with --every-cause one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scenario: ScenarioArgs,
}

/// Runs it.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario.scenario()?;
    if globals.capture.len() > 1 {
        return Err(Usage("--capture: a run makes one capture".to_owned()).into());
    }
    let runtime = app::runtime()?;
    if args.every_cause {
        return runtime.block_on(every(&scenario, globals, args));
    }
    runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        rig::announce(&scenario, globals.quiet);
        let done = rig::run(scenario, globals, None, &mut signals).await?;
        let mut out = Output::stdout();
        if args.json {
            out.json_line(&rig::to_json(&done))?;
        } else {
            write!(out, "{}\n{}\n{}", rig::figures_of(&done), done.text, done.comparison.to_text())?;
            out.flush()?;
        }
        Ok(ExitCode::from(exit_code::DONE))
    })
}

async fn every(base: &Scenario, globals: &Globals, args: &Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut out = Output::stdout();
    let mut rows = Vec::new();
    for info in CAUSES {
        let scenario = typical(base, info);
        rig::announce(&scenario, globals.quiet);
        let done = rig::run(scenario, globals, None, &mut signals).await?;
        let row = Row::of(info, &done);
        if args.json {
            out.json_line(&rig::to_json(&done))?;
        } else {
            writeln!(out, "{}  ({})", row.line(), done.name)?;
            out.flush()?;
        }
        rows.push(row);
        if done.is_cut_short {
            break;
        }
    }
    let right = rows.iter().filter(|row| row.is_right).count();
    if args.json {
        out.json_line(&json!({"event": "done", "causes": rows.len(), "matched": right}))?;
    } else {
        writeln!(out, "of {} causes, {right} are named first", rows.len())?;
        out.flush()?;
    }
    if let Some(path) = &args.write {
        accuracy::replace(path, accuracy::SOCKETS, &section(&rows, base))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::from(exit_code::DONE))
}

/// So many bursts a run has, on average.
const BURSTS: i64 = 12;

/// The scenario on which a cause can show: prepared for it, with parameters where that load reaches them, and as long as
/// virtual time says that a verdict needs.
fn typical(base: &Scenario, info: &'static CauseInfo) -> Scenario {
    let mut scenario = rig::on_loopback(base.clone());
    let (duration, think) = (scenario.duration_ns, scenario.think_ns);
    (info.prepare)(&mut scenario);
    // What was said of the length holds; the pauses that go with a greater one do not.
    if scenario.duration_ns != duration {
        (scenario.duration_ns, scenario.think_ns) = (duration, think);
    }
    let calm = world::run(&scenario);
    let mut plant = Plant::new(info);
    plant.set_typical(&calm.counts, &mut Random::new(scenario.seed, 90));
    // Bursts are bursts where there are several: one of them is an outage.
    if plant.info.parameters.iter().any(|parameter| parameter.name == "pause") {
        scenario.duration_ns = scenario.duration_ns.max(BURSTS * (plant.nanos("pause") + plant.nanos("length")));
    }
    scenario.plants = vec![plant];
    let mut run = reach(&mut scenario, 1);
    let options = diagnose::Options::default();
    while scenario.duration_ns < LONGEST_NS
        && diagnose::diagnose(&run.columns, &[], &options, &mut |_| ()).result == Conclusion::NotEnoughData
    {
        scenario.duration_ns = scenario.duration_ns * 8 / 5;
        run = world::run(&scenario);
    }
    scenario
}

/// What a cause came to.
struct Row {
    id: &'static str,
    /// As it is said on the command line.
    planted: String,
    seconds: f64,
    refused: u64,
    total: u64,
    /// Whether what was planted is named first; where there is nothing to be found, whether nothing is named.
    is_right: bool,
    /// What is named, first ranked first; why nothing is, where that is so.
    named: String,
    /// At the API; seen from the proxy.
    threshold: Option<(f64, [f64; 3])>,
}

impl Row {
    fn of(info: &'static CauseInfo, done: &Done) -> Self {
        let held = done.comparison.plants.first();
        let is_first = |(_, rank): &(String, usize)| *rank == 1;
        let is_right = match held {
            Some(held) => held.found.as_ref().is_some_and(is_first),
            None => done.comparison.matches,
        };
        let named: Vec<&str> = done.verdict.causes.iter().map(|cause| cause.hypothesis.as_str()).collect();
        let named = match done.verdict.result {
            Conclusion::Causes => named.join(", "),
            Conclusion::NoCause => "nothing".to_owned(),
            Conclusion::NoRefusals => "nothing refused".to_owned(),
            Conclusion::NotEnoughData => "not enough data".to_owned(),
            Conclusion::Withheld => "withheld: the machine was too busy".to_owned(),
        };
        Self {
            id: info.id,
            planted: done.scenario.plants.first().map(ToString::to_string).unwrap_or_default(),
            seconds: done.scenario.duration_ns as f64 / 1e9,
            refused: done.verdict.refused,
            total: done.verdict.total,
            is_right,
            named,
            threshold: held.and_then(|held| held.threshold),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.is_right { "right" } else { "WRONG" }
    }

    fn refused(&self) -> String {
        format!("{} of {}", count(self.refused), count(self.total))
    }

    fn line(&self) -> String {
        format!("{}  {:<24} {:>16} refused  {}", self.verdict(), self.id, self.refused(), self.named)
    }

    /// Whether the true threshold lies in the interval that was said; counts are whole.
    fn is_inside(&self) -> Option<bool> {
        self.threshold.map(|(truth, [_, low, high])| (low..=high).contains(&truth))
    }

    fn cells(&self) -> String {
        let shown = |value| rig::shown(if self.is_time() { "since-open" } else { "" }, value);
        let threshold = self.threshold.map(|(truth, [value, low, high])| {
            let outside = if self.is_inside() == Some(false) { " **outside**" } else { "" };
            format!("{}: {} ({} to {}){outside}", shown(truth), shown(value), shown(low), shown(high))
        });
        format!(
            "| `{}` | {:.0} s | {} | {} | {} | {} |",
            self.planted,
            self.seconds,
            self.refused(),
            self.verdict(),
            self.named,
            threshold.unwrap_or_default()
        )
    }

    fn is_time(&self) -> bool {
        self.threshold.is_some_and(|(truth, _)| truth > 1e5)
    }
}

/// The section of the document.
fn section(rows: &[Row], base: &Scenario) -> String {
    let right = rows.iter().filter(|row| row.is_right).count();
    let known: Vec<bool> = rows.iter().filter_map(Row::is_inside).collect();
    let inside = known.iter().filter(|inside| **inside).count();
    let mut text = format!(
        "Each cause once, on {}, seed {}: API, agents and proxy on one machine, over TLS on loopback,\nrecorded and judged \
         as any capture is; {} cores, in a {} build. Each run is as long as the model says that a\nverdict needs. This \
         section is made by `firstframe lab run --every-cause --agents {} --duration {}s --write docs/accuracy.md`.\n\n\
         The first named is right for {right} of {}; the true threshold lies in its interval in {inside} of {}.\n\n\
         | planted | length | refused | first named | named | threshold at the API: seen from the proxy |\n\
         |---|---|---|---|---|---|\n",
        accuracy::today(),
        base.seed,
        std::thread::available_parallelism().map_or(0, usize::from),
        if cfg!(debug_assertions) { "debug" } else { "release" },
        base.agents,
        base.duration_ns / 1_000_000_000,
        rows.len(),
        known.len(),
    );
    for row in rows {
        let _ = writeln!(text, "{}", row.cells());
    }
    text
}
