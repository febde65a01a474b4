//! Keys that a profile names, such as `sessionId`: to which session those lead that an exchange bears, and what they say
//! against it. In which order the profile lists them changes nothing.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    model::{
        ExchangeId, SessionId,
        session::{BorneKey, Clash, Fingerprint},
    },
    redact::Digest,
};

use super::{Sessions, Tracked};

/// A key as an exchange bears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::inspect) struct KeyMark {
    /// Which key.
    pub(in crate::inspect) name: Fingerprint,
    /// Its name and value.
    pub(in crate::inspect) value: Digest,
}

/// One value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// Where it leads.
    pub(super) session: SessionId,
    /// The first exchange that bore it.
    first: ExchangeId,
    /// The latest socket that bore it.
    socket: Option<ExchangeId>,
    /// How many such sockets are asked for or open.
    open: u32,
    /// Whether users' sockets bore it at once: it says nothing any more of whose a request is.
    #[serde(default)]
    shared: bool,
}

impl Key {
    pub(super) fn new(session: SessionId, exchange: ExchangeId, socket: bool) -> Self {
        let (socket, open) = (socket.then_some(exchange), u32::from(socket));
        Self { session, first: exchange, socket, open, shared: false }
    }

    /// A socket that bore it closed, or was refused.
    pub(super) fn socket_ends(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    fn is_taken(&self) -> bool {
        self.open > 0
    }

    /// The least of an exchange's keys decides where it belongs: for a socket one that no open socket has, for a request
    /// one that is on a socket.
    fn rank(&self, socket: bool) -> (bool, bool, SessionId) {
        if socket { (self.is_taken(), false, self.session) } else { (self.socket.is_none(), self.shared, self.session) }
    }
}

impl Sessions {
    /// The session to which the keys of an exchange lead.
    pub(super) fn led_to(&self, keys: &[KeyMark], socket: bool) -> Option<SessionId> {
        let known = keys.iter().filter_map(|key| self.by_key.get(&key.value));
        known.min_by_key(|key| key.rank(socket)).map(|key| key.session)
    }

    /// The session that a key of a request is on a socket of, if no identity header named that session's user: a client
    /// may put the header on its requests alone.
    pub(super) fn unnamed(&self, keys: &[KeyMark]) -> Option<SessionId> {
        let id = self.led_to(keys, false)?;
        let of_it = |key: &KeyMark| self.by_key.get(&key.value).filter(|known| known.session == id);
        let on_socket = keys.iter().filter_map(of_it).any(|known| known.socket.is_some() && !known.shared);
        (on_socket && self.open.get(&id.0)?.header.is_none()).then_some(id)
    }

    /// Takes note that an exchange of a session bears these keys; says what stands against it.
    pub(super) fn bear(
        &mut self,
        keys: &[KeyMark],
        own: SessionId,
        exchange: ExchangeId,
        socket: bool,
    ) -> Option<Clash> {
        keys.iter().filter_map(|key| self.bear_key(*key, own, exchange, socket)).min()
    }

    fn bear_key(&mut self, key: KeyMark, own: SessionId, exchange: ExchangeId, socket: bool) -> Option<Clash> {
        let Some(known) = self.by_key.get_mut(&key.value) else {
            self.key_leads(key, Key::new(own, exchange, socket));
            return None;
        };
        let tracked = self.open.get(&own.0)?;
        if known.session == own {
            // Who is named may open its next socket before the last one is closed.
            let other = known.socket.filter(|_| socket && known.is_taken() && tracked.header.is_none());
            if socket {
                known.socket = Some(exchange);
                known.open += 1;
            }
            if other.is_some() {
                known.shared = true;
                self.doubt(own);
            }
            return other.map(Clash::Shared);
        }
        let holder = known.session;
        let both_named = tracked.header.is_some() && self.open.get(&holder.0).is_some_and(|it| it.header.is_some());
        match (socket, known.socket) {
            (true, Some(other)) if known.is_taken() => {
                known.shared = true;
                if !both_named {
                    self.doubt(holder);
                }
                Some(Clash::Shared(other))
            }
            // Requests bore it; or an id comes round again, once its socket is closed.
            (true, before) => {
                let first = known.first;
                self.key_leads(key, Key::new(own, exchange, true));
                (before.is_none() && both_named).then_some(Clash::Shared(first))
            }
            (false, Some(other)) => match tracked.socket_with(key) {
                // Its own socket bears it, too.
                Some(_) if known.is_taken() => Some(Clash::Shared(other)),
                Some((mine, is_open)) => {
                    let open = u32::from(is_open);
                    self.key_leads(key, Key { open, ..Key::new(own, mine, true) });
                    None
                }
                None => (both_named || tracked.has_another(key)).then_some(Clash::KeyOf(holder, other)),
            },
            (false, None) => both_named.then_some(Clash::Shared(known.first)),
        }
    }

    /// Whether a token is another session's than that of the keys, of which one is on a socket, while this session has a
    /// token of its own. The other one must have a socket that is open, with an id of the same name: else it may be what
    /// the same user did before it had one, or its last round.
    pub(super) fn token_of_another(&self, token: Digest, keys: &[KeyMark], own: SessionId) -> Option<Clash> {
        let is_clear = |token: &Digest, id: SessionId| {
            self.by_token.get(token).is_some_and(|mark| mark.session == id && !mark.ambiguous)
        };
        let other = self.by_token.get(&token).map(|mark| mark.session).filter(|other| *other != own)?;
        let has_own = self.open.get(&own.0)?.tokens.iter().any(|known| is_clear(known, own));
        let others = self.open.get(&other.0)?;
        let contested = |key: &KeyMark| {
            let known = self.by_key.get(&key.value).filter(|known| known.session == own && !known.shared);
            known.is_some_and(|known| known.socket.is_some()) && others.has_another(*key)
        };
        (has_own && is_clear(&token, other) && keys.iter().any(contested)).then_some(Clash::TokenOf(other))
    }

    /// A key leads there from now on.
    pub(super) fn key_leads(&mut self, key: KeyMark, to: Key) {
        let id = to.session;
        self.by_key.insert(key.value, to);
        self.remember_key(id, key.value);
    }

    /// A key as rules see it.
    pub(in crate::inspect) fn shown(&self, key: KeyMark) -> BorneKey {
        let shared = self.by_key.get(&key.value).is_some_and(|known| known.shared);
        BorneKey { name: key.name, value: key.value.fingerprint(), shared }
    }

    fn doubt(&mut self, id: SessionId) {
        if let Some(tracked) = self.open.get_mut(&id.0) {
            tracked.view.sure = false;
        }
    }
}

impl Tracked {
    /// Its socket that bears this key, and whether it is open.
    fn socket_with(&self, key: KeyMark) -> Option<(ExchangeId, bool)> {
        let value = key.value.fingerprint();
        let mut sockets = self.view.sockets.iter().rev();
        let socket = sockets.find(|socket| socket.keys.iter().any(|borne| borne.value == value))?;
        Some((socket.exchange, socket.closed.is_none()))
    }

    /// Whether it has an open socket with a key of that name and another value.
    fn has_another(&self, key: KeyMark) -> bool {
        let value = key.value.fingerprint();
        let mut keys =
            self.view.sockets.iter().filter(|socket| socket.closed.is_none()).flat_map(|socket| &socket.keys);
        keys.any(|borne| borne.name == key.name && borne.value != value)
    }
}

/// Reads the keys of a seat; earlier versions kept one or none.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Many(Vec<Digest>),
        One(Option<Digest>),
    }
    Ok(match Kept::deserialize(from)? {
        Kept::Many(keys) => keys,
        Kept::One(key) => key.into_iter().collect(),
    })
}
