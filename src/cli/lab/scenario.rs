//! The options that say what runs, shared by all that runs it: in virtual time or over sockets.

use crate::{
    cli::output::Usage,
    lab::{
        causes::{Plant, read_duration},
        scenario::{Mix, Network, Pace, Scenario, Service},
        surface::Surface,
    },
};

/// What runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What runs")]
pub(in crate::cli) struct ScenarioArgs {
    /// Whose API is simulated: neutral, genesys-cloud or graphql-transport-ws
    #[arg(long, visible_alias = "surface", value_name = "NAME", default_value = "neutral")]
    api: String,
    /// A cause to plant, repeatable: ID[:NAME=VALUE,…]; `firstframe lab list` has them
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// Virtual users at once
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    agents: u32,
    /// Over how long they start
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    ramp: i64,
    /// How long rounds are begun
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = duration)]
    duration: i64,
    /// Rounds of each user at most [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Open loop: so many users a second arrive, make one round and go [default: closed loop]
    #[arg(long, value_name = "RATE")]
    arrivals: Option<f64>,
    /// Mean pause between a user's requests
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = duration)]
    think: i64,
    /// Mean time between OPEN and metadata
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = duration)]
    hold: i64,
    /// Reads in a round
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=1000))]
    reads: u32,
    /// Share of rounds with a socket and metadata
    #[arg(long, value_name = "SHARE", default_value_t = 0.7, value_parser = share)]
    sockets: f64,
    /// Share of rounds that write a document
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    writes: f64,
    /// Addresses that the users come from
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    addresses: u32,
    /// Tokens that they share [default: each has its own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: Option<u32>,
    /// Customers that they belong to
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tenants: u32,
    /// Keep HTTP connections from round to round
    #[arg(long)]
    keep_connections: bool,
    /// Go on without a socket where it was refused, as JMeter does
    #[arg(long)]
    go_on_without_socket: bool,
    /// Round trip between proxy and API; virtual time alone
    #[arg(long, value_name = "TIME", default_value = "4ms", value_parser = duration)]
    rtt: i64,
    /// Standard deviation of a message's way, as a share of it; virtual time alone
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    jitter: f64,
    /// Median time that the API works on a request
    #[arg(long, value_name = "TIME", default_value = "60ms", value_parser = duration)]
    service: i64,
    /// Share of requests that the API refuses for no reason
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    base_refused: f64,
    /// How much the load swells and ebbs
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    swell: f64,
    /// What chance begins with: the same seed, the same run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl ScenarioArgs {
    /// The scenario that they say.
    pub(in crate::cli) fn scenario(&self) -> Result<Scenario, Usage> {
        let plants: Result<Vec<Plant>, _> = self.cause.iter().map(|text| Plant::parse(text)).collect();
        let pace = match self.arrivals {
            None => Pace::Closed,
            Some(rate) if rate > 0.0 && rate <= 100_000.0 => Pace::Open(rate),
            Some(rate) => return Err(Usage(format!("--arrivals is {rate}: allowed is more than 0, at most 100000"))),
        };
        Ok(Scenario {
            surface: surface(&self.api)?,
            seed: self.seed,
            agents: self.agents,
            pace,
            ramp_ns: self.ramp,
            duration_ns: self.duration,
            rounds: self.rounds,
            think_ns: self.think,
            hold_ns: self.hold,
            mix: Mix { sockets: self.sockets, reads: self.reads, writes: self.writes, pings: 0.2 },
            addresses: self.addresses,
            tokens: self.tokens.unwrap_or(self.agents),
            tenants: self.tenants,
            clients: 2,
            keeps_connection: self.keep_connections,
            goes_on_without_socket: self.go_on_without_socket,
            network: Network { rtt_ns: self.rtt, spread: 0.05, jitter: self.jitter },
            service: Service { median_ns: self.service, ..Scenario::default().service },
            swell: self.swell,
            base_refused: self.base_refused,
            plants: plants.map_err(|error| Usage(error.to_string()))?,
        })
    }
}

/// The surface of that name.
pub(in crate::cli) fn surface(name: &str) -> Result<Surface, Usage> {
    Surface::ALL.into_iter().find(|surface| surface.name() == name).ok_or_else(|| {
        let allowed: Vec<&str> = Surface::ALL.iter().map(|surface| surface.name()).collect();
        Usage(format!("--api is {name:?}: allowed are {}", allowed.join(", ")))
    })
}

fn duration(text: &str) -> Result<i64, String> {
    read_duration(text).ok_or_else(|| "allowed are durations such as 250us, 80ms, 1.5s, 2min, below a day".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "allowed is a share from 0 to 1".to_owned())
}
