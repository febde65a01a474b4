//! `config`: checks and shows the settings; nothing is started.

use std::{io::Write as _, process::ExitCode};

use serde_json::{Map, Value, json};

use super::{Globals, Output, exit_code, output::say};
use crate::config::{Key, Place, Settings, keys};

/// Checks or shows the settings
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Reads the settings as a recording would, with the profile, and shows what they come to
    Check {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Shows what the settings come to, and where each comes from
    Show {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Prints config.example.toml: every key with its meaning and default
    Example,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    match args.what {
        What::Check { json } => {
            let settings = globals.settings()?;
            crate::app::check(&settings)?;
            show(&settings, json, &mut out)?;
            out.flush()?;
            if !globals.quiet {
                say("the settings are in order");
            }
        }
        What::Show { json } => show(&globals.settings()?, json, &mut out)?,
        What::Example => out.write_all(keys::example().as_bytes())?,
    }
    out.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}

/// The settings in force: as a settings file with the origin of each, or as `{"key": {"value", "from"}}`.
fn show(settings: &Settings, json: bool, out: &mut Output) -> anyhow::Result<()> {
    if json {
        let all: Map<String, Value> = keys::all().map(|key| (key.name.to_owned(), entry(key, settings))).collect();
        return Ok(out.json_line(&all)?);
    }
    let mut table = None;
    for key in keys::all() {
        if key.table() != table {
            table = key.table();
            writeln!(out, "\n[{}]", table.unwrap_or_default())?;
        }
        let line = key.line(settings);
        let line = line.trim_end();
        match settings.origin(key.name) {
            Some(place) => writeln!(out, "{line} # from {}", origin(place))?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn entry(key: &Key, settings: &Settings) -> Value {
    let from = settings.origin(key.name).map_or_else(|| "default".to_owned(), origin);
    json!({"value": (key.show)(settings), "from": from})
}

fn origin(place: &Place) -> String {
    match place {
        Place::Option(option) => option.clone(),
        Place::Environment(variable) => (*variable).to_owned(),
        Place::Capture => "capture.json".to_owned(),
        Place::File { path, line } => format!("{}:{line}", path.display()),
    }
}
