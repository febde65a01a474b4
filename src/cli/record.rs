//! `record`: being built.

use std::process::ExitCode;

use super::Globals;

/// Records until Ctrl-C: the proxy, and nothing else
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_args: Args, _globals: &Globals) -> anyhow::Result<ExitCode> {
    anyhow::bail!("being built")
}
