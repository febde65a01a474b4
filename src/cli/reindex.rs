//! `reindex`: being built.

use std::process::ExitCode;

use super::Globals;

/// Derives tables and catalogue again from the evidence
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_args: Args, _globals: &Globals) -> anyhow::Result<ExitCode> {
    anyhow::bail!("being built")
}
