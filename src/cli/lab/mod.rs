//! `lab`: a simulated API and a load in which causes are planted: what there is, one run in virtual time, one over real
//! sockets, and how well they are found.

mod accuracy;
mod evaluate;
mod list;
mod load;
pub(super) mod rig;
mod run;
pub(super) mod scenario;
mod serve;
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
    /// Serves the simulated API over HTTPS and WebSocket, for a plan of your own
    Serve(Box<serve::Args>),
    /// Lets virtual agents loose on a server, through a proxy or straight
    Load(Box<load::Args>),
    /// Runs API and agents through the proxy, records, diagnoses, and compares with what was planted
    Run(Box<run::Args>),
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    match args.what {
        What::List(args) => list::run(&args, &mut out),
        What::Simulate(args) => simulate::run(&args, &mut out),
        What::Evaluate(args) => evaluate::run(&args, &mut out),
        What::Serve(args) => serve::run(&args, globals),
        What::Load(args) => load::run(&args, globals),
        What::Run(args) => run::run(&args, globals),
    }
}
