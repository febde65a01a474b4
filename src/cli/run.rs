//! `run`: being built.

use std::process::ExitCode;

use super::Globals;

/// Runs a command through the proxy and says what happened
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_args: Args, _globals: &Globals) -> anyhow::Result<ExitCode> {
    anyhow::bail!("being built")
}
