//! `tail`: what happens, line by line as it ends; of a capture that is over, its last lines.

use std::{collections::VecDeque, io::Write as _, ops::ControlFlow, process::ExitCode};

use crate::{
    model::rows::Row,
    query::{
        Capture, Error, Filter, Kind, Query,
        client::{Client, Ended},
        wire,
        wire::LiveMessage,
    },
};

use super::{
    Globals, Output, exit_code,
    output::say,
    reading,
    render::{
        lines, rows,
        style::{Ink, Look},
    },
};

/// Prints exchanges and flags as they come; of a capture that is over, the last ones
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only those for which this holds: 'status>=400'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Frames as well
    #[arg(long)]
    frames: bool,
    /// Goes on until the capture stops; a running capture is followed anyway
    #[arg(short, long)]
    follow: bool,
    /// So many of a capture that is over
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Show secrets instead of their fingerprints, of a capture that is over
    #[arg(long)]
    keep_secrets: bool,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let filter = reading::filter(args.filter.as_deref())?;
    let capture = reading::open(globals)?;
    let mut output = Output::stdout();
    let look = Look::of(&output);
    if !args.json {
        reading::heading(&capture, look, &mut output)?;
        output.flush()?;
    }
    match capture.recorder() {
        Some(recorder) => {
            if follow(&args, filter.as_ref(), recorder, look, &mut output)? == Ended::Lost {
                let name = capture.dir().name();
                say(&format!(
                    "the recorder of {name} ended without saying so (killed?): what it had written can be read \
                     (hint: firstframe ls -c {name})"
                ));
                return Ok(ExitCode::from(exit_code::FAILED));
            }
        }
        None => {
            last(&args, filter.as_ref(), &capture, look, &mut output)?;
            if args.follow {
                say(&format!("{} is {}: nothing will follow", capture.dir().name(), capture.standing().as_str()));
            }
        }
    }
    Ok(ExitCode::from(exit_code::DONE))
}

fn kinds(args: &Args) -> &'static [Kind] {
    if args.frames { &[Kind::Exchanges, Kind::Frames, Kind::Flags] } else { &[Kind::Exchanges, Kind::Flags] }
}

fn follow(
    args: &Args,
    filter: Option<&Filter>,
    recorder: &Client,
    look: Look,
    output: &mut Output,
) -> Result<Ended, Error> {
    let kinds: Vec<&str> = kinds(args).iter().map(|kind| kind.as_str()).collect();
    let interrupted = async {
        // Where no signal can be had, the default action of Ctrl-C ends us.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    recorder.live(&kinds.join(","), filter, || {}, interrupted, &mut |message| {
        match message {
            LiveMessage::Row(row) => print(&row, args, look, output)?,
            LiveMessage::Lost(rows) if args.json => {
                writeln!(output, "{}", LiveMessage::Lost(rows).to_json()).map_err(Error::Write)?;
            }
            LiveMessage::Lost(rows) => {
                let said = format!("… {rows} lines were lost here: this terminal was too slow");
                writeln!(output, "{}", look.paint(Ink::Odd, &said)).map_err(Error::Write)?;
            }
        }
        // Each line at once: somebody is watching.
        output.flush().map_err(Error::Write)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The last rows of each kind, and of those the last by time.
fn last(args: &Args, filter: Option<&Filter>, capture: &Capture, look: Look, output: &mut Output) -> Result<(), Error> {
    let mut all = Vec::new();
    for kind in kinds(args) {
        let mut newest: VecDeque<Row> = VecDeque::new();
        let query = Query { filter, secrets: reading::secrets(args.keep_secrets), ..Query::default() };
        capture.list(*kind, query, &mut |row| {
            newest.push_back(row);
            if newest.len() > args.lines {
                newest.pop_front();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        all.extend(newest);
    }
    all.sort_by_key(rows::began);
    let skipped = all.len().saturating_sub(args.lines);
    for row in all.iter().skip(skipped) {
        print(row, args, look, output)?;
    }
    output.flush().map_err(Error::Write)
}

fn print(row: &Row, args: &Args, look: Look, output: &mut Output) -> Result<(), Error> {
    let written = if args.json { wire::write_row(row, output) } else { writeln!(output, "{}", lines::line(row, look)) };
    written.map_err(Error::Write)
}
