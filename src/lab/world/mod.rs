//! A run in virtual time: agents on the left, API on the right, a proxy near the agents that sees what a real one would
//! see. One queue of events; nothing waits, so that a minute of load takes milliseconds.
//!
//! What the proxy sees is not what the server sees: a request is in flight at the proxy for a round trip longer, and a
//! socket opens half a round trip later. That is modelled on purpose.

mod columns;
mod property;
mod recorder;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use super::{
    agent::{Action, Agent, Load},
    api::{Answer, Api, Counts, Decision, RefusedBy},
    random::Random,
    request::{Ending, Kind, Request},
    scenario::{MILLI, Pace, Scenario},
};
use crate::model::{Side, columns::Columns};

use recorder::Recorder;

/// What a run gave.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What a capture of it would hold.
    pub columns: Columns,
    /// By unit: what refused it. Only an evaluation may look at it.
    pub refused_by: Vec<Option<RefusedBy>>,
    /// What stood at the server when each request was offered, in order of arrival there.
    pub counts: Vec<(Kind, Counts)>,
}

/// Units that a run holds at most: a load that never ends is cut off, and its columns say so.
const MOST_UNITS: usize = 2_000_000;

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario) -> Run {
    World::new(Arc::new(scenario.clone())).run()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A user arrives, in an open loop.
    Arrival,
    /// An agent goes on.
    Wake(usize),
    /// The server accepts a connection.
    Accepted(usize),
    /// The server has a request or message whole.
    Offered(usize),
    /// The client gave up in the middle of a body.
    Aborted(usize),
    /// The server writes the answer.
    Finished(usize),
    /// The client has the answer.
    Answered(usize),
    /// The server learns that a connection was closed.
    ClosedAtServer(usize),
    /// The client learns that its socket was closed.
    ClosedAtClient(usize),
}

/// A client connection with its server connection.
struct Link {
    agent: usize,
    /// One way between proxy and server, without jitter.
    way_ns: f64,
    /// When the client may send.
    ready_ns: i64,
    /// Bytes stay in order: nothing arrives before these instants.
    last_up_ns: i64,
    last_down_ns: i64,
    is_open: bool,
}

/// A request or message on its way.
struct Exchange {
    agent: usize,
    link: usize,
    request: Option<Request>,
    decision: Option<Decision>,
    /// Its number in the recorder, where it is a unit.
    unit: Option<usize>,
}

struct Player {
    agent: Agent,
    http: Option<usize>,
    socket: Option<usize>,
    waits: Option<Action>,
    is_done: bool,
}

struct World {
    scenario: Arc<Scenario>,
    load: Load,
    api: Api,
    network: Random,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    /// Events of the same instant happen in the order in which they were planned.
    planned: u64,
    players: Vec<Player>,
    present: u32,
    links: Vec<Link>,
    exchanges: HashMap<usize, Exchange>,
    next_exchange: usize,
    recorder: Recorder,
    counts: Vec<(Kind, Counts)>,
}

impl World {
    fn new(scenario: Arc<Scenario>) -> Self {
        Self {
            load: Load::new(&scenario),
            api: Api::new(&scenario),
            network: Random::new(scenario.seed, 30),
            queue: BinaryHeap::new(),
            planned: 0,
            players: Vec::new(),
            present: 0,
            links: Vec::new(),
            exchanges: HashMap::new(),
            next_exchange: 0,
            recorder: Recorder::new(scenario.surface),
            counts: Vec::new(),
            scenario,
        }
    }

    fn run(mut self) -> Run {
        match self.scenario.pace {
            Pace::Closed => {
                for number in 0..self.scenario.agents {
                    let player = self.arrive();
                    let start = self.load.start_of(number);
                    self.plan(start, Event::Wake(player));
                }
            }
            Pace::Open(_) => {
                if let Some(after) = self.load.next_arrival(0) {
                    self.plan(after, Event::Arrival);
                }
            }
        }
        let mut now = 0;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            now = at;
            if self.recorder.len() >= MOST_UNITS {
                break;
            }
            self.happen(event, now);
        }
        let is_whole = self.queue.is_empty();
        let (columns, refused_by) = self.recorder.finish(now + MILLI, is_whole);
        Run { columns, refused_by, counts: self.counts }
    }

    fn plan(&mut self, at: i64, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse((at, self.planned, event)));
    }

    /// A new player; its number.
    fn arrive(&mut self) -> usize {
        let agent = self.load.agent(self.players.len() as u32);
        self.present += 1;
        self.players.push(Player { agent, http: None, socket: None, waits: None, is_done: false });
        self.players.len() - 1
    }

    fn happen(&mut self, event: Event, now: i64) {
        match event {
            Event::Arrival => {
                if now < self.scenario.duration_ns {
                    if self.present < self.scenario.agents {
                        let player = self.arrive();
                        self.go_on(player, now);
                    }
                    if let Some(after) = self.load.next_arrival(now) {
                        self.plan(now + after, Event::Arrival);
                    }
                }
            }
            Event::Wake(player) => self.go_on(player, now),
            Event::Accepted(link) => {
                let address = self.address_of(link);
                self.api.connection_opened(link as u64, address, now);
            }
            Event::Offered(exchange) => self.offer(exchange, now),
            Event::Aborted(exchange) => self.abort(exchange, now),
            Event::Finished(exchange) => self.finish(exchange, now),
            Event::Answered(exchange) => self.answer(exchange, now),
            Event::ClosedAtServer(link) => self.api.connection_closed(link as u64, now),
            Event::ClosedAtClient(link) => self.lose_socket(link, now),
        }
    }

    fn address_of(&self, link: usize) -> u32 {
        let player = self.links.get(link).and_then(|link| self.players.get(link.agent));
        player.map_or(0, |player| player.agent.who.address)
    }

    /// Lets an agent act until it waits for something.
    fn go_on(&mut self, number: usize, now: i64) {
        loop {
            let Some(player) = self.players.get_mut(number) else { return };
            if player.is_done {
                return;
            }
            player.waits = None;
            match self.load.next(&mut player.agent, now) {
                Action::Send(request) => return self.send(number, request, now),
                Action::Open(request) => self.open(number, request, now),
                action @ (Action::AwaitOpen | Action::AwaitReady) => {
                    player.waits = Some(action);
                    return;
                }
                Action::Message(request, late) => self.message(number, request, now, late),
                Action::Wait(until) if until > now => return self.plan(until, Event::Wake(number)),
                Action::Wait(_) => {}
                Action::CloseSocket => {
                    let link = player.socket.take();
                    self.close(link, now);
                }
                Action::CloseConnection => {
                    let link = player.http.take();
                    self.close(link, now);
                }
                Action::Done => {
                    player.is_done = true;
                    let (http, socket) = (player.http.take(), player.socket.take());
                    self.present = self.present.saturating_sub(1);
                    self.close(http, now);
                    self.close(socket, now);
                    return;
                }
            }
        }
    }

    /// From a client to the proxy beside it.
    fn hop(&mut self) -> i64 {
        self.network.lognormal(60_000.0, 0.4) as i64
    }

    /// One way of one message on a link.
    fn way(&mut self, link: usize) -> i64 {
        let way = self.links.get(link).map_or(0.0, |link| link.way_ns);
        let jitter = self.scenario.network.jitter;
        let factor = 1.0 + jitter * (self.network.exponential(1.0) - 1.0);
        (way * factor.max(0.2)) as i64
    }

    fn connect(&mut self, agent: usize, now: i64) -> usize {
        let network = self.scenario.network;
        let half = network.rtt_ns as f64 / 2.0;
        let way_ns = half * (1.0 + network.spread * self.network.between(-1.0, 1.0));
        let number = self.links.len();
        let opened = now + self.hop();
        self.links.push(Link { agent, way_ns, ready_ns: 0, last_up_ns: 0, last_down_ns: 0, is_open: true });
        let (up, down) = (self.way(number), self.way(number));
        let accepted = opened + up;
        // TCP, then TLS with the server, then with the client.
        let tls = self.way(number) + self.way(number) + self.network.lognormal(1.2e6, 0.4) as i64;
        let ready_ns = accepted + down + tls + self.hop();
        if let Some(link) = self.links.get_mut(number) {
            link.ready_ns = ready_ns;
            link.last_up_ns = accepted;
        }
        let address = self.address_of(number);
        self.recorder.connection(opened, address, up + down);
        self.plan(accepted, Event::Accepted(number));
        number
    }

    fn send(&mut self, number: usize, request: Request, now: i64) {
        let open = self.players.get(number).and_then(|player| player.http);
        let open = open.filter(|link| self.links.get(*link).is_some_and(|link| link.is_open));
        let link = match open {
            Some(link) => link,
            None => self.connect(number, now),
        };
        if let Some(player) = self.players.get_mut(number) {
            player.http = Some(link);
        }
        self.begin(number, link, request, now);
    }

    fn open(&mut self, number: usize, request: Request, now: i64) {
        let link = self.connect(number, now);
        if let Some(player) = self.players.get_mut(number) {
            player.socket = Some(link);
            self.recorder.socket(number, link, &player.agent.who);
        }
        self.begin(number, link, request, now);
    }

    fn message(&mut self, number: usize, request: Request, now: i64, late: i64) {
        let Some(link) = self.players.get(number).and_then(|player| player.socket) else { return };
        if self.links.get(link).is_some_and(|link| link.is_open) {
            if late > 0 {
                self.recorder.held_back(number, now, now + late);
            }
            self.begin(number, link, request, now + late);
        }
    }

    /// A request or message leaves the client.
    fn begin(&mut self, agent: usize, link: usize, request: Request, now: i64) {
        let hop = self.hop();
        let way = self.way(link);
        let Some(state) = self.links.get_mut(link) else { return };
        let offered = now.max(state.ready_ns) + hop;
        let arrives = (offered + way).max(state.last_up_ns + 1);
        state.last_up_ns = arrives;
        let exchange = self.next_exchange;
        self.next_exchange += 1;
        let aborts = matches!(request.ending, Ending::Abort(_));
        let who = self.players.get(agent).map(|player| player.agent.who).unwrap_or_default();
        let unit = self.recorder.offered(agent, link, &who, &request, offered);
        self.exchanges.insert(exchange, Exchange { agent, link, request: Some(request), decision: None, unit });
        if aborts {
            let patience = self.network.lognormal(25.0 * MILLI as f64, 0.5) as i64;
            self.plan(offered + patience, Event::Aborted(exchange));
        } else {
            self.plan(arrives, Event::Offered(exchange));
        }
    }

    fn offer(&mut self, number: usize, now: i64) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        let Some(request) = exchange.request.take() else { return };
        let link = exchange.link;
        // A message that comes when the socket is gone is nobody's any more.
        if request.is_message && !self.links.get(link).is_some_and(|link| link.is_open) {
            self.exchanges.remove(&number);
            return;
        }
        let decision = self.api.offer(number as u64, link as u64, &request, now);
        if !request.is_message {
            self.counts.push((request.kind, decision.counts));
        }
        for evicted in decision.evicted.clone() {
            self.evict(evicted as usize, now);
        }
        let at = now + decision.latency_ns;
        exchange_of(&mut self.exchanges, number, |exchange| exchange.decision = Some(decision));
        self.plan(at, Event::Finished(number));
    }

    /// The server closes a socket of its own accord.
    fn evict(&mut self, link: usize, now: i64) {
        let at = now + self.way(link);
        if let Some(state) = self.links.get_mut(link) {
            let at = at.max(state.last_down_ns + 1);
            state.last_down_ns = at;
            self.recorder.closed(link, at, Side::Server);
            self.plan(at + 1, Event::ClosedAtClient(link));
        }
    }

    fn finish(&mut self, number: usize, now: i64) {
        self.api.finish(number as u64, now);
        let Some(exchange) = self.exchanges.get(&number) else { return };
        let (link, unit) = (exchange.link, exchange.unit);
        let Some(decision) = exchange.decision.clone() else { return };
        let way = self.way(link);
        let hop = self.hop();
        let Some(state) = self.links.get_mut(link) else { return };
        let first = (now + way).max(state.last_down_ns + 1);
        // A script is larger than an answer that says that all is well.
        let transfer = if decision.kind == Kind::Read && decision.refusal.is_none() { 250_000 } else { 20_000 };
        let last = if decision.status == 101 || decision.status == 0 { first } else { first + transfer };
        state.last_down_ns = last;
        let ends = decision.closes || decision.close_code.is_some();
        if ends {
            state.is_open = false;
        }
        if let Some(unit) = unit {
            self.recorder.answered(unit, link, &decision, first, last);
        }
        if ends {
            self.recorder.closed(link, last + 1, Side::Server);
            self.api.connection_closed(link as u64, now);
        }
        self.plan(last + hop, Event::Answered(number));
        if decision.close_code.is_some() {
            self.plan(last + hop + 1, Event::ClosedAtClient(link));
        }
    }

    fn answer(&mut self, number: usize, now: i64) {
        let Some(exchange) = self.exchanges.remove(&number) else { return };
        let Some(decision) = exchange.decision else { return };
        let surface = self.scenario.surface;
        let Some(player) = self.players.get_mut(exchange.agent) else { return };
        let is_current = player.socket == Some(exchange.link);
        match decision.kind {
            Kind::Socket if !is_current => return,
            Kind::Socket if decision.status == 101 => player.agent.opened(),
            Kind::Socket => {
                player.agent.not_opened();
                let link = player.socket.take();
                self.close(link, now);
            }
            kind if surface.is_message(kind) => {
                // Who was refused goes on as well.
                if is_current && kind == Kind::Hello && surface.has_gate_message() {
                    player.agent.ready();
                }
            }
            _ => {
                let answer: Answer = decision.answer();
                if answer.closed {
                    player.http = None;
                }
                self.load.answered(&mut player.agent, &answer);
                return self.go_on(exchange.agent, now);
            }
        }
        self.resume(exchange.agent, now);
    }

    /// Lets an agent go on that waited for its socket.
    fn resume(&mut self, number: usize, now: i64) {
        let Some(player) = self.players.get(number) else { return };
        if player.waits.as_ref().is_some_and(|action| !player.agent.awaits(action)) {
            self.go_on(number, now);
        }
    }

    fn lose_socket(&mut self, link: usize, now: i64) {
        let Some(state) = self.links.get_mut(link) else { return };
        state.is_open = false;
        let number = state.agent;
        let Some(player) = self.players.get_mut(number) else { return };
        if player.socket == Some(link) {
            player.agent.socket_closed();
            player.socket = None;
            self.resume(number, now);
        }
    }

    fn abort(&mut self, number: usize, now: i64) {
        let Some(exchange) = self.exchanges.remove(&number) else { return };
        if let Some(unit) = exchange.unit {
            let plant = self.scenario.plants.iter().position(|plant| plant.info.id == "client-abort");
            self.recorder.aborted(unit, plant.map(RefusedBy::Plant), now);
        }
        if let Some(player) = self.players.get_mut(exchange.agent) {
            player.http = None;
        }
        self.close(Some(exchange.link), now);
        let answer = Answer { closed: true, ..Answer::default() };
        if let Some(player) = self.players.get_mut(exchange.agent) {
            self.load.answered(&mut player.agent, &answer);
        }
        self.go_on(exchange.agent, now);
    }

    /// The client closes a connection.
    fn close(&mut self, link: Option<usize>, now: i64) {
        let Some(link) = link else { return };
        let hop = self.hop();
        let way = self.way(link);
        let Some(state) = self.links.get_mut(link).filter(|state| state.is_open) else { return };
        state.is_open = false;
        let at_proxy = now + hop;
        let at_server = (at_proxy + way).max(state.last_up_ns + 1);
        self.recorder.closed(link, at_proxy, Side::Client);
        self.plan(at_server, Event::ClosedAtServer(link));
    }
}

fn exchange_of(exchanges: &mut HashMap<usize, Exchange>, number: usize, change: impl FnOnce(&mut Exchange)) {
    if let Some(exchange) = exchanges.get_mut(&number) {
        change(exchange);
    }
}
