//! A request with its response, as the fold sees it.

use serde::{Deserialize, Serialize};

use super::{
    ConnectionId, ExchangeId, Timestamp,
    http::{Body, Head},
    session::Borne,
    trace::{RewriteKind, Rewritten},
    websocket::Socket,
};

/// A request with its response; both grow while they pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Counted over the capture, in the order in which request heads were complete.
    pub id: ExchangeId,
    /// Its connection.
    pub connection: ConnectionId,
    /// Which of its connection's exchanges, from 1.
    pub index: u32,
    /// What it would be called in a URL; `ws` or `wss` if it asks to become a WebSocket.
    pub scheme: Scheme,
    /// What it was sent to: CONNECT's authority, the reverse mode's server, or the absolute target's: `api.test:443`.
    pub authority: String,
    /// The request's head as the client sent it.
    pub request: Head,
    /// The request's body.
    pub request_body: Body,
    /// The final response's head (not a 1xx, but a 101).
    pub response: Option<Head>,
    /// The response's body.
    pub response_body: Body,
    /// The statuses of interim responses that came before it.
    pub interim: Vec<u16>,
    /// When the request's first byte arrived.
    pub request_first_byte: Timestamp,
    /// When its last byte arrived.
    pub request_last_byte: Option<Timestamp>,
    /// When the final response's first byte arrived.
    pub response_first_byte: Option<Timestamp>,
    /// When its last byte arrived (the head's last byte, for a 101).
    pub response_last_byte: Option<Timestamp>,
    /// Whether the response is ours, and why.
    pub proxy_made: Option<String>,
    /// What the relay changed in the request.
    pub rewritten: Vec<Change>,
    /// What became of it if it asked to be a WebSocket and was granted.
    pub websocket: Option<Socket>,
    /// What it bears that tells whose it is.
    #[serde(default)]
    pub borne: Borne,
    /// Whether nothing more will come: answered in full, cut off, or its socket closed.
    pub done: bool,
}

impl Exchange {
    /// The status, where an answer came.
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().and_then(|head| head.status())
    }

    /// Whether the request asked to become a WebSocket.
    pub fn asked_for_websocket(&self) -> bool {
        matches!(self.scheme, Scheme::Ws | Scheme::Wss)
    }

    /// See [`is_token_endpoint`].
    pub fn is_at_token_endpoint(&self) -> bool {
        is_token_endpoint(self.request.method(), self.path())
    }

    /// The target's path without query, as written; an absolute target's path is what follows its authority.
    pub fn path(&self) -> &[u8] {
        let target = origin_form(self.request.target());
        target.get(..memchr::memchr(b'?', target).unwrap_or(target.len())).unwrap_or_default()
    }

    /// The target's query without `?`.
    pub fn query(&self) -> Option<&[u8]> {
        let target = origin_form(self.request.target());
        target.iter().position(|b| *b == b'?').and_then(|at| target.get(at + 1..))
    }
}

/// Whether that is one of an OAuth server's endpoints for tokens (`/oauth/token`, `/connect/token`, `…/token/introspect`):
/// `Basic` credentials there are those of an application, which all its users share (RFC 6749, 2.3.1).
pub fn is_token_endpoint(method: &[u8], path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    method == b"POST" && [&b"token"[..], b"introspect", b"revoke"].iter().any(|ending| path.ends_with(ending))
}

/// An authority without what stands before its last `@` (RFC 3986, 3.2.1): a user, and perhaps a password.
pub fn without_userinfo(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The part of a request target that names the resource: all of it, unless it is in absolute form.
pub fn origin_form(target: &[u8]) -> &[u8] {
    // What nearly all are: no scheme begins so.
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme_end) = target.windows(3).position(|three| three == b"://") else { return target };
    let scheme = target.get(..scheme_end).unwrap_or_default();
    if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphanumeric) {
        return target;
    }
    let rest = target.get(scheme_end + 3..).unwrap_or_default();
    match rest.iter().position(|b| matches!(b, b'/' | b'?')) {
        Some(at) => rest.get(at..).unwrap_or_default(),
        None => b"/",
    }
}

/// The URL schemes that pass here. A request that asks for a WebSocket is `ws` or `wss`, granted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// One change that the relay made in a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The fact.
    pub fact: Rewritten,
    /// What the client sent.
    pub was: Box<[u8]>,
    /// What the server got.
    pub became: Box<[u8]>,
}

impl Change {
    /// Why.
    pub fn kind(&self) -> RewriteKind {
        self.fact.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_give_their_path() {
        for (target, path) in [
            ("/a/b?c", "/a/b?c"),
            ("https://h:443/a?b", "/a?b"),
            ("ws://h?x", "?x"),
            ("http://h", "/"),
            ("*", "*"),
            ("/redirect?to=http://x/", "/redirect?to=http://x/"),
            ("://x", "://x"),
        ] {
            assert_eq!(origin_form(target.as_bytes()), path.as_bytes(), "{target}");
        }
    }
}
