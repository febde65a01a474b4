//! Which exchanges and sockets belong to one virtual user.
//!
//! A session is found by the first of these that the request bears: an identity header (sure, unless clients of several
//! addresses send the same value); a key that the profile names (sure, unless several sockets bear it at once); its
//! token, as long as one client alone bears it; else by the client's address, as long as the client does one thing at a
//! time. The last two are guesses, and they know when they are wrong: once two sockets or two requests overlap (or, for
//! a token, a second address bears it), the token or address is *ambiguous*, and nothing more is put anywhere because
//! of it. What was put somewhere stays there.
//!
//! A token that came together with an identity header or a key leads to that one's session, for requests without one.
//! Where a request's means lead to different sessions, the stronger one counts and the [`Clash`] is told: a key that is
//! on another session's socket; a token that is another session's, while this one has a token of its own (else the two
//! may share one).
//!
//! A key may stand in a body or in a message: then the session is known from there on, see [`places`].
//!
//! A session ends some time (event time) after the last connection that bore its mark has closed.

mod keys;
mod marks;
mod places;

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
        hash::{self, QuickMap},
        session::{Clash, CorrelatedBy, Session, SessionSocket},
    },
    redact::Digest,
};

use keys::{Key, Said};
use marks::Mark;

pub(super) use places::{Found, Places};

/// Exchange ids, and as many socket ids, that one session lists; further ones are known by their own rows alone.
const LISTED: usize = 10_000;
/// Ids that all open sessions together list.
const LISTED_IN_ALL: usize = 1 << 20;
/// Closed sockets that are looked at again; the ids of others stay listed.
const SOCKETS: usize = 32;
/// Tokens that lead to one session; the oldest are forgotten.
const TOKENS: usize = 16;
/// Keys that lead to one session, likewise.
const KEYS: usize = 16;
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
    by_key: QuickMap<Digest, Key>,
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
    keys: Vec<Digest>,
    connections: u32,
    ends: Option<Timestamp>,
}

/// What a request bears.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Bears {
    /// The identity header's value.
    pub(super) header: Option<Digest>,
    /// A key's value.
    pub(super) key: Option<Digest>,
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
    key: Option<Digest>,
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
            by_key: QuickMap::default(),
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
    pub(super) fn seat(
        &mut self,
        exchange: &Exchange,
        bears: Bears,
        memberships: &mut Memberships,
    ) -> (Seat, Option<Clash>) {
        let socket = exchange.asked_for_websocket();
        let at = exchange.request_first_byte;
        let Bears { token, key, .. } = bears;
        let address = (bears.header.is_none() && key.is_none() && token.is_none()).then_some(bears.address);
        let mut seat = Seat { session: None, key, token, address, socket, left: false };
        let mut clash = None;
        let (id, by, seated) = if let Some(header) = bears.header {
            let id = self.by_header(header, bears.address);
            clash = key.and_then(|key| self.bear_key(key, id, exchange.id, socket));
            if let Some(token) = token {
                self.lead(token, id, bears.address);
            }
            (id, CorrelatedBy::Header, true)
        } else if let Some(key) = key {
            let said = self.by_key(key, exchange.id, bears, socket);
            clash = said.clash;
            if let Some(token) = token {
                clash = clash.or_else(|| self.token_of_another(token, key, said.session));
                if clash.is_none() {
                    self.lead(token, said.session, bears.address);
                }
            }
            (said.session, CorrelatedBy::Key, true)
        } else {
            let by = if token.is_some() { CorrelatedBy::Token } else { CorrelatedBy::Neighbour };
            let id = match self.mark(&seat).map(|mark| mark.session) {
                Some(id) => id,
                None => {
                    let id = self.begin(by, bears);
                    self.set_mark(&seat, Mark::new(id, bears.address));
                    id
                }
            };
            let clear = self.mark(&seat).is_some_and(|mark| mark.is_clear(bears.address, socket, at));
            (id, by, clear)
        };
        if let Some(mark) = self.mark(&seat) {
            if !mark.is_clear(bears.address, socket, at) {
                mark.ambiguous = true;
            }
            mark.enter(socket);
        }
        self.join(id, memberships, at);
        if seated {
            seat.session = Some(id);
            self.list(id, by, exchange, socket);
        }
        (seat, clash)
    }

    /// A key was found in the body of a request, or in a message of a socket, that has its seat. What has no session is
    /// put into the key's; what has one stays there.
    pub(super) fn key_found(
        &mut self,
        seat: &mut Seat,
        exchange: &Exchange,
        bears: Bears,
        memberships: &mut Memberships,
    ) -> Option<Clash> {
        let key = bears.key.filter(|_| seat.key.is_none())?;
        let socket = seat.socket && !seat.left;
        seat.key = Some(key);
        let own = seat.session.and_then(|id| self.open.get(&id.0)).map(|tracked| &tracked.view);
        let clash = match own.map(|view| (view.id, view.correlated_by.is_sure())) {
            Some((id, true)) => self.bear_key(key, id, exchange.id, socket),
            // A guess is not revised, and proves nothing against the key: what bears the key from now on joins it.
            Some((id, false)) => {
                self.by_key.insert(key, Key::new(id, exchange.id, socket));
                self.remember_key(id, key);
                None
            }
            None => {
                let said = self.by_key(key, exchange.id, bears, socket);
                seat.session = Some(said.session);
                self.join(said.session, memberships, exchange.request_first_byte);
                self.list(said.session, CorrelatedBy::Key, exchange, seat.socket);
                said.clash
            }
        };
        self.socket(seat, exchange, None);
        clash
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
        if socket
            && let Some(key) = seat.key.and_then(|key| self.by_key.get_mut(&key))
            && Some(key.session) == seat.session
        {
            key.socket_ends();
        }
    }

    /// Takes over what is now known of the exchange's socket; `closed` where it closed or was refused just now.
    pub(super) fn socket(&mut self, seat: &Seat, exchange: &Exchange, closed: Option<Timestamp>) {
        let Some(tracked) = seat.session.and_then(|id| self.open.get_mut(&id.0)) else { return };
        let Some(known) = tracked.view.sockets.iter_mut().rev().find(|socket| socket.exchange == exchange.id) else {
            return;
        };
        known.key = exchange.borne.key;
        known.key_name = exchange.borne.key_name;
        known.status = exchange.status();
        known.answer = exchange.response.as_ref().map(|head| head.range);
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
        let id = self.begin(CorrelatedBy::Header, Bears { header: Some(header), key: None, token: None, address });
        self.by_header.insert(header, id);
        id
    }

    /// The session to which a key leads; a new one where it is new.
    fn by_key(&mut self, key: Digest, exchange: ExchangeId, bears: Bears, socket: bool) -> Said {
        if let Some(known) = self.by_key.get_mut(&key) {
            let said = known.leads(exchange, socket);
            if said.ambiguous
                && let Some(tracked) = self.open.get_mut(&said.session.0)
            {
                tracked.view.sure = false;
            }
            return said;
        }
        let session = self.begin(CorrelatedBy::Key, bears);
        self.by_key.insert(key, Key::new(session, exchange, socket));
        self.remember_key(session, key);
        Said { session, clash: None, ambiguous: false }
    }

    /// An exchange of a session that is known by stronger means bears a key.
    fn bear_key(&mut self, key: Digest, own: SessionId, exchange: ExchangeId, socket: bool) -> Option<Clash> {
        match self.by_key.get_mut(&key) {
            Some(known) => {
                let before = known.session;
                let said = known.borne_by(own, exchange, socket);
                if known.session != before {
                    self.remember_key(own, key);
                }
                said.clash
            }
            None => {
                self.by_key.insert(key, Key::new(own, exchange, socket));
                self.remember_key(own, key);
                None
            }
        }
    }

    /// Whether a token is another session's than that of the key, which is on a socket and came with another token. Two
    /// sessions of which one has no token of its own may share one.
    fn token_of_another(&self, token: Digest, key: Digest, own: SessionId) -> Option<Clash> {
        let is_clear = |token: &Digest, id: SessionId| {
            self.by_token.get(token).is_some_and(|mark| mark.session == id && !mark.ambiguous)
        };
        let other = self.by_token.get(&token).map(|mark| mark.session).filter(|other| *other != own)?;
        let has_own = self.open.get(&own.0)?.tokens.iter().any(|known| is_clear(known, own));
        let on_socket = self.by_key.get(&key).is_some_and(Key::has_socket);
        (has_own && on_socket && is_clear(&token, other)).then_some(Clash::TokenOf(other))
    }

    fn remember_key(&mut self, id: SessionId, key: Digest) {
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        tracked.keys.push(key);
        if tracked.keys.len() > KEYS {
            let oldest = tracked.keys.remove(0);
            if self.by_key.get(&oldest).is_some_and(|key| key.session == id) {
                self.by_key.remove(&oldest);
            }
        }
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

    fn begin(&mut self, by: CorrelatedBy, bears: Bears) -> SessionId {
        self.last += 1;
        let id = SessionId(self.last);
        let view = Session { id, correlated_by: by, sure: by.is_sure(), sockets: Vec::new(), exchanges: Vec::new() };
        let Bears { header, address, .. } = bears;
        let tracked = Tracked {
            view,
            sockets: Vec::new(),
            address,
            header,
            tokens: Vec::new(),
            keys: Vec::new(),
            connections: 0,
            ends: None,
        };
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
                key: exchange.borne.key,
                key_name: exchange.borne.key_name,
                status: None,
                answer: None,
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
        for key in &tracked.keys {
            if self.by_key.get(key).is_some_and(|key| key.session == id) {
                self.by_key.remove(key);
            }
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
