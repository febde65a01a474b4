//! `demo`: the whole of it against a simulated API, with causes planted that the two reports behind this program turned
//! out to have; nothing to set up.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::{
    Cli, Globals, Output, exit_code,
    lab::rig::{self, Done},
    output::say,
    signals::Signals,
};
use crate::{
    app,
    lab::{
        causes::{Plant, PlantError},
        scenario::{MILLI, Mix, SECOND, Scenario, Service},
        surface::Surface,
    },
};

/// Shows all of it on a simulated API with planted causes; takes under a minute, and nothing to set up
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Virtual users at once
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(20..=2_000))]
    agents: u32,
    /// Seconds of load in each of the two parts
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// What chance begins with
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One JSON object for each part
    #[arg(long)]
    json: bool,
}

/// One of the reports: what is complained of, and what is planted.
struct Part {
    title: &'static str,
    story: &'static str,
    scenario: Scenario,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let parts = parts(&args)?;
    app::runtime()?.block_on(show(&parts, globals, args.json))
}

async fn show(parts: &[Part], globals: &Globals, json: bool) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut out = Output::stdout();
    let mut last = None;
    for (number, part) in parts.iter().enumerate() {
        if !globals.quiet && !json {
            say(&format!("{} of {}: {}", number + 1, parts.len(), rig::about(&part.scenario)));
        }
        let done = rig::run(part.scenario.clone(), globals, None, &mut signals).await?;
        if json {
            let mut object = rig::to_json(&done);
            if let Value::Object(fields) = &mut object {
                fields.insert("part".to_owned(), json!(part.title));
            }
            out.json_line(&object)?;
        } else {
            out.write_all(told(number + 1, part, &done).as_bytes())?;
            out.flush()?;
        }
        let is_cut_short = done.is_cut_short;
        last = Some(done);
        if is_cut_short {
            break;
        }
    }
    if let Some(done) = last.filter(|_| !json) {
        out.write_all(next(&done).as_bytes())?;
        out.flush()?;
    }
    Ok(ExitCode::from(exit_code::DONE))
}

fn told(number: usize, part: &Part, done: &Done) -> String {
    format!(
        "{number}. {}\n{}\n\n{}\n{}\nheld against what was planted\n{}\n",
        part.title,
        part.story,
        rig::figures_of(done),
        done.text,
        done.comparison.to_text()
    )
}

/// What to type next: only what this program has.
fn next(done: &Done) -> String {
    let command = Cli::command();
    let exists = |line: &str| line.split(' ').next().is_some_and(|name| command.find_subcommand(name).is_some());
    let (selector, name) = (&done.selector, &done.name);
    let evidence = done.verdict.causes.first().and_then(|cause| cause.evidence.first());
    let evidence = evidence.map_or("x1", String::as_str);
    let lines = [
        ("ls captures".to_owned(), "both parts are captures like any other"),
        (format!("ls exchanges -c {name} --filter 'status>=400'"), "what was refused"),
        (format!("show {evidence} -c {name}"), "one of them, byte for byte and in order"),
        (format!("diagnose -c {name}"), "the whole verdict"),
        (format!("export -c {name} --format har"), "for other tools"),
        ("lab list".to_owned(), "all causes that can be planted; `lab run --cause …` tries one"),
    ];
    let mut text = String::from("what to type next\n");
    for (line, why) in lines.iter().filter(|(line, _)| exists(line)) {
        // The folder of captures stands before the subcommand.
        text.push_str(&format!("  firstframe{selector} {line}\n      {why}\n"));
    }
    text.push_str("  firstframe run -- jmeter -n -t plan.jmx -l out.jtl\n      your own test\n");
    text
}

fn parts(args: &Args) -> Result<Vec<Part>, PlantError> {
    let base = Scenario {
        surface: Surface::GenesysCloud,
        seed: args.seed,
        agents: args.agents,
        tokens: args.agents,
        ramp_ns: i64::from(args.seconds) * SECOND / 6,
        duration_ns: i64::from(args.seconds) * SECOND,
        addresses: 3,
        goes_on_without_socket: true,
        ..Scenario::default()
    };
    let registration = Plant::parse("metadata-before-ready:delay=80ms,spread=3")?;
    let (limit, variables) = ("inflight-limit:limit=83", "unresolved-variable:share=0.02,of=agents,place=path");
    Ok(vec![
        Part {
            title: "screen recording: 400 to POST /api/v2/recordings/screen",
            story: "One thread works; with many, metadata is refused now and then. Is it sent before the WebSocket is open?",
            scenario: Scenario {
                mix: Mix { sockets: 0.9, reads: 3, writes: 0.1, pings: 0.2 },
                plants: vec![registration],
                ..base.clone()
            },
        },
        Part {
            title: "scripts: 400 to GET /api/v2/scripts/{scriptId}",
            story: "Up to some 80 threads all is well, beyond them requests fail, and a few fail always. Is it a rate limit?",
            scenario: Scenario {
                mix: Mix { sockets: 0.3, reads: 6, writes: 0.2, pings: 0.2 },
                think_ns: 180 * MILLI,
                service: Service { median_ns: 110 * MILLI, slowest: 2.0, ..base.service },
                plants: vec![Plant::parse(limit)?, Plant::parse(variables)?],
                ..base
            },
        },
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::lab::{api::RefusedBy, world};

    /// What is planted must show in the load, or there is nothing to be found.
    #[test]
    fn both_parts_refuse_enough_and_not_too_much() {
        let args = Args { agents: 150, seconds: 16, seed: 1, json: false };
        for part in parts(&args).unwrap() {
            let run = world::run(&part.scenario);
            let mut by: BTreeMap<RefusedBy, usize> = BTreeMap::new();
            run.refused_by.iter().flatten().for_each(|refused| *by.entry(*refused).or_default() += 1);
            let all = run.columns.units.len();
            for plant in 0..part.scenario.plants.len() {
                let refused = by.get(&RefusedBy::Plant(plant)).copied().unwrap_or(0);
                assert!(
                    (60..all / 3).contains(&refused),
                    "{}: {refused} of {all}, {by:?}",
                    part.scenario.plants[plant]
                );
            }
        }
    }
}
