//! A virtual user: a state machine that says what it does next. Rounds are lists of steps, so that a cause can reorder,
//! drop or delay them. PURE: who drives it brings the time, sends the bytes and tells what came back.

use std::{collections::VecDeque, sync::Arc};

use super::{
    api::Answer,
    causes::{Cause, Client},
    random::{Random, belongs},
    request::{Ending, Kind, Request},
    scenario::{Pace, Scenario, Waves},
    surface::{ITEMS, Round, Surface, Who},
};

/// One thing that a round does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends a request on the HTTP connection and waits for its answer.
    Send(Kind),
    /// Asks for the socket, on a connection of its own, and goes on at once.
    Open,
    /// Waits until the socket is open or refused.
    AwaitOpen,
    /// Waits until the server has said that the socket is ready.
    AwaitReady,
    /// Waits that long.
    Hold(i64),
    /// Sends a message, if the socket is open.
    Message(Kind),
    /// The same, but the bytes leave that much later, while the round goes on: Nagle's algorithm.
    LateMessage(Kind, i64),
    /// Closes the socket.
    CloseSocket,
    /// Closes the HTTP connection.
    CloseConnection,
}

impl Step {
    /// Whether it makes no sense without an open socket.
    fn needs_socket(&self) -> bool {
        match self {
            Self::Send(kind) => *kind == Kind::Metadata,
            Self::AwaitOpen | Self::AwaitReady | Self::Message(_) | Self::LateMessage(..) => true,
            _ => false,
        }
    }
}

/// What the driver must do now; then it asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it on the agent's HTTP connection (open one first where there is none), and tell [`Load::answered`].
    Send(Request),
    /// Send the upgrade on a new connection, do not wait, and tell [`Agent::opened`] or [`Agent::not_opened`].
    Open(Request),
    /// Wait until one of these was told.
    AwaitOpen,
    /// Wait until [`Agent::ready`] or [`Agent::socket_closed`] was told.
    AwaitReady,
    /// Send a message; its bytes leave so many nanoseconds later, while the agent goes on.
    Message(Request, i64),
    /// Wait until that instant.
    Wait(i64),
    /// Close the socket.
    CloseSocket,
    /// Close the HTTP connection.
    CloseConnection,
    /// Nothing any more: close what is open.
    Done,
}

/// Where an agent's socket stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SocketState {
    #[default]
    None,
    Opening,
    Open,
    Ready,
    Refused,
    Closed,
}

/// One virtual user.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Who it is.
    pub who: Who,
    steps: VecDeque<Step>,
    round: Round,
    rounds: u32,
    socket: SocketState,
    /// Requests that its HTTP connection has borne.
    ordinal: u32,
    /// What was sent last, for retries.
    last: Option<(Request, u32)>,
    again: bool,
}

/// What all agents of a load share: the plants' client side, chance, and how the load swells.
pub struct Load {
    scenario: Arc<Scenario>,
    causes: Vec<Box<dyn Cause>>,
    random: Random,
    swell: Waves,
}

impl Load {
    /// The load of a scenario, with its causes planted.
    pub fn new(scenario: &Arc<Scenario>) -> Self {
        Self {
            causes: scenario.plants.iter().map(|plant| (plant.info.build)(plant, scenario)).collect(),
            random: Random::new(scenario.seed, 10),
            swell: Waves::new(scenario.seed, 11, scenario.duration_ns),
            scenario: Arc::clone(scenario),
        }
    }

    /// The agent of that number; agents may share tokens, tenants and addresses.
    pub fn agent(&self, number: u32) -> Agent {
        let scenario = &self.scenario;
        // Spread by different strides, so that who shares the one does not share the other.
        let token = if scenario.tokens_are_own() { number } else { number.wrapping_mul(7) % scenario.tokens.max(1) };
        let who = Who {
            agent: number,
            address: number.wrapping_mul(5).wrapping_add(number / 3) % scenario.addresses.max(1),
            token,
            tenant: (number / 2) % scenario.tenants.max(1),
            client: u32::from(belongs(scenario.seed, 12, u64::from(number), 0.35)) % scenario.clients.max(1),
        };
        Agent {
            who,
            steps: VecDeque::new(),
            round: Round::default(),
            rounds: 0,
            socket: SocketState::None,
            ordinal: 0,
            last: None,
            again: false,
        }
    }

    /// When agent number `number` starts; only in a closed loop, where all are there from the ramp's end on.
    pub fn start_of(&self, number: u32) -> i64 {
        let agents = i64::from(self.scenario.agents.max(1));
        self.scenario.ramp_ns.saturating_mul(i64::from(number)) / agents
    }

    /// How long until the next user arrives, in an open loop; nothing in a closed one.
    pub fn next_arrival(&mut self, now: i64) -> Option<i64> {
        let Pace::Open(rate) = self.scenario.pace else { return None };
        let rising =
            if now < self.scenario.ramp_ns { (now as f64 / self.scenario.ramp_ns as f64).max(0.1) } else { 1.0 };
        let rate = rate * rising * self.intensity(now);
        Some((self.random.exponential(1e9 / rate.max(1e-3)) as i64).max(1))
    }

    /// How much load there is, around 1.
    fn intensity(&self, now: i64) -> f64 {
        (1.0 + self.scenario.swell * self.swell.at(now)).max(0.1)
    }

    fn think(&mut self, now: i64) -> i64 {
        let mean = self.scenario.think_ns as f64 / self.intensity(now);
        self.random.exponential(mean).min(mean * 8.0) as i64
    }

    /// What the agent does now.
    pub fn next(&mut self, agent: &mut Agent, now: i64) -> Action {
        let again = std::mem::take(&mut agent.again);
        if let Some((request, _)) = agent.last.as_ref().filter(|_| again) {
            let mut request = request.clone();
            if !matches!(request.method.as_ref(), "GET" | "HEAD") {
                request.flag("retry-duplicate");
            }
            agent.ordinal += 1;
            return Action::Send(request);
        }
        // A step that has nothing to do leads to the next one; each turn takes one away.
        loop {
            let Some(step) = agent.steps.pop_front() else {
                if !self.begins(agent, now) {
                    return Action::Done;
                }
                self.begin(agent, now);
                continue;
            };
            if let Some(action) = self.act(agent, step, now) {
                return action;
            }
        }
    }

    fn begins(&self, agent: &Agent, now: i64) -> bool {
        let most = match self.scenario.pace {
            Pace::Open(_) => 1,
            Pace::Closed => self.scenario.rounds.unwrap_or(u32::MAX),
        };
        agent.rounds < most && now < self.scenario.duration_ns
    }

    /// Lays out the next round.
    fn begin(&mut self, agent: &mut Agent, now: i64) {
        let scenario = Arc::clone(&self.scenario);
        let surface = scenario.surface;
        let mut steps = Vec::new();
        if agent.rounds > 0 {
            if !scenario.keeps_connection {
                steps.push(Step::CloseConnection);
            }
            steps.push(Step::Hold(self.think(now)));
        } else if scenario.tokens_are_own() {
            steps.push(Step::Send(Kind::Token));
        }
        if self.random.share(scenario.mix.sockets) {
            if surface.has(Kind::Channel) {
                steps.push(Step::Send(Kind::Channel));
            }
            steps.extend([Step::Open, Step::AwaitOpen, Step::Message(Kind::Hello)]);
            if surface.has_gate_message() {
                steps.push(Step::AwaitReady);
            }
            steps.push(Step::Hold(self.random.exponential(scenario.hold_ns as f64) as i64));
            let metadata = Kind::Metadata;
            steps.push(if surface.is_message(metadata) { Step::Message(metadata) } else { Step::Send(metadata) });
            steps.push(Step::Send(Kind::Details));
        }
        for _ in 0..scenario.mix.reads {
            steps.push(Step::Hold(self.think(now)));
            if self.random.share(scenario.mix.pings) {
                steps.push(Step::Message(Kind::Ping));
            }
            steps.push(Step::Send(Kind::Read));
        }
        if self.random.share(scenario.mix.writes) {
            steps.extend([Step::Send(Kind::Version), Step::Send(Kind::Write)]);
        }
        steps.push(Step::CloseSocket);
        agent.round = Round { session: self.random.uuid(), channel: self.random.uuid(), now, ..Round::default() };
        agent.socket = SocketState::None;
        let mut client = client(&agent.who, agent, surface, scenario.seed, now, &mut self.random);
        for cause in &mut self.causes {
            cause.shape(&mut client, &mut steps);
        }
        agent.rounds += 1;
        agent.steps = steps.into();
    }

    fn act(&mut self, agent: &mut Agent, step: Step, now: i64) -> Option<Action> {
        let has_socket = matches!(agent.socket, SocketState::Open | SocketState::Ready);
        let lost = matches!(agent.socket, SocketState::None | SocketState::Refused);
        if step.needs_socket() && lost && !(self.scenario.goes_on_without_socket && step == Step::Send(Kind::Metadata))
        {
            return None;
        }
        match step {
            Step::Send(kind) => {
                let due = self.interpose(agent, now);
                if let Some(other) = due.filter(|other| *other != kind) {
                    agent.steps.push_front(Step::Send(kind));
                    return Some(self.send(agent, other, now));
                }
                Some(self.send(agent, kind, now))
            }
            Step::Open => {
                agent.socket = SocketState::Opening;
                let flag = self.rename(agent, now);
                let mut request = self.write(agent, Kind::Socket, now);
                if let Some(rule) = flag {
                    request.flag(rule);
                }
                Some(Action::Open(request))
            }
            Step::AwaitOpen => (agent.socket == SocketState::Opening).then_some(Action::AwaitOpen),
            Step::AwaitReady => has_socket.then_some(Action::AwaitReady).filter(|_| agent.socket != SocketState::Ready),
            Step::Hold(ns) => Some(Action::Wait(now + ns.max(0))),
            Step::Message(kind) => has_socket.then(|| Action::Message(self.write(agent, kind, now), 0)),
            Step::LateMessage(kind, late) => has_socket.then(|| Action::Message(self.write(agent, kind, now), late)),
            // A round that did not wait for its socket waits now, so that none is left behind.
            Step::CloseSocket if agent.socket == SocketState::Opening => {
                agent.steps.push_front(Step::CloseSocket);
                Some(Action::AwaitOpen)
            }
            Step::CloseSocket if has_socket => {
                agent.socket = SocketState::Closed;
                Some(Action::CloseSocket)
            }
            Step::CloseConnection if agent.ordinal > 0 => {
                agent.ordinal = 0;
                Some(Action::CloseConnection)
            }
            Step::CloseSocket | Step::CloseConnection => None,
        }
    }

    fn send(&mut self, agent: &mut Agent, kind: Kind, now: i64) -> Action {
        let request = self.write(agent, kind, now);
        agent.ordinal += 1;
        agent.last = Some((request.clone(), 0));
        Action::Send(request)
    }

    fn write(&mut self, agent: &mut Agent, kind: Kind, now: i64) -> Request {
        let surface = self.scenario.surface;
        agent.round.now = now;
        if kind == Kind::Read {
            // Some are read more often than others.
            agent.round.item = self.random.below(ITEMS).min(self.random.below(ITEMS));
        }
        let mut request = surface.request(kind, &agent.who, &agent.round, &mut self.random);
        let mut client = client(&agent.who, agent, surface, self.scenario.seed, now, &mut self.random);
        for cause in &mut self.causes {
            cause.write(&mut client, &mut request);
        }
        request
    }

    fn rename(&mut self, agent: &mut Agent, now: i64) -> Option<&'static str> {
        let mut id = agent.round.session.clone();
        let mut client = client(&agent.who, agent, self.scenario.surface, self.scenario.seed, now, &mut self.random);
        let flag = self.causes.iter_mut().fold(None, |flag, cause| cause.session(&mut client, &mut id).or(flag));
        agent.round.session = id;
        flag
    }

    fn interpose(&mut self, agent: &Agent, now: i64) -> Option<Kind> {
        let mut client = client(&agent.who, agent, self.scenario.surface, self.scenario.seed, now, &mut self.random);
        self.causes.iter_mut().find_map(|cause| cause.interpose(&mut client))
    }

    /// The answer to what [`Action::Send`] sent has come, or its connection ended without one.
    pub fn answered(&mut self, agent: &mut Agent, answer: &Answer) {
        let Some((request, tries)) = &mut agent.last else { return };
        let failed = answer.status == 0 || answer.status == 400 || answer.status >= 429;
        let retries = self.causes.iter().map(|cause| cause.retries()).max().unwrap_or(0);
        if failed && *tries < retries && request.ending == Ending::Whole {
            *tries += 1;
            agent.again = true;
        }
        if request.kind == Kind::Channel {
            agent.round.channel = answer.id.clone().unwrap_or_else(|| agent.round.channel.clone());
        }
        if answer.etag.is_some() {
            agent.round.etag = answer.etag.clone();
        }
        if answer.closed || matches!(request.ending, Ending::Abort(_)) {
            agent.ordinal = 0;
        }
    }
}

fn client<'a>(
    who: &'a Who,
    agent: &Agent,
    surface: Surface,
    seed: u64,
    now: i64,
    random: &'a mut Random,
) -> Client<'a> {
    Client { who, now, seed, round: agent.rounds, ordinal: agent.ordinal, surface, random }
}

impl Agent {
    /// The socket is open.
    pub fn opened(&mut self) {
        if self.socket == SocketState::Opening {
            self.socket = SocketState::Open;
        }
    }

    /// The upgrade was refused or not answered.
    pub fn not_opened(&mut self) {
        if self.socket == SocketState::Opening {
            self.socket = SocketState::Refused;
        }
    }

    /// The server's message that says that the socket is ready has come.
    pub fn ready(&mut self) {
        if self.socket == SocketState::Open {
            self.socket = SocketState::Ready;
        }
    }

    /// The server closed the socket.
    pub fn socket_closed(&mut self) {
        if matches!(self.socket, SocketState::Open | SocketState::Ready) {
            self.socket = SocketState::Closed;
        }
    }

    /// Whether it waits for its socket: after [`Action::AwaitOpen`] or [`Action::AwaitReady`], until this is false.
    pub fn awaits(&self, action: &Action) -> bool {
        match action {
            Action::AwaitOpen => self.socket == SocketState::Opening,
            Action::AwaitReady => self.socket == SocketState::Open,
            _ => false,
        }
    }
}
