//! `lab`: a simulated API and a load in which causes are planted: what there is, one run in virtual time, and how well
//! they are found.

mod evaluate;
mod list;
pub(super) mod scenario;
mod simulate;

use std::process::ExitCode;

use super::{Globals, Output};

/// A simulated API and a load in which causes of refusals can be planted, alone or together
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the causes that can be planted, with their parameters
    List(list::Args),
    /// Makes one run in virtual time, and says what a capture of it would hold
    Simulate(Box<simulate::Args>),
    /// Plants each cause many times on several loads, and says how often it was found
    Evaluate(evaluate::Args),
}

/// Runs it.
pub(super) fn run(args: Args, _: &Globals) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    match args.what {
        What::List(args) => list::run(&args, &mut out),
        What::Simulate(args) => simulate::run(&args, &mut out),
        What::Evaluate(args) => evaluate::run(&args, &mut out),
    }
}
