//! The simulated API on real sockets: HTTP/1.1 and WebSocket, with TLS or without it on one port. It decides nothing: it
//! reads what clients send, asks [`Api`], waits as long as that says, and writes what that decided.
//!
//! - [`connection`]: one connection, request by request. [`socket`]: what becomes of it after an upgrade.
//! - [`answer`]: a decision as bytes.
//!
//! There is no HTTP library in it: hyper refuses what some causes consist of (bytes behind a body, odd heads) before
//! anybody sees it, and writes heads as it pleases.

mod answer;
mod connection;
mod socket;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::{
    api::{Api, Decision, RefusedBy},
    scenario::Scenario,
};
use crate::{
    ca::Authority,
    clock::Clock,
    shutdown::{self, Shutdown, Trigger},
};

/// Connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_000;

/// What keeps the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening socket could not be had.
    #[error("the lab's API cannot listen on {address}: {source} (hint: port 0 picks a free one)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS for the lab's API: {0}")]
    Tls(#[from] rustls::Error),
}

/// What was asked of it, and what it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests that came whole.
    pub requests: u64,
    /// Answers by status; 0 is the connection closed without one.
    pub statuses: BTreeMap<u16, u64>,
    /// Sockets that were granted.
    pub sockets: u64,
    /// Messages of clients.
    pub messages: u64,
    /// What the plants refused, by plant as it was said; `chance` is the base rate.
    pub refused_by: BTreeMap<String, u64>,
    /// Requests that are none, and those on routes that the API does not have.
    pub strange: u64,
}

/// A simulated API that listens.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Trigger,
    task: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    scenario: Arc<Scenario>,
    clock: Clock,
    api: Mutex<Api>,
    told: Mutex<Told>,
    /// Connections whose sockets can be closed by what happens on others.
    evictable: Mutex<HashMap<u64, Arc<Notify>>>,
    /// The numbers of addresses, in the order in which they were seen.
    addresses: Mutex<BTreeMap<String, u32>>,
    exchanges: AtomicU64,
    acceptor: TlsAcceptor,
}

impl Server {
    /// Starts listening. Must be called within a runtime.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn start(
        scenario: &Arc<Scenario>,
        authority: &Arc<Authority>,
        at: SocketAddr,
        clock: Clock,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: at, source };
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            scenario: Arc::clone(scenario),
            clock,
            api: Mutex::new(Api::new(scenario)),
            told: Mutex::default(),
            evictable: Mutex::default(),
            addresses: Mutex::default(),
            exchanges: AtomicU64::new(0),
            acceptor: acceptor(authority)?,
        });
        let (stop, stopped) = shutdown::channel();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Self { address, shared, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    pub fn told(&self) -> Told {
        self.shared.told().clone()
    }

    /// Closes everything.
    pub async fn stop(self) -> Told {
        self.stop.stop();
        // It can only have panicked, and what it told stands.
        let _ = self.task.await;
        self.shared.told().clone()
    }
}

impl Shared {
    fn now(&self) -> i64 {
        i64::try_from(self.clock.now().0).unwrap_or(i64::MAX)
    }

    fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_exchange(&self) -> u64 {
        self.exchanges.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of an address.
    fn address(&self, name: &str) -> u32 {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.len() as u32;
        *known.entry(name.to_owned()).or_insert(fresh)
    }

    fn evictable(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.evictable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was decided; the sockets that must go because of it are told so.
    fn note(&self, decision: &Decision, is_message: bool) {
        for connection in &decision.evicted {
            if let Some(gone) = self.evictable().get(connection) {
                gone.notify_one();
            }
        }
        let mut told = self.told();
        if is_message {
            told.messages += 1;
        } else {
            told.requests += 1;
            *told.statuses.entry(decision.status).or_default() += 1;
            told.sockets += u64::from(decision.status == 101);
        }
        if let Some(by) = decision.refused_by {
            let name = match by {
                RefusedBy::Chance => "chance".to_owned(),
                RefusedBy::Plant(plant) => self.scenario.plants.get(plant).map(ToString::to_string).unwrap_or_default(),
            };
            *told.refused_by.entry(name).or_default() += 1;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: Shutdown) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => break,
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((tcp, peer, place)) = accepted else {
            // No descriptors, most likely: some will come free.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        number += 1;
        let (shared, number) = (Arc::clone(&shared), number);
        connections.spawn(async move {
            serve(shared, tcp, peer.ip(), number).await;
            drop(place);
        });
    }
    connections.shutdown().await;
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (tcp, peer) = listener.accept().await.ok()?;
    Some((tcp, peer, place))
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream, peer: IpAddr, number: u64) {
    let address = shared.address(&peer.to_string());
    shared.api().connection_opened(number, address, shared.now());
    shared.told().connections += 1;
    let gone = Arc::new(Notify::new());
    shared.evictable().insert(number, Arc::clone(&gone));
    // Wherever this ends, the API must know; also where the task is ended from outside.
    let _ended = Ended { shared: &shared, number };
    connection::serve(&shared, tcp, number, &gone).await;
}

struct Ended<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.shared.evictable().remove(&self.number);
        let now = self.shared.now();
        self.shared.api().connection_closed(self.number, now);
    }
}

fn acceptor(authority: &Arc<Authority>) -> Result<TlsAcceptor, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Leaves(Arc::clone(authority))));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves a certificate for whatever name is asked for; the lab plays any host.
#[derive(Debug)]
struct Leaves(Arc<Authority>);

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Without a name it was an address that was asked for.
        let name = hello.server_name().unwrap_or("127.0.0.1");
        let leaf = self.0.leaf(name, None).inspect_err(|error| tracing::warn!("{error}")).ok()?;
        Some(Arc::clone(leaf.certified_key()))
    }
}
