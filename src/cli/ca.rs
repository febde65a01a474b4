//! `ca`: being built.

use std::process::ExitCode;

use super::Globals;

/// Our certificate authority: where it is, and in the form that a client wants
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_args: Args, _globals: &Globals) -> anyhow::Result<ExitCode> {
    anyhow::bail!("being built")
}
