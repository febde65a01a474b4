//! A session: the exchanges and sockets of one virtual user, correlated.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{ExchangeId, SessionId, Timestamp, trace::ByteRange};

/// What stands for a token or a key: equal values have equal ones, and nobody can tell which value it was. Shown, it has
/// the digits of the redacted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0 >> 16)
    }
}

/// The value of a key that the profile names, as an exchange or a socket bears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BorneKey {
    /// Which key: values of different ones cannot be compared.
    pub name: Fingerprint,
    /// Its value. It differs for different keys, whatever their values.
    pub value: Fingerprint,
    /// Whether several open sockets bore it, so that it proves nothing.
    #[serde(default)]
    pub shared: bool,
}

/// What an exchange bears that tells whose it is, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Borne {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The token in `Authorization`; none where those are the credentials of an application, at a token endpoint.
    pub token: Option<Fingerprint>,
    /// The keys that the profile names, at most one value of each.
    #[serde(default)]
    pub keys: Vec<BorneKey>,
    /// How its means of correlation disagree.
    pub clash: Option<Clash>,
}

/// How means of correlation disagree, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clash {
    /// A key of it is on a socket of that other session.
    KeyOf(SessionId, ExchangeId),
    /// Its key and its token are those of two sessions; the token is that one's.
    TokenOf(SessionId),
    /// A key of it is on that exchange of another user as well.
    Shared(ExchangeId),
}

impl Clash {
    /// Whether the request bears the id of one session and the name or token of another.
    pub fn is_mismatch(self) -> bool {
        matches!(self, Self::KeyOf(..) | Self::TokenOf(_))
    }
}

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

impl SessionSocket {
    /// Whether the upgrade was refused.
    pub fn was_refused(&self) -> bool {
        self.status.is_some_and(|status| status != 101)
    }
}

/// One socket of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSocket {
    /// The upgrade's exchange.
    pub exchange: ExchangeId,
    /// When the upgrade request's first byte arrived.
    pub asked: Timestamp,
    /// The keys that the profile names, at most one value of each.
    #[serde(default)]
    pub keys: Vec<BorneKey>,
    /// The upgrade's status, once there is one.
    pub status: Option<u16>,
    /// Where the head of its answer stood.
    #[serde(default)]
    pub answer: Option<ByteRange>,
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
