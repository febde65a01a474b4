//! The fold from facts to views: connections, exchanges, frames, messages, sessions, and their rows. PURE.
//!
//! One [`Inspector`] reads a whole capture in record order and hands out what became known. The same records give the
//! same output, live and offline. It holds what is open and nothing else: what is final leaves as a row.
//!
//! - `connection`: a connection's facts, and which decoder gets its bytes;
//! - `assemble`: HTTP events to exchanges; `messages`: WebSocket events to frames and sockets;
//! - `sessions`: which exchanges belong to one virtual user;
//! - `rows`: what scripts see; `state`: what a later inspector needs to go on from here.

mod assemble;
mod authority;
mod connection;
mod messages;
mod rows;
mod sessions;
mod state;

use std::{sync::Arc, time::Duration};

use crate::{
    decode::{
        http1::{self, Heads},
        websocket,
    },
    model::{
        ConnectionId, SessionId, Timestamp,
        flag::Flag,
        hash::QuickMap,
        observation::{Observation, What},
        rows::{Extent, FlagRow, Position, Row},
        trace::{Fact, TraceEvent},
    },
    profile::Profile,
    redact::{self, Redactor},
};

use connection::Conn;
use sessions::{Places, Sessions};

pub use state::{RestoreError, learnt};

/// What the inspector can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The captures folder's redaction key: rows hold fingerprints made with it.
    pub redaction_key: [u8; 32],
    /// Which places hold secrets.
    pub secrets: redact::Options,
    /// Headers whose value names the virtual user, compared without case; of several that are present, the first one
    /// listed counts.
    pub identity_headers: Vec<String>,
    /// What is known of the API: which keys bind requests and sockets together.
    pub profile: Option<Arc<Profile>>,
    /// How long after its last connection closed a session ends, on event time.
    pub session_linger: Duration,
    /// How much of one request body is collected for rules, in bytes.
    pub body_cap: usize,
    /// How much of all bodies together is held at any time, in bytes.
    pub bodies_cap: usize,
    /// How much of a frame's or a message's payload is collected for rules and live subscribers, in bytes.
    pub payload_cap: usize,
    /// How many heads are remembered, of which nothing is found out again when they come again; none with 0.
    pub heads: usize,
    /// The HTTP decoder's bounds.
    pub http1: http1::Options,
    /// The WebSocket decoder's bounds.
    pub websocket: websocket::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            redaction_key: [0; 32],
            secrets: redact::Options::default(),
            identity_headers: vec!["X-JM-Thread".to_owned()],
            profile: None,
            session_linger: Duration::from_secs(30),
            body_cap: 1 << 20,
            bodies_cap: 64 << 20,
            payload_cap: 64 << 10,
            heads: 512,
            http1: http1::Options::default(),
            websocket: websocket::Options::default(),
        }
    }
}

/// What the inspector hands out, in order. The observation that makes a row final comes right before that row.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is handed on at once and never stored")]
pub enum Output<'a> {
    /// For rules and live subscribers.
    Observation(&'a Observation<'a>),
    /// A row that is final; `flags` in it is empty, they are joined when read.
    Row(Row),
}

/// Where the inspector puts what it found.
pub type Out<'o> = dyn FnMut(Output<'_>) + 'o;

/// At most this often `What::Tick` goes out.
const TICK: Duration = Duration::from_secs(1);

/// The fold over one capture.
pub struct Inspector {
    shared: Shared,
    connections: QuickMap<u64, Box<Conn>>,
    ticked: Timestamp,
    /// The last record.
    position: Position,
}

/// What all connections work with.
struct Shared {
    options: Options,
    redactor: Redactor,
    sessions: Sessions,
    /// Where session keys stand.
    places: Places,
    /// Heads of all connections.
    heads: Heads,
    /// How many exchanges and frames there were: their last ids.
    exchanges: u64,
    frames: u64,
    /// Bytes of bodies that are held.
    held: usize,
    now: Timestamp,
}

impl Inspector {
    /// One that has seen nothing.
    pub fn new(options: Options) -> Self {
        let redactor = Redactor::with_options(options.redaction_key, &options.secrets);
        let sessions = Sessions::new(options.session_linger);
        let now = Timestamp(0);
        let places = Places::new(options.profile.as_ref());
        let heads = Heads::new(options.heads);
        let shared = Shared { options, redactor, sessions, places, heads, exchanges: 0, frames: 0, held: 0, now };
        Self { shared, connections: QuickMap::default(), ticked: now, position: Position::default() }
    }

    /// The next fact, in record order, and where its record stands.
    pub fn push(&mut self, event: &TraceEvent<'_>, position: Position, out: &mut Out<'_>) {
        let at = time_of(&event.fact);
        self.position = position;
        self.pass_to(at, out);
        let id = event.connection;
        if let Fact::Opened(opened) = &event.fact {
            let conn = Box::new(Conn::new(id, opened, position));
            self.shared.observe(at, id, None, What::ConnectionOpened(&conn.parts.view), out);
            self.connections.insert(id.0, conn);
            return;
        }
        let Some(conn) = self.connections.get_mut(&id.0) else { return };
        conn.fact(&event.fact, at, position, &mut self.shared, out);
        if matches!(event.fact, Fact::Closed(_)) {
            self.connections.remove(&id.0);
        }
    }

    /// The capture is over: everything that is open becomes final as it stands, then `What::End` goes out. `at` is event
    /// time; where it is before the last fact's, that one counts. Nothing may be pushed afterwards.
    #[expect(clippy::disallowed_methods, reason = "sorted below")]
    pub fn finish(&mut self, at: Timestamp, out: &mut Out<'_>) {
        self.pass_to(at, out);
        let now = self.shared.now;
        let mut open: Vec<_> = self.connections.drain().collect();
        open.sort_by_key(|(id, _)| *id);
        for (_, mut conn) in open {
            conn.break_off(now, self.position, &mut self.shared, out);
        }
        while let Some(ended) = self.shared.sessions.next_of_all(now) {
            self.shared.session_over(&ended, out);
        }
        self.shared.observe(now, ConnectionId::CAPTURE, None, What::End, out);
    }

    /// Rows as they stand of what is not final yet: connections, then exchanges, then sessions, each by id.
    #[expect(clippy::disallowed_methods, reason = "sorted below")]
    pub fn open_rows(&self) -> Vec<Row> {
        let mut redactor = self.shared.redactor.clone();
        let mut connections: Vec<_> = self.connections.values().map(|conn| &conn.parts).collect();
        connections.sort_by_key(|parts| parts.view.id);
        let mut exchanges: Vec<_> =
            connections.iter().flat_map(|parts| parts.open.iter().map(|open| (*parts, &**open))).collect();
        exchanges.sort_by_key(|(_, open)| open.exchange.id);

        let connections = connections.iter();
        let mut all: Vec<Row> =
            connections.map(|parts| Row::Connection(rows::connection(&parts.view, parts.extent))).collect();
        for (parts, open) in exchanges {
            let extent = Extent { first: open.first, last: parts.extent.last };
            let row = rows::exchange(&open.exchange, open.seat.session, parts.server.as_deref(), &mut redactor, extent);
            all.push(Row::Exchange(Box::new(row)));
        }
        let sessions = self.shared.sessions.all();
        all.extend(sessions.into_iter().map(|(view, sockets)| Row::Session(rows::session(view, sockets))));
        all
    }

    /// The newest event time seen.
    pub fn now(&self) -> Timestamp {
        self.shared.now
    }

    /// A flag as a row, its message redacted like everything else.
    pub fn flag_row(&mut self, flag: Flag) -> FlagRow {
        rows::flag(flag, &mut self.shared.redactor)
    }

    /// Event time moves on: sessions end, deadlines pass.
    fn pass_to(&mut self, at: Timestamp, out: &mut Out<'_>) {
        if at <= self.shared.now {
            return;
        }
        self.shared.now = at;
        while let Some(ended) = self.shared.sessions.next_over(at) {
            self.shared.session_over(&ended, out);
        }
        if at.since(self.ticked) >= TICK {
            self.ticked = at;
            self.shared.observe(at, ConnectionId::CAPTURE, None, What::Tick, out);
        }
    }
}

impl Shared {
    fn observe(
        &self,
        at: Timestamp,
        connection: ConnectionId,
        session: Option<SessionId>,
        what: What<'_>,
        out: &mut Out<'_>,
    ) {
        let session = session.and_then(|id| self.sessions.get(id));
        out(Output::Observation(&Observation { at, connection, session, what }));
    }

    fn session_over(&self, ended: &sessions::Ended, out: &mut Out<'_>) {
        let view = &ended.view;
        let (at, connection) = (ended.at, ConnectionId::CAPTURE);
        let what = What::SessionEnded(view);
        out(Output::Observation(&Observation { at, connection, session: Some(view), what }));
        out(Output::Row(Row::Session(rows::session(view, &ended.sockets))));
    }
}

/// When a fact was known to us.
fn time_of(fact: &Fact<'_>) -> Timestamp {
    match fact {
        Fact::Opened(fact) => fact.at,
        Fact::Connect(fact, _) => fact.answered.unwrap_or(fact.end),
        Fact::Dialed(fact) => fact.end,
        Fact::Tls(fact) => fact.end,
        Fact::Data(chunk) => chunk.at(),
        Fact::Written(fact) => fact.written,
        // A change bears no instant: it belongs to bytes that do.
        Fact::Rewritten(..) => Timestamp(0),
        Fact::ProxyMade(fact, _) => fact.at,
        Fact::SteppedAside(fact) => fact.at,
        Fact::Ended(fact) => fact.at,
        Fact::Closed(fact) => fact.at,
        Fact::ServerRtt(fact) => fact.at,
        Fact::Stalled(fact) => fact.at,
        Fact::Gap(fact) => fact.at,
        Fact::ClockStep(fact) => fact.at,
        Fact::Dropped(fact) => fact.at,
        Fact::Cpu(fact) => fact.at,
    }
}
