//! `lab simulate`: one run in virtual time.

use std::{collections::BTreeMap, io::Write as _, process::ExitCode};

use serde_json::json;

use super::scenario::ScenarioArgs;
use crate::{
    cli::{Output, exit_code},
    lab::{
        api::RefusedBy,
        scenario::Scenario,
        world::{self, Run},
    },
    model::columns::Outcome,
};

/// Options of `lab simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &Args, out: &mut Output) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario.scenario()?;
    let run = world::run(&scenario);
    let summary = Summary::of(&scenario, &run);
    if args.json {
        out.json_line(&json!({
            "seed": scenario.seed,
            "plants": scenario.plants.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "units": run.columns.units.len(),
            "refused": summary.refused,
            "refused_by": summary.refused_by,
            "flags": summary.flags,
            "routes": summary.routes,
            "sockets": run.columns.sockets.len(),
            "connections": run.columns.connections.len(),
            "until_ns": run.columns.until_ns,
            "complete": run.columns.complete,
        }))?;
    } else {
        summary.write(&run, out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}

struct Summary {
    refused: usize,
    refused_by: BTreeMap<String, usize>,
    flags: BTreeMap<String, usize>,
    /// By route: units, refused.
    routes: BTreeMap<String, (usize, usize)>,
}

impl Summary {
    fn of(scenario: &Scenario, run: &Run) -> Self {
        let units = &run.columns.units;
        let is_refused = |outcome: &Outcome| *outcome == Outcome::Refused;
        let mut refused_by = BTreeMap::new();
        for by in run.refused_by.iter().flatten() {
            let name = match by {
                RefusedBy::Chance => "chance".to_owned(),
                RefusedBy::Plant(number) => scenario.plants.get(*number).map(ToString::to_string).unwrap_or_default(),
            };
            *refused_by.entry(name).or_insert(0) += 1;
        }
        let mut routes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (route, outcome) in units.route.iter().zip(&units.outcome) {
            let name = run.columns.routes.get(*route as usize).cloned().unwrap_or_default();
            let counts = routes.entry(name).or_default();
            counts.0 += 1;
            counts.1 += usize::from(is_refused(outcome));
        }
        let flags = run.columns.flags.iter().map(|flagged| (flagged.rule.clone(), flagged.units.len())).collect();
        Self { refused: units.outcome.iter().filter(|o| is_refused(o)).count(), refused_by, flags, routes }
    }

    fn write(&self, run: &Run, out: &mut Output) -> std::io::Result<()> {
        let columns = &run.columns;
        writeln!(
            out,
            "{} of {} refused in {:.1} s of virtual time, on {} connections and {} sockets",
            self.refused,
            columns.units.len(),
            columns.until_ns as f64 / 1e9,
            columns.connections.len(),
            columns.sockets.len()
        )?;
        for (by, count) in &self.refused_by {
            writeln!(out, "  {count:>7}  refused by {by}")?;
        }
        for (route, (count, refused)) in &self.routes {
            writeln!(out, "  {count:>7}  {route}, {refused} refused")?;
        }
        for (rule, count) in &self.flags {
            writeln!(out, "  {count:>7}  flagged {rule}")?;
        }
        Ok(())
    }
}
