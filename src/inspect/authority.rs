//! What a request was sent to, and under which scheme.

use serde::{Deserialize, Serialize};

use crate::model::{
    exchange::{Scheme, without_userinfo},
    http::Head,
};

/// A connection's host, where it is known before any request: by CONNECT or by the reverse mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    authority: Box<str>,
    /// Whether the mode says so; else TLS decides.
    secure: bool,
}

impl Named {
    /// `reverse:https://HOST[:PORT][@LISTENPORT]`; `None` for other modes.
    pub(super) fn of_mode(mode: &str) -> Option<Self> {
        let url = mode.strip_prefix("reverse:")?;
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split(['@', '/']).next().unwrap_or_default();
        let secure = scheme.eq_ignore_ascii_case("https");
        Some(Self { authority: with_port(host, secure).into(), secure })
    }

    /// A CONNECT's target; `None` where it is empty.
    pub(super) fn of_connect(authority: &str) -> Option<Self> {
        (!authority.is_empty()).then(|| Self { authority: without_userinfo(authority).into(), secure: false })
    }
}

/// The scheme and the authority of a request. `tls` says whether the client speaks TLS to us.
pub(super) fn of_request(named: Option<&Named>, head: &Head, tls: bool, websocket: bool) -> (Scheme, String) {
    let (secure, authority) = match named {
        Some(named) => (tls || named.secure, named.authority.to_string()),
        None => {
            let (scheme, host) =
                absolute(head.target()).unwrap_or_else(|| (b"", head.header("host").unwrap_or_default()));
            let secure = tls || scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss");
            (secure, with_port(&String::from_utf8_lossy(host), secure))
        }
    };
    let scheme = match (secure, websocket) {
        (false, false) => Scheme::Http,
        (true, false) => Scheme::Https,
        (false, true) => Scheme::Ws,
        (true, true) => Scheme::Wss,
    };
    (scheme, authority)
}

/// Scheme and authority of an absolute target, without userinfo (RFC 9112, 3.2.2).
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(target, b"://")?;
    let scheme =
        target.get(..end).filter(|scheme| !scheme.is_empty() && scheme.iter().all(u8::is_ascii_alphanumeric))?;
    let rest = target.get(end + 3..)?;
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next()?;
    Some((scheme, authority.rsplit(|b| *b == b'@').next().unwrap_or(authority)))
}

/// `host:port`, the port added where it is left out.
fn with_port(host: &str, secure: bool) -> String {
    let bare = host.rsplit_once(']').map_or(host, |(_, after)| after);
    if host.is_empty() || bare.contains(':') {
        return host.to_owned();
    }
    format!("{host}:{}", if secure { 443 } else { 80 })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests {
    use crate::decode::http1::head::{Kind, parse_head};
    use crate::model::{Side, trace::ByteRange};

    use super::*;

    fn request(line: &str) -> Head {
        let raw = format!("{line}\r\nHost: from-host\r\n\r\n");
        parse_head(raw.as_bytes(), ByteRange { from: Side::Client, start: 0, end: raw.len() as u64 }, Kind::Request).0
    }

    #[test]
    fn the_mode_and_connect_go_before_target_and_host() {
        let of = |named: Option<Named>, line: &str, tls: bool, websocket: bool| {
            let (scheme, authority) = of_request(named.as_ref(), &request(line), tls, websocket);
            format!("{}://{authority}", scheme.as_str())
        };
        let reverse = |mode: &str| Named::of_mode(mode);
        assert_eq!(of(reverse("reverse:https://api.test"), "GET / HTTP/1.1", true, false), "https://api.test:443");
        assert_eq!(
            of(reverse("reverse:https://api.test:8443@9000"), "GET / HTTP/1.1", false, true),
            "wss://api.test:8443"
        );
        assert_eq!(of(reverse("reverse:http://[::1]"), "GET / HTTP/1.1", false, false), "http://[::1]:80");
        assert_eq!(of(reverse("forward"), "GET http://u:p@a.test/x HTTP/1.1", false, false), "http://a.test:80");
        assert_eq!(of(None, "GET http://a.test:81 HTTP/1.1", false, true), "ws://a.test:81");
        assert_eq!(of(None, "GET / HTTP/1.1", false, false), "http://from-host:80");
        assert_eq!(of(None, "GET / HTTP/1.1", true, false), "https://from-host:443");
        let connect = Named::of_connect("c.test:443");
        assert_eq!(of(connect.clone(), "GET https://other.test/x HTTP/1.1", true, false), "https://c.test:443");
        assert_eq!(of(connect, "GET / HTTP/1.1", false, true), "ws://c.test:443");
    }
}
