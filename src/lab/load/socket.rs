//! An agent's WebSocket: a task of its own, since it hears while its agent does something else. Pings and Closes are
//! answered when they come.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{
    decode::http1::{
        body::{Asked, response_framing},
        head::Kind as HeadKind,
    },
    lab::{
        agent::Agent,
        surface::Surface,
        wire::{Ears, Heard, Reader, close, pong, text},
    },
    model::Side,
};

use super::{Shared, player::PATIENCE, told::Sample};

/// How long the other side's Close is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// What a socket's task tells its agent.
enum Event {
    Opened,
    Refused,
    Ready,
    Closed,
}

/// What an agent tells its socket's task.
enum Order {
    /// Send a message at that instant.
    Send(Vec<u8>, i64),
    Close,
}

/// The agent's side.
pub(super) struct Socket {
    events: UnboundedReceiver<Event>,
    orders: UnboundedSender<Order>,
}

impl Socket {
    /// Asks for it; the agent does not wait.
    pub(super) fn open(shared: Arc<Shared>, agent: u32, address: u32, request: Vec<u8>, label: String) -> Self {
        let (tell, events) = unbounded_channel();
        let (orders, told) = unbounded_channel();
        let seed = shared.scenario.seed ^ u64::from(agent).rotate_left(32) ^ shared.now().unsigned_abs();
        let task = Task { shared, agent, address, label, tell, orders: told, seed, frames: 0 };
        // It outlives its agent by its Close, and ends by itself.
        tokio::spawn(task.run(request));
        Self { events, orders }
    }

    /// Tells the agent what has happened so far.
    pub(super) fn tell(&mut self, agent: &mut Agent) {
        while let Ok(event) = self.events.try_recv() {
            event.tell(agent);
        }
    }

    /// Waits for the next thing to happen and tells it; whether there was one.
    pub(super) async fn hear(&mut self, agent: &mut Agent) -> bool {
        let event = self.events.recv().await;
        event.inspect(|event| event.tell(agent)).is_some()
    }

    /// Sends a message at that instant.
    pub(super) fn send(&self, message: Vec<u8>, at: i64) {
        // A task that is gone has told so.
        let _ = self.orders.send(Order::Send(message, at));
    }

    /// Closes it.
    pub(super) fn close(self) {
        let _ = self.orders.send(Order::Close);
    }
}

impl Event {
    fn tell(&self, agent: &mut Agent) {
        match self {
            Self::Opened => agent.opened(),
            Self::Refused => agent.not_opened(),
            Self::Ready => agent.ready(),
            Self::Closed => agent.socket_closed(),
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    agent: u32,
    address: u32,
    label: String,
    tell: UnboundedSender<Event>,
    orders: UnboundedReceiver<Order>,
    seed: u64,
    frames: u64,
}

impl Task {
    async fn run(mut self, request: Vec<u8>) {
        let Some(mut reader) = self.upgrade(&request).await else {
            let _ = self.tell.send(Event::Refused);
            self.shared.board.socket_refused();
            return;
        };
        self.shared.board.socket_opened();
        let _ = self.tell.send(Event::Opened);
        let by_server = self.talk(&mut reader).await;
        let _ = self.tell.send(Event::Closed);
        self.shared.board.socket_ended(by_server);
        let _ = timeout(GRACE, reader.stream.shutdown()).await;
    }

    /// The connection, where its upgrade is granted.
    async fn upgrade(&mut self, request: &[u8]) -> Option<Reader> {
        let shared = Arc::clone(&self.shared);
        let asked_ns = shared.now();
        let dialed = shared.dialer.dial(self.address).await;
        let connect_ns = shared.now() - asked_ns;
        let mut sample = Sample {
            began_ns: asked_ns,
            elapsed_ns: connect_ns,
            latency_ns: 0,
            connect_ns,
            label: std::mem::take(&mut self.label),
            status: 0,
            failure: String::new(),
            agent: self.agent,
            sent: request.len() as u64,
            received: 0,
        };
        let mut reader = match dialed {
            Ok(reader) => reader,
            Err(error) => {
                shared.board.failed(error.to_string());
                shared.board.exchange(Sample { failure: error.to_string(), ..sample });
                return None;
            }
        };
        shared.board.connected();
        sample.began_ns = shared.now();
        let answered = timeout(PATIENCE, async {
            reader.stream.write_all(request).await.ok()?;
            reader.stream.flush().await.ok()?;
            let head = reader.head(HeadKind::Response).await.ok()??.head;
            let status = head.status()?;
            if head.header("x-firstframe-error").is_some() {
                shared.board.proxy_made();
            }
            if status != 101 {
                // Read to its end, as a client does that says what it was refused with.
                let body = reader.body(response_framing(&head, Asked::Other).0).await.ok()?;
                return Some((status, body.len()));
            }
            Some((status, 0))
        })
        .await;
        let (status, received) = answered.ok().flatten().unwrap_or_default();
        sample.elapsed_ns = shared.now() - sample.began_ns;
        sample.latency_ns = sample.elapsed_ns;
        sample.status = status;
        sample.received = received as u64;
        shared.board.exchange(sample);
        if status == 101 {
            return Some(reader);
        }
        let _ = timeout(GRACE, reader.stream.shutdown()).await;
        None
    }

    /// Until either side has closed; whether the server did so first.
    async fn talk(&mut self, reader: &mut Reader) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut ears = Ears::new(Side::Server);
        let mut due: VecDeque<(i64, Vec<u8>)> = VecDeque::new();
        loop {
            let next = due.front().map(|(at, _)| *at);
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Send(message, at)) => {
                        // Bytes stay in order.
                        let at = at.max(due.back().map_or(0, |(last, _)| *last));
                        due.push_back((at, message));
                    }
                    // An agent that is gone closes as well.
                    Some(Order::Close) | None => {
                        while let Some((at, message)) = due.pop_front() {
                            shared.until(at).await;
                            self.say(reader, message).await;
                        }
                        self.close(reader, &mut ears).await;
                        return false;
                    }
                },
                () = shared.until(next.unwrap_or_default()), if next.is_some() => {
                    let Some((_, message)) = due.pop_front() else { continue };
                    if !self.say(reader, message).await {
                        return true;
                    }
                }
                bytes = reader.bytes() => {
                    let bytes = bytes.unwrap_or_default();
                    if bytes.is_empty() {
                        return true;
                    }
                    for heard in ears.hear(&bytes, shared.clock.now()) {
                        match heard {
                            Heard::Message(message) => self.received(&message),
                            Heard::Ping(payload) => {
                                let frame = pong(payload, Some(self.mask()));
                                write(reader, &frame).await;
                            }
                            Heard::Close => {
                                let frame = close(1000, Some(self.mask()));
                                write(reader, &frame).await;
                                return true;
                            }
                        }
                    }
                }
            }
        }
    }

    fn received(&self, message: &[u8]) {
        self.shared.board.received();
        let is_gate = self.shared.scenario.surface == Surface::GraphqlTransportWs
            && memchr::memmem::find(message, b"\"connection_ack\"").is_some();
        if is_gate {
            let _ = self.tell.send(Event::Ready);
        }
    }

    async fn say(&mut self, reader: &mut Reader, message: Vec<u8>) -> bool {
        self.shared.board.message();
        let frame = text(message, Some(self.mask()));
        write(reader, &frame).await
    }

    /// Says Close and waits a while for the server to say so too.
    async fn close(&mut self, reader: &mut Reader, ears: &mut Ears) {
        let frame = close(1000, Some(self.mask()));
        if !write(reader, &frame).await {
            return;
        }
        let heard = async {
            loop {
                let bytes = reader.bytes().await.unwrap_or_default();
                if bytes.is_empty() || ears.hear(&bytes, self.shared.clock.now()).contains(&Heard::Close) {
                    return;
                }
            }
        };
        let _ = timeout(GRACE, heard).await;
    }

    /// A masking key. It need not be unguessable: nobody between us and our own proxy is to be confused.
    fn mask(&mut self) -> [u8; 4] {
        self.frames += 1;
        let mixed = (self.seed ^ self.frames).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [a, b, c, d, ..] = (mixed ^ (mixed >> 29)).to_be_bytes();
        [a, b, c, d]
    }
}

async fn write(reader: &mut Reader, bytes: &[u8]) -> bool {
    let written = timeout(PATIENCE, async {
        reader.stream.write_all(bytes).await?;
        reader.stream.flush().await
    });
    matches!(written.await, Ok(Ok(())))
}
