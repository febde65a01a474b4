//! `reindex`: tables and catalogue made anew from the segments.

use std::{io::Write as _, process::ExitCode};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::{
    record::{self, Reindexed},
    report::junit::warnings_and_errors,
    store::ends::Ends,
};

use super::{Globals, Output, exit_code, junit::JunitArg, output::say, reading, render::units};

/// Makes a capture's tables and catalogue anew from its segments
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    junit: JunitArg,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let junit = args.junit.target()?;
    let (dir, inspection) = reading::find(globals)?;
    let path = dir.path().to_owned();
    let name = dir.name();
    let segments = dir.segments()?;
    let lacking = Ends::of(&dir)?.troubles();
    let bar = progress(segments.len() as u64, globals.quiet);
    let mut done = 0;
    let reindexed = record::reindex(dir, &inspection, &mut |segment| {
        bar.set_position(done);
        bar.set_message(format!("segment {segment:06}"));
        done += 1;
    });
    bar.finish_and_clear();
    let Reindexed { totals, damage, torn_tail, .. } = reindexed?;
    let mut output = Output::stdout();
    if args.json {
        let damaged: Vec<_> = damage
            .iter()
            .map(|range| {
                json!({
                    "segment": range.segment,
                    "start": range.start,
                    "end": range.end,
                    "damage": range.damage.to_string(),
                })
            })
            .collect();
        output.json_line(&json!({
            "event": "reindexed",
            "capture": name,
            "segments": segments.len(),
            "totals": totals,
            "damaged": damaged,
            "torn_tail_bytes": torn_tail,
        }))?;
    } else {
        writeln!(output, "{name}: {} indexed anew", units::count(segments.len() as u64, "segment"))?;
    }
    output.flush()?;
    if let Some(junit) = junit {
        junit.write(&path, &globals.settings()?, &totals, &warnings_and_errors)?;
    }
    lacking.iter().for_each(|trouble| say(&format!("warning: {trouble}")));
    for range in &damage {
        say(&format!(
            "warning: segment {:06}, bytes {} to {} cannot be read and were passed over: {}",
            range.segment, range.start, range.end, range.damage
        ));
    }
    if torn_tail > 0 {
        say(&format!("note: {} of an unfinished write at the end, as a kill leaves", units::count(torn_tail, "byte")));
    }
    Ok(ExitCode::from(exit_code::DONE))
}

/// A bar on standard error, where that is a terminal.
fn progress(segments: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(segments), target);
    match ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
