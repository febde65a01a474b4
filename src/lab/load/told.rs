//! What came of a load: counts that can be looked at while it runs, and a sample for each exchange.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc::UnboundedSender;

/// Times that are kept for quantiles; a load that has more is told by these.
const MOST_TIMES: usize = 2_000_000;

/// How a load stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Agents that have begun and not ended.
    pub agents: u64,
    /// Requests that were answered, or will not be.
    pub requests: u64,
    /// Of them, those with a 4xx, a 5xx, or nothing.
    pub refused: u64,
    /// Sockets that are open.
    pub sockets: u64,
}

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Told {
    /// Agents that ran.
    pub agents: u64,
    /// Users who came when all places were taken, in an open loop.
    pub lost_arrivals: u64,
    /// Connections that stood.
    pub connections: u64,
    /// Why connections did not, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Requests that were sent.
    pub requests: u64,
    /// Answers by status; 0 is none at all.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests by route, and of them those with a 4xx, a 5xx, or nothing.
    pub routes: BTreeMap<String, (u64, u64)>,
    /// Answers that the proxy on the way made itself: these requests got no further.
    pub proxy_made: u64,
    /// Sockets that opened.
    pub sockets_opened: u64,
    /// Upgrades that were refused or not answered.
    pub sockets_refused: u64,
    /// Sockets that the server closed.
    pub sockets_lost: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Messages that came.
    pub messages_received: u64,
    /// From the request's first byte to the answer's last: median, 95th and 99th percentile, greatest.
    pub times_ns: [u64; 4],
}

/// One exchange, as JMeter's log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it began, on the load's clock.
    pub began_ns: i64,
    /// How long it took.
    pub elapsed_ns: i64,
    /// Until the answer's first byte.
    pub latency_ns: i64,
    /// How long making its connection took, where one was made.
    pub connect_ns: i64,
    /// Method and template.
    pub label: String,
    /// The status; 0 where there was none.
    pub status: u16,
    /// What went wrong, where nothing was answered.
    pub failure: String,
    /// The agent's number, from 0.
    pub agent: u32,
    /// Bytes of the request.
    pub sent: u64,
    /// Bytes of the answer, without its head.
    pub received: u64,
}

impl Sample {
    /// Whether a tester would count it as failed.
    pub fn has_failed(&self) -> bool {
        self.status == 0 || self.status >= 400
    }
}

/// Where agents note what happens.
pub(super) struct Board {
    state: Mutex<State>,
    samples: Option<UnboundedSender<Sample>>,
}

#[derive(Default)]
struct State {
    now: Snapshot,
    told: Told,
    times: Vec<u64>,
}

impl Board {
    pub(super) fn new(samples: Option<UnboundedSender<Sample>>) -> Self {
        Self { state: Mutex::default(), samples }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.state().now
    }

    pub(super) fn agent_began(&self) {
        let mut state = self.state();
        state.now.agents += 1;
        state.told.agents += 1;
    }

    pub(super) fn agent_ended(&self) {
        let mut state = self.state();
        state.now.agents = state.now.agents.saturating_sub(1);
    }

    pub(super) fn lost_arrival(&self) {
        self.state().told.lost_arrivals += 1;
    }

    pub(super) fn connected(&self) {
        self.state().told.connections += 1;
    }

    pub(super) fn failed(&self, why: String) {
        *self.state().told.failures.entry(why).or_default() += 1;
    }

    pub(super) fn proxy_made(&self) {
        self.state().told.proxy_made += 1;
    }

    pub(super) fn message(&self) {
        self.state().told.messages += 1;
    }

    pub(super) fn received(&self) {
        self.state().told.messages_received += 1;
    }

    pub(super) fn socket_opened(&self) {
        let mut state = self.state();
        state.told.sockets_opened += 1;
        state.now.sockets += 1;
    }

    pub(super) fn socket_refused(&self) {
        self.state().told.sockets_refused += 1;
    }

    /// A socket that was open is closed.
    pub(super) fn socket_ended(&self, by_server: bool) {
        let mut state = self.state();
        state.now.sockets = state.now.sockets.saturating_sub(1);
        state.told.sockets_lost += u64::from(by_server);
    }

    pub(super) fn exchange(&self, sample: Sample) {
        let has_failed = sample.has_failed();
        let mut state = self.state();
        state.now.requests += 1;
        state.now.refused += u64::from(has_failed);
        state.told.requests += 1;
        *state.told.statuses.entry(sample.status).or_default() += 1;
        if let Some(counts) = state.told.routes.get_mut(&sample.label) {
            counts.0 += 1;
            counts.1 += u64::from(has_failed);
        } else {
            state.told.routes.insert(sample.label.clone(), (1, u64::from(has_failed)));
        }
        if sample.status != 0 && state.times.len() < MOST_TIMES {
            state.times.push(sample.elapsed_ns.max(0).unsigned_abs());
        }
        drop(state);
        if let Some(samples) = &self.samples {
            // Nobody listens any more: nobody misses it.
            let _ = samples.send(sample);
        }
    }

    pub(super) fn told(&self) -> Told {
        let state = self.state();
        let mut times = state.times.clone();
        let mut told = state.told.clone();
        drop(state);
        times.sort_unstable();
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            times.get((share * last as f64).round() as usize).copied().unwrap_or_default()
        };
        told.times_ns = [at(0.5), at(0.95), at(0.99), at(1.0)];
        told
    }
}
