//! `compare`: two captures, request by request.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{Globals, Output, exit_code, output::Usage, render::units, replaying};
use crate::{
    replay::{
        compare::{Comparison, compare},
        trail::Record,
    },
    report,
    store::CaptureDir,
};

/// Differences that are listed for people; all are in `--json`.
const LISTED: usize = 20;

/// Compares two captures: the same requests byte for byte, in the same order, with the same answers?
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first: a name in the folder of captures, or a path
    #[arg(value_name = "A")]
    a: String,
    /// The second, such as a replay of the first
    #[arg(value_name = "B")]
    b: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it. The code is [`exit_code::FAIL_ON`] where they differ.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    if !globals.capture.is_empty() {
        return Err(Usage("--capture: compare takes its two captures as arguments: compare A B".to_owned()).into());
    }
    let settings = globals.settings()?;
    let open = |which: &str| CaptureDir::resolve(&settings.captures, Some(which));
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let began = a.meta().anchor.unix_ns;
    let record = Record::read(b.path()).filter(|record| record.is_of(&a.name(), began));
    let (a, b) = (replaying::script_of(a, &settings)?, replaying::script_of(b, &settings)?);
    let comparison = compare(&a, &b, record.as_ref());
    let mut out = Output::stdout();
    if args.json {
        out.json_line(&comparison)?;
    } else {
        text(&comparison, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(if comparison.empty { exit_code::DONE } else { exit_code::FAIL_ON }))
}

/// A comparison for people.
pub(super) fn text(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Comparison { a, b, .. } = comparison;
    let shift = comparison.timing_shift;
    if comparison.empty {
        writeln!(
            out,
            "{a} and {b} do not differ: {} and {} of {}, byte for byte and in the same order, with the same answers",
            units::count(comparison.requests, "request"),
            units::count(comparison.frames, "frame"),
            units::count(comparison.sessions, "session"),
        )?;
    } else {
        writeln!(
            out,
            "{a} and {b} differ: {} of {} are the same byte for byte; {}:",
            report::count(comparison.identical),
            units::count(comparison.requests, "request"),
            units::count(comparison.differences.len() as u64, "difference"),
        )?;
        for one in comparison.differences.iter().take(LISTED) {
            let id = |id: Option<crate::model::ExchangeId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let session = one.session.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let copy = if one.copy > 0 { format!(" copy {}", one.copy) } else { String::new() };
            writeln!(out, "  {session}{copy}  {} / {}  {}: {}", id(one.a), id(one.b), one.kind.as_str(), one.what)?;
        }
        let more = comparison.differences.len().saturating_sub(LISTED);
        if more > 0 {
            writeln!(out, "  and {} more (--json has all)", report::count(more as u64))?;
        }
    }
    writeln!(
        out,
        "sent earlier or later within their session: half by at most {}, 99 % by at most {}, at most {}",
        units::duration(shift.p50_ns),
        units::duration(shift.p99_ns),
        units::duration(shift.max_ns)
    )
}
