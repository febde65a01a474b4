//! A small closed loop of agents against a server that refuses for a cause that is planted: what the tests of the
//! diagnosis diagnose. Virtual time, the same by seed.

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

use crate::{
    model::{
        ExchangeId,
        columns::{AnsweredBy, Columns, ConnectionSpan, Contrast, Flagged, NONE, Outcome, SocketSpan, UNKNOWN, Units},
        flag::Subject,
    },
    stats::draw::Draw,
};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

/// Why the server refuses.
#[derive(Clone, Debug)]
pub(super) enum Plant {
    /// More than so many in flight; whether those refused count.
    Inflight { limit: usize, offered: bool },
    /// The probability rises from 0 at `from` to 1 at `to` in flight.
    Soft { from: f64, to: f64 },
    /// More than so many of a token in flight.
    PerToken { limit: usize },
    /// More than so many of one route in flight.
    PerRoute { limit: usize },
    /// More than so many in a second, those refused counted or not.
    Rate { limit: usize, offered: bool },
    /// More than so many of a token in a minute.
    TokenMinute { limit: usize },
    /// Metadata is refused while more than so many sockets are open.
    Sockets { limit: usize },
    /// Metadata is refused for so long after the 101 left.
    Ready { after: i64 },
    /// A share of the requests is malformed.
    Flag { share: f64 },
    /// One of eight instances refuses.
    Server { probability: f64 },
    /// One of so many agents bears a value that is refused.
    Tenant { of: usize },
    /// One route is refused, whatever the load.
    Route { probability: f64 },
    /// Everything is refused with a probability from a second to a second.
    Outage { from: i64, to: i64, probability: f64 },
    /// Nothing: refused at random.
    Random { probability: f64 },
    /// Nothing: refused in bursts that begin at random.
    Bursts { every: f64, length: f64, probability: f64 },
    /// Long requests' heads.
    Head { limit: u32 },
}

/// How the agents behave.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) agents: usize,
    pub(super) tokens: usize,
    pub(super) addresses: usize,
    pub(super) seconds: i64,
    /// Mean time between an answer and the next request.
    pub(super) think_ms: f64,
    /// Median of the server's time for an accepted request.
    pub(super) service_ms: f64,
    /// One way from here to the server; each message deviates by a share of it.
    pub(super) transit_ms: f64,
    pub(super) jitter: f64,
    /// How much the think time swings, and in how many seconds.
    pub(super) swing: f64,
    pub(super) period_s: f64,
    /// How long until all agents have begun.
    pub(super) ramp_s: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            agents: 120,
            tokens: 10,
            addresses: 4,
            seconds: 60,
            think_ms: 250.0,
            service_ms: 80.0,
            transit_ms: 1.0,
            jitter: 0.0,
            swing: 0.6,
            period_s: 17.0,
            ramp_s: 5.0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// The server is done with a unit.
    Done(usize),
    /// A unit arrives at the server.
    Arrive(usize),
    /// An agent sends its next request.
    Send(usize),
}

struct Agent {
    step: usize,
    requests: usize,
    connection: usize,
    socket: usize,
    opened: i64,
    last_end: i64,
    ordinal: u32,
}

struct World<'a> {
    load: &'a Load,
    plants: &'a [Plant],
    draw: Draw,
    queue: BinaryHeap<Reverse<(i64, Event)>>,
    agents: Vec<Agent>,
    of_agent: Vec<usize>,
    columns: Columns,
    flagged: Vec<u32>,
    server: Vec<u16>,
    inflight: Vec<bool>,
    admitted_now: usize,
    offered_now: usize,
    token_now: Vec<usize>,
    route_now: [usize; 4],
    recent: VecDeque<(i64, bool)>,
    minute: Vec<VecDeque<i64>>,
    sockets_now: usize,
    burst_until: i64,
    next_burst: i64,
    caused: Vec<usize>,
}

/// Runs it; also tells how many refusals each plant brought about.
pub(super) fn run(load: &Load, plants: &[Plant], seed: u64) -> (Columns, Vec<usize>) {
    let mut world = World {
        load,
        plants,
        draw: Draw::new(seed, 99),
        queue: BinaryHeap::new(),
        agents: Vec::new(),
        of_agent: Vec::new(),
        columns: Columns { until_ns: load.seconds * SECOND, complete: true, ..Columns::default() },
        flagged: Vec::new(),
        server: Vec::new(),
        inflight: Vec::new(),
        admitted_now: 0,
        offered_now: 0,
        token_now: vec![0; load.tokens],
        route_now: [0; 4],
        recent: VecDeque::new(),
        minute: vec![VecDeque::new(); load.tokens],
        sockets_now: 0,
        burst_until: 0,
        next_burst: 0,
        caused: vec![0; plants.len()],
    };
    world.columns.routes =
        ["GET /socket", "POST /metadata", "GET /scripts/{id}", "GET /profile"].map(str::to_owned).to_vec();
    for agent in 0..load.agents {
        let at = (load.ramp_s * SECOND as f64 * agent as f64 / load.agents as f64) as i64 + world.spread(50.0);
        world.agents.push(Agent {
            step: 0,
            requests: 0,
            connection: 0,
            socket: 0,
            opened: UNKNOWN,
            last_end: UNKNOWN,
            ordinal: 0,
        });
        world.queue.push(Reverse((at, Event::Send(agent))));
    }
    while let Some(Reverse((at, event))) = world.queue.pop() {
        if at > load.seconds * SECOND {
            break;
        }
        match event {
            Event::Send(agent) => world.send(at, agent),
            Event::Arrive(unit) => world.arrive(at, unit),
            Event::Done(unit) => world.done(at, unit),
        }
    }
    world.finish(seed)
}

impl World<'_> {
    fn spread(&mut self, mean_ms: f64) -> i64 {
        (-(1.0 - self.draw.unit()).ln() * mean_ms * MS as f64) as i64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.draw.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.draw.unit()).cos()
    }

    fn transit(&mut self) -> i64 {
        let factor = 1.0 + self.load.jitter * self.normal();
        (self.load.transit_ms * MS as f64 * factor.max(0.05)) as i64
    }

    fn send(&mut self, at: i64, agent: usize) {
        let mut own = std::mem::replace(
            &mut self.agents[agent],
            Agent { step: 0, requests: 0, connection: 0, socket: 0, opened: UNKNOWN, last_end: UNKNOWN, ordinal: 0 },
        );
        if own.step == 0 {
            own.connection = self.columns.connections.len();
            own.opened = UNKNOWN;
            own.last_end = UNKNOWN;
            own.ordinal = 0;
            self.columns.connections.push(ConnectionSpan {
                opened_ns: at - MS,
                closed_ns: UNKNOWN,
                address: (agent % self.load.addresses) as u32,
                server_rtt_ns: (2.0 * self.load.transit_ms * MS as f64) as i64,
            });
            own.requests = 2 + self.draw.below(6);
        }
        own.ordinal += 1;
        let route = match own.step {
            0 => 0,
            1 => 1,
            _ if self.draw.unit() < 0.7 => 2,
            _ => 3,
        };
        let head = 300
            + self.draw.below(40) as u32
            + if self.draw.unit() < 0.1 { 400 + self.draw.below(800) as u32 } else { 0 };
        let unit = self.of_agent.len();
        let u = &mut self.columns.units;
        u.subject.push(Subject::Exchange(ExchangeId(unit as u64 + 1)));
        u.offered_ns.push(at);
        u.answered_ns.push(UNKNOWN);
        u.ended_ns.push(UNKNOWN);
        u.status.push(0);
        u.outcome.push(Outcome::Uncounted);
        u.answered_by.push(AnsweredBy::Unknown);
        u.route.push(route as u32);
        u.connection.push(own.connection as u32);
        u.token.push((agent % self.load.tokens) as u32);
        u.session.push(agent as u32);
        u.head_bytes.push(head);
        u.body_bytes.push(if route == 1 { 500 } else { 0 });
        u.since_open_ns.push(if own.opened == UNKNOWN { UNKNOWN } else { at - own.opened });
        u.connection_ordinal.push(own.ordinal.saturating_sub(1).max(1));
        // A socket's connection carries nothing else: what follows goes over one of its own.
        u.connection_idle_ns.push(if own.step <= 1 || own.last_end == UNKNOWN { UNKNOWN } else { at - own.last_end });
        self.of_agent.push(agent);
        self.inflight.push(false);
        let instance = self.draw.below(8) as u16;
        self.server.push(instance);
        for plant in self.plants {
            if let Plant::Flag { share } = plant
                && self.draw.unit() < *share
            {
                self.flagged.push(unit as u32);
            }
        }
        self.agents[agent] = own;
        let transit = self.transit();
        self.queue.push(Reverse((at + transit, Event::Arrive(unit))));
    }

    fn arrive(&mut self, at: i64, unit: usize) {
        let token = self.columns.units.token[unit] as usize;
        let route = self.columns.units.route[unit] as usize;
        self.offered_now += 1;
        let cause = (0..self.plants.len()).find(|plant| self.refuses(at, unit, *plant));
        if let Some(cause) = cause {
            self.caused[cause] += 1;
        }
        let refused = cause.is_some();
        while self.recent.front().is_some_and(|(old, _)| *old <= at - SECOND) {
            self.recent.pop_front();
        }
        self.recent.push_back((at, refused));
        self.minute[token].push_back(at);
        let u = &mut self.columns.units;
        u.outcome[unit] = if refused { Outcome::Refused } else { Outcome::Accepted };
        u.status[unit] = if refused {
            400
        } else if route == 0 {
            101
        } else {
            200
        };
        let took = if refused {
            2 * MS + self.spread(2.0)
        } else {
            let deviation = self.normal();
            let median = if route == 0 { 20.0 } else { self.load.service_ms };
            (median * MS as f64 * (0.5 * deviation).exp()) as i64
        };
        if !refused {
            self.admitted_now += 1;
            self.token_now[token] += 1;
            self.route_now[route] += 1;
            self.inflight[unit] = true;
        }
        self.queue.push(Reverse((at + took, Event::Done(unit))));
    }

    fn refuses(&mut self, at: i64, unit: usize, plant: usize) -> bool {
        let token = self.columns.units.token[unit] as usize;
        let route = self.columns.units.route[unit] as usize;
        let agent = self.of_agent[unit];
        let socket_open = self.agents[agent].opened;
        match &self.plants[plant] {
            Plant::Inflight { limit, offered } => {
                (if *offered { self.offered_now } else { self.admitted_now + 1 }) > *limit
            }
            Plant::Soft { from, to } => {
                let share = (self.admitted_now as f64 + 1.0 - from) / (to - from);
                self.draw.unit() < share
            }
            Plant::PerToken { limit } => self.token_now[token] + 1 > *limit,
            Plant::PerRoute { limit } => route == 2 && self.route_now[2] + 1 > *limit,
            Plant::Rate { limit, offered } => {
                let own = self.recent.iter().filter(|(old, refused)| *old > at - SECOND && (*offered || !refused));
                own.count() + 1 > *limit
            }
            Plant::TokenMinute { limit } => {
                let own = &mut self.minute[token];
                while own.front().is_some_and(|old| *old <= at - 60 * SECOND) {
                    own.pop_front();
                }
                own.len() + 1 > *limit
            }
            Plant::Sockets { limit } => route == 1 && self.sockets_now > *limit,
            Plant::Ready { after } => {
                let half = (self.load.transit_ms * MS as f64) as i64;
                route == 1 && socket_open != UNKNOWN && at - (socket_open - half) < *after
            }
            Plant::Flag { .. } => self.flagged.last() == Some(&(unit as u32)) || self.flagged.contains(&(unit as u32)),
            Plant::Server { probability } => self.server[unit] == 3 && self.draw.unit() < *probability,
            Plant::Tenant { of } => agent % of == 1 && route == 2,
            Plant::Route { probability } => route == 3 && self.draw.unit() < *probability,
            Plant::Outage { from, to, probability } => {
                (*from * SECOND..*to * SECOND).contains(&at) && self.draw.unit() < *probability
            }
            Plant::Random { probability } => self.draw.unit() < *probability,
            Plant::Bursts { every, length, probability } => {
                let (every, length, probability) = (*every, *length, *probability);
                if at >= self.next_burst {
                    self.burst_until = at + self.spread(length * 1000.0);
                    self.next_burst = self.burst_until + self.spread(every * 1000.0);
                }
                at < self.burst_until && self.draw.unit() < probability
            }
            Plant::Head { limit } => self.columns.units.head_bytes[unit] > *limit,
        }
    }

    fn done(&mut self, at: i64, unit: usize) {
        let token = self.columns.units.token[unit] as usize;
        let route = self.columns.units.route[unit] as usize;
        self.offered_now -= 1;
        let admitted = self.inflight[unit];
        if admitted {
            self.admitted_now -= 1;
            self.token_now[token] -= 1;
            self.route_now[route] -= 1;
        }
        let ended = at + self.transit();
        let agent = self.of_agent[unit];
        self.columns.units.answered_ns[unit] = ended;
        self.columns.units.ended_ns[unit] = ended;
        let think = {
            let phase = std::f64::consts::TAU * ended as f64 / (self.load.period_s * SECOND as f64);
            self.load.think_ms * (1.0 + self.load.swing * phase.sin())
        };
        let mut wait = MS / 4 + self.spread(think);
        let own = &mut self.agents[agent];
        own.last_end = ended;
        if route == 0 {
            if admitted {
                own.opened = ended;
                own.step = 1;
                own.socket = self.columns.sockets.len();
                self.columns.sockets.push(SocketSpan {
                    opened_ns: ended,
                    closed_ns: UNKNOWN,
                    address: (agent % self.load.addresses) as u32,
                    token: token as u32,
                });
                self.sockets_now += 1;
            } else {
                own.step = 0;
            }
        } else {
            own.step += 1;
            if own.step > own.requests {
                own.step = 0;
                self.sockets_now -= 1;
                self.columns.sockets[own.socket].closed_ns = ended;
                self.columns.connections[own.connection].closed_ns = ended;
            }
        }
        if self.agents[agent].step == 1 {
            // Metadata comes promptly, or after a while.
            wait = MS / 4 + self.spread(120.0);
        }
        self.queue.push(Reverse((ended + wait, Event::Send(agent))));
    }

    fn finish(mut self, seed: u64) -> (Columns, Vec<usize>) {
        let n = self.columns.units.len();
        let mut noise = Draw::new(seed, 77);
        self.flagged.sort_unstable();
        self.flagged.dedup();
        self.columns.flags = vec![
            Flagged { rule: "malformed-json".to_owned(), units: self.flagged },
            Flagged {
                rule: "unresolved-variable".to_owned(),
                units: (0..n as u32).filter(|_| noise.unit() < 0.03).collect(),
            },
        ];
        let of_agent = |of: usize| self.of_agent.iter().map(|agent| (agent % of) as u16).collect::<Vec<u16>>();
        let names = |count: usize| (0..count).map(|at| format!("v{at}")).collect::<Vec<String>>();
        let tenants =
            self.plants.iter().find_map(|p| if let Plant::Tenant { of } = p { Some(*of) } else { None }).unwrap_or(5);
        let contrast = |hypothesis: &str, count, of, with_answer| Contrast {
            hypothesis: hypothesis.to_owned(),
            values: names(count),
            of,
            with_answer,
        };
        self.columns.contrasts = vec![
            contrast("contrast:tenant", tenants, of_agent(tenants), false),
            contrast("contrast:header:user-agent", 3, of_agent(3), false),
            contrast("contrast:server:x-served-by", 8, self.server, true),
        ];
        debug_assert!(self.columns.units.token.iter().all(|token| *token != NONE));
        // Units stand in the order in which they were offered already: sending is when they are made.
        let _: &Units = &self.columns.units;
        (self.columns, self.caused)
    }
}
