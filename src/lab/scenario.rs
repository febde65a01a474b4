//! What runs: who sends what to whom, how fast, over which network, and what is planted. Values alone; what is said on
//! the command line becomes one of these.

use super::{causes::Plant, random::Random, surface::Surface};

/// A second in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
/// A millisecond in nanoseconds.
pub const MILLI: i64 = 1_000_000;

/// Everything about a run. The same scenario gives the same columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The API.
    pub surface: Surface,
    /// What chance begins with.
    pub seed: u64,
    /// How many virtual users there are at once, at most.
    pub agents: u32,
    /// What starts a round.
    pub pace: Pace,
    /// Over how long the agents start.
    pub ramp_ns: i64,
    /// How long rounds are begun; those that have begun end.
    pub duration_ns: i64,
    /// How many rounds an agent makes at most.
    pub rounds: Option<u32>,
    /// Mean pause between two requests of an agent.
    pub think_ns: i64,
    /// Mean time between OPEN, as the client has it, and the metadata.
    pub hold_ns: i64,
    /// What a round consists of.
    pub mix: Mix,
    /// From how many addresses the agents come.
    pub addresses: u32,
    /// How many tokens they share; as many as agents: each has one of its own, and fetches it.
    pub tokens: u32,
    /// Customers that they belong to.
    pub tenants: u32,
    /// Client libraries in use, 1 to 3.
    pub clients: u32,
    /// Whether an agent keeps its HTTP connection from round to round.
    pub keeps_connection: bool,
    /// Whether a client whose socket was refused goes on with what needs it, as JMeter does.
    pub goes_on_without_socket: bool,
    /// The way between proxy and server.
    pub network: Network,
    /// How long the API works.
    pub service: Service,
    /// How much the load swells and ebbs: 0 not at all, 1 from nothing to double.
    pub swell: f64,
    /// Share of requests that the API refuses for no reason at all.
    pub base_refused: f64,
    /// What is wrong.
    pub plants: Vec<Plant>,
}

/// What starts a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// An agent begins its next one when the last one is over: in-flight requests are bounded by the agents.
    Closed,
    /// Users arrive independently of each other, that many a second on average, make one round and go. Where
    /// [`Scenario::agents`] are there already, an arrival is lost.
    Open(f64),
}

/// What a round consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Share of rounds that open a socket and send metadata.
    pub sockets: f64,
    /// Reads in a round.
    pub reads: u32,
    /// Share of rounds that write the agent's document.
    pub writes: f64,
    /// Share of pauses in which a message is sent on the socket.
    pub pings: f64,
}

/// The way between proxy and server. The proxy stands near the clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Round trip.
    pub rtt_ns: i64,
    /// How much the round trips of connections differ: 0.1 is ± 10 %.
    pub spread: f64,
    /// How much each message's way differs: 0.2 is a standard deviation of 20 % of the way.
    pub jitter: f64,
}

/// How long the API works on a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Median.
    pub median_ns: i64,
    /// Of the logarithm: 0.5 is a usual spread.
    pub sigma: f64,
    /// How many times slower it is at its slowest, in waves that are not those of the load; 1 is always the same.
    pub slowest: f64,
    /// How many instances there are behind the address.
    pub instances: u32,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            surface: Surface::Neutral,
            seed: 1,
            agents: 150,
            pace: Pace::Closed,
            ramp_ns: 5 * SECOND,
            duration_ns: 40 * SECOND,
            rounds: None,
            think_ns: 300 * MILLI,
            hold_ns: 20 * MILLI,
            mix: Mix { sockets: 0.7, reads: 4, writes: 0.2, pings: 0.2 },
            addresses: 4,
            tokens: 150,
            tenants: 3,
            clients: 2,
            keeps_connection: false,
            goes_on_without_socket: false,
            network: Network { rtt_ns: 4 * MILLI, spread: 0.05, jitter: 0.1 },
            service: Service { median_ns: 60 * MILLI, sigma: 0.5, slowest: 2.5, instances: 3 },
            swell: 0.5,
            base_refused: 0.0,
            plants: Vec::new(),
        }
    }
}

impl Scenario {
    /// The same without anything planted.
    pub fn without_plants(&self) -> Self {
        Self { plants: Vec::new(), ..self.clone() }
    }

    /// Whether each agent has a token of its own.
    pub fn tokens_are_own(&self) -> bool {
        self.tokens >= self.agents
    }
}

/// How load and service swell and ebb: slow waves with phases by seed.
#[derive(Clone, Debug)]
pub struct Waves {
    parts: Vec<(f64, f64)>,
    duration: f64,
}

impl Waves {
    /// Waves of a run.
    pub fn new(seed: u64, part: u64, duration_ns: i64) -> Self {
        let mut random = Random::new(seed, part);
        // Periods from a tenth of the run to its whole.
        let parts = (0..3).map(|_| (random.between(1.0, 9.0), random.unit())).collect();
        Self { parts, duration: duration_ns.max(1) as f64 }
    }

    /// Between -1 and 1.
    pub fn at(&self, now: i64) -> f64 {
        let along = now as f64 / self.duration;
        let sum: f64 =
            self.parts.iter().map(|(times, phase)| (std::f64::consts::TAU * (times * along + phase)).sin()).sum();
        (sum / 1.8).clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn waves_rise_and_fall_within_bounds() {
        let waves = Waves::new(3, 1, 40 * SECOND);
        let heights: Vec<f64> = (0..400).map(|n| waves.at(n * SECOND / 10)).collect();
        assert!(heights.iter().all(|height| (-1.0..=1.0).contains(height)));
        assert!(heights.iter().any(|height| *height > 0.5) && heights.iter().any(|height| *height < -0.5));
    }
}
