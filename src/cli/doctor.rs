//! `doctor`: being built.

use std::process::ExitCode;

use super::Globals;

/// Says whether it will work here, and what to do if not
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_args: Args, _globals: &Globals) -> anyhow::Result<ExitCode> {
    anyhow::bail!("being built")
}
