//! Metadata and the sockets that it belongs to, judged once for all rules about their order.
//!
//! Which request is metadata ([`Metadata`]):
//! - by the profile's own matcher: every request that it takes.
//! - without knowledge: of each socket the first request whose method is not safe (RFC 9110, 9.2.1: a `HEAD` or
//!   `OPTIONS` announces no metadata either) and whose first byte came after the socket was asked for.
//!
//! A request belongs to the socket whose key it bears, else to the one that was open or opening at its first byte, else
//! to the session's next one. It is looked at once it is complete, since its key may stand in its body, and its relation
//! to the socket is decided as soon as the instants that it takes are known: at once, or when the 101 was written, was
//! refused, or will not come. Records of several connections may be out of order with respect to time, so instants are
//! compared, and what seems in order is looked at again for [`GRACE`]. A flag that is out stays.
//!
//! A claim is never stronger than its session: [`Doubt`] says what is missing. Where a request's means of correlation
//! disagree, nothing is said of its order at all: that is `id-mismatch`.
//!
//! Messages that the profile takes for metadata know their socket, and are judged by gate and window alone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    model::{
        ExchangeId, FrameId, SessionId, Side, Timestamp,
        exchange::Exchange,
        flag::{Evidence, Flag, Severity, Subject},
        observation::{Collected, Heard, Observation, What},
        session::{BorneKey, CorrelatedBy, Session, SessionSocket},
        trace::ByteRange,
        websocket::{Frame, opcode},
    },
    profile::{Confidence, Gate, Metadata, Profile, Window},
};

use super::{
    Options, Rule, RuleInfo, metadata_after_close, metadata_after_failed_open, metadata_before_open,
    metadata_before_ready, metadata_too_late, metadata_too_soon, metadata_without_socket, words,
};

/// By how much the order of records may be off against time, on event time.
const GRACE: Duration = Duration::from_secs(1);
/// Requests of one session that may wait for a decision; the oldest go undecided.
const WAITING: usize = 64;
/// Messages of one socket, and requests, that may wait for its gate.
const AT_GATE: usize = 64;

/// A rule about the order of metadata: its id, and what it says of a case.
pub(super) struct Member {
    pub(super) info: &'static RuleInfo,
    pub(super) judge: fn(&Case<'_>) -> Option<Hit>,
}

/// All of them.
const MEMBERS: &[&Member] = &[
    &metadata_before_open::MEMBER,
    &metadata_before_ready::MEMBER,
    &metadata_too_soon::MEMBER,
    &metadata_too_late::MEMBER,
    &metadata_without_socket::MEMBER,
    &metadata_after_failed_open::MEMBER,
    &metadata_after_close::MEMBER,
];

/// Whether that rule is judged here.
pub(super) fn is_member(rule: &RuleInfo) -> bool {
    MEMBERS.iter().any(|member| member.info.id == rule.id)
}

/// [`RuleInfo::silent`]: where no gate passes here.
pub(super) fn without_gate(options: &Options) -> Option<&'static str> {
    gates(options).is_empty().then_some("the profile has no gate that passes here")
}

/// [`RuleInfo::silent`]: where nothing says when metadata is in time.
pub(super) fn without_window(options: &Options) -> Option<&'static str> {
    let known = options
        .profile
        .iter()
        .any(|profile| profile.window.is_some() || profile.routes.iter().any(|route| route.window.is_some()));
    (!known).then_some("the profile has no window")
}

/// [`RuleInfo::silent`]: where what metadata is, is a guess.
pub(super) fn unnamed(options: &Options) -> Option<&'static str> {
    matches!(options.metadata, Metadata::FirstAfterUpgrade).then_some("nothing says which requests are metadata")
}

/// The gates that pass here, each once.
fn gates(options: &Options) -> Vec<Gate> {
    let passes = |gate: &Gate| matches!(gate, Gate::FirstServerFrame | Gate::Frame(_));
    let gates = options.profile.iter().flat_map(|profile| {
        profile.routes.iter().filter_map(|route| route.gate.as_ref()).chain(std::iter::once(&profile.gate))
    });
    let mut kinds: Vec<Gate> = Vec::new();
    for gate in gates.filter(|gate| passes(gate)) {
        if !kinds.contains(gate) {
            kinds.push(gate.clone());
        }
    }
    kinds
}

/// The rules of those ids, at work together.
pub(super) fn build(options: &Options, on: &[&str]) -> Box<dyn Rule> {
    let members: Vec<_> = MEMBERS.iter().copied().filter(|member| on.contains(&member.info.id)).collect();
    Box::new(Order {
        kinds: gates(options),
        profile: options.profile.clone(),
        metadata: options.metadata.clone(),
        header: options.identity_headers.first().cloned().unwrap_or_else(|| "X-JM-Thread".to_owned()),
        members,
        sessions: BTreeMap::new(),
        gates: BTreeMap::new(),
    })
}

/// What a rule says of a case.
pub(super) struct Hit {
    pub(super) severity: Severity,
    /// What follows `POST /path reached the proxy `.
    pub(super) how: String,
    /// The other instant, and whose it is.
    pub(super) evidence: Option<Evidence>,
    /// When it was known.
    pub(super) at: Timestamp,
}

/// A piece of metadata in relation to a socket.
pub(super) struct Case<'a> {
    pub(super) first_byte: Timestamp,
    pub(super) relation: Relation<'a>,
    /// Whether a profile or a filter says that it is metadata; else it is a guess.
    pub(super) named: bool,
    /// Whether it is known whose it is.
    pub(super) sure: bool,
    /// Whether it is a message on the socket itself.
    pub(super) message: bool,
    /// When it is in time.
    pub(super) window: Option<&'a Window>,
}

/// See the module.
#[derive(Clone, Copy)]
pub(super) enum Relation<'a> {
    /// It came before its session asked for that socket.
    BeforeAsked(&'a SessionSocket),
    /// It came while that socket was opening or open. When it opened is known, or that it never did.
    On(&'a SessionSocket),
    /// The same, and when the socket's gate opened is known, or that it never did.
    AtGate(&'a SessionSocket, Option<&'a Opened>),
    /// The socket had been refused.
    AfterRefused(&'a SessionSocket),
    /// The socket had closed.
    AfterClosed(&'a SessionSocket),
    /// Its session ended and never had one.
    NoSocket,
}

/// The frame that opened a gate.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) arrived: Timestamp,
    pub(super) written: Option<Timestamp>,
    pub(super) frame: (FrameId, ByteRange),
}

/// How bad it is to break a rule that is known that well.
pub(super) fn certainty(confidence: Confidence) -> Severity {
    match confidence {
        Confidence::Documented | Confidence::Observed => Severity::Warning,
        Confidence::Reported | Confidence::Disputed => Severity::Hint,
    }
}

struct Order {
    members: Vec<&'static Member>,
    metadata: Metadata,
    profile: Option<Arc<Profile>>,
    /// The profile's gates that pass here, its own and its routes'.
    kinds: Vec<Gate>,
    header: String,
    sessions: BTreeMap<SessionId, Watch>,
    /// Of each open socket, where there is a gate.
    gates: BTreeMap<ExchangeId, AtGate>,
}

#[derive(Default)]
struct Watch {
    waiting: VecDeque<Item>,
    /// Sockets whose metadata was found, and when it came: without knowledge, each has one.
    taken: Vec<(ExchangeId, Timestamp)>,
}

#[derive(Default)]
struct AtGate {
    /// The frames that opened it, by kind of gate.
    opened: Vec<(usize, Opened)>,
    waiting: Vec<(Item, SessionSocket, Standing)>,
}

impl AtGate {
    fn opened(&self, kind: usize) -> Option<Opened> {
        self.opened.iter().find(|(known, _)| *known == kind).map(|(_, opened)| *opened)
    }
}

/// A request or message that may be metadata.
#[derive(Clone)]
struct Item {
    subject: Subject,
    label: Box<str>,
    place: ByteRange,
    first_byte: Timestamp,
    /// Those that prove whose it is.
    keys: Vec<BorneKey>,
    answered: Option<Timestamp>,
    done: bool,
    /// The open socket on which it seems in order.
    on: Option<ExchangeId>,
    /// Its gate, where it has one that passes here.
    gate: Option<usize>,
    window: Option<Window>,
}

/// Whose an item is, and how well that is known.
#[derive(Clone)]
struct Standing {
    session: Option<SessionId>,
    doubt: Option<String>,
}

/// What became of an item.
enum Next<'a> {
    Wait,
    Drop,
    Judge(Relation<'a>),
    /// Judge it, and look at it again.
    JudgeAndWait(Relation<'a>),
}

impl Order {
    fn is_named(&self) -> bool {
        matches!(self.metadata, Metadata::Matches(_))
    }

    fn may_be_metadata(&self, exchange: &Exchange) -> bool {
        match &self.metadata {
            _ if exchange.asked_for_websocket() => false,
            Metadata::Matches(matches) => matches(exchange),
            Metadata::FirstAfterUpgrade => {
                !matches!(exchange.request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
            }
        }
    }

    fn request(&mut self, exchange: &Exchange, session: &Session, now: Timestamp, raise: &mut dyn FnMut(Flag)) {
        if !self.may_be_metadata(exchange) || exchange.borne.clash.is_some_and(|clash| clash.is_mismatch()) {
            return;
        }
        let (mut gate, mut window) = (None, None);
        if let Some(profile) = self.profile.as_deref() {
            let route = profile.route(exchange.request.method(), exchange.path());
            let own = profile.gate_of(route);
            // What it has to wait for does not pass here: nothing can be said of its order.
            if matches!(own, Gate::NotObservable { .. }) {
                return;
            }
            gate = self.kinds.iter().position(|kind| kind == own);
            window = profile.window_of(route).cloned();
        }
        let item = Item {
            subject: Subject::Exchange(exchange.id),
            label: format!("{} {}", words::method(exchange), words::path(exchange)).into(),
            place: exchange.request.range,
            first_byte: exchange.request_first_byte,
            keys: exchange.borne.keys.iter().filter(|key| !key.shared).copied().collect(),
            answered: None,
            done: false,
            on: None,
            gate,
            window,
        };
        let watch = self.sessions.entry(session.id).or_default();
        while watch.waiting.len() >= WAITING || watch.waiting.front().is_some_and(|item| item.is_stale(now)) {
            watch.waiting.pop_front();
        }
        if let Some(item) = self.decide(item, session, false, raise)
            && let Some(watch) = self.sessions.get_mut(&session.id)
        {
            watch.waiting.push_back(item);
        }
    }

    /// An exchange that may have been waiting is over.
    fn done(&mut self, exchange: &Exchange, session: &Session, raise: &mut dyn FnMut(Flag)) {
        let Some(watch) = self.sessions.get_mut(&session.id) else { return };
        let subject = Subject::Exchange(exchange.id);
        let Some(place) = watch.waiting.iter().rposition(|item| item.subject == subject) else { return };
        let Some(mut item) = watch.waiting.remove(place) else { return };
        item.answered = exchange.response_last_byte;
        item.done = true;
        if let Some(item) = self.decide(item, session, false, raise)
            && let Some(watch) = self.sessions.get_mut(&session.id)
        {
            watch.waiting.insert(place.min(watch.waiting.len()), item);
        }
    }

    /// Something became known of one of the session's sockets.
    fn decide_all(&mut self, session: &Session, last: bool, raise: &mut dyn FnMut(Flag)) {
        let Some(watch) = self.sessions.get_mut(&session.id) else { return };
        let mut items: Vec<Item> = watch.waiting.drain(..).collect();
        items.sort_by_key(|item| (item.first_byte, item.place.start));
        for item in items {
            if let Some(item) = self.decide(item, session, last, raise)
                && let Some(watch) = self.sessions.get_mut(&session.id)
            {
                watch.waiting.push_back(item);
            }
        }
    }

    /// Decides what can be decided of an item; gives it back where it has to wait.
    fn decide(&mut self, mut item: Item, session: &Session, last: bool, raise: &mut dyn FnMut(Flag)) -> Option<Item> {
        let named = self.is_named();
        let watch = self.sessions.get_mut(&session.id)?;
        let (relation, waits) = match item.relation(session, named, last, watch) {
            Next::Wait => return Some(item),
            Next::Drop => return None,
            Next::Judge(relation) => (relation, false),
            Next::JudgeAndWait(relation) => (relation, true),
        };
        if let Relation::On(socket) = relation {
            if item.on == Some(socket.exchange) {
                return waits.then_some(item);
            }
            item.on = Some(socket.exchange);
            if !named && !watch.take(socket.exchange, item.first_byte, session) {
                return waits.then_some(item);
            }
        }
        let doubt = Doubt::of(&item, session, relation, &self.header).text();
        let standing = Standing { session: Some(session.id), doubt };
        self.judge(&item, relation, &standing, raise);
        if let (Relation::On(socket), Some(_)) = (relation, item.gate) {
            self.at_gate(item.clone(), socket.clone(), standing, raise);
        }
        waits.then_some(item)
    }

    fn judge(&self, item: &Item, relation: Relation<'_>, standing: &Standing, raise: &mut dyn FnMut(Flag)) {
        let message = matches!(item.subject, Subject::Frame(_));
        let case = Case {
            first_byte: item.first_byte,
            relation,
            named: message || self.is_named(),
            sure: standing.doubt.is_none(),
            message,
            window: item.window.as_ref(),
        };
        for member in &self.members {
            let Some(hit) = (member.judge)(&case) else { continue };
            let doubt = standing.doubt.as_ref().map(|doubt| format!(" ({doubt})")).unwrap_or_default();
            let first = Evidence::bytes(item.subject, item.place, item.first_byte);
            raise(Flag {
                rule: member.info.id,
                severity: if standing.doubt.is_some() { Severity::Hint } else { hit.severity },
                subject: item.subject,
                session: standing.session,
                message: format!("{} reached the proxy {}{doubt}", item.label, hit.how),
                evidence: std::iter::once(first).chain(hit.evidence).collect(),
                at: hit.at.max(item.first_byte),
            });
        }
    }

    /// Metadata of a socket with a gate: it can be judged once the gate opened.
    fn at_gate(&mut self, item: Item, socket: SessionSocket, standing: Standing, raise: &mut dyn FnMut(Flag)) {
        // What came before OPEN is another rule's.
        if socket.open_write_begun.is_none_or(|begun| item.first_byte < begun)
            && !matches!(item.subject, Subject::Frame(_))
        {
            return;
        }
        let (Some(gate), Some(kind)) = (self.gates.get_mut(&socket.exchange), item.gate) else { return };
        match gate.opened(kind) {
            Some(opened) => self.judge(&item, Relation::AtGate(&socket, Some(&opened)), &standing, raise),
            None if gate.waiting.len() < AT_GATE => gate.waiting.push((item, socket, standing)),
            None => {}
        }
    }

    fn frame(&mut self, exchange: &Exchange, frame: &Frame, raise: &mut dyn FnMut(Flag)) {
        if frame.from == Side::Server
            && let Some(kind) = self.kinds.iter().position(|kind| matches!(kind, Gate::FirstServerFrame))
        {
            self.gate_opens(kind, exchange, frame, raise);
        }
    }

    fn message(
        &mut self,
        exchange: &Exchange,
        frame: &Frame,
        payload: Collected<'_>,
        session: Option<&Session>,
        raise: &mut dyn FnMut(Flag),
    ) {
        let Some(profile) = self.profile.clone() else { return };
        let text = || payload.whole().and_then(|text| std::str::from_utf8(text).ok());
        match (frame.from, &profile.metadata_frame) {
            (Side::Server, _) => {
                for kind in 0..self.kinds.len() {
                    let shut = self.gates.get(&exchange.id).is_some_and(|gate| gate.opened(kind).is_none());
                    if let Some(Gate::Frame(gate)) = self.kinds.get(kind)
                        && shut
                        && text().is_some_and(|text| gate.matches(text))
                    {
                        self.gate_opens(kind, exchange, frame, raise);
                    }
                }
            }
            (Side::Client, Some(metadata)) => {
                if !text().is_some_and(|text| metadata.matches(text))
                    || matches!(profile.gate, Gate::NotObservable { .. })
                {
                    return;
                }
                let Some(socket) = socket_of(exchange) else { return };
                let item = Item {
                    subject: Subject::Frame(frame.id),
                    label: format!("the message {} on the socket {}", frame.id, exchange.id).into(),
                    place: frame.range,
                    first_byte: frame.first_byte,
                    keys: Vec::new(),
                    answered: None,
                    done: true,
                    on: Some(exchange.id),
                    gate: self.kinds.iter().position(|kind| *kind == profile.gate),
                    window: profile.window.clone(),
                };
                let standing = Standing { session: session.map(|session| session.id), doubt: None };
                self.judge(&item, Relation::On(&socket), &standing, raise);
                if item.gate.is_some() {
                    self.at_gate(item, socket, standing, raise);
                }
            }
            _ => {}
        }
    }

    fn gate_opens(&mut self, kind: usize, exchange: &Exchange, frame: &Frame, raise: &mut dyn FnMut(Flag)) {
        let Some(gate) = self.gates.get_mut(&exchange.id) else { return };
        if gate.opened(kind).is_some() {
            return;
        }
        let opened = Opened { arrived: frame.first_byte, written: frame.written, frame: (frame.id, frame.range) };
        gate.opened.push((kind, opened));
        let (through, waiting) = std::mem::take(&mut gate.waiting).into_iter().partition(|w| w.0.gate == Some(kind));
        gate.waiting = waiting;
        let through: Vec<(Item, SessionSocket, Standing)> = through;
        for (item, socket, standing) in through {
            self.judge(&item, Relation::AtGate(&socket, Some(&opened)), &standing, raise);
        }
    }

    /// The socket is over, or the capture: its gate opens no more.
    fn gate_stays_shut(&mut self, gate: AtGate, ended: Option<Timestamp>, raise: &mut dyn FnMut(Flag)) {
        for (item, mut socket, standing) in gate.waiting {
            socket.closed = socket.closed.or(ended);
            self.judge(&item, Relation::AtGate(&socket, None), &standing, raise);
        }
    }
}

impl Rule for Order {
    fn hears(&self) -> &[Heard] {
        &[
            Heard::RequestHead,
            Heard::Request,
            Heard::ResponseHead,
            Heard::Open,
            Heard::Frame,
            Heard::Message,
            Heard::Exchange,
            Heard::SessionEnded,
            Heard::End,
        ]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match (observation.what, observation.session) {
            (What::Request(exchange, _), Some(session)) => {
                self.request(exchange, session, observation.at, raise);
            }
            (What::RequestHead(exchange), Some(session)) if exchange.asked_for_websocket() => {
                self.decide_all(session, false, raise);
            }
            (What::Open(exchange), session) => {
                if !self.kinds.is_empty() {
                    self.gates.entry(exchange.id).or_default();
                }
                if let Some(session) = session {
                    self.decide_all(session, false, raise);
                }
            }
            (What::ResponseHead(exchange), Some(session))
                if exchange.asked_for_websocket() && exchange.status() != Some(101) =>
            {
                self.decide_all(session, false, raise);
            }
            (What::Exchange(exchange, _), session) if exchange.asked_for_websocket() => {
                if let Some(session) = session {
                    self.decide_all(session, false, raise);
                }
                if let Some(gate) = self.gates.remove(&exchange.id) {
                    let ended = exchange.websocket.as_ref().and_then(|socket| socket.ended);
                    self.gate_stays_shut(gate, ended, raise);
                }
            }
            (What::Exchange(exchange, _), Some(session)) => self.done(exchange, session, raise),
            (What::Frame(exchange, frame, _), _) if !self.kinds.is_empty() => self.frame(exchange, frame, raise),
            (What::Message(exchange, frame, opcode::TEXT, payload), session) => {
                self.message(exchange, frame, payload, session, raise);
            }
            (What::SessionEnded(session), _) => {
                self.decide_all(session, true, raise);
                self.sessions.remove(&session.id);
            }
            (What::End, _) => {
                let gates = std::mem::take(&mut self.gates);
                gates.into_values().for_each(|gate| self.gate_stays_shut(gate, None, raise));
                self.sessions.clear();
            }
            _ => {}
        }
    }
}

impl Watch {
    /// Takes a request as the socket's one piece of metadata, unless an earlier one was.
    fn take(&mut self, socket: ExchangeId, at: Timestamp, session: &Session) -> bool {
        match self.taken.iter_mut().find(|(taken, _)| *taken == socket) {
            Some((_, earlier)) if *earlier <= at => false,
            Some((_, later)) => {
                *later = at;
                true
            }
            None => {
                self.taken.retain(|(known, _)| session.socket(*known).is_some());
                self.taken.push((socket, at));
                true
            }
        }
    }

    fn has_taken(&self, socket: ExchangeId, at: Timestamp) -> bool {
        self.taken.iter().any(|(taken, earlier)| *taken == socket && *earlier < at)
    }
}

impl Item {
    /// Whether it need not be looked at again.
    fn is_stale(&self, now: Timestamp) -> bool {
        self.on.is_some() && self.first_byte.after(GRACE) < now
    }

    /// Whether its keys say which of the sockets it belongs to.
    fn is_keyed(&self, session: &Session) -> bool {
        session.sockets.iter().any(|socket| self.is_on(socket))
    }

    /// Whether the socket bears one of its keys.
    fn is_on(&self, socket: &SessionSocket) -> bool {
        self.keys.iter().any(|key| socket.keys.iter().any(|borne| borne.value == key.value))
    }

    /// Those of the session's sockets that it may belong to.
    fn sockets<'s>(&self, session: &'s Session) -> Vec<&'s SessionSocket> {
        let keyed = self.is_keyed(session);
        // Its key may be on a socket that is to come, or in a message that is. A socket with a key of another name
        // says nothing of this one.
        let has_own =
            |socket: &SessionSocket| self.keys.iter().any(|key| socket.keys.iter().any(|borne| borne.name == key.name));
        session.sockets.iter().filter(|socket| if keyed { self.is_on(socket) } else { !has_own(socket) }).collect()
    }

    /// Its relation to the socket that it belongs to, as far as it is known. `last`: nothing more will be.
    fn relation<'s>(&self, session: &'s Session, named: bool, last: bool, watch: &Watch) -> Next<'s> {
        let at = self.first_byte;
        let sockets = self.sockets(session).into_iter();
        let order = |socket: &&SessionSocket| (socket.asked, socket.exchange);
        let here = sockets.clone().filter(|s| s.asked <= at && s.closed.is_none_or(|closed| at < closed));
        let open = here.clone().filter(|s| s.client_open_written.is_some_and(|open| open <= at)).max_by_key(order);
        if let Some(open) = open {
            return Next::JudgeAndWait(Relation::On(open));
        }
        if let Some(opening) = here.max_by_key(order) {
            let settled = opening.client_open_written.is_some() || opening.closed.is_some() || last;
            return if settled { Next::Judge(Relation::On(opening)) } else { Next::Wait };
        }
        let before =
            sockets.clone().filter(|socket| socket.closed.is_some_and(|closed| closed <= at)).max_by_key(order);
        let next = sockets.filter(|socket| at < socket.asked).min_by_key(order);
        let keyed = self.is_keyed(session);
        match (before, next) {
            (Some(before), _) if before.was_refused() && (named || !watch.has_taken(before.exchange, at)) => {
                Next::Judge(Relation::AfterRefused(before))
            }
            (Some(before), _) if keyed => Next::Judge(Relation::AfterClosed(before)),
            (_, Some(next)) if named => Next::Judge(Relation::BeforeAsked(next)),
            (_, Some(next)) => {
                if self.answered.is_some_and(|answered| answered <= next.asked) {
                    Next::Drop
                } else if !self.done && !last {
                    Next::Wait
                } else {
                    Next::Judge(Relation::BeforeAsked(next))
                }
            }
            (_, None) if !last => Next::Wait,
            (Some(before), None) if named => Next::Judge(Relation::AfterClosed(before)),
            (None, None) if named => Next::Judge(Relation::NoSocket),
            (_, None) => Next::Drop,
        }
    }
}

/// What a message's own socket is like.
fn socket_of(exchange: &Exchange) -> Option<SessionSocket> {
    let socket = exchange.websocket.as_ref()?;
    Some(SessionSocket {
        exchange: exchange.id,
        asked: exchange.request_first_byte,
        keys: exchange.borne.keys.clone(),
        status: exchange.status(),
        answer: exchange.response.as_ref().map(|head| head.range),
        server_open: socket.server_open,
        open_write_begun: socket.open_write_begun,
        client_open_written: socket.client_open_written,
        first_frame_from_server: socket.first_frame_from_server,
        closed: socket.ended,
    })
}

/// What stands against a proof.
struct Doubt<'a> {
    sure: bool,
    by: CorrelatedBy,
    header: &'a str,
    closed: bool,
    several: bool,
}

impl<'a> Doubt<'a> {
    fn of(item: &Item, session: &Session, relation: Relation<'_>, header: &'a str) -> Self {
        let at = item.first_byte;
        // A key that is on one socket says whose the request is, whatever else the session was put together by.
        let keyed = item.is_keyed(session);
        let own = match relation {
            Relation::AfterRefused(socket) | Relation::AfterClosed(socket) => Some(socket.exchange),
            _ => None,
        };
        let sockets = item.sockets(session);
        let others = || sockets.iter().copied().filter(|socket| Some(socket.exchange) != own);
        let opening = |socket: &SessionSocket| socket.asked <= at && socket.closed.is_none_or(|closed| at < closed);
        Self {
            sure: session.sure || keyed,
            by: session.correlated_by,
            header,
            closed: !keyed && others().any(|socket| socket.closed.is_some_and(|closed| closed <= at)),
            several: others().filter(|socket| opening(socket)).count() > 1,
        }
    }

    fn text(&self) -> Option<String> {
        let header = self.header;
        if !self.sure {
            return Some(match self.by {
                CorrelatedBy::Header => {
                    format!("no proof, since several clients send the same {header}: make its values unique")
                }
                CorrelatedBy::Key => "no proof, since several sockets bear the same key".to_owned(),
                CorrelatedBy::Token => {
                    format!("no proof, since its session is known by its token alone: let the client send {header}")
                }
                CorrelatedBy::Neighbour => {
                    format!(
                        "no proof, since its session is only guessed from the client's address: let the client send {header}"
                    )
                }
            });
        }
        if self.closed {
            return Some(
                "no proof, since an earlier socket of the session had closed: it may be meant for that one".to_owned(),
            );
        }
        self.several.then(|| "no proof, since several sockets of the session were opening".to_owned())
    }
}
