//! What each connection of a replay does, when, and what it waits for. PURE: a script and changes in, a plan out.
//!
//! - **Deadlines** are absolute: what was sent 3 s after its session began is sent 3 s (by `speed`) after it begins again,
//!   however long answers take meanwhile.
//! - **Causes** come first all the same: a request waits for the answer that its client had had before sending it (of its
//!   own connection; of its session, where that is one user's for certain), a frame for its socket's OPEN and for as
//!   many messages as had come, and whatever bears a value that the server issued waits for that value.
//! - **Templates** are made once for each connection and shared by its copies; what differs between copies (keys, fresh
//!   ids, tokens, carried values) is a slot, filled when it is sent.

mod causes;
mod fresh;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    model::{ConnectionId, ExchangeId, SessionId, Timestamp, trace::Closer, trace::Ending, websocket::opcode},
    profile::Gate,
};

use super::{
    changes::{Changes, duration_text},
    script::{Coding, Connection, Exchange, Frame, Script, Tls},
    values::{Origins, Source},
};

pub(super) use self::fresh::with_same_ids;
pub use self::template::{Fill, Slot, SlotKind, Template};

/// What a plan is made from beside the script.
pub struct Inputs<'a> {
    /// What is to be different.
    pub changes: &'a Changes,
    /// Which exchanges go out later, and by how much.
    pub delayed: &'a [(BTreeSet<ExchangeId>, Duration)],
    /// Tokens, one for each session and copy; none leaves them as they are.
    pub tokens: &'a [String],
    /// The profile's gate.
    pub gate: &'a Gate,
    /// Headers that name the user: copies get names of their own.
    pub identity_headers: &'a [String],
    /// Where to go instead.
    pub to: Option<&'a Target>,
}

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    /// Whether over TLS; `None` is as captured.
    pub tls: Option<bool>,
}

/// What cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A change asks for something that the gate cannot give.
    #[error(
        "wait-for=ready: the profile's gate cannot be seen from here: {0} (hint: hold=metadata:DURATION waits after OPEN instead)"
    )]
    NotObservable(String),
    /// A change concerns metadata, and there is none.
    #[error("{change}: none of the sessions has metadata (hint: --metadata FILTER says which requests are)")]
    NoMetadata {
        /// Which change.
        change: String,
    },
    /// Something would have to come before itself.
    #[error("{change}: {metadata} cannot wait for the socket that {socket} opens, since {socket} {why}")]
    Circle {
        /// Which change.
        change: String,
        /// The metadata's exchange.
        metadata: ExchangeId,
        /// The socket's exchange.
        socket: ExchangeId,
        /// How it depends on the metadata.
        why: String,
    },
    /// There are too few tokens.
    #[error("unique-token: the file has {have} tokens, {need} are needed: one for each session and copy")]
    TooFewTokens {
        /// In the file.
        have: usize,
        /// Sessions times copies.
        need: usize,
    },
    /// Plain HTTP cannot become TLS.
    #[error(
        "--to: {connection} was plain HTTP through the proxy, which cannot go to an https server (hint: --to http://…)"
    )]
    PlainToTls {
        /// Which connection.
        connection: ConnectionId,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One for each captured connection.
    pub connections: Vec<Arc<Planned>>,
    /// One for each connection of each copy, in the order in which they begin.
    pub runs: Vec<Run>,
    /// How many sessions, copies counted.
    pub sessions: usize,
    /// How many of each.
    pub copies: u32,
    /// When the last deadline is.
    pub length: Timestamp,
    /// So many requests wait for their answer at once, at most.
    pub max_inflight: Option<usize>,
    /// What is refused is tried again.
    pub retry: Option<super::Retry>,
    /// A token for each session and copy.
    pub tokens: Vec<String>,
    /// What a person should know, each a sentence.
    pub notes: Vec<String>,
}

/// One connection of one copy.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Its place in [`Plan::connections`].
    pub connection: usize,
    /// Which copy, from 0.
    pub copy: u32,
    /// When its session begins.
    pub start: Timestamp,
}

/// A connection as it is to be replayed. Instants count from its session's beginning.
#[derive(Clone, Debug)]
pub struct Planned {
    /// As in the capture.
    pub of: ConnectionId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// That session's place among them.
    pub session_index: usize,
    /// When it is opened.
    pub opens: Timestamp,
    /// How it reaches its server.
    pub via: Via,
    /// What it leads to.
    pub authority: String,
    /// What it asks for in TLS.
    pub tls: Option<Tls>,
    /// What is sent, in order.
    pub steps: Vec<Step>,
    /// When it ended, if its client ended it; else it ends with its server, or when nothing more is to be had.
    pub client_ends: Option<(Timestamp, Ending)>,
    /// When it ended.
    pub ends: Timestamp,
}

/// How a connection reaches its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Requests in absolute form, to a forward proxy.
    Forward,
    /// A tunnel; the CONNECT's head.
    Connect(Arc<[u8]>),
    /// A listener of that mode: `reverse:https://api.test:443`.
    Reverse(String),
}

/// One thing to be sent.
#[derive(Clone, Debug)]
pub struct Step {
    /// Not before this.
    pub at: Timestamp,
    /// And not before these.
    pub waits: Vec<Wait>,
    /// So much later than all of that.
    pub delay: Duration,
    /// What.
    pub act: Act,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Act {
    /// A request with what followed its body.
    Request(Box<Request>),
    /// A frame.
    Frame {
        /// The socket's exchange.
        socket: ExchangeId,
        /// Its bytes as captured.
        frame: bytes::Bytes,
        /// How its payload is coded.
        coding: Coding,
        /// Its payload, with slots; of a compressed message all of it, with its first frame.
        payload: Template,
        /// Its opcode.
        opcode: u8,
        /// Whether it begins a message that is metadata.
        metadata: bool,
    },
    /// Bytes that are no frame.
    Bytes {
        /// The socket's exchange.
        socket: ExchangeId,
        /// Which.
        bytes: bytes::Bytes,
    },
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// As in the capture.
    pub exchange: ExchangeId,
    /// Its bytes with slots.
    pub template: Template,
    /// How long after its first byte each piece was sent, from the template's cuts.
    pub pauses: Vec<Duration>,
    /// For people.
    pub method: String,
    /// For people, secrets taken out.
    pub path: String,
    /// What it goes to.
    pub authority: String,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// Whether it is metadata.
    pub metadata: bool,
    /// Its status in the capture.
    pub was: Option<u16>,
    /// Whether it was answered in the capture.
    pub answered: bool,
    /// Whether values of its answer, or of its socket's messages, are carried on.
    pub issues: bool,
}

/// What something waits for, within its own copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// That exchange's answer is complete, or will not come.
    Answered(ExchangeId),
    /// That exchange's socket is open for the client, since so long.
    Open(ExchangeId, Duration),
    /// The gate of that exchange's socket has opened.
    Ready(ExchangeId),
    /// So many messages have come on that exchange's socket.
    Messages(ExchangeId, usize),
    /// A value has come.
    Value(Source),
}

impl Wait {
    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::Answered(id) => format!("{id} answered"),
            Self::Open(id, by) if by.is_zero() => format!("{id} open"),
            Self::Open(id, by) => format!("{id} open for {}", duration_text(*by)),
            Self::Ready(id) => format!("{id} ready"),
            Self::Messages(id, count) => format!("{count} messages on {id}"),
            Self::Value(source) => format!("a value that {} issues", source.exchange),
        }
    }
}

impl Plan {
    /// Plans a replay.
    ///
    /// # Errors
    /// Where a change cannot be made in these sessions.
    pub fn new(script: &Script, inputs: &Inputs<'_>) -> Result<Self, PlanError> {
        let changes = inputs.changes;
        let need = script.sessions.len() * changes.copies as usize;
        if changes.unique_token.is_some() && inputs.tokens.len() < need {
            return Err(PlanError::TooFewTokens { have: inputs.tokens.len(), need });
        }
        if let (true, Gate::NotObservable { reason }) = (changes.wait_for_ready, inputs.gate) {
            return Err(PlanError::NotObservable(reason.clone()));
        }
        let begins = beginnings(script);
        let origins = origins(script);
        let fresh = if changes.copies > 1 { fresh::own_ids(script) } else { BTreeMap::new() };
        let causes = causes::find(script, &origins, inputs)?;
        let mut connections = Vec::with_capacity(script.connections.len());
        let mut issuing: BTreeSet<ExchangeId> = BTreeSet::new();
        for connection in &script.connections {
            let owner = connection.exchanges.first().map_or(0, |exchange| exchange.session);
            let maker = Maker {
                script,
                inputs,
                origins: &origins,
                causes: &causes,
                fresh: &fresh,
                begin: begins.get(owner).copied().unwrap_or_default(),
            };
            let planned = maker.connection(connection, owner)?;
            for step in &planned.steps {
                issuing.extend(step.waits.iter().filter_map(|wait| match wait {
                    Wait::Value(source) => Some(source.exchange),
                    _ => None,
                }));
            }
            connections.push(planned);
        }
        for request in connections.iter_mut().flat_map(|planned| &mut planned.steps) {
            if let Act::Request(request) = &mut request.act {
                request.issues = issuing.contains(&request.exchange);
            }
        }
        let mut plan = Self {
            connections: connections.into_iter().map(Arc::new).collect(),
            runs: Vec::new(),
            sessions: need,
            copies: changes.copies,
            length: Timestamp(0),
            max_inflight: changes.max_inflight,
            retry: changes.retry,
            tokens: inputs.tokens.to_vec(),
            notes: causes.notes,
        };
        plan.notes.extend(script.left_out.iter().cloned());
        let ids = fresh.values().map(|ids| ids.len()).sum::<usize>();
        if changes.copies > 1 && ids > 0 {
            plan.notes.push(format!("{ids} ids that the clients had made are made anew for each further copy"));
        }
        if plan.connections.iter().any(|planned| planned.steps.iter().any(|step| step.is_opaque())) {
            let what = "compressed messages that cannot be inflated";
            plan.notes.push(format!("{what} are sent as captured: values in them are not carried on"));
        }
        plan.schedule(&begins, changes);
        Ok(plan)
    }

    /// When each session of each copy begins.
    fn schedule(&mut self, begins: &[Timestamp], changes: &Changes) {
        let first = begins.iter().min().copied().unwrap_or_default();
        let copies = changes.copies;
        let mut order: Vec<(u32, usize)> = Vec::new();
        let mut by_begin: Vec<usize> = (0..begins.len()).collect();
        by_begin.sort_by_key(|session| begins.get(*session).copied());
        for copy in 0..copies {
            order.extend(by_begin.iter().map(|session| (copy, *session)));
        }
        let all = order.len().max(1) as u64;
        let mut starts = BTreeMap::new();
        for (nth, (copy, session)) in order.into_iter().enumerate() {
            let start = match changes.ramp {
                Some(ramp) => Timestamp(u64::try_from(ramp.as_nanos()).unwrap_or(u64::MAX) / all * nth as u64),
                None => scaled(begins.get(session).copied().unwrap_or_default().since(first), changes.speed),
            };
            starts.insert((copy, session), start);
        }
        for copy in 0..copies {
            for (at, planned) in self.connections.iter().enumerate() {
                let start = starts.get(&(copy, planned.session_index)).copied().unwrap_or_default();
                self.runs.push(Run { connection: at, copy, start });
            }
        }
        let opens = |run: &Run| self.connections.get(run.connection).map(|planned| run.start.0 + planned.opens.0);
        self.runs.sort_by_key(|run| (opens(run), run.copy, run.connection));
        let last = |run: &Run| {
            let planned = self.connections.get(run.connection)?;
            let step = planned.steps.iter().map(|step| step.at.after(step.delay)).max()?;
            Some(Timestamp(run.start.0 + step.0))
        };
        self.length = self.runs.iter().filter_map(last).max().unwrap_or_default();
    }

    /// How many requests will be sent, copies counted.
    pub fn requests(&self) -> usize {
        let of = |planned: &Planned| planned.steps.iter().filter(|step| matches!(step.act, Act::Request(_))).count();
        self.runs.iter().filter_map(|run| self.connections.get(run.connection)).map(|planned| of(planned)).sum()
    }

    /// Where it goes: every authority, once.
    pub fn authorities(&self) -> BTreeSet<&str> {
        let mut found: BTreeSet<&str> = self.connections.iter().map(|planned| planned.authority.as_str()).collect();
        for step in self.connections.iter().flat_map(|planned| &planned.steps) {
            if let Act::Request(request) = &step.act {
                found.insert(request.authority.as_str());
            }
        }
        found.remove("");
        found
    }

    /// The reverse modes that the proxy must listen for.
    pub fn reverse_modes(&self) -> BTreeSet<&str> {
        self.connections
            .iter()
            .filter_map(|planned| match &planned.via {
                Via::Reverse(mode) => Some(mode.as_str()),
                Via::Forward | Via::Connect(_) => None,
            })
            .collect()
    }
}

impl Step {
    fn is_opaque(&self) -> bool {
        matches!(&self.act, Act::Frame { coding: Coding::Opaque, .. })
    }
}

/// When each session's first connection was opened.
fn beginnings(script: &Script) -> Vec<Timestamp> {
    let mut begins = vec![Timestamp(u64::MAX); script.sessions.len()];
    for connection in &script.connections {
        for exchange in &connection.exchanges {
            if let Some(begin) = begins.get_mut(exchange.session) {
                *begin = (*begin).min(exchange.began);
            }
        }
        // A connection that was opened ahead counts for the session that used it first.
        if let Some(begin) = connection.exchanges.first().and_then(|exchange| begins.get_mut(exchange.session)) {
            *begin = (*begin).min(connection.opened);
        }
    }
    begins
}

/// Every value that a server issued.
pub(super) fn origins(script: &Script) -> Origins {
    let mut origins = Origins::default();
    let exchanges = || script.connections.iter().flat_map(|connection| &connection.exchanges);
    for exchange in exchanges() {
        origins.sent(&exchange.bytes, exchange.began);
        for frame in &exchange.frames {
            origins.sent(&frame.payload, frame.at);
        }
    }
    let mut said: Vec<(Timestamp, &Exchange, &[super::values::Issued])> = Vec::new();
    for exchange in exchanges() {
        said.extend(exchange.answered.map(|at| (at, exchange, exchange.issued.as_slice())));
        said.extend(exchange.messages.iter().map(|(at, issued)| (*at, exchange, issued.as_slice())));
    }
    said.sort_by_key(|(at, exchange, _)| (*at, exchange.id));
    for (at, exchange, issued) in said {
        if let Some(session) = script.sessions.get(exchange.session) {
            origins.issued(session.id, exchange.id, at, issued);
        }
    }
    origins
}

/// A duration by that factor faster, as an instant from its begin.
fn scaled(duration: Duration, speed: f64) -> Timestamp {
    if speed == 1.0 {
        return Timestamp(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
    Timestamp((duration.as_nanos() as f64 / speed) as u64)
}

/// Makes one connection's plan.
struct Maker<'m> {
    script: &'m Script,
    inputs: &'m Inputs<'m>,
    origins: &'m Origins,
    causes: &'m causes::Causes,
    fresh: &'m BTreeMap<usize, BTreeSet<String>>,
    begin: Timestamp,
}

impl Maker<'_> {
    fn at(&self, instant: Timestamp) -> Timestamp {
        scaled(instant.since(self.begin), self.inputs.changes.speed)
    }

    fn connection(&self, connection: &Connection, owner: usize) -> Result<Planned, PlanError> {
        let target = self.inputs.to;
        let authority = target.map_or_else(|| connection.authority.clone(), |target| target.authority.clone());
        let mut tls = connection.tls.clone();
        let wants_tls = target.and_then(|target| target.tls);
        let reverse = connection.mode.starts_with("reverse:");
        if wants_tls == Some(true) && connection.connect.is_none() && !reverse {
            return Err(PlanError::PlainToTls { connection: connection.id });
        }
        if !reverse {
            match wants_tls {
                Some(false) => tls = None,
                Some(true) if tls.is_none() => tls = Some(Tls { sni: None, alpn: None }),
                _ => {}
            }
            if let (Some(tls), Some(target)) = (&mut tls, target) {
                tls.sni = Some(host_of(&target.authority).to_owned());
            }
        }
        let via = match (&connection.connect, reverse) {
            (Some(head), _) => Via::Connect(connect_head(head, &connection.authority, target)),
            (None, true) => Via::Reverse(reverse_mode(&connection.mode, target)),
            (None, false) => Via::Forward,
        };
        let mut steps = Vec::new();
        for exchange in &connection.exchanges {
            steps.push(self.request(connection, exchange));
            self.frames(exchange, &mut steps);
        }
        let ends = connection.end.map_or_else(Timestamp::default, |end| self.at(end.at));
        let client_ends = connection.end.filter(|end| end.by == Closer::Client).map(|end| (self.at(end.at), end.how));
        Ok(Planned {
            of: connection.id,
            session: self.script.sessions.get(owner).map(|session| session.id).unwrap_or_default(),
            session_index: owner,
            opens: self.at(connection.opened),
            via,
            authority,
            tls,
            steps,
            client_ends,
            ends,
        })
    }

    fn request(&self, connection: &Connection, exchange: &Exchange) -> Step {
        let mut template = Template::of(exchange);
        let https = connection.tls.is_some();
        template.change(
            self.inputs.changes,
            self.inputs.to.map(|to| (exchange.authority.as_str(), to.authority.as_str(), https)),
        );
        let mut waits = self.causes.of(exchange.id);
        let own = self.script.sessions.get(exchange.session).map(|session| session.id).unwrap_or_default();
        let uses = self.origins.uses(own, template.bytes(), exchange.began);
        template.fill_with(uses, self.fresh.get(&exchange.session), self.inputs, exchange.upgrade);
        waits.extend(template.sources().cloned().map(Wait::Value));
        waits.sort();
        waits.dedup();
        let delay =
            self.inputs.delayed.iter().filter(|(taken, _)| taken.contains(&exchange.id)).map(|(_, by)| *by).sum();
        let first = exchange.pieces.first().map_or(exchange.began, |(_, at)| *at);
        let speed = self.inputs.changes.speed;
        let pauses =
            exchange.pieces.iter().map(|(_, at)| Duration::from_nanos(scaled(at.since(first), speed).0)).collect();
        Step {
            at: self.at(exchange.began.min(first)),
            waits,
            delay,
            act: Act::Request(Box::new(Request {
                exchange: exchange.id,
                template,
                pauses,
                method: exchange.method.clone(),
                path: exchange.path.clone(),
                authority: self.inputs.to.map_or_else(|| exchange.authority.clone(), |to| to.authority.clone()),
                upgrade: exchange.upgrade,
                metadata: exchange.metadata,
                was: exchange.status,
                answered: exchange.answered.is_some(),
                issues: false,
            })),
        }
    }

    fn frames(&self, exchange: &Exchange, steps: &mut Vec<Step>) {
        let own = self.script.sessions.get(exchange.session).map(|session| session.id).unwrap_or_default();
        let changes = self.inputs.changes;
        for frame in in_order(exchange, changes.wait_for_ready) {
            let mut waits = Vec::new();
            if frame.metadata {
                waits.extend(changes.hold.map(|by| Wait::Open(exchange.id, by)));
                waits.extend(changes.wait_for_ready.then_some(Wait::Ready(exchange.id)));
            }
            if exchange.open.is_some_and(|open| frame.at >= open) {
                waits.push(Wait::Open(exchange.id, Duration::ZERO));
            }
            if frame.after_messages > 0 {
                waits.push(Wait::Messages(exchange.id, frame.after_messages));
            }
            waits.extend(self.causes.before(exchange.session, frame.at, exchange.id).map(Wait::Answered));
            let act = match frame.opcode {
                Some(kind) => {
                    let mut payload = Template::plain(&frame.payload);
                    let says = matches!(frame.coding, Coding::Plain | Coding::Deflated { .. });
                    if says && matches!(kind, opcode::TEXT | opcode::BINARY | opcode::CONTINUATION) {
                        let uses = self.origins.uses(own, payload.bytes(), frame.at);
                        payload.fill_with(uses, self.fresh.get(&exchange.session), self.inputs, false);
                        waits.extend(payload.sources().cloned().map(Wait::Value));
                    }
                    let metadata = frame.metadata;
                    let (frame, coding) = (frame.bytes.clone(), frame.coding.clone());
                    Act::Frame { socket: exchange.id, frame, coding, payload, opcode: kind, metadata }
                }
                None => Act::Bytes { socket: exchange.id, bytes: frame.bytes.clone() },
            };
            waits.sort();
            waits.dedup();
            steps.push(Step { at: self.at(frame.at), waits, delay: Duration::ZERO, act });
        }
    }
}

/// What the client sent on a socket, in the order of sending. Metadata that is to wait for the gate comes behind what else
/// was sent before that opened: the gate may wait for it. Compressed messages stay where they are, since they refer to
/// those before.
fn in_order(exchange: &Exchange, wait_for_ready: bool) -> Vec<&Frame> {
    let frames: Vec<&Frame> = exchange.frames.iter().filter(|frame| !frame.answers).collect();
    let before_gate =
        |frame: &&&Frame| exchange.ready.is_none_or(|ready| frame.at < ready) && frame.opcode != Some(opcode::CLOSE);
    let (before, after) = frames.split_at(frames.iter().take_while(before_gate).count());
    if !wait_for_ready || before.iter().any(|frame| frame.coding != Coding::Plain) {
        return frames;
    }
    let (mut others, mut metadata) = (Vec::new(), Vec::new());
    let mut within = false;
    for frame in before {
        // The frames of one message stay together.
        if matches!(frame.opcode, Some(opcode::TEXT | opcode::BINARY)) {
            within = frame.metadata;
        }
        let is_data = frame.opcode.is_some_and(|kind| kind < opcode::CLOSE);
        if within && is_data { metadata.push(*frame) } else { others.push(*frame) }
    }
    [others, metadata, after.to_vec()].concat()
}

/// The host of `host:port`, without brackets.
pub(super) fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A CONNECT's head, for another server where there is one.
fn connect_head(head: &[u8], from: &str, target: Option<&Target>) -> Arc<[u8]> {
    let Some(target) = target else { return head.into() };
    let mut message =
        super::edit::Message { bytes: head.to_vec(), head: head.len(), body: head.len(), cuts: Vec::new() };
    let parsed = message.parsed();
    let [_, place, _] = parsed.start;
    let place = place.start as usize..place.end as usize;
    let written = parsed.target().to_vec();
    message.edit(vec![(place, target.authority.clone().into_bytes())]);
    message.map_header("host", |host| {
        let same =
            host.as_bytes() == written || host.eq_ignore_ascii_case(from) || host.eq_ignore_ascii_case(host_of(from));
        same.then(|| target.authority.clone())
    });
    message.bytes.into()
}

/// `reverse:https://api.test:443` without the port that it listened on, for another server where there is one.
fn reverse_mode(mode: &str, target: Option<&Target>) -> String {
    let own = mode.rsplit_once('@').map_or(mode, |(mode, _)| mode);
    let Some(target) = target else { return own.to_owned() };
    let tls = target.tls.unwrap_or_else(|| own.starts_with("reverse:https:"));
    format!("reverse:{}://{}", if tls { "https" } else { "http" }, target.authority)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn what_the_gate_waits_for_overtakes_metadata_that_waits_for_the_gate() {
        let frame = |at: u64, kind, metadata| Frame {
            bytes: bytes::Bytes::new(),
            opcode: Some(kind),
            coding: Coding::Plain,
            payload: bytes::Bytes::new(),
            at: Timestamp(at),
            after_messages: 0,
            answers: false,
            metadata,
        };
        let (text, more, close) = (opcode::TEXT, opcode::CONTINUATION, opcode::CLOSE);
        let mut exchange = Exchange {
            id: ExchangeId(1),
            session: 0,
            bytes: bytes::Bytes::new(),
            head: 0,
            body: 0,
            pieces: Vec::new(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            authority: String::new(),
            began: Timestamp(0),
            answered: None,
            status: Some(101),
            refused: false,
            upgrade: true,
            open: Some(Timestamp(0)),
            ready: Some(Timestamp(5)),
            metadata: false,
            issued: Vec::new(),
            // A subscription in two frames, what opens the gate, a second one behind it.
            frames: vec![
                frame(1, text, true),
                frame(2, more, false),
                frame(3, text, false),
                frame(6, text, true),
                frame(7, text, false),
            ],
            messages: Vec::new(),
        };
        let order = |exchange: &Exchange, wait| in_order(exchange, wait).iter().map(|it| it.at.0).collect::<Vec<_>>();
        assert_eq!(order(&exchange, false), [1, 2, 3, 6, 7]);
        assert_eq!(order(&exchange, true), [3, 1, 2, 6, 7]);
        // It never opened: a Close stays the last.
        exchange.ready = None;
        exchange.frames.push(frame(8, close, false));
        assert_eq!(order(&exchange, true), [3, 7, 1, 2, 6, 8]);
        // What is compressed refers to what came before.
        exchange.frames[2].coding = Coding::Continued;
        assert_eq!(order(&exchange, true), [1, 2, 3, 6, 7, 8]);
    }
}
