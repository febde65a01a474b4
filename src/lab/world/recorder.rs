//! What the proxy between agents and API records, as it happens; [`super::columns`] makes columns of it.

use std::collections::HashMap;

use crate::{
    lab::{
        api::{Decision, RefusedBy},
        request::{Kind, Request},
        surface::{Surface, Who},
    },
    model::{
        Side,
        columns::{AnsweredBy, Columns, ConnectionSpan, NONE, Outcome, UNKNOWN},
    },
};

use super::property::Properties;

/// Something that can be refused, as the proxy saw it.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) kind: Kind,
    pub(super) is_message: bool,
    pub(super) offered_ns: i64,
    pub(super) answered_ns: i64,
    pub(super) ended_ns: i64,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    pub(super) by: AnsweredBy,
    pub(super) route: u32,
    pub(super) link: usize,
    pub(super) token: u32,
    pub(super) agent: usize,
    pub(super) head_bytes: u32,
    pub(super) body_bytes: u32,
    /// The socket of its session that it belongs to, in [`Recorder::sockets`].
    pub(super) socket: Option<usize>,
    pub(super) flags: Vec<&'static str>,
    /// Its number in the order of recording, for [`Recorder::properties`].
    pub(super) number: usize,
    pub(super) refused_by: Option<RefusedBy>,
}

/// A socket, from its upgrade on.
#[derive(Clone, Debug)]
pub(super) struct SocketTrace {
    pub(super) agent: usize,
    pub(super) address: u32,
    pub(super) token: u32,
    /// When its 101 had arrived.
    pub(super) opened_ns: i64,
    /// When its upgrade came.
    pub(super) asked_ns: i64,
    /// When its refusal had arrived.
    pub(super) refused_ns: i64,
    pub(super) closed_ns: i64,
    /// Whether it was the server that closed it.
    pub(super) by_server: bool,
    /// When the message that says that it is ready had arrived.
    pub(super) ready_ns: i64,
}

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) surface: Surface,
    pub(super) units: Vec<Unit>,
    pub(super) connections: Vec<ConnectionSpan>,
    pub(super) sockets: Vec<SocketTrace>,
    pub(super) routes: Vec<String>,
    pub(super) properties: Properties,
    route_numbers: HashMap<String, u32>,
    token_numbers: HashMap<String, u32>,
    socket_of_link: HashMap<usize, usize>,
    last_socket_of: HashMap<usize, usize>,
    /// Messages that were held back: whose, from when until when.
    pub(super) held_back: Vec<(usize, i64, i64)>,
}

impl Recorder {
    pub(super) fn new(surface: Surface) -> Self {
        Self {
            surface,
            units: Vec::new(),
            connections: Vec::new(),
            sockets: Vec::new(),
            routes: Vec::new(),
            properties: Properties::default(),
            route_numbers: HashMap::new(),
            token_numbers: HashMap::new(),
            socket_of_link: HashMap::new(),
            last_socket_of: HashMap::new(),
            held_back: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// A connection was accepted; connections are numbered like links.
    pub(super) fn connection(&mut self, opened_ns: i64, address: u32, server_rtt_ns: i64) {
        self.connections.push(ConnectionSpan { opened_ns, closed_ns: UNKNOWN, address, server_rtt_ns });
    }

    /// A socket is asked for.
    pub(super) fn socket(&mut self, agent: usize, link: usize, who: &Who) {
        let number = self.sockets.len();
        self.sockets.push(SocketTrace {
            agent,
            address: who.address,
            token: NONE,
            asked_ns: UNKNOWN,
            opened_ns: UNKNOWN,
            refused_ns: UNKNOWN,
            closed_ns: UNKNOWN,
            by_server: false,
            ready_ns: UNKNOWN,
        });
        self.socket_of_link.insert(link, number);
        self.last_socket_of.insert(agent, number);
    }

    /// A message waits at an agent's for an acknowledgement.
    pub(super) fn held_back(&mut self, agent: usize, from: i64, until: i64) {
        self.held_back.push((agent, from, until));
    }

    /// A connection's end has reached the proxy, from either side.
    pub(super) fn closed(&mut self, link: usize, at: i64, by: Side) {
        if let Some(connection) = self.connections.get_mut(link).filter(|connection| connection.closed_ns == UNKNOWN) {
            connection.closed_ns = at;
        }
        let socket = self.socket_of_link.get(&link).and_then(|number| self.sockets.get_mut(*number));
        if let Some(socket) = socket.filter(|socket| socket.closed_ns == UNKNOWN) {
            socket.closed_ns = at;
            socket.by_server = by == Side::Server;
        }
    }

    /// The first byte of a request or message has come; the unit's number, where it is one.
    pub(super) fn offered(
        &mut self,
        agent: usize,
        link: usize,
        who: &Who,
        request: &Request,
        at: i64,
    ) -> Option<usize> {
        if request.is_message && !self.surface.counts_messages() {
            return None;
        }
        let socket = self.last_socket_of.get(&agent).copied();
        let token = self.token(request, socket);
        let own = self.socket_of_link.get(&link).filter(|_| request.kind == Kind::Socket);
        if let Some(socket) = own.and_then(|number| self.sockets.get_mut(*number)) {
            socket.token = token;
            socket.asked_ns = at;
        }
        let route = self.route(request);
        let number = self.units.len();
        if !request.is_message {
            self.properties.request(number, request, self.surface, who);
        }
        self.units.push(Unit {
            kind: request.kind,
            is_message: request.is_message,
            offered_ns: at,
            answered_ns: UNKNOWN,
            ended_ns: UNKNOWN,
            status: 0,
            outcome: Outcome::Uncounted,
            by: AnsweredBy::Nobody,
            route,
            link,
            token,
            agent,
            head_bytes: request.head_bytes() as u32,
            body_bytes: request.body.len() as u32,
            socket,
            flags: request.flags.clone(),
            number,
            refused_by: None,
        });
        Some(number)
    }

    /// An answer has come, first byte and last.
    pub(super) fn answered(&mut self, unit: usize, link: usize, decision: &Decision, first: i64, last: i64) {
        if decision.by == AnsweredBy::Api && !self.surface.is_message(decision.kind) {
            self.properties.put("contrast:server:x-served-by", unit, &decision.served_by());
        }
        let Some(unit) = self.units.get_mut(unit) else { return };
        let is_answered = decision.status != 0;
        unit.answered_ns = if is_answered { first } else { UNKNOWN };
        unit.ended_ns = last;
        unit.status = if unit.is_message { 0 } else { decision.status };
        unit.by = match decision.by {
            // Its profile knows no marks of the API.
            AnsweredBy::Api if self.surface != Surface::GenesysCloud => AnsweredBy::Unknown,
            other => other,
        };
        unit.outcome = match decision.status {
            0 => Outcome::Refused,
            401 | 403 | 404 | 407 => Outcome::Uncounted,
            400..=499 => Outcome::Refused,
            500.. => Outcome::Uncounted,
            _ => Outcome::Accepted,
        };
        unit.flags.extend(decision.refusal.as_ref().and_then(|refusal| refusal.flag));
        unit.refused_by = decision.refused_by.filter(|_| unit.outcome == Outcome::Refused);
        let socket = self.socket_of_link.get(&link).and_then(|number| self.sockets.get_mut(*number));
        if let Some(socket) = socket {
            match decision.kind {
                Kind::Socket if decision.status == 101 => socket.opened_ns = first,
                Kind::Socket => socket.refused_ns = first,
                Kind::Hello if decision.refusal.is_none() && socket.ready_ns == UNKNOWN => socket.ready_ns = first,
                _ => {}
            }
        }
    }

    /// The client ended the connection in the middle of its request.
    pub(super) fn aborted(&mut self, unit: usize, refused_by: Option<RefusedBy>, at: i64) {
        if let Some(unit) = self.units.get_mut(unit) {
            unit.ended_ns = at;
            unit.refused_by = refused_by;
            unit.outcome = Outcome::Refused;
        }
    }

    /// The columns, and what refused each unit.
    pub(super) fn finish(self, until_ns: i64, is_whole: bool) -> (Columns, Vec<Option<RefusedBy>>) {
        super::columns::columns(self, until_ns, is_whole)
    }

    fn route(&mut self, request: &Request) -> u32 {
        // An id that is empty makes another route of it.
        let full = self.surface.route(request.kind);
        let is_cut = !request.is_message && full.ends_with('}') && request.last_segment().is_empty();
        let route = match full.rsplit_once("/{") {
            Some((cut, _)) if is_cut => cut.to_owned(),
            _ => full,
        };
        if let Some(number) = self.route_numbers.get(&route) {
            return *number;
        }
        let number = self.routes.len() as u32;
        self.routes.push(route.clone());
        self.route_numbers.insert(route, number);
        number
    }

    fn token(&mut self, request: &Request, socket: Option<usize>) -> u32 {
        if request.is_message {
            return socket.and_then(|socket| self.sockets.get(socket)).map_or(NONE, |socket| socket.token);
        }
        if matches!(request.kind, Kind::Token | Kind::Refresh) {
            return NONE;
        }
        let Some(value) = request.header("authorization") else { return NONE };
        if let Some(number) = self.token_numbers.get(value) {
            return *number;
        }
        let number = self.token_numbers.len() as u32;
        self.token_numbers.insert(value.to_owned(), number);
        number
    }
}
