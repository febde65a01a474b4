//! One agent at play: it is asked what it does next, that is done, and it is told what came of it.

use std::{io, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    decode::http1::{
        body::{Asked, response_framing},
        head::Kind as HeadKind,
    },
    lab::{
        agent::{Action, Agent},
        api::Answer,
        causes::Plant,
        request::{Ending, Kind, Request},
        wire::{Broken, Reader},
    },
    model::http::Framing,
};

use super::{Shared, dial, socket::Socket, told::Sample};

/// How long an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client that gives up has waited.
const GIVES_UP: Duration = Duration::from_millis(25);

struct Player {
    shared: Arc<Shared>,
    address: u32,
    number: u32,
    http: Option<Reader>,
    socket: Option<Socket>,
}

/// What came on the HTTP connection.
struct Came {
    answer: Answer,
    first_ns: i64,
    body_bytes: u64,
}

/// Plays one agent to its end.
pub(super) async fn play(shared: Arc<Shared>, number: u32) {
    let mut agent = shared.load().agent(number);
    let mut player =
        Player { address: agent.who.address, number, http: None, socket: None, shared: Arc::clone(&shared) };
    shared.board.agent_began();
    // Also where it is ended from outside.
    let _ended = Ended(&shared);
    loop {
        if let Some(socket) = &mut player.socket {
            socket.tell(&mut agent);
        }
        let action = shared.load().next(&mut agent, shared.now());
        match action {
            Action::Send(request) => {
                let answer = player.send(&mut agent, request).await;
                shared.load().answered(&mut agent, &answer);
            }
            Action::Open(request) => {
                let bytes = player.bytes(&request);
                let label = player.label(request.kind);
                player.socket = Some(Socket::open(Arc::clone(&shared), number, player.address, bytes, label));
            }
            action @ (Action::AwaitOpen | Action::AwaitReady) => player.await_socket(&mut agent, &action).await,
            Action::Message(request, late_ns) => {
                if let Some(socket) = &player.socket {
                    socket.send(request.body, shared.now().saturating_add(late_ns));
                }
            }
            Action::Wait(until) => shared.until(until).await,
            Action::CloseSocket => {
                if let Some(socket) = player.socket.take() {
                    socket.close();
                }
            }
            Action::CloseConnection => player.close_http(),
            Action::Done => break,
        }
    }
    if let Some(socket) = player.socket.take() {
        socket.close();
    }
    player.close_http();
}

struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.board.agent_ended();
    }
}

impl Player {
    fn label(&self, kind: Kind) -> String {
        self.shared.scenario.surface.route(kind)
    }

    /// What is written, with the host that is really asked for, and the address where only the client can tell it.
    fn bytes(&self, request: &Request) -> Vec<u8> {
        let mut request = request.clone();
        request.set_header("Host", self.shared.authority.clone());
        if counts_addresses(&self.shared) {
            request.set_header("X-Forwarded-For", dial::own_address(self.address).to_string());
        }
        request.bytes()
    }

    async fn await_socket(&mut self, agent: &mut Agent, action: &Action) {
        let waiting = async {
            while agent.awaits(action) {
                let Some(socket) = &mut self.socket else { break };
                if !socket.hear(agent).await {
                    break;
                }
            }
        };
        let in_time = timeout(PATIENCE, waiting).await.is_ok();
        if agent.awaits(action) {
            if !in_time {
                self.shared.board.failed("a socket was not open or ready in time".to_owned());
            }
            agent.not_opened();
            agent.socket_closed();
        }
    }

    async fn send(&mut self, agent: &mut Agent, request: Request) -> Answer {
        let bytes = self.bytes(&request);
        let mut connect_ns = 0;
        let mut http = match self.http.take() {
            Some(http) => http,
            None => {
                let began = self.shared.now();
                let dialed = self.shared.dialer.dial(self.address).await;
                connect_ns = self.shared.now() - began;
                match dialed {
                    Ok(http) => {
                        self.shared.board.connected();
                        http
                    }
                    Err(error) => {
                        self.shared.board.failed(error.to_string());
                        let failed = Answer { closed: true, ..Answer::default() };
                        self.note(&request, bytes.len(), (began, connect_ns), None, error.to_string());
                        return failed;
                    }
                }
            }
        };
        let began = self.shared.now();
        let came = match request.ending {
            Ending::Abort(_) => abort(&mut http, &bytes).await,
            _ => timeout(PATIENCE, ask(&self.shared, &mut http, &request, &bytes))
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())),
        };
        match came {
            Ok(came) => {
                self.note(&request, bytes.len(), (began, connect_ns), Some(&came), String::new());
                if came.answer.closed {
                    hang_up(http);
                } else {
                    self.http = Some(http);
                }
                came.answer
            }
            Err(broken) => {
                self.note(&request, bytes.len(), (began, connect_ns), None, broken.to_string());
                // What the socket heard meanwhile still counts.
                if let Some(socket) = &mut self.socket {
                    socket.tell(agent);
                }
                Answer { closed: true, ..Answer::default() }
            }
        }
    }

    fn note(&self, request: &Request, sent: usize, times: (i64, i64), came: Option<&Came>, failure: String) {
        let now = self.shared.now();
        let (began_ns, connect_ns) = times;
        self.shared.board.exchange(Sample {
            began_ns,
            elapsed_ns: now - began_ns,
            latency_ns: came.map_or(0, |came| came.first_ns - began_ns),
            connect_ns,
            label: self.label(request.kind),
            status: came.map_or(0, |came| came.answer.status),
            failure,
            agent: self.number,
            sent: sent as u64,
            received: came.map_or(0, |came| came.body_bytes),
        });
    }

    fn close_http(&mut self) {
        if let Some(http) = self.http.take() {
            hang_up(http);
        }
    }
}

/// Sends a request and reads its answer.
async fn ask(shared: &Shared, http: &mut Reader, request: &Request, bytes: &[u8]) -> Result<Came, Broken> {
    // A server that has ended may refuse the bytes; what it said before is still there to be read.
    let written = async {
        http.stream.write_all(bytes).await?;
        http.stream.flush().await
    }
    .await;
    let head = loop {
        let found = http.head(HeadKind::Response).await?;
        let head = match (found, &written) {
            (Some(found), _) => found.head,
            (None, Ok(())) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            (None, Err(error)) => return Err(io::Error::from(error.kind()).into()),
        };
        if !matches!(head.status(), Some(100 | 102..=199)) {
            break head;
        }
    };
    let first_ns = shared.now();
    if head.header("x-firstframe-error").is_some() {
        shared.board.proxy_made();
    }
    let asked = if request.method == "HEAD" { Asked::Head } else { Asked::Other };
    let (framing, _) = response_framing(&head, asked);
    let body = http.body(framing).await?;
    let etag = head.header("etag").map(|value| String::from_utf8_lossy(value).into_owned());
    let id = (request.kind == Kind::Channel).then(|| id_of(&body)).flatten();
    let closed = head.has_token("connection", "close") || framing == Framing::UntilClose;
    let answer = Answer { status: head.status().unwrap_or_default(), id, etag, closed };
    Ok(Came { answer, first_ns, body_bytes: body.len() as u64 })
}

/// Ends a connection in order, without holding anybody up.
fn hang_up(mut http: Reader) {
    tokio::spawn(async move {
        let _ = timeout(PATIENCE, http.stream.shutdown()).await;
    });
}

/// Writes what there is, waits a little, and is gone.
async fn abort(http: &mut Reader, bytes: &[u8]) -> Result<Came, Broken> {
    http.stream.write_all(bytes).await?;
    http.stream.flush().await?;
    tokio::time::sleep(GIVES_UP).await;
    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
}

/// Whether the API counts by address: behind a proxy it can only be told.
fn counts_addresses(shared: &Shared) -> bool {
    let by_address = |plant: &Plant| {
        plant.info.parameters.iter().any(|parameter| parameter.name == "per") && plant.word("per") == "address"
    };
    shared.target.by_proxy && shared.scenario.plants.iter().any(by_address)
}

/// `"id"` of a JSON object.
fn id_of(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.get("id")?.as_str().map(str::to_owned)
}
