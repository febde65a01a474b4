//! `lab run`: API, agents and proxy in one, recorded and judged; the verdict held against what was planted.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use serde_json::json;

use super::{
    rig::{self, Done},
    scenario::ScenarioArgs,
};
use crate::{
    app,
    cli::{Globals, Output, exit_code, output::Usage, signals::Signals},
    lab::{
        causes::{CAUSES, CauseInfo, Plant},
        random::Random,
        scenario::Scenario,
        world,
    },
    report::count,
};

/// Options of `lab run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Every cause once, one after the other, each on a load on which it can show, with limits that this load reaches
    #[arg(long, conflicts_with = "cause")]
    every_cause: bool,
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
        return runtime.block_on(every(&scenario, globals, args.json));
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

async fn every(base: &Scenario, globals: &Globals, events: bool) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut out = Output::stdout();
    let (mut right, mut all) = (0, 0);
    for info in CAUSES {
        let scenario = typical(base, info);
        rig::announce(&scenario, globals.quiet);
        let done = rig::run(scenario, globals, None, &mut signals).await?;
        all += 1;
        right += u32::from(done.comparison.matches);
        if events {
            out.json_line(&rig::to_json(&done))?;
        } else {
            out.write_all(line(info, &done).as_bytes())?;
            out.flush()?;
        }
        if done.is_cut_short {
            break;
        }
    }
    if events {
        out.json_line(&json!({"event": "done", "causes": all, "matched": right}))?;
    } else {
        writeln!(out, "{right} of {all} verdicts match what was planted")?;
        out.flush()?;
    }
    Ok(ExitCode::from(exit_code::DONE))
}

/// The scenario on which a cause can show: prepared for it, with parameters where that load reaches them.
fn typical(base: &Scenario, info: &'static CauseInfo) -> Scenario {
    let mut scenario = base.clone();
    let (duration, think) = (scenario.duration_ns, scenario.think_ns);
    (info.prepare)(&mut scenario);
    // What was said of the length holds; the pauses that go with a greater one do not.
    if scenario.duration_ns != duration {
        (scenario.duration_ns, scenario.think_ns) = (duration, think);
    }
    let calm = world::run(&scenario);
    let mut plant = Plant::new(info);
    plant.set_typical(&calm.counts, &mut Random::new(scenario.seed, 90));
    scenario.plants = vec![plant];
    scenario
}

/// A cause in a line.
fn line(info: &CauseInfo, done: &Done) -> String {
    let named = match done.comparison.plants.first().and_then(|held| held.found.as_ref()) {
        Some((hypothesis, rank)) => format!("{rank}. {hypothesis}"),
        None => match done.verdict.causes.first() {
            Some(cause) => format!("not found; first is {}", cause.hypothesis),
            None => format!("{:?}", done.verdict.result).to_lowercase(),
        },
    };
    format!(
        "{}  {:<24} {:>6} of {:>7} refused  {named}  ({})\n",
        if done.comparison.matches { "right" } else { "WRONG" },
        info.id,
        count(done.verdict.refused),
        count(done.verdict.total),
        done.name
    )
}
