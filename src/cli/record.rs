//! `record`: the proxy with its recorder, until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;

use super::{
    Globals, exit_code,
    junit::Junit,
    output::say,
    recording::{self, Ended, RecordingArgs, StatusLine},
    signals::Signals,
};
use crate::{app, config::Settings, report::junit::warnings_and_errors};

/// Records until Ctrl-C: the proxy, and nothing else
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The port of the first mode; 0 picks a free one [default: 8080]
    #[arg(short = 'p', long, value_name = "PORT")]
    listen_port: Option<u16>,
    #[command(flatten)]
    recording: RecordingArgs,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let settings = args.recording.settings(globals, args.listen_port)?;
    let junit = args.recording.junit()?;
    app::runtime()?.block_on(record(&settings, junit, globals, args.recording.json))
}

async fn record(
    settings: &Settings,
    junit: Option<Junit>,
    globals: &Globals,
    events: bool,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let running = app::Running::start(settings)?;
    recording::announce(&running, settings, globals, events)?;
    if !globals.quiet && !events {
        say(&format!("clients that check certificates must trust {}", running.certificate().display()));
    }
    let status = StatusLine::start(&running, !events && !globals.quiet);
    let mut failed = running.failed();
    let failed = tokio::select! {
        _ = signals.next() => false,
        () = failed.wait() => true,
    };
    drop(status);
    if !globals.quiet && !events {
        say("stopping; once more to stop at once");
    }
    recording::say_what_waits(&running, globals, events);
    let ended = Ended::of(&running);
    let summary = running
        .stop(async {
            signals.next().await;
        })
        .await?;
    recording::conclude(&ended, &summary, settings, globals, events)?;
    if let Some(junit) = junit {
        junit.write(ended.path(), settings, &summary.totals, &warnings_and_errors)?;
    }
    if failed {
        let why = summary.failure.map_or_else(String::new, |failure| format!(": {}", failure.why));
        anyhow::bail!("recording has failed{why} (on_record_error = \"stop\")");
    }
    Ok(ExitCode::from(exit_code::DONE))
}
