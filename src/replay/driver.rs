//! Sends what a plan says, through a proxy of ours, and tells how it went: one task for each connection, a board on which
//! each session's answers, sockets and values are noted, and how late everything was.
//!
//! Nothing of what passes is kept but values that are carried on, and nothing is logged.

mod board;
mod connection;
mod dial;
pub mod lateness;
mod link;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    clock::Clock,
    model::{ExchangeId, SessionId, Timestamp, columns, websocket::opcode},
    profile::{Profile, Refused},
    shutdown::Shutdown,
};

use self::board::Board;
pub use self::lateness::Lateness;
use super::{
    plan::{Act, Plan},
    trail::Trail,
};

/// The proxy that everything goes through.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its forward listener.
    pub forward: SocketAddr,
    /// Its reverse listeners, by mode.
    pub reverse: Vec<(String, SocketAddr)>,
    /// The root that it signs with.
    pub roots: Vec<CertificateDer<'static>>,
}

/// How to drive.
#[derive(Clone, Debug)]
pub struct Options {
    /// What counts as refused, for retries and the outcome.
    pub refused: Refused,
    /// What is known of the API: its gate, and how it refuses messages.
    pub profile: Option<Arc<Profile>>,
    /// Makes fresh ids and keys.
    pub seed: u64,
    /// How long an answer or an OPEN is waited for.
    pub patience: Duration,
    /// How long a message of the server's is waited for.
    pub message_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            refused: Refused::default(),
            profile: None,
            seed: 0,
            patience: Duration::from_secs(30),
            message_patience: Duration::from_secs(5),
        }
    }
}

/// How a replay went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Every request of the plan, in the order of sending; those that were not sent last.
    pub requests: Vec<Sent>,
    /// Every message of the plan that is to be judged: where the profile knows how the API refuses them.
    pub messages: Vec<Message>,
    /// Every connection that was made, for whoever wants to find it in the new capture.
    pub trails: Vec<Trail>,
    /// How late things were sent, by our own fault.
    pub lateness: Lateness,
    /// How far behind its deadline each thing was sent because it waited for the server.
    pub waited: Lateness,
    /// Frames that were sent.
    pub frames: u64,
    /// What went otherwise than in the capture, and how often.
    pub troubles: BTreeMap<String, u64>,
    /// Whether it was told to stop before its end.
    pub stopped: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which, as in the capture.
    pub exchange: ExchangeId,
    /// Its session there.
    pub session: SessionId,
    /// Which copy, from 0.
    pub copy: u32,
    /// Whether it is metadata.
    pub metadata: bool,
    /// When it was sent; `None` where it was not.
    pub at: Option<Timestamp>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Whether that, or that there was none though it was sent, counts as refused.
    pub refused: bool,
    /// How often it was sent.
    pub times: u32,
    /// Its status in the capture.
    pub was: Option<u16>,
}

/// One message on a socket, by one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its socket's exchange, as in the capture.
    pub socket: ExchangeId,
    /// Which copy, from 0.
    pub copy: u32,
    /// Whether it is metadata.
    pub metadata: bool,
    /// What the server said to it; uncounted where it said nothing, or the message was not sent.
    pub outcome: columns::Outcome,
}

/// What all connections share.
struct Shared {
    plan: Arc<Plan>,
    proxy: Proxy,
    options: Options,
    clock: Clock,
    board: Board,
    dialer: dial::Dialer,
    inflight: Option<Arc<Semaphore>>,
}

/// Replays a plan. Ends when everything was sent and answered, or was waited for in vain; or when it is told to stop.
pub async fn run(plan: Arc<Plan>, proxy: Proxy, options: Options, mut stop: Shutdown) -> Outcome {
    let shared = Arc::new(Shared {
        board: Board::new(&plan),
        dialer: dial::Dialer::new(&proxy),
        inflight: plan.max_inflight.map(|most| Arc::new(Semaphore::new(most))),
        clock: Clock::start(),
        plan,
        proxy,
        options,
    });
    let mut tasks = JoinSet::new();
    for run in shared.plan.runs.clone() {
        tasks.spawn(connection::run(Arc::clone(&shared), run));
    }
    let mut outcome = Outcome::default();
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = stop.wait() => {
                outcome.stopped = true;
                break;
            }
        };
        match ended {
            None => break,
            Some(Ok(log)) => outcome.add(log),
            Some(Err(_)) => *outcome.troubles.entry("a connection's task has failed".to_owned()).or_default() += 1,
        }
    }
    tasks.shutdown().await;
    outcome.trails.sort_by_key(|trail| trail.made_ns);
    outcome.requests = requests(&shared);
    outcome.messages = messages(&shared);
    outcome
}

impl Outcome {
    fn add(&mut self, log: connection::Log) {
        self.lateness.add(log.lateness);
        self.waited.add(log.waited);
        self.trails.extend(log.trails);
        self.frames += log.frames;
        for trouble in log.troubles {
            *self.troubles.entry(trouble).or_default() += 1;
        }
    }

    /// Messages to which the server said something, or that it refused with their socket.
    pub fn judged(&self) -> usize {
        self.messages.iter().filter(|message| message.outcome != columns::Outcome::Uncounted).count()
    }

    /// Those of them that it refused.
    pub fn refused_messages(&self) -> usize {
        self.messages.iter().filter(|message| message.outcome == columns::Outcome::Refused).count()
    }

    /// Requests that were sent and refused, or had no answer.
    pub fn refused(&self) -> usize {
        self.requests.iter().filter(|request| request.refused).count()
    }
}

/// What became of every request of the plan.
fn requests(shared: &Shared) -> Vec<Sent> {
    let mut all = Vec::new();
    for run in &shared.plan.runs {
        let Some(planned) = shared.plan.connections.get(run.connection) else { continue };
        for step in &planned.steps {
            let Act::Request(request) = &step.act else { continue };
            let (at, status, times) = shared.board.outcome(run.copy, request.exchange);
            all.push(Sent {
                exchange: request.exchange,
                session: shared.board.session_of(request.exchange),
                copy: run.copy,
                metadata: request.metadata,
                at,
                status,
                refused: at.is_some() && status.is_none_or(|status| shared.options.refused.contains(status)),
                times,
                was: request.was,
            });
        }
    }
    all.sort_by_key(|sent| (sent.at.is_none(), sent.at, sent.copy, sent.exchange));
    all
}

/// What became of every message of the plan, where the profile knows how the API refuses them. One that could not be sent
/// since its socket was refused is refused.
fn messages(shared: &Shared) -> Vec<Message> {
    let knows = shared.options.profile.as_ref().is_some_and(|profile| !profile.error_frames.is_empty());
    let mut all = Vec::new();
    for run in shared.plan.runs.iter().filter(|_| knows) {
        let Some(planned) = shared.plan.connections.get(run.connection) else { continue };
        let copy = run.copy;
        for step in &planned.steps {
            match &step.act {
                Act::Request(request) if request.upgrade => {
                    let said = shared.board.look(copy, request.exchange, |progress| progress.said.clone());
                    let heard = said.into_iter().map(|(metadata, outcome)| Message {
                        socket: request.exchange,
                        copy,
                        metadata,
                        outcome,
                    });
                    all.extend(heard);
                }
                Act::Frame { socket, metadata, opcode: opcode::TEXT | opcode::BINARY, .. } => {
                    let refused = |status| shared.options.refused.contains(status);
                    let is_refused =
                        |progress: &board::Progress| progress.open.is_none() && progress.status.is_some_and(refused);
                    if shared.board.look(copy, *socket, is_refused) {
                        let (socket, metadata) = (*socket, *metadata);
                        all.push(Message { socket, copy, metadata, outcome: columns::Outcome::Refused });
                    }
                }
                _ => {}
            }
        }
    }
    all
}
