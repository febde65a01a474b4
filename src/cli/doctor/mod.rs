//! `doctor`: says whether it will work here, and what to do if not. Each check is one function; none changes anything
//! that stays.

mod jmeter;
mod machine;
mod servers;

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use serde::Serialize;

use super::{Globals, Output, exit_code, output::Usage};

/// Says whether it will work here, and what to do if not
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// A server that must be reached, repeatable: HOST, HOST:PORT, or a URL; those of reverse modes and of --connect-to are
    /// tried anyway
    #[arg(long, value_name = "SERVER")]
    to: Vec<String>,
    /// The command that is to be run through the proxy, such as jmeter
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// It will not work.
    Fail,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What to do; `None` where nothing is to be done.
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), advice: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let settings = globals.settings()?;
    let read = |text: &String| servers::parse(text).map_err(|why| Usage(format!("--to {text:?}: {why}")));
    let named = args.to.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut checks = vec![
        machine::settings(&settings),
        machine::roots(),
        machine::authority(&settings),
        machine::port(&settings, !args.command.is_empty()),
        machine::captures(&settings),
        machine::disk(&settings),
        machine::descriptors(),
        machine::clock(),
        machine::kernel_stamps(),
        machine::environment(|name| std::env::var(name).ok()),
    ];
    checks.extend(servers::checks(&settings, &named));
    checks.extend(jmeter::checks(&args.command));
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    let mut out = Output::stdout();
    if args.json {
        out.json_line(&serde_json::json!({"ok": !failed, "checks": checks}))?;
    } else {
        for check in &checks {
            print(check, &mut out)?;
        }
        out.flush()?;
    }
    Ok(ExitCode::from(if failed { exit_code::FAILED } else { exit_code::DONE }))
}

fn print(check: &Check, out: &mut Output) -> std::io::Result<()> {
    let (word, colour) = match check.status {
        Status::Ok => ("ok  ", "32"),
        Status::Warn => ("warn", "33"),
        Status::Fail => ("FAIL", "31"),
    };
    if out.is_colourful() {
        write!(out, "\x1b[{colour}m{word}\x1b[0m")?;
    } else {
        write!(out, "{word}")?;
    }
    writeln!(out, "  {:<12} {}", check.name, check.found)?;
    if let Some(advice) = &check.advice {
        writeln!(out, "      {:<12} -> {advice}", "")?;
    }
    Ok(())
}
