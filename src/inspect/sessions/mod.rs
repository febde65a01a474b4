//! Which exchanges and sockets belong to one virtual user.
//!
//! A session is found by the first of these that the request bears: an identity header (sure, unless clients of several
//! addresses send the same value); its token, as long as one client alone bears it; else by the client's address, as
//! long as the client does one thing at a time. The last two are guesses, and they know when they are wrong: once two
//! sockets or two requests overlap (or, for a token, a second address bears it), the token or address is *ambiguous*,
//! and nothing more is put anywhere because of it. What was put somewhere stays there.
//!
//! A token that came together with an identity header leads to that header's session, for requests without one.
//!
//! A session ends some time (event time) after the last connection that bore its mark has closed.

mod marks;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        ExchangeId, SessionId, Timestamp,
        exchange::Exchange,
        session::{CorrelatedBy, Session, SessionSocket},
    },
    redact::Digest,
};

use super::hash::{self, QuickMap};

use marks::Mark;

/// Exchange ids, and as many socket ids, that one session lists; further ones are known by their own rows alone.
const LISTED: usize = 10_000;
/// Ids that all open sessions together list.
const LISTED_IN_ALL: usize = 1 << 20;
/// Closed sockets that are looked at again; the ids of others stay listed.
const SOCKETS: usize = 32;
/// Tokens that lead to one session; the oldest are forgotten.
const TOKENS: usize = 16;
/// Sessions that one connection keeps alive; the oldest are let go.
const MEMBERSHIPS: usize = 8;

/// All open sessions.
#[derive(Serialize, Deserialize)]
pub(super) struct Sessions {
    linger: Duration,
    last: u64,
    #[serde(serialize_with = "hash::sorted")]
    open: QuickMap<u64, Box<Tracked>>,
    #[serde(serialize_with = "hash::sorted")]
    by_header: QuickMap<Digest, SessionId>,
    #[serde(serialize_with = "hash::sorted")]
    by_token: QuickMap<Digest, Mark>,
    by_address: BTreeMap<IpAddr, Mark>,
    /// Sessions without connection, by the instant at which they end.
    ending: BTreeSet<(Timestamp, SessionId)>,
    listed: usize,
}

/// A session with what only this module needs.
#[derive(Serialize, Deserialize)]
struct Tracked {
    view: Session,
    /// All its sockets; the view has the latest.
    sockets: Vec<ExchangeId>,
    address: IpAddr,
    header: Option<Digest>,
    tokens: Vec<Digest>,
    connections: u32,
    ends: Option<Timestamp>,
}

/// What a request bears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Borne {
    /// The identity header's value.
    pub(super) header: Option<Digest>,
    /// The token in `Authorization`.
    pub(super) token: Option<Digest>,
    /// The client's address.
    pub(super) address: IpAddr,
}

/// Where an exchange was put, and as what it counts until it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seat {
    /// The session, if one could be told.
    pub(super) session: Option<SessionId>,
    token: Option<Digest>,
    address: Option<IpAddr>,
    socket: bool,
    left: bool,
}

/// The sessions that a connection keeps alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memberships(Vec<SessionId>);

/// A session that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) view: Session,
    /// All its sockets.
    pub(super) sockets: Vec<ExchangeId>,
    pub(super) at: Timestamp,
}

impl Sessions {
    pub(super) fn new(linger: Duration) -> Self {
        Self {
            linger,
            last: 0,
            open: QuickMap::default(),
            by_header: QuickMap::default(),
            by_token: QuickMap::default(),
            by_address: BTreeMap::new(),
            ending: BTreeSet::new(),
            listed: 0,
        }
    }

    /// The session as it stands.
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.open.get(&id.0).map(|tracked| &tracked.view)
    }

    /// All open sessions, with all their sockets, in the order of ids.
    #[expect(clippy::disallowed_methods, reason = "sorted below")]
    pub(super) fn all(&self) -> Vec<(&Session, &[ExchangeId])> {
        let mut all: Vec<_> = self.open.values().map(|tracked| (&tracked.view, &*tracked.sockets)).collect();
        all.sort_by_key(|(view, _)| view.id);
        all
    }

    /// Puts an exchange whose request head is complete into a session, if one can be told.
    pub(super) fn seat(&mut self, exchange: &Exchange, borne: Borne, memberships: &mut Memberships) -> Seat {
        let socket = exchange.asked_for_websocket();
        let at = exchange.request_first_byte;
        let token = borne.token;
        let address = (borne.header.is_none() && token.is_none()).then_some(borne.address);
        let mut seat = Seat { session: None, token, address, socket, left: false };
        let (id, by, seated) = if let Some(header) = borne.header {
            let id = self.by_header(header, borne.address);
            if let Some(token) = token {
                self.lead(token, id, borne.address);
            }
            (id, CorrelatedBy::Header, true)
        } else {
            let by = if token.is_some() { CorrelatedBy::Token } else { CorrelatedBy::Neighbour };
            let id = match self.mark(&seat).map(|mark| mark.session) {
                Some(id) => id,
                None => {
                    let id = self.begin(by, borne);
                    self.set_mark(&seat, Mark::new(id, borne.address));
                    id
                }
            };
            let clear = self.mark(&seat).is_some_and(|mark| mark.is_clear(borne.address, socket, at));
            (id, by, clear)
        };
        if let Some(mark) = self.mark(&seat) {
            if !mark.is_clear(borne.address, socket, at) {
                mark.ambiguous = true;
            }
            mark.enter(socket);
        }
        self.join(id, memberships, at);
        if seated {
            seat.session = Some(id);
            self.list(id, by, exchange, socket);
        }
        seat
    }

    /// The exchange is over: it was answered, or its socket closed or was refused. Further calls do nothing.
    pub(super) fn leave(&mut self, seat: &mut Seat, at: Timestamp) {
        if std::mem::replace(&mut seat.left, true) {
            return;
        }
        let socket = seat.socket;
        if let Some(mark) = self.mark(seat) {
            mark.leave(socket, at);
        }
    }

    /// Takes over what is now known of the exchange's socket; `closed` where it closed or was refused just now.
    pub(super) fn socket(&mut self, seat: &Seat, exchange: &Exchange, closed: Option<Timestamp>) {
        let Some(tracked) = seat.session.and_then(|id| self.open.get_mut(&id.0)) else { return };
        let Some(known) = tracked.view.sockets.iter_mut().rev().find(|socket| socket.exchange == exchange.id) else {
            return;
        };
        known.status = exchange.status();
        known.closed = known.closed.or(closed);
        if let Some(socket) = &exchange.websocket {
            known.server_open = socket.server_open;
            known.open_write_begun = socket.open_write_begun;
            known.client_open_written = socket.client_open_written;
            known.first_frame_from_server = socket.first_frame_from_server;
        }
    }

    /// A connection is closed: what it kept alive may end.
    pub(super) fn connection_closed(&mut self, memberships: &mut Memberships, at: Timestamp) {
        for id in std::mem::take(&mut memberships.0) {
            self.part(id, at);
        }
    }

    /// The next session whose time is over at `now`.
    pub(super) fn next_over(&mut self, now: Timestamp) -> Option<Ended> {
        let (at, id) = *self.ending.first()?;
        (at <= now).then(|| self.end(id, at)).flatten()
    }

    /// The next session, whether its time is over or not.
    #[expect(clippy::disallowed_methods, reason = "the least of them is taken")]
    pub(super) fn next_of_all(&mut self, now: Timestamp) -> Option<Ended> {
        let id = self.open.keys().copied().min()?;
        self.end(SessionId(id), now)
    }

    fn by_header(&mut self, header: Digest, address: IpAddr) -> SessionId {
        if let Some(id) = self.by_header.get(&header).copied() {
            if let Some(tracked) = self.open.get_mut(&id.0)
                && tracked.address != address
            {
                tracked.view.sure = false;
            }
            return id;
        }
        let id = self.begin(CorrelatedBy::Header, Borne { header: Some(header), token: None, address });
        self.by_header.insert(header, id);
        id
    }

    /// Lets a token lead to the session whose identity header came with it.
    fn lead(&mut self, token: Digest, id: SessionId, address: IpAddr) {
        match self.by_token.get_mut(&token) {
            Some(mark) => mark.ambiguous |= mark.session != id,
            None => {
                self.by_token.insert(token, Mark::new(id, address));
                self.remember_token(id, token);
            }
        }
    }

    fn begin(&mut self, by: CorrelatedBy, borne: Borne) -> SessionId {
        self.last += 1;
        let id = SessionId(self.last);
        let view = Session { id, correlated_by: by, sure: by.is_sure(), sockets: Vec::new(), exchanges: Vec::new() };
        let Borne { header, address, .. } = borne;
        let tracked =
            Tracked { view, sockets: Vec::new(), address, header, tokens: Vec::new(), connections: 0, ends: None };
        self.open.insert(id.0, Box::new(tracked));
        id
    }

    fn mark(&mut self, seat: &Seat) -> Option<&mut Mark> {
        match (seat.token, seat.address) {
            (Some(token), _) => self.by_token.get_mut(&token),
            (None, Some(address)) => self.by_address.get_mut(&address),
            (None, None) => None,
        }
    }

    fn set_mark(&mut self, seat: &Seat, mark: Mark) {
        match (seat.token, seat.address) {
            (Some(token), _) => {
                let id = mark.session;
                self.by_token.insert(token, mark);
                self.remember_token(id, token);
            }
            (None, Some(address)) => {
                self.by_address.insert(address, mark);
            }
            (None, None) => {}
        }
    }

    fn remember_token(&mut self, id: SessionId, token: Digest) {
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        tracked.tokens.push(token);
        if tracked.tokens.len() > TOKENS {
            let oldest = tracked.tokens.remove(0);
            if self.by_token.get(&oldest).is_some_and(|mark| mark.session == id) {
                self.by_token.remove(&oldest);
            }
        }
    }

    fn list(&mut self, id: SessionId, by: CorrelatedBy, exchange: &Exchange, socket: bool) {
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        let view = &mut tracked.view;
        view.correlated_by = view.correlated_by.max(by);
        view.sure &= by.is_sure();
        let list = if socket { &mut tracked.sockets } else { &mut view.exchanges };
        if list.len() < LISTED && self.listed < LISTED_IN_ALL {
            list.push(exchange.id);
            self.listed += 1;
        }
        if socket {
            if view.sockets.len() >= SOCKETS
                && let Some(oldest) = view.sockets.iter().position(|socket| socket.closed.is_some())
            {
                view.sockets.remove(oldest);
            }
            // Most users have one socket at a time, and there may be ten thousand users.
            view.sockets.reserve_exact(1);
            view.sockets.push(SessionSocket {
                exchange: exchange.id,
                asked: exchange.request_first_byte,
                status: None,
                server_open: None,
                open_write_begun: None,
                client_open_written: None,
                first_frame_from_server: None,
                closed: None,
            });
        }
    }

    fn join(&mut self, id: SessionId, memberships: &mut Memberships, at: Timestamp) {
        if memberships.0.contains(&id) {
            return;
        }
        if memberships.0.len() == MEMBERSHIPS {
            let oldest = memberships.0.remove(0);
            self.part(oldest, at);
        }
        memberships.0.push(id);
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        tracked.connections += 1;
        if let Some(ends) = tracked.ends.take() {
            self.ending.remove(&(ends, id));
        }
    }

    fn part(&mut self, id: SessionId, at: Timestamp) {
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        tracked.connections = tracked.connections.saturating_sub(1);
        if tracked.connections == 0 {
            let ends = at.after(self.linger);
            tracked.ends = Some(ends);
            self.ending.insert((ends, id));
        }
    }

    fn end(&mut self, id: SessionId, at: Timestamp) -> Option<Ended> {
        let tracked = self.open.remove(&id.0);
        if let Some(ends) = tracked.as_ref().and_then(|tracked| tracked.ends) {
            self.ending.remove(&(ends, id));
        }
        let tracked = tracked?;
        if let Some(header) = tracked.header {
            self.by_header.remove(&header);
        }
        for token in &tracked.tokens {
            if self.by_token.get(token).is_some_and(|mark| mark.session == id) {
                self.by_token.remove(token);
            }
        }
        if self.by_address.get(&tracked.address).is_some_and(|mark| mark.session == id) {
            self.by_address.remove(&tracked.address);
        }
        self.listed = self.listed.saturating_sub(tracked.view.exchanges.len() + tracked.sockets.len());
        Some(Ended { view: tracked.view, sockets: tracked.sockets, at })
    }
}
