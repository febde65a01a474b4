//! A session: the exchanges and sockets of one virtual user, correlated.

use serde::{Deserialize, Serialize};

use super::{ExchangeId, SessionId, Timestamp};

/// By which means exchanges were put together, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CorrelatedBy {
    /// An identity header. Sure.
    Header,
    /// A key that the profile names, borne by exactly one socket. Sure.
    Key,
    /// A token's fingerprint that one client alone bears.
    Token,
    /// The client's neighbours in time.
    Neighbour,
}

impl CorrelatedBy {
    /// Whether the correlation is certain.
    pub fn is_sure(self) -> bool {
        matches!(self, Self::Header | Self::Key)
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Key => "key",
            Self::Token => "token",
            Self::Neighbour => "neighbour",
        }
    }
}

/// A session as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Counted over the capture.
    pub id: SessionId,
    /// The weakest means by which anything was put into it.
    pub correlated_by: CorrelatedBy,
    /// Whether the correlation is certain and unambiguous.
    pub sure: bool,
    /// Its sockets, asked for or open, in order.
    pub sockets: Vec<SessionSocket>,
    /// Its other exchanges, in order.
    pub exchanges: Vec<ExchangeId>,
}

impl Session {
    /// The socket that the exchange opened.
    pub fn socket(&self, exchange: ExchangeId) -> Option<&SessionSocket> {
        self.sockets.iter().find(|socket| socket.exchange == exchange)
    }
}

/// One socket of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSocket {
    /// The upgrade's exchange.
    pub exchange: ExchangeId,
    /// When the upgrade request's first byte arrived.
    pub asked: Timestamp,
    /// The upgrade's status, once there is one.
    pub status: Option<u16>,
    /// See [`super::websocket::Socket::server_open`].
    pub server_open: Option<Timestamp>,
    /// See [`super::websocket::Socket::open_write_begun`].
    pub open_write_begun: Option<Timestamp>,
    /// See [`super::websocket::Socket::client_open_written`].
    pub client_open_written: Option<Timestamp>,
    /// When the server's first frame arrived.
    pub first_frame_from_server: Option<Timestamp>,
    /// When it was refused, or its connection ended.
    pub closed: Option<Timestamp>,
}
