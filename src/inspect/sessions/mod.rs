//! Which exchanges and sockets belong to one virtual user.
//!
//! A session is found by the first of these that the request bears: an identity header (sure, unless clients of several
//! addresses send the same value); the keys that the profile names (sure, unless several sockets bear one at once); its
//! token, as long as one client alone bears it; else by the client's address, as long as the client does one thing at a
//! time. The last two are guesses, and they know when they are wrong: once two sockets or two requests overlap (or, for
//! a token, a second address bears it), the token or address is *ambiguous*, and nothing more is put anywhere because
//! of it. What was put somewhere stays there.
//!
//! A token that came together with an identity header or a key leads to that one's session, for requests without one,
//! and to its user's next one once that has no open socket any more. Where a request's means lead to different sessions,
//! the stronger one counts and the [`Clash`] is told: a key that is on another session's socket, while this session's
//! user has another one; a token that is another session's, while this one has a token of its own (else the two may
//! share one).
//!
//! A key may stand in a body or in a message: then the session is known from there on, see [`places`].
//!
//! A session ends some time (event time) after the last connection that bore its mark has closed.

mod keys;
mod marks;
mod places;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
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

use keys::Key;
use marks::Mark;

pub(super) use keys::KeyMark;
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
const KEYS: usize = 32;
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bears {
    /// The identity header's value.
    pub(super) header: Option<Digest>,
    /// Keys, of each name one.
    #[serde(default)]
    pub(super) keys: Vec<KeyMark>,
    /// The token in `Authorization`.
    pub(super) token: Option<Digest>,
    /// The client's address.
    pub(super) address: IpAddr,
}

/// Where an exchange was put, and as what it counts until it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seat {
    /// The session, if one could be told.
    pub(super) session: Option<SessionId>,
    #[serde(default, alias = "key", deserialize_with = "keys::one_or_more")]
    keys: Vec<Digest>,
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

    /// Whether the session of an identity header has a socket.
    pub(super) fn has_socket(&self, header: Digest) -> bool {
        let tracked = self.by_header.get(&header).and_then(|id| self.open.get(&id.0));
        tracked.is_some_and(|tracked| !tracked.sockets.is_empty())
    }

    /// Puts an exchange whose request head is complete into a session, if one can be told.
    pub(super) fn seat(
        &mut self,
        exchange: &Exchange,
        bears: &Bears,
        memberships: &mut Memberships,
    ) -> (Seat, Option<Clash>) {
        let socket = exchange.asked_for_websocket();
        let at = exchange.request_first_byte;
        let (token, keys) = (bears.token, &*bears.keys);
        let address = (bears.header.is_none() && keys.is_empty() && token.is_none()).then_some(bears.address);
        let values = keys.iter().map(|key| key.value).collect();
        let mut seat = Seat { session: None, keys: values, token, address, socket, left: false };
        let mut clash = None;
        let unnamed = if socket { None } else { self.unnamed(keys) };
        let (id, by, seated) = if let Some(header) = bears.header.filter(|_| unnamed.is_none()) {
            let id = self.by_header(header, bears.address);
            clash = self.bear(keys, id, exchange.id, socket);
            if let Some(token) = token {
                self.lead(token, id, bears.address, socket, at);
            }
            (id, CorrelatedBy::Header, true)
        } else if !keys.is_empty() {
            let id = self.led_to(keys, socket).unwrap_or_else(|| self.begin(CorrelatedBy::Key, None, bears.address));
            clash = self.bear(keys, id, exchange.id, socket);
            if let Some(token) = token {
                clash = clash.or_else(|| self.token_of_another(token, keys, id));
                if clash.is_none() {
                    self.lead(token, id, bears.address, socket, at);
                }
            }
            (id, CorrelatedBy::Key, true)
        } else {
            let by = if token.is_some() { CorrelatedBy::Token } else { CorrelatedBy::Neighbour };
            let id = match self.mark(&seat).map(|mark| mark.session) {
                Some(id) => id,
                None => {
                    let id = self.begin(by, None, bears.address);
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

    /// Keys were found in the body of a request, or in a message of a socket, that has its seat. What has no session is
    /// put into theirs; what has one stays there.
    pub(super) fn keys_found(
        &mut self,
        seat: &mut Seat,
        exchange: &Exchange,
        keys: &[KeyMark],
        memberships: &mut Memberships,
    ) -> Option<Clash> {
        if keys.is_empty() {
            return None;
        }
        let socket = seat.socket && !seat.left;
        seat.keys.extend(keys.iter().map(|key| key.value));
        let own = seat.session.and_then(|id| self.open.get(&id.0)).map(|tracked| &tracked.view);
        match own.map(|view| (view.id, view.correlated_by.is_sure())) {
            Some((id, true)) => self.bear(keys, id, exchange.id, socket),
            // A guess is not revised, and proves nothing against a key: what bears it from now on joins it.
            Some((id, false)) => {
                keys.iter().for_each(|key| self.key_leads(*key, Key::new(id, exchange.id, socket)));
                None
            }
            None => {
                let address = exchange.borne.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let id = self.led_to(keys, socket).unwrap_or_else(|| self.begin(CorrelatedBy::Key, None, address));
                let clash = self.bear(keys, id, exchange.id, socket);
                seat.session = Some(id);
                self.join(id, memberships, exchange.request_first_byte);
                self.list(id, CorrelatedBy::Key, exchange, seat.socket);
                clash
            }
        }
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
        for key in seat.keys.iter().filter(|_| socket) {
            if let Some(key) = self.by_key.get_mut(key)
                && Some(key.session) == seat.session
            {
                key.socket_ends();
            }
        }
    }

    /// Takes over what is now known of the exchange's socket; `closed` where it closed or was refused just now.
    pub(super) fn socket(&mut self, seat: &Seat, exchange: &Exchange, closed: Option<Timestamp>) {
        let Some(tracked) = seat.session.and_then(|id| self.open.get_mut(&id.0)) else { return };
        let Some(known) = tracked.view.sockets.iter_mut().rev().find(|socket| socket.exchange == exchange.id) else {
            return;
        };
        known.keys.clone_from(&exchange.borne.keys);
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
        let id = self.begin(CorrelatedBy::Header, Some(header), address);
        self.by_header.insert(header, id);
        id
    }

    fn remember_key(&mut self, id: SessionId, key: Digest) {
        let Some(tracked) = self.open.get_mut(&id.0) else { return };
        tracked.keys.retain(|known| *known != key);
        tracked.keys.push(key);
        if tracked.keys.len() > KEYS {
            let oldest = tracked.keys.remove(0);
            if self.by_key.get(&oldest).is_some_and(|key| key.session == id) {
                self.by_key.remove(&oldest);
            }
        }
    }

    /// Lets a token lead to the session whose identity header or key came with it.
    fn lead(&mut self, token: Digest, id: SessionId, address: IpAddr, socket: bool, at: Timestamp) {
        let Some(mark) = self.by_token.get_mut(&token) else {
            self.by_token.insert(token, Mark::new(id, address));
            self.remember_token(id, token);
            return;
        };
        if mark.session == id {
            return;
        }
        // Its user goes on to the next session, unless another user may be meant.
        let is_over = |before: &Tracked| {
            before.header.is_none() && before.view.sockets.iter().all(|socket| socket.closed.is_some())
        };
        if mark.is_clear(address, socket, at) && self.open.get(&mark.session.0).is_some_and(|it| is_over(it)) {
            mark.session = id;
            self.remember_token(id, token);
        } else {
            mark.ambiguous = true;
        }
    }

    fn begin(&mut self, by: CorrelatedBy, header: Option<Digest>, address: IpAddr) -> SessionId {
        self.last += 1;
        let id = SessionId(self.last);
        let view = Session { id, correlated_by: by, sure: by.is_sure(), sockets: Vec::new(), exchanges: Vec::new() };
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
                keys: exchange.borne.keys.clone(),
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
