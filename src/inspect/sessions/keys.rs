//! Keys that a profile names, such as `sessionId`: who bears them, and who bears one that is another's.

use serde::{Deserialize, Serialize};

use crate::model::{ExchangeId, SessionId, session::Clash};

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
}

/// What a key says about an exchange that bears it.
pub(super) struct Said {
    pub(super) session: SessionId,
    pub(super) clash: Option<Clash>,
    /// Whether several sockets bear it at once.
    pub(super) ambiguous: bool,
}

impl Key {
    pub(super) fn new(session: SessionId, exchange: ExchangeId, socket: bool) -> Self {
        Self { session, first: exchange, socket: socket.then_some(exchange), open: u32::from(socket) }
    }

    /// An exchange bears it whose session is known by stronger means.
    pub(super) fn borne_by(&mut self, own: SessionId, exchange: ExchangeId, socket: bool) -> Said {
        if self.session == own {
            if socket {
                self.socket_begins(exchange);
            }
            return Said { session: own, clash: None, ambiguous: false };
        }
        let clash = match (socket, self.socket) {
            // An id may come round again, once its socket is closed.
            (true, Some(_)) if self.open == 0 => {
                *self = Self::new(own, exchange, true);
                None
            }
            (true, other) => Some(Clash::Shared(other.unwrap_or(self.first))),
            (false, Some(other)) => Some(Clash::KeyOf(self.session, other)),
            (false, None) => Some(Clash::Shared(self.first)),
        };
        Said { session: own, clash, ambiguous: clash.is_some() }
    }

    /// An exchange bears it that has nothing stronger.
    pub(super) fn leads(&mut self, exchange: ExchangeId, socket: bool) -> Said {
        let other = self.socket.filter(|_| socket && self.open > 0);
        if socket {
            self.socket_begins(exchange);
        }
        Said { session: self.session, clash: other.map(Clash::Shared), ambiguous: other.is_some() }
    }

    /// Whether a socket bears it.
    pub(super) fn has_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// A socket that bore it closed, or was refused.
    pub(super) fn socket_ends(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    fn socket_begins(&mut self, exchange: ExchangeId) {
        self.socket = Some(exchange);
        self.open += 1;
    }
}
