//! The command line: one file per subcommand, each with its `Args` and its `run`.
//!
//! A new subcommand is its file, its `mod` line and its line in `commands!`; help follows from the doc comment on
//! its `Args`. Standard output is data, standard error is for people; this is the only module that prints. What a
//! subcommand does beyond reading its arguments and writing its answer belongs to the module that does it.

pub mod exit_code;
pub mod output;
pub mod render;

mod bundle;
mod ca;
mod client;
mod compare;
mod config;
mod control;
mod demo;
mod diagnose;
mod doctor;
mod experiment;
mod export;
mod fail_on;
mod junit;
mod lab;
mod ls;
mod profiles;
mod reading;
mod record;
mod recording;
mod reindex;
mod replay;
mod replaying;
mod run;
mod show;
mod signals;
mod tail;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgAction, Parser, Subcommand};

pub use output::Output;

use crate::config::{Overrides, Problem, Settings};

/// A forensic intercepting proxy for API load tests: records what JMeter and SDK clients really sent and when, and flags
/// what was too early or malformed.
#[derive(Debug, Parser)]
#[command(
    name = "firstframe",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes, before or after its name.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The folder of captures [default: captures] [env: FIRSTFRAME_CAPTURES]
    #[arg(short = 'w', long, global = true, value_name = "DIR")]
    pub captures: Option<PathBuf>,
    /// Which capture: a name in that folder, or a path [default: the newest]
    #[arg(short, long, global = true, value_name = "NAME|DIR")]
    pub capture: Vec<PathBuf>,
    /// A TOML file with settings; see config.example.toml [env: FIRSTFRAME_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is known of the API: a built-in profile's name, or a file [default: generic] [env: FIRSTFRAME_PROFILE]
    #[arg(long, global = true, value_name = "NAME|FILE")]
    pub profile: Option<String>,
    /// Where our certificate authority lives [env: FIRSTFRAME_CA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub ca_dir: Option<PathBuf>,
    /// The key of the fingerprints that stand for secrets [default: one per captures folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub redaction_key: Option<PathBuf>,
    /// Any key of the settings file, repeatable: --set record.max_bytes=5GiB
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Says more on standard error: -v, -vv, -vvv
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Says only errors, and no status line
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Globals {
    /// What these options say, for a subcommand to add its own.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new(self.config.clone());
        overrides.set_path("captures", self.captures.as_deref());
        overrides.set_some("profile", self.profile.as_deref());
        overrides.set_path("ca_dir", self.ca_dir.as_deref());
        overrides.set_path("redaction_key", self.redaction_key.as_deref());
        overrides
    }

    /// The settings, for a subcommand that has no options of its own for them.
    pub fn settings(&self) -> Result<Settings, Problem> {
        self.settings_with(self.overrides())
    }

    /// The settings, with what a subcommand added to [`Self::overrides`]; `--set` comes last.
    pub fn settings_with(&self, mut overrides: Overrides) -> Result<Settings, Problem> {
        for assignment in &self.set {
            overrides.set_text(assignment)?;
        }
        Settings::load(&overrides)
    }

    /// The folder of captures.
    pub fn captures_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.settings()?.captures)
    }
}

macro_rules! commands {
    ($($variant:ident($module:ident)),* $(,)?) => {
        #[derive(Debug, Subcommand)]
        #[expect(clippy::large_enum_variant, reason = "there is one, made once")]
        enum Command {
            $($variant($module::Args),)*
        }

        impl Command {
            fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
                match self {
                    $(Self::$variant(args) => $module::run(args, globals),)*
                }
            }
        }
    };
}

// In the order of help.
commands![
    Demo(demo),
    Run(run),
    Record(record),
    Ls(ls),
    Show(show),
    Tail(tail),
    Diagnose(diagnose),
    Replay(replay),
    Compare(compare),
    Experiment(experiment),
    Export(export),
    Reindex(reindex),
    Verify(verify),
    Ca(ca),
    Config(config),
    Profiles(profiles),
    Doctor(doctor),
    Lab(lab),
];

/// Reads the command line, runs the subcommand, and turns what went wrong into one line and a code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too. A closed pipe is nobody's loss.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit_code::USAGE } else { exit_code::DONE });
        }
    };
    log_to_stderr(&cli.globals);
    cli.command.run(&cli.globals).unwrap_or_else(|error| output::report_failure(&error))
}

/// Levels: error = this run is spoilt, warn = the person should act, info = lifecycle, debug = per connection, trace =
/// per chunk. `FIRSTFRAME_LOG` takes tracing's directives and wins.
fn log_to_stderr(globals: &Globals) {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "firstframe=info,warn",
        (false, 2) => "firstframe=debug,info",
        (false, _) => "trace",
    };
    let filter = std::env::var("FIRSTFRAME_LOG")
        .ok()
        .and_then(|text| tracing_subscriber::EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| tracing_subscriber::EnvFilter::new(level));
    let ansi = output::stderr_is_colourful();
    // Fails only where a test of this process has set one before.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
