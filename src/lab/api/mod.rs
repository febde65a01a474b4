//! The API: a state machine that is offered requests and messages at an instant and decides. It knows what it needs of
//! connections and sockets, counts, and asks the planted causes. PURE: who calls it brings the time and waits.

mod counts;
mod decision;

use std::{collections::HashMap, sync::Arc};

use crate::model::columns::AnsweredBy;

pub use counts::{Counts, Dose};
pub use decision::{Answer, Decision, Refusal, RefusedBy};

use counts::{Counter, Keys};

use super::{
    causes::Cause,
    random::Random,
    request::{Kind, Request},
    scenario::{MILLI, Scenario, Waves},
};

/// A connection, as the API sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The number of the client's address. Behind a proxy the server learns it from the one who accepts: over sockets all
    /// agents may come from one.
    pub address: u32,
    /// When it was accepted.
    pub opened_ns: i64,
    /// How many had been accepted within the last second, it included.
    pub rate: u32,
    /// Which of its requests this is, from 1.
    pub ordinal: u32,
    /// When the one before was over.
    pub last_end_ns: Option<i64>,
    /// Whether bytes stood behind the body of the one before.
    pub has_surplus: bool,
}

/// A socket, as the API sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// On which connection.
    pub connection: u64,
    /// Its session's key, where it has one.
    pub key: Option<String>,
    /// Whose token it bears.
    pub token: Option<u32>,
    /// From where.
    pub address: u32,
    /// When it was granted.
    pub granted_ns: i64,
    /// When its 101 was written; nothing: not yet.
    pub opened_ns: Option<i64>,
    /// When it was closed.
    pub closed_ns: Option<i64>,
    /// Messages of the client so far.
    pub messages: u32,
    /// When the second message (the one that binds) came.
    pub bound_ns: Option<i64>,
    /// When the message that says that it is ready was written.
    pub ready_ns: Option<i64>,
}

/// What is offered, with all that a cause may decide by.
pub struct Offer<'a> {
    /// The request or message.
    pub request: &'a Request,
    /// When it arrived at the server.
    pub now: i64,
    /// The connection that it came on.
    pub connection: &'a Connection,
    /// The socket of its session, open, opening or closed: the one that its key names, of a message its own.
    pub socket: Option<&'a Socket>,
    /// The number of the token that it bears.
    pub token: Option<u32>,
    /// What stands. All zero for a message.
    pub counts: &'a Counts,
    /// Of an upgrade: whether another socket of its session's key is open.
    pub is_duplicate: bool,
    /// Of a write: the version that stands.
    pub etag: Option<String>,
    /// Of a read: when its target was last written to.
    pub written_ns: Option<i64>,
    /// The instance that will answer.
    pub instance: u32,
    /// The run.
    pub scenario: &'a Scenario,
}

impl Offer<'_> {
    /// Whether a refusal of it would be known for one: what strikes at random strikes all of these.
    pub fn is_counted(&self) -> bool {
        !self.request.is_message || self.scenario.surface.counts_messages()
    }

    /// How long its session's socket has been open at the server.
    pub fn since_open(&self) -> Option<i64> {
        let socket = self.socket.filter(|socket| socket.closed_ns.is_none())?;
        socket.opened_ns.filter(|opened| *opened <= self.now).map(|opened| self.now - opened)
    }
}

/// A request that has not been answered.
struct Pending {
    keys: Option<Keys>,
    connection: u64,
    is_admitted: bool,
    upgrades: bool,
    tells_ready: bool,
}

/// The simulated API.
pub struct Api {
    scenario: Arc<Scenario>,
    causes: Vec<Option<Box<dyn Cause>>>,
    random: Random,
    chance: Random,
    slowness: Waves,
    counter: Counter,
    connections: HashMap<u64, Connection>,
    pending: HashMap<u64, Pending>,
    sockets: HashMap<u64, Socket>,
    by_key: HashMap<String, u64>,
    tokens: HashMap<String, u32>,
    etags: HashMap<String, u32>,
    written: HashMap<String, i64>,
}

impl Api {
    /// The API of a scenario, with its causes planted.
    pub fn new(scenario: &Arc<Scenario>) -> Self {
        let build = |plant: &super::causes::Plant| (!plant.is_harmless).then(|| (plant.info.build)(plant, scenario));
        Self {
            causes: scenario.plants.iter().map(build).collect(),
            random: Random::new(scenario.seed, 20),
            chance: Random::new(scenario.seed, 21),
            slowness: Waves::new(scenario.seed, 22, scenario.duration_ns),
            scenario: Arc::clone(scenario),
            counter: Counter::default(),
            connections: HashMap::new(),
            pending: HashMap::new(),
            sockets: HashMap::new(),
            by_key: HashMap::new(),
            tokens: HashMap::new(),
            etags: HashMap::new(),
            written: HashMap::new(),
        }
    }

    /// A connection was accepted.
    pub fn connection_opened(&mut self, connection: u64, address: u32, now: i64) {
        let rate = self.counter.connection(now);
        let fresh = Connection { address, opened_ns: now, rate, ..Connection::default() };
        self.connections.insert(connection, fresh);
    }

    /// A connection turned out to come from another address than the one that it was accepted from: something stands
    /// before the API and says so.
    pub fn connection_from(&mut self, connection: u64, address: u32) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.address = address;
        }
    }

    /// Bytes were seen that belong to no request: the next one of that connection comes behind them.
    pub fn surplus_seen(&mut self, connection: u64) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.has_surplus = true;
        }
    }

    /// A connection ended; its socket with it.
    pub fn connection_closed(&mut self, connection: u64, now: i64) {
        self.connections.remove(&connection);
        self.socket_closed(connection, now);
    }

    /// A socket's 101 has left. What comes before this is told counts from when that was to be written.
    pub fn socket_opened(&mut self, connection: u64, now: i64) {
        if let Some(socket) = self.sockets.get_mut(&connection) {
            socket.opened_ns = Some(now);
        }
    }

    /// A socket was closed by either side.
    pub fn socket_closed(&mut self, connection: u64, now: i64) {
        let Some(socket) = self.sockets.get_mut(&connection).filter(|socket| socket.closed_ns.is_none()) else {
            return;
        };
        socket.closed_ns = Some(now);
        let (token, address) = (socket.token, socket.address);
        self.counter.socket(token, address, -1);
    }

    /// A request or a message has arrived whole. `exchange` is the caller's number for it, for [`Self::finish`].
    pub fn offer(&mut self, exchange: u64, connection: u64, request: &Request, now: i64) -> Decision {
        let token = self.token_of(request, connection);
        let state = self.connections.entry(connection).or_default();
        let mut seen = state.clone();
        let keys = (!request.is_message).then(|| {
            state.ordinal += 1;
            state.has_surplus = matches!(request.ending, super::request::Ending::Extra(_));
            seen.ordinal = state.ordinal;
            Keys { kind: request.kind, token, address: state.address }
        });
        let counts = keys.map(|keys| self.counter.offer(keys, now)).unwrap_or_default();
        self.note_message(connection, request, now);
        let instance = self.random.below(self.scenario.service.instances.max(1) as usize) as u32;
        let key = self.scenario.surface.session_key(request);
        let known =
            if request.is_message { Some(connection) } else { key.and_then(|key| self.by_key.get(key).copied()) };
        let offer = Offer {
            request,
            now,
            connection: &seen,
            socket: known.and_then(|known| self.sockets.get(&known)),
            token,
            counts: &counts,
            is_duplicate: self.duplicate(request, connection),
            etag: if request.kind == Kind::Write { self.etag(&request.target) } else { None },
            written_ns: if request.kind == Kind::Read { self.written.get(&request.target).copied() } else { None },
            instance,
            scenario: &self.scenario,
        };
        let (refusal, refused_by) = refusal(&mut self.causes, &mut self.random, &mut self.chance, &offer);
        let evicts = refusal.is_none()
            && request.kind == Kind::Socket
            && self.causes.iter_mut().flatten().any(|cause| cause.evicts(&offer));
        if let (None, Some(keys)) = (&refusal, keys) {
            self.counter.admit(keys, now);
        }
        let mut decision = self.decide(request, refusal, instance, counts, now);
        decision.refused_by = refused_by;
        if evicts {
            decision.evicted = self.evict(token, now);
        }
        let upgrades = decision.status == 101;
        if upgrades {
            self.grant(connection, request, token, seen.address, now);
        }
        let tells_ready = request.kind == Kind::Hello && decision.refusal.is_none();
        let is_admitted = decision.refusal.is_none();
        self.pending.insert(exchange, Pending { keys, connection, is_admitted, upgrades, tells_ready });
        decision
    }

    /// The answer of a request or a message was written, or its connection closed instead.
    pub fn finish(&mut self, exchange: u64, now: i64) {
        let Some(pending) = self.pending.remove(&exchange) else { return };
        if let Some(keys) = pending.keys {
            self.counter.finish(keys, pending.is_admitted);
            if let Some(connection) = self.connections.get_mut(&pending.connection) {
                connection.last_end_ns = Some(now);
            }
        }
        if let Some(socket) = self.sockets.get_mut(&pending.connection) {
            if pending.upgrades {
                socket.opened_ns = Some(now);
            }
            if pending.tells_ready {
                socket.ready_ns = socket.ready_ns.or(Some(now));
            }
        }
    }

    fn token_of(&mut self, request: &Request, connection: u64) -> Option<u32> {
        if request.is_message {
            return self.sockets.get(&connection).and_then(|socket| socket.token);
        }
        if matches!(request.kind, Kind::Token | Kind::Refresh) {
            return None;
        }
        let value = request.header("authorization")?;
        if let Some(number) = self.tokens.get(value) {
            return Some(*number);
        }
        let number = self.tokens.len() as u32;
        self.tokens.insert(value.to_owned(), number);
        Some(number)
    }

    fn note_message(&mut self, connection: u64, request: &Request, now: i64) {
        if !request.is_message {
            return;
        }
        if let Some(socket) = self.sockets.get_mut(&connection) {
            socket.messages += 1;
            if request.kind == Kind::Bind {
                socket.bound_ns = socket.bound_ns.or(Some(now));
            }
        }
    }

    /// Whether the upgrade bears the key of another socket that is open.
    fn duplicate(&self, request: &Request, connection: u64) -> bool {
        let key = if request.kind == Kind::Socket { self.scenario.surface.session_key(request) } else { None };
        let other = key.and_then(|key| self.by_key.get(key)).filter(|other| **other != connection);
        other.and_then(|other| self.sockets.get(other)).is_some_and(|socket| socket.closed_ns.is_none())
    }

    fn grant(&mut self, connection: u64, request: &Request, token: Option<u32>, address: u32, now: i64) {
        let key = self.scenario.surface.session_key(request).map(str::to_owned);
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), connection);
        }
        self.counter.socket(token, address, 1);
        let socket = Socket {
            connection,
            key,
            token,
            address,
            granted_ns: now,
            opened_ns: None,
            closed_ns: None,
            messages: 0,
            bound_ns: None,
            ready_ns: None,
        };
        self.sockets.insert(connection, socket);
    }

    /// Closes the oldest open socket of that token.
    fn evict(&mut self, token: Option<u32>, now: i64) -> Vec<u64> {
        #[expect(clippy::disallowed_methods, reason = "the least of a total order: the order of the table is not seen")]
        let open = self.sockets.values().filter(|socket| socket.closed_ns.is_none() && socket.token == token);
        let oldest = open.min_by_key(|socket| (socket.granted_ns, socket.connection)).map(|socket| socket.connection);
        if let Some(connection) = oldest {
            self.socket_closed(connection, now);
        }
        oldest.into_iter().collect()
    }

    fn decide(
        &mut self,
        request: &Request,
        refusal: Option<Refusal>,
        instance: u32,
        counts: Counts,
        now: i64,
    ) -> Decision {
        let kind = request.kind;
        let mut decision = Decision {
            status: if kind == Kind::Socket { 101 } else { 200 },
            kind,
            latency_ns: self.latency(request, refusal.is_some(), now),
            by: AnsweredBy::Api,
            closes: false,
            close_code: None,
            refusal: None,
            refused_by: None,
            correlation: self.random.uuid(),
            instance,
            counts,
            etag: None,
            created: None,
            evicted: Vec::new(),
        };
        if let Some(refusal) = refusal {
            decision.status = refusal.status;
            decision.by = refusal.by;
            decision.closes = refusal.closes;
            decision.close_code = refusal.close_code;
            decision.refusal = Some(refusal);
            return decision;
        }
        match kind {
            Kind::Channel => decision.created = Some(self.random.uuid()),
            Kind::Publish => {
                self.written.insert(request.target.clone(), now);
            }
            Kind::Version | Kind::Write => {
                let version = self.etags.entry(request.target.clone()).or_insert(1);
                if kind == Kind::Write {
                    *version += 1;
                }
                decision.etag = Some(format!("\"v{version}\""));
            }
            _ => {}
        }
        decision
    }

    /// The version of a document, as its `ETag` has it; nothing where nobody asked for it yet.
    pub fn etag(&self, target: &str) -> Option<String> {
        self.etags.get(target).map(|version| format!("\"v{version}\""))
    }

    fn latency(&mut self, request: &Request, is_refused: bool, now: i64) -> i64 {
        let service = self.scenario.service;
        if is_refused {
            // Refusals come at once: they are made before any work.
            return self.random.lognormal(4.0 * MILLI as f64, 0.4) as i64;
        }
        let slowness = 1.0 + (service.slowest - 1.0).max(0.0) * (self.slowness.at(now) + 1.0) / 2.0;
        let share = match request.kind {
            Kind::Read => 1.0,
            Kind::Socket | Kind::Version | Kind::Token | Kind::Refresh => 0.5,
            Kind::Channel | Kind::Details | Kind::Write | Kind::Publish => 0.8,
            Kind::Metadata if request.is_message => 0.2,
            Kind::Metadata => 0.7,
            Kind::Hello | Kind::Bind | Kind::Ping => 0.1,
        };
        self.random.lognormal(service.median_ns as f64 * share * slowness, service.sigma).min(30e9) as i64
    }
}

/// The first cause that refuses, else chance.
fn refusal(
    causes: &mut [Option<Box<dyn Cause>>],
    random: &mut Random,
    chance: &mut Random,
    offer: &Offer<'_>,
) -> (Option<Refusal>, Option<RefusedBy>) {
    for (number, cause) in causes.iter_mut().enumerate() {
        if let Some(refusal) = cause.as_mut().and_then(|cause| cause.refuse(offer, random)) {
            return (Some(refusal), Some(RefusedBy::Plant(number)));
        }
    }
    if offer.is_counted() && chance.share(offer.scenario.base_refused) {
        return (
            Some(Refusal::bad_request("bad.request", "The request could not be processed")),
            Some(RefusedBy::Chance),
        );
    }
    (None, None)
}
