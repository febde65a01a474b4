//! Virtual agents on real sockets: raw bytes for HTTP/1, handshake and frames for WebSocket, through a proxy or straight.
//! It decides nothing: what an agent does next, [`Load`] says; this does it and tells what came back.
//!
//! - [`dial`]: a connection, from the agent's own address. [`player`]: one agent. [`socket`]: its WebSocket.
//! - [`told`]: what came of it, in counts and as samples.
//!
//! No HTTP library: clients that are in the wrong are what the lab is for, and no library sends what they send.

mod dial;
mod player;
mod socket;
mod told;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls_pki_types::CertificateDer;
use tokio::{sync::mpsc::UnboundedSender, task::JoinSet};

use super::{
    agent::Load,
    scenario::{Pace, Scenario},
};
use crate::{clock::Clock, shutdown::Shutdown};

use dial::Dialer;
use told::Board;

pub use told::{Sample, Snapshot, Told};

/// What keeps a load from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS could not be set up.
    #[error("cannot set up TLS for the lab's clients: {0}")]
    Tls(#[from] rustls::Error),
    /// What is to be asked for cannot be.
    #[error("{0:?} cannot be asked for in TLS")]
    Name(String),
}

/// Where a load goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host that is asked for: in CONNECT, `Host` and TLS.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where connections are made to: the proxy, or the server itself.
    pub address: SocketAddr,
    /// Whether that is a proxy.
    pub by_proxy: bool,
    /// What is trusted; nothing: everything, as JMeter does.
    pub roots: Option<Vec<CertificateDer<'static>>>,
}

impl Target {
    /// As `Host` has it: the port is left out where it goes without saying.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

/// A load that can be watched while it runs.
pub struct Running {
    shared: Arc<Shared>,
}

/// What all agents share.
struct Shared {
    scenario: Arc<Scenario>,
    clock: Clock,
    load: Mutex<Load>,
    target: Target,
    authority: String,
    dialer: Dialer,
    board: Board,
}

impl Shared {
    fn now(&self) -> i64 {
        i64::try_from(self.clock.now().0).unwrap_or(i64::MAX)
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, instant: i64) {
        let left = instant.saturating_sub(self.now()).max(0).unsigned_abs();
        tokio::time::sleep(Duration::from_nanos(left)).await;
    }
}

impl Running {
    /// Prepares a load. Its time is that of `clock`, from zero on. Each exchange is told to `samples`, where somebody
    /// listens.
    ///
    /// # Errors
    /// Where TLS cannot be set up for the target.
    pub fn new(
        scenario: &Arc<Scenario>,
        target: Target,
        clock: Clock,
        samples: Option<UnboundedSender<Sample>>,
    ) -> Result<Self, Error> {
        let shared = Shared {
            load: Mutex::new(Load::new(scenario)),
            dialer: Dialer::new(&target)?,
            authority: target.authority(),
            target,
            clock,
            scenario: Arc::clone(scenario),
            board: Board::new(samples),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.board.snapshot()
    }

    /// Runs it to its end, or until it is told to stop: then what is under way is dropped.
    pub async fn run(&self, mut stop: Shutdown) -> Told {
        let mut agents = JoinSet::new();
        let all = async {
            match self.shared.scenario.pace {
                Pace::Closed => self.closed(&mut agents).await,
                Pace::Open(_) => self.open(&mut agents).await,
            }
        };
        tokio::select! {
            () = all => {}
            () = stop.wait() => {}
        }
        agents.shutdown().await;
        self.shared.board.told()
    }

    /// All agents are there from the ramp's end on.
    async fn closed(&self, agents: &mut JoinSet<()>) {
        for number in 0..self.shared.scenario.agents {
            let shared = Arc::clone(&self.shared);
            let start = shared.load().start_of(number);
            agents.spawn(async move {
                shared.until(start).await;
                player::play(shared, number).await;
            });
        }
        while agents.join_next().await.is_some() {}
    }

    /// Users arrive, make a round and go; where too many are there, an arrival is lost.
    async fn open(&self, agents: &mut JoinSet<()>) {
        let shared = &self.shared;
        let most = shared.scenario.agents as usize;
        let mut due = 0;
        let mut number = 0;
        while due < shared.scenario.duration_ns {
            let Some(after) = shared.load().next_arrival(due) else { break };
            due += after;
            shared.until(due).await;
            while agents.try_join_next().is_some() {}
            if agents.len() < most {
                agents.spawn(player::play(Arc::clone(shared), number));
                number += 1;
            } else {
                shared.board.lost_arrival();
            }
        }
        while agents.join_next().await.is_some() {}
    }
}
