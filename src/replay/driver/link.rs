//! One connection that stands: its two halves, what is said on it, and noting that on the board. Pings and Closes of the
//! server's are answered when they come, whatever the capture says.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    model::{ExchangeId, Side, Timestamp, trace::Chunk, websocket::opcode},
    profile::Gate,
    query::Says,
    replay::{
        conversation::{Conversation, Heard},
        edit::reframe,
        values,
    },
};

use super::{
    Shared,
    dial::{Dialed, Stream},
};

/// What is read at once.
const READ: usize = 64 << 10;

/// A connection that stands.
pub(super) struct Link {
    ears: Arc<Ears>,
    reader: JoinHandle<()>,
    socket: Option<socket2::Socket>,
}

/// What both directions share.
struct Ears {
    shared: Arc<Shared>,
    copy: u32,
    writer: tokio::sync::Mutex<WriteHalf<Box<dyn Stream>>>,
    talk: Mutex<Talk>,
    /// Set once the server has ended.
    over: watch::Sender<bool>,
    /// Whether a Close of ours went out.
    closing: AtomicBool,
}

struct Talk {
    conversation: Conversation,
    from_client: u64,
    from_server: u64,
    /// Which exchange is the connection's request of that number.
    exchanges: BTreeMap<u32, ExchangeId>,
    /// The exchange that is being sent.
    sending: Option<ExchangeId>,
    socket: Option<ExchangeId>,
    /// Whether what is being said is metadata.
    metadata: bool,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, copy: u32, dialed: Dialed) -> Self {
        let (reader, writer) = tokio::io::split(dialed.stream);
        let talk = Talk {
            conversation: Conversation::new(),
            from_client: 0,
            from_server: 0,
            exchanges: BTreeMap::new(),
            sending: None,
            socket: None,
            metadata: false,
        };
        let ears = Arc::new(Ears {
            shared,
            copy,
            writer: tokio::sync::Mutex::new(writer),
            talk: Mutex::new(talk),
            over: watch::Sender::new(false),
            closing: AtomicBool::new(false),
        });
        let reader = tokio::spawn(read(Arc::clone(&ears), reader));
        Self { ears, reader, socket: dialed.socket }
    }

    /// Whether the server has ended.
    pub(super) fn is_over(&self) -> bool {
        *self.ears.over.borrow()
    }

    /// Returns once the server has ended.
    pub(super) async fn ended(&self) {
        let mut over = self.ears.over.subscribe();
        let _ = over.wait_for(|over| *over).await;
    }

    /// The following bytes are that exchange's request.
    pub(super) fn begin(&self, exchange: ExchangeId) {
        self.ears.talk.lock().unwrap_or_else(PoisonError::into_inner).sending = Some(exchange);
    }

    /// Writes bytes; when the write began. The clock is read just before.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<Timestamp> {
        self.ears.write(bytes).await
    }

    /// The following frames are a message.
    pub(super) fn says(&self, metadata: bool) {
        self.ears.talk.lock().unwrap_or_else(PoisonError::into_inner).metadata = metadata;
    }

    /// A Close of the client's is on its way.
    pub(super) fn closing(&self) {
        self.ears.closing.store(true, Ordering::Relaxed);
    }

    /// Ends our side in order.
    pub(super) async fn shutdown(&self) {
        let _ = self.ears.writer.lock().await.shutdown().await;
    }

    /// Ends the connection: by a reset, or as it stands.
    pub(super) fn drop_hard(mut self, reset: bool) {
        if let Some(socket) = self.socket.take().filter(|_| reset) {
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
        self.ears.finish();
    }
}

impl Ears {
    async fn write(&self, bytes: &[u8]) -> io::Result<Timestamp> {
        let mut writer = self.writer.lock().await;
        let begun = self.shared.clock.now();
        // Heard before it is sent, so that no answer comes before its request.
        self.hear(Side::Client, bytes, begun);
        writer.write_all(bytes).await?;
        writer.flush().await?;
        Ok(begun)
    }

    /// Hears bytes; gives frames that are to be answered.
    fn hear(&self, from: Side, bytes: &[u8], at: Timestamp) -> Vec<(u8, Vec<u8>)> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heard = Vec::new();
        let passed = if from == Side::Client { &mut talk.from_client } else { &mut talk.from_server };
        let offset = *passed;
        *passed += bytes.len() as u64;
        talk.conversation.push(&Chunk { from, offset, arrived: None, read: at, bytes }, &mut heard);
        self.note(&mut talk, heard, at)
    }

    fn note(&self, talk: &mut Talk, heard: Vec<Heard>, at: Timestamp) -> Vec<(u8, Vec<u8>)> {
        let board = &self.shared.board;
        let mut answers = Vec::new();
        for heard in heard {
            match heard {
                Heard::Request { n, .. } => {
                    // What follows a body may look like a request: it is none of the plan's.
                    if let Some(exchange) = talk.sending.take() {
                        talk.exchanges.insert(n, exchange);
                    }
                }
                Heard::RequestEnded { .. } => {}
                Heard::Answered { n, head, body, .. } => {
                    let Some(exchange) = talk.exchanges.get(&n).copied() else { continue };
                    let status = head.as_ref().and_then(|head| head.status());
                    let issued =
                        head.as_ref().filter(|_| self.is_wanted(exchange)).map(|head| values::in_answer(head, &body));
                    board.note(self.copy, exchange, |progress| {
                        progress.status = status;
                        progress.answered = Some(at);
                        progress.permit = None;
                        if status != Some(101) {
                            progress.over = Some(at);
                        }
                        values::learn(issued.unwrap_or_default(), &mut progress.values);
                    });
                }
                Heard::Open { n, deflate } => {
                    talk.socket = talk.exchanges.get(&n).copied();
                    if let Some(socket) = talk.socket {
                        let ready = self.gate().is_none_or(|gate| matches!(gate, Gate::Open));
                        board.note(self.copy, socket, |progress| {
                            progress.open = Some(at);
                            progress.deflate = deflate;
                            progress.ready = progress.ready.or_else(|| ready.then_some(at));
                        });
                    }
                }
                Heard::Frame(frame) if frame.range.from == Side::Server => {
                    let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    let refuses = |code| self.shared.options.profile.as_ref().is_some_and(|it| it.refuses_by(code));
                    // A Close that answers the client's own refuses nothing.
                    let first = !self.closing.load(Ordering::Relaxed);
                    let is_refusal = frame.opcode == opcode::CLOSE && first && code.is_some_and(refuses);
                    match frame.opcode {
                        opcode::PING => answers.push((opcode::PONG, frame.payload)),
                        opcode::CLOSE if !self.closing.swap(true, Ordering::Relaxed) => {
                            answers.push((opcode::CLOSE, frame.payload));
                        }
                        _ => {}
                    }
                    let opens = matches!(self.gate(), Some(Gate::FirstServerFrame));
                    let says = if is_refusal { Says::Close } else { Says::Something };
                    if let Some(socket) = talk.socket {
                        board.note(self.copy, socket, |progress| {
                            progress.ready = progress.ready.or_else(|| opens.then_some(at));
                            progress.hears(says);
                        });
                    }
                }
                Heard::Frame(_) => {}
                Heard::Said { .. } => {
                    if let Some(socket) = talk.socket {
                        board.note(self.copy, socket, |progress| progress.says(talk.metadata));
                    }
                }
                Heard::Message { text, .. } => {
                    let Some(socket) = talk.socket else { continue };
                    let text = text.unwrap_or_default();
                    let ready = matches!(self.gate(), Some(Gate::Frame(matcher)) if matcher.matches(&text));
                    let error = self.shared.options.profile.as_ref().is_some_and(|profile| profile.is_error(&text));
                    let wanted = self.is_wanted(socket);
                    board.note(self.copy, socket, |progress| {
                        if wanted {
                            values::learn(values::in_message(progress.messages.len(), &text), &mut progress.values);
                        }
                        progress.messages.push(at);
                        progress.hears(Says::Message { error });
                        progress.ready = progress.ready.or_else(|| ready.then_some(at));
                    });
                }
            }
        }
        answers
    }

    fn gate(&self) -> Option<&Gate> {
        self.shared.options.profile.as_ref().map(|profile| &profile.gate)
    }

    /// Whether anybody carries on what that exchange issues.
    fn is_wanted(&self, exchange: ExchangeId) -> bool {
        self.shared.board.is_wanted(exchange)
    }

    /// Nothing more comes: whoever waits is told.
    fn finish(&self) {
        let at = self.shared.clock.now();
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heard = Vec::new();
        for side in [Side::Server, Side::Client] {
            talk.conversation.end(side, at, &mut heard);
        }
        self.note(&mut talk, heard, at);
        let exchanges: Vec<ExchangeId> = talk.exchanges.values().copied().chain(talk.sending).collect();
        drop(talk);
        for exchange in exchanges {
            self.shared.board.note(self.copy, exchange, |progress| {
                progress.answered.get_or_insert(at);
                progress.over.get_or_insert(at);
                progress.permit = None;
            });
        }
        self.over.send_replace(true);
    }
}

async fn read(ears: Arc<Ears>, mut reader: ReadHalf<Box<dyn Stream>>) {
    let mut buffer = vec![0; READ];
    let mut nth = 0_u64;
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        let at = ears.shared.clock.now();
        for (kind, payload) in ears.hear(Side::Server, buffer.get(..count).unwrap_or_default(), at) {
            nth += 1;
            let key = mask(ears.shared.options.seed, nth);
            if let Some(frame) = reframe(&[0x80 | kind, 0x80], &payload, key)
                && ears.write(&frame).await.is_err()
            {
                break;
            }
        }
    }
    ears.finish();
}

/// A masking key. It need not be unguessable: nobody between us and our own proxy is to be confused.
pub(super) fn mask(seed: u64, nth: u64) -> [u8; 4] {
    let mixed = (seed ^ nth).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b, c, d, ..] = (mixed ^ (mixed >> 29)).to_be_bytes();
    [a, b, c, d]
}
