//! The listeners: accept, limit, drain. A failing accept is survived: it is the connections that free what it lacks.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Error, Mode, Options,
    connection::{Entry, Shared, serve},
    destination::Dialer,
    rewrite::Rules,
    tls,
};
use crate::{ca::Authority, record::Tap, shutdown::Shutdown};

/// Connections that the kernel completes while we are busy. It takes the smaller of this and its own limit.
const BACKLOG: i32 = 4096;
/// How long we wait after a failed accept, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The proxy, listening.
pub struct Proxy {
    listeners: Vec<(TcpListener, Arc<Entry>)>,
    listening: Vec<Listening>,
    shared: Arc<Shared>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The mode as it is shown: `forward`, `reverse:https://api.test:443`.
    pub mode: String,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Proxy {
    /// Listens for every mode. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Where an address cannot be had, or an option is of no use.
    pub fn bind(options: Options, tap: Tap, authority: Arc<Authority>) -> Result<Self, Error> {
        let tls = tls::Shared::new(&options, authority)?;
        let (mut listeners, mut listening) = (Vec::new(), Vec::<Listening>::new());
        let forward = Arc::new(Rules::forward(&options));
        let tunnel = Arc::new(Rules::tunnel(&options));
        let mut default_port = Some(options.listen_port);
        for mode in &options.modes {
            let (own, rules) = match mode {
                Mode::Forward => (None, Arc::clone(&tunnel)),
                Mode::Reverse { tls, server, listen_port } => {
                    (*listen_port, Arc::new(Rules::reverse(&options, server, *tls)))
                }
            };
            let port = own.unwrap_or_else(|| default_port.take().unwrap_or(0));
            let shown = mode.to_string();
            let listener = listen(&options.listen_host, port, &shown, &listening)?;
            let address = listener.local_addr().map_err(|source| Error::Listen {
                address: options.listen_host.clone(),
                mode: shown.clone(),
                source,
            })?;
            tracing::info!("listening on {address} ({shown})");
            listening.push(Listening { mode: shown.clone(), address });
            let entry = Entry { mode: mode.clone(), shown, rules, forward: Arc::clone(&forward) };
            listeners.push((listener, Arc::new(entry)));
        }
        let dialer = Dialer::new(&options);
        let shared = Arc::new(Shared { tap, dialer, tls, options, open: AtomicUsize::new(0) });
        Ok(Self { listeners, listening, shared })
    }

    /// Where it listens, in the order of the modes.
    pub fn addresses(&self) -> &[Listening] {
        &self.listening
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.open.load(Relaxed)
    }

    /// Accepts and serves until it is told to stop. Open connections then get `drain`; what is left is cut off.
    pub async fn run(self, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(self.shared.options.max_connections.min(Semaphore::MAX_PERMITS)));
        let mut loops = JoinSet::new();
        for (listener, entry) in self.listeners {
            let (shared, permits) = (Arc::clone(&self.shared), Arc::clone(&permits));
            loops.spawn(accept(listener, entry, shared, permits, shutdown.clone()));
        }
        while loops.join_next().await.is_some() {}
    }
}

fn listen(host: &str, port: u16, mode: &str, taken: &[Listening]) -> Result<TcpListener, Error> {
    let error = |source| Error::Listen { address: format!("{host}:{port}"), mode: mode.into(), source };
    let nowhere = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    let address = (host, port).to_socket_addrs().map_err(error)?.next().ok_or_else(|| error(nowhere()))?;
    if let Some(other) = taken.iter().find(|other| port != 0 && other.address == address) {
        return Err(Error::SamePort { first: other.mode.clone(), second: mode.into(), address });
    }
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // On Windows this would let others take the port over.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        super::socket::prepare_listener(&socket);
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(error)
}

async fn accept(
    listener: TcpListener,
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    mut shutdown: Shutdown,
) {
    let mut connections = JoinSet::new();
    let mut permit: Option<OwnedSemaphorePermit> = None;
    let mut backoff = BACKOFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            free = Arc::clone(&permits).acquire_owned(), if permit.is_none() => {
                permit = free.ok();
                if permit.is_none() {
                    break;
                }
                continue;
            }
            accepted = listener.accept(), if permit.is_some() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                backoff = BACKOFF.0;
                let permit = permit.take();
                let (shared, entry) = (Arc::clone(&shared), Arc::clone(&entry));
                // Here: the task may wait for its turn.
                let at = shared.tap.clock().now();
                connections.spawn(async move {
                    serve(shared, entry, stream, client, at).await;
                    drop(permit);
                });
            }
            // The client was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(%error, mode = entry.shown, "cannot accept connections for the moment");
                }
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
    drop(listener);
    let draining = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.options.drain, draining).await.is_err() {
        connections.abort_all();
        while connections.join_next().await.is_some() {}
    }
}
