//! `ls`: lists of a capture's rows, and of the captures themselves.

use std::{
    fs,
    io::Write as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;

use crate::{
    query::{self, Gone, Kind, Query, Standing, wire},
    store::{CaptureDir, State, ends::Ends},
};

use super::{
    Globals, Output, exit_code,
    output::say,
    reading,
    render::{
        rows,
        style::{Ink, Look},
        table::{Cell, Column, Fit, Table},
        units,
    },
};

/// Lists connections, exchanges, sessions, frames, flags or captures
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to list
    #[arg(value_enum, default_value_t = What::Connections)]
    what: What,
    /// Only those for which this holds: 'status>=400 and path~"/v2/"'; a field that is none lists all that there are
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// At most so many: the first, of captures the newest
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Show secrets instead of their fingerprints
    #[arg(long)]
    keep_secrets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Captures,
    Connections,
    Exchanges,
    Frames,
    Sessions,
    Flags,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let kind = match args.what {
        What::Captures => return captures(&args, globals),
        What::Connections => Kind::Connections,
        What::Exchanges => Kind::Exchanges,
        What::Frames => Kind::Frames,
        What::Sessions => Kind::Sessions,
        What::Flags => Kind::Flags,
    };
    let filter = reading::filter(args.filter.as_deref())?;
    let capture = reading::open(globals)?;
    let mut output = Output::stdout();
    let query =
        Query { filter: filter.as_ref(), about: None, limit: args.limit, secrets: reading::secrets(args.keep_secrets) };
    if args.json {
        capture.list(kind, query, &mut |row| {
            wire::write_row(&row, &mut output).map_err(query::Error::Write)?;
            Ok(ControlFlow::Continue(()))
        })?;
        output.flush()?;
        return Ok(ExitCode::from(exit_code::DONE));
    }
    let look = Look::of(&output);
    reading::heading(&capture, look, &mut output)?;
    let mut table = Table::new(rows::columns(kind), look, &mut output);
    let mut none = true;
    capture.list(kind, query, &mut |row| {
        none = false;
        table.row(rows::cells(&row)).map_err(query::Error::Write)?;
        Ok(ControlFlow::Continue(()))
    })?;
    table.flush()?;
    if none {
        say(&match &args.filter {
            Some(filter) => format!("no {kind} match {filter:?}"),
            None => format!("no {kind}"),
        });
    }
    Ok(ExitCode::from(exit_code::DONE))
}

const CAPTURES: &[Column] = &[
    Column { title: "NAME", kind: Fit::Left, drop: None },
    Column { title: "BEGAN", kind: Fit::Left, drop: None },
    Column { title: "SIZE", kind: Fit::Right, drop: Some(1) },
    Column { title: "STATE", kind: Fit::Rest, drop: None },
];

/// One capture of a folder, as scripts see it.
#[derive(serde::Serialize)]
struct CaptureLine {
    name: String,
    path: PathBuf,
    started_at: Option<String>,
    state: &'static str,
    complete: Option<bool>,
    /// Requests that retention dropped.
    dropped_exchanges: u64,
    /// Segments that are missing or lack their end, in words.
    damage: Vec<String>,
    segment_bytes: u64,
    error: Option<String>,
}

fn captures(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let folder = globals.captures_dir()?;
    let listed = CaptureDir::list(&folder)?;
    let mut output = Output::stdout();
    if listed.is_empty() {
        say(&format!(
            "no captures in {} (hint: `firstframe record` makes one; -w names another folder)",
            folder.display()
        ));
    }
    let mut lines = Vec::new();
    for one in listed {
        let mut line = CaptureLine {
            name: one.name,
            started_at: None,
            state: "unreadable",
            complete: None,
            dropped_exchanges: 0,
            damage: Vec::new(),
            segment_bytes: segment_bytes(&one.path.join("segments")),
            error: None,
            path: one.path,
        };
        let look = |meta| {
            let dir = CaptureDir::open(&line.path)?;
            let standing = Standing::of(&dir)?;
            // A running one grows and forgets meanwhile.
            let ends = if standing == Standing::Finished { Ends::of(&dir)? } else { Ends::default() };
            Ok((standing, Gone::of(&dir)?, ends, meta))
        };
        match one.meta.and_then(look) {
            Ok((standing, gone, ends, meta)) => {
                line.state = standing.as_str();
                let whole = meta.state == State::Clean && gone.is_none() && ends.is_whole();
                line.damage = ends.troubles();
                line.complete = (standing == Standing::Finished).then_some(whole);
                line.dropped_exchanges = gone.map_or(0, |gone| gone.exchanges);
                line.started_at = Some(meta.started_at);
            }
            Err(error) => line.error = Some(error.to_string()),
        }
        lines.push(line);
    }
    let skipped = lines.len().saturating_sub(args.limit.unwrap_or(usize::MAX));
    let look = Look::of(&output);
    if args.json {
        lines.iter().skip(skipped).try_for_each(|line| output.json_line(line))?;
    } else {
        let mut table = Table::new(CAPTURES, look, &mut output);
        for line in lines.iter().skip(skipped) {
            table.row(capture_cells(line))?;
        }
        table.flush()?;
    }
    Ok(ExitCode::from(exit_code::DONE))
}

fn capture_cells(line: &CaptureLine) -> Vec<Cell> {
    let (ink, state) = match (&line.error, line.complete, line.state) {
        (Some(error), _, _) => (Ink::Bad, error.clone()),
        (None, _, state) if !line.damage.is_empty() => {
            let count = units::count(line.damage.len() as u64, "segment");
            (Ink::Bad, format!("{state}, damaged ({count})"))
        }
        (None, _, state) if line.dropped_exchanges > 0 => {
            (Ink::Odd, format!("{state}, {} dropped", units::count(line.dropped_exchanges, "request")))
        }
        (None, Some(false), state) => (Ink::Odd, format!("{state}, incomplete")),
        (None, _, "running") => (Ink::Good, "running".to_owned()),
        (None, _, "killed") => (Ink::Odd, "killed".to_owned()),
        (None, _, state) => (Ink::Plain, state.to_owned()),
    };
    vec![
        Cell::new(Ink::Strong, &line.name),
        Cell::new(Ink::Plain, line.started_at.as_deref().unwrap_or("-")),
        Cell::new(Ink::Plain, units::size(line.segment_bytes)),
        Cell::new(ink, state),
    ]
}

/// What the segments take. What cannot be read counts as nothing: this is an overview.
fn segment_bytes(segments: &Path) -> u64 {
    let entries = fs::read_dir(segments).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
