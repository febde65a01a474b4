//! `metadata-before-open`: metadata reached us before the client can have seen its socket OPEN.
//!
//! Source: measured. A client's prompt reply on loopback arrives before the write that carries the 101 has *returned* in
//! 11–50 % of cases, but never before that write *began*: what arrived earlier cannot be an answer to the 101. Hence a
//! proof (error) before `open_write_begun`, a hint between it and `client_open_written`, nothing after.
//!
//! It takes a session to say whose socket it is, and the claim is never stronger than the session: one that is not sure,
//! an earlier socket of it that has closed (the request may have been meant for that one), or several sockets that were
//! opening at once, make it a hint that says what is missing.
//!
//! Which request is metadata ([`Metadata`]):
//! - by the profile's own matcher: every request that it takes. One that comes before its session has even asked for a
//!   socket belongs to the next one, and is early without doubt.
//! - without knowledge: of each socket the first request whose method is not safe (RFC 9110, 9.2.1: a `HEAD` or
//!   `OPTIONS` announces no metadata either) and whose first byte came after the socket was asked for. What came before
//!   that is a login or the creation of a channel if it was answered before the socket was asked for: nothing is said.
//!   If it was still unanswered then, the client did not wait for it: a hint.
//!
//! Records of two connections may be out of order with respect to time, so that instants are compared and nothing is
//! decided before [`GRACE`] has passed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    model::{
        ExchangeId, SessionId, Timestamp,
        exchange::Exchange,
        flag::{Evidence, Flag, Severity, Subject},
        observation::{Observation, What},
        session::{CorrelatedBy, Session, SessionSocket},
        trace::ByteRange,
    },
    profile::Metadata,
};

use super::{Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "metadata-before-open",
    summary: "metadata arrived before its session's socket was open: before the 101 began to be written to the client",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::Session],
    known: Known::Before,
    source: "causality: no client answers what was not sent to it yet; stamps measured on loopback",
    default_on: true,
    why: "it is what this tool is for, and it is proven or said to be a guess",
    build: |options| Box::new(MetadataBeforeOpen::new(options)),
};

/// By how much the order of records may be off against time, on event time.
const GRACE: Duration = Duration::from_secs(1);
/// Requests of one session that may wait for a decision; the oldest go undecided.
const WAITING: usize = 64;
/// Sockets of one session that are remembered.
const SOCKETS: usize = 64;

struct MetadataBeforeOpen {
    metadata: Metadata,
    header: String,
    sessions: BTreeMap<SessionId, Watch>,
    /// Those of the sessions that have requests waiting.
    waiting: BTreeSet<SessionId>,
}

/// What is remembered of a session.
struct Watch {
    sure: bool,
    by: CorrelatedBy,
    sockets: Vec<Socket>,
    /// When a socket that is no longer remembered closed, the first of them.
    closed: Option<Timestamp>,
    requests: VecDeque<Request>,
}

struct Socket {
    is: SessionSocket,
    /// Where the answer to the upgrade stood.
    answer: Option<ByteRange>,
    /// Whether its metadata was found.
    taken: bool,
}

/// A request that may be metadata, and early.
struct Request {
    exchange: ExchangeId,
    label: String,
    head: ByteRange,
    first_byte: Timestamp,
    answered: Option<Timestamp>,
    done: bool,
}

/// What a request turned out to be.
enum Decision {
    Wait,
    Nothing,
    Raise(Box<Flag>),
}

impl MetadataBeforeOpen {
    fn new(options: &Options) -> Self {
        Self {
            metadata: options.metadata.clone(),
            header: options.identity_headers.first().cloned().unwrap_or_else(|| "X-JM-Thread".to_owned()),
            sessions: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
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

    fn request(&mut self, exchange: &Exchange, session: &Session) {
        if !self.may_be_metadata(exchange) {
            return;
        }
        let at = exchange.request_first_byte;
        let open = |socket: &SessionSocket| {
            socket.client_open_written.is_some_and(|open| open <= at) && socket.closed.is_none_or(|closed| at < closed)
        };
        let watch = self.sessions.entry(session.id).or_insert_with(|| Watch::of(session));
        // The socket may have closed before this request, in a record that is still to come. But in a crowd, those that
        // are early as far as is known go first.
        if watch.requests.len() >= WAITING / 2 && session.sockets.iter().any(open) {
            return;
        }
        if watch.requests.len() == WAITING {
            watch.requests.pop_front();
        }
        watch.requests.push_back(Request {
            exchange: exchange.id,
            label: format!("{} {}", words::method(exchange), words::path(exchange)),
            head: exchange.request.range,
            first_byte: at,
            answered: None,
            done: false,
        });
        self.waiting.insert(session.id);
    }

    /// Decides what can be decided at `now`; all of it where nothing more will come.
    fn decide(&mut self, id: SessionId, now: Option<Timestamp>, raise: &mut dyn FnMut(Flag)) {
        let Some(watch) = self.sessions.get_mut(&id) else { return };
        let mut requests: Vec<Request> = watch.requests.drain(..).collect();
        requests.sort_by_key(|request| (request.first_byte, request.exchange));
        for request in requests {
            match watch.decide(&request, id, now, &self.metadata, &self.header) {
                Decision::Wait => watch.requests.push_back(request),
                Decision::Nothing => {}
                Decision::Raise(flag) => raise(*flag),
            }
        }
        if watch.requests.is_empty() {
            self.waiting.remove(&id);
        }
    }
}

impl Rule for MetadataBeforeOpen {
    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match (observation.what, observation.session) {
            (What::RequestHead(exchange), Some(session)) => {
                if exchange.asked_for_websocket() {
                    self.sessions.entry(session.id).or_insert_with(|| Watch::of(session)).socket(
                        exchange,
                        session,
                        observation.at,
                    );
                } else {
                    self.request(exchange, session);
                }
            }
            (What::ResponseHead(exchange) | What::Open(exchange), Some(session)) => {
                if let Some(watch) = self.sessions.get_mut(&session.id) {
                    watch.socket(exchange, session, observation.at);
                }
            }
            (What::Exchange(exchange, _), Some(session)) => {
                if let Some(watch) = self.sessions.get_mut(&session.id) {
                    watch.socket(exchange, session, observation.at);
                    watch.done(exchange);
                }
            }
            (What::SessionEnded(session), _) => {
                self.decide(session.id, None, raise);
                self.sessions.remove(&session.id);
                self.waiting.remove(&session.id);
            }
            (What::Tick, _) => {
                let waiting: Vec<SessionId> = self.waiting.iter().copied().collect();
                for id in waiting {
                    self.decide(id, Some(observation.at), raise);
                }
            }
            (What::End, _) => {
                for id in std::mem::take(&mut self.waiting) {
                    self.decide(id, None, raise);
                }
                self.sessions.clear();
            }
            _ => {}
        }
    }
}

impl Watch {
    fn of(session: &Session) -> Self {
        Self {
            sure: session.sure,
            by: session.correlated_by,
            sockets: Vec::new(),
            closed: session.sockets.iter().filter_map(|socket| socket.closed).min(),
            requests: VecDeque::new(),
        }
    }

    /// Takes what is now known of the socket that the exchange opened, if it did.
    fn socket(&mut self, exchange: &Exchange, session: &Session, now: Timestamp) {
        self.sure = session.sure;
        self.by = session.correlated_by;
        let Some(is) = session.socket(exchange.id) else { return };
        let answer = exchange.response.as_ref().map(|head| head.range);
        match self.sockets.iter_mut().find(|socket| socket.is.exchange == exchange.id) {
            Some(known) => {
                known.is = is.clone();
                known.answer = answer;
            }
            None => {
                self.forget_closed(now);
                self.sockets.reserve_exact(1);
                self.sockets.push(Socket { is: is.clone(), answer, taken: false });
            }
        }
    }

    /// Forgets sockets that no request can belong to any more; when they closed is kept.
    fn forget_closed(&mut self, now: Timestamp) {
        let oldest = self.requests.iter().map(|request| request.first_byte).min();
        let mut excess = (self.sockets.len() + 1).saturating_sub(SOCKETS);
        let first_closed = &mut self.closed;
        self.sockets.retain(|socket| {
            let Some(closed) = socket.is.closed else { return true };
            let awaited = closed.after(GRACE) > now || oldest.is_some_and(|oldest| oldest < closed);
            let kept = awaited && excess == 0;
            if !kept {
                excess = excess.saturating_sub(1);
                *first_closed = (*first_closed).into_iter().chain([closed]).min();
            }
            kept
        });
    }

    fn done(&mut self, exchange: &Exchange) {
        if let Some(request) = self.requests.iter_mut().find(|request| request.exchange == exchange.id) {
            request.answered = exchange.response_last_byte;
            request.done = true;
        }
    }

    fn decide(
        &mut self,
        request: &Request,
        session: SessionId,
        now: Option<Timestamp>,
        metadata: &Metadata,
        header: &str,
    ) -> Decision {
        let at = request.first_byte;
        let passed = |instant: Timestamp| now.is_none_or(|now| instant.after(GRACE) <= now);
        if !passed(at) {
            return Decision::Wait;
        }
        let here = |socket: &&mut Socket| socket.is.asked <= at && socket.is.closed.is_none_or(|closed| at < closed);
        let closed = self.sockets.iter().filter_map(|socket| socket.is.closed).chain(self.closed).min();
        let mut doubt = Doubt {
            sure: self.sure,
            by: self.by,
            header,
            closed: closed.is_some_and(|closed| closed <= at),
            several: false,
        };
        let mut sockets: Vec<&mut Socket> = self.sockets.iter_mut().filter(here).collect();
        if sockets.iter().any(|socket| socket.is.client_open_written.is_some_and(|open| open <= at)) {
            return Decision::Nothing;
        }
        doubt.several = sockets.len() > 1;
        let Some(socket) = sockets.iter_mut().max_by_key(|socket| (socket.is.asked, socket.is.exchange)) else {
            return self.before_any(request, session, now, metadata, &doubt);
        };
        let settled = match (socket.is.open_write_begun, socket.is.client_open_written, socket.is.closed) {
            (Some(_), Some(last), _) | (None, _, Some(last)) | (Some(_), None, Some(last)) => passed(last),
            _ => now.is_none(),
        };
        if !settled {
            return Decision::Wait;
        }
        if matches!(metadata, Metadata::FirstAfterUpgrade) && std::mem::replace(&mut socket.taken, true) {
            return Decision::Nothing;
        }
        doubt.raise(request, session, socket)
    }

    /// A request for which no socket was open or opening.
    fn before_any(
        &self,
        request: &Request,
        session: SessionId,
        now: Option<Timestamp>,
        metadata: &Metadata,
        doubt: &Doubt<'_>,
    ) -> Decision {
        let at = request.first_byte;
        let next = self
            .sockets
            .iter()
            .filter(|socket| at < socket.is.asked)
            .min_by_key(|socket| (socket.is.asked, socket.is.exchange));
        match (metadata, next) {
            (Metadata::Matches(_), Some(next)) => {
                let how = format!("before its session even asked for the socket {}", next.is.exchange);
                Decision::Raise(Box::new(doubt.flag(request, session, next, next.is.asked, &how, Severity::Error)))
            }
            (Metadata::FirstAfterUpgrade, Some(next)) => {
                let answered = request.answered.filter(|answered| *answered <= next.is.asked);
                if answered.is_some() {
                    return Decision::Nothing;
                }
                if !request.done && now.is_some() {
                    return Decision::Wait;
                }
                let how = format!(
                    "before its session asked for the socket {}, and was still unanswered then",
                    next.is.exchange
                );
                Decision::Raise(Box::new(doubt.flag(request, session, next, next.is.asked, &how, Severity::Hint)))
            }
            // Without a next socket there is nothing that it could be early for; but one may come.
            (Metadata::Matches(_), None) if now.is_some() => Decision::Wait,
            (Metadata::FirstAfterUpgrade, None) => match (now, request.answered) {
                (Some(now), Some(answered)) if answered.after(GRACE) > now => Decision::Wait,
                (Some(_), None) if !request.done => Decision::Wait,
                _ => Decision::Nothing,
            },
            (Metadata::Matches(_), None) => Decision::Nothing,
        }
    }
}

/// What stands against a proof.
struct Doubt<'a> {
    sure: bool,
    by: CorrelatedBy,
    header: &'a str,
    closed: bool,
    several: bool,
}

impl Doubt<'_> {
    fn missing(&self) -> Option<String> {
        let header = self.header;
        if !self.sure {
            return Some(match self.by {
                CorrelatedBy::Header | CorrelatedBy::Key => {
                    format!("no proof, since several clients send the same {header}: make its values unique")
                }
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

    fn raise(&self, request: &Request, session: SessionId, socket: &Socket) -> Decision {
        let at = request.first_byte;
        let id = socket.is.exchange;
        let (instant, how, severity) = match (socket.is.open_write_begun, socket.is.client_open_written) {
            (Some(begun), _) if at < begun => {
                let how = format!("before the 101 of its session's socket {id} began to be written to the client");
                (begun, how, Severity::Error)
            }
            (Some(_), Some(written)) if at < written => {
                let how = format!(
                    "before the write of the 101 of its session's socket {id} to the client had returned, but after it had begun: the client may have seen it"
                );
                (written, how, Severity::Hint)
            }
            (Some(_), _) => return Decision::Nothing,
            (None, _) => {
                let end = socket.is.closed.unwrap_or(at);
                let how = match socket.is.status {
                    Some(101) => format!(
                        "while its session's socket {id} was opening; its connection ended before the 101 was written"
                    ),
                    Some(status) => {
                        format!("before its session's socket {id} was answered; it was then refused with {status}")
                    }
                    None => format!("while its session's socket {id} was opening; it was never answered"),
                };
                (end, how, Severity::Error)
            }
        };
        Decision::Raise(Box::new(self.flag(request, session, socket, instant, &how, severity)))
    }

    fn flag(
        &self,
        request: &Request,
        session: SessionId,
        socket: &Socket,
        instant: Timestamp,
        how: &str,
        severity: Severity,
    ) -> Flag {
        let missing = self.missing();
        let early = instant.since(request.first_byte);
        let by = if early.is_zero() { String::new() } else { format!(" {}", words::duration(early)) };
        let doubt = missing.as_ref().map(|missing| format!(" ({missing})")).unwrap_or_default();
        let at_socket = match socket.answer.filter(|_| instant != socket.is.asked) {
            Some(range) => Evidence::bytes(Subject::Exchange(socket.is.exchange), range, instant),
            None => Evidence::instant(Subject::Exchange(socket.is.exchange), instant),
        };
        Flag {
            rule: INFO.id,
            severity: if missing.is_some() { Severity::Hint } else { severity },
            subject: Subject::Exchange(request.exchange),
            session: Some(session),
            message: format!("{} reached the proxy{by} {how}{doubt}", request.label),
            evidence: vec![
                Evidence::bytes(Subject::Exchange(request.exchange), request.head, request.first_byte),
                at_socket,
            ],
            at: instant.max(request.first_byte),
        }
    }
}
