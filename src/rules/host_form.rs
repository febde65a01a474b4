//! `host-form`: `Host` is missing, impossible, not that of the connection, or bears a port that goes without saying; or an
//! absolute target is not that of the connection.
//!
//! Source: RFC 9112, 3.2 (a request of HTTP/1.1 without `Host` gets a 400), 3.2.2; RFC 9110, 7.2. Measured: JMeter's
//! WebSocket plugin always sends the port (`Host: api.test:443`), which the standard allows and some virtual hosts do not
//! know; a `Host` that the plan sets is sent as it is, whatever CONNECT said. What would be evidence: the same request
//! with the bare host passes.
//!
//! In a tunnel an absolute target of the tunnel's own server is rewritten by the proxy, as that plugin sends it. One that
//! names another server, or another port by its scheme, is relayed as it is: what the server makes of it is its own.
//!
//! A `Host` that is there twice is `duplicate-header`'s.

use crate::model::{
    again::Again,
    exchange::{Exchange, Scheme},
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    connections::ByConnection,
    fault::{self, Fault},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "host-form",
    group: Group::Head,
    summary: "a request's Host is missing, impossible, not that of the connection (as may be an absolute target), or bears \
              the default port",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9112, 3.2; RFC 9110, 7.2; JMeter's WebSocket plugin sends `:443` (measured)",
    default_on: true,
    why: "servers must refuse the worst of it; the default port is a hint alone",
    silent: super::never,
    build: |_: &Options| Box::new(HostForm::default()),
};

#[derive(Default)]
struct HostForm {
    connections: ByConnection<Link>,
}

/// What is known of a connection.
struct Link {
    /// Whether the client itself named its server. In reverse mode the client means us.
    named: bool,
    /// The last head that came before and in which nothing was amiss.
    sound: Option<(Again, Scheme)>,
}

impl Rule for HostForm {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionOpened, Heard::ConnectionClosed, Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::ConnectionOpened(connection) => {
                let named = !connection.mode.starts_with("reverse");
                self.connections.set(connection.id, Link { named, sound: None });
            }
            What::ConnectionClosed(connection) => {
                self.connections.take(connection.id);
            }
            What::RequestHead(exchange) => {
                let head = exchange.request.again().map(|again| (again, exchange.scheme));
                let mut known = self.connections.get_mut(exchange.connection);
                if head.is_some() && known.as_ref().is_some_and(|known| known.sound == head) {
                    return;
                }
                let fault = judge(exchange, known.as_ref().is_some_and(|known| known.named));
                if let Some(known) = known.as_mut().filter(|_| fault.is_none()) {
                    known.sound = head;
                }
                if let Some(fault) = fault {
                    raise(fault.flag(&INFO, observation, exchange));
                }
            }
            _ => {}
        }
    }
}

fn judge(exchange: &Exchange, named: bool) -> Option<Fault> {
    let host = judge_host(exchange, named);
    match judge_target(exchange, named) {
        Some(target) if host.as_ref().is_none_or(|fault| fault.severity < Severity::Error) => Some(target),
        _ => host,
    }
}

/// An absolute target counts for more than `Host` (RFC 9112, 3.2.2).
fn judge_target(exchange: &Exchange, named: bool) -> Option<Fault> {
    let target = exchange.request.target();
    if !named || target.first() == Some(&b'/') {
        return None;
    }
    let scheme = memchr::memmem::find(target, b"://")?;
    let default: &[u8] = match target.get(..scheme)?.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => b"443",
        b"http" | b"ws" => b"80",
        _ => return None,
    };
    let rest = target.get(scheme + 3..)?;
    let written = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next()?;
    let host = written.rsplit(|b| *b == b'@').next()?;
    let (wanted, given) = (exchange.authority.as_bytes(), or_default(split(host), default));
    let secure = matches!(exchange.scheme, Scheme::Https | Scheme::Wss);
    if host.is_empty() || wanted.is_empty() || same(given, or_default(split(wanted), port_of(secure))) {
        return None;
    }
    let what = format!(
        "the target leads to {}:{}, but the connection was asked to lead to {}",
        words::name(given.0),
        words::name(given.1),
        words::name(wanted)
    );
    Some(Fault { severity: Severity::Warning, what, place: fault::target(exchange, 0..scheme + 3 + written.len()) })
}

fn judge_host(exchange: &Exchange, named: bool) -> Option<Fault> {
    let head = &exchange.request;
    let Some(field) = head.lines("host").next() else {
        let needed = head.request_version() == b"1.1";
        let what = || "there is no Host, which HTTP/1.1 demands".to_owned();
        return needed.then(|| Fault { severity: Severity::Error, what: what(), place: head.range });
    };
    let host = field.value.of(&head.raw);
    let fault = |severity, what| Some(Fault { severity, what, place: fault::part(head, field.line) });
    if host.is_empty() {
        return fault(Severity::Error, "Host is empty".to_owned());
    }
    let (name, port) = split(host);
    if let Some(odd) = host.iter().find(|b| !is_allowed(**b)) {
        return fault(Severity::Error, format!("Host holds {:?}, which no host has", char::from(*odd)));
    }
    if !port.iter().all(u8::is_ascii_digit) || name.is_empty() {
        return fault(Severity::Error, "Host is no `host` or `host:port`".to_owned());
    }
    let secure = matches!(exchange.scheme, Scheme::Https | Scheme::Wss);
    let default = port_of(secure);
    let wanted = or_default(split(exchange.authority.as_bytes()), default);
    if named && !wanted.0.is_empty() && !same(or_default((name, port), default), wanted) {
        let (host, authority) = (words::name(host), words::name(exchange.authority.as_bytes()));
        return fault(
            Severity::Warning,
            format!("Host is {host}, but the connection was asked to lead to {authority}"),
        );
    }
    if port == default {
        let what = format!("Host bears the default port :{}, which some servers do not know", words::name(default));
        return fault(Severity::Hint, what);
    }
    None
}

fn port_of(secure: bool) -> &'static [u8] {
    if secure { b"443" } else { b"80" }
}

fn or_default<'a>((name, port): (&'a [u8], &'a [u8]), default: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    (name, if port.is_empty() { default } else { port })
}

/// Whether host and port lead to one place.
fn same((name, port): (&[u8], &[u8]), (wanted, wanted_port): (&[u8], &[u8])) -> bool {
    bare(name).eq_ignore_ascii_case(bare(wanted)) && port == wanted_port
}

/// Host and port, which may be empty.
fn split(authority: &[u8]) -> (&[u8], &[u8]) {
    let bracket = authority.iter().rposition(|b| *b == b']').unwrap_or(0);
    match authority.iter().skip(bracket).position(|b| *b == b':') {
        Some(at) => {
            let at = bracket + at;
            (authority.get(..at).unwrap_or_default(), authority.get(at + 1..).unwrap_or_default())
        }
        None => (authority, b""),
    }
}

/// Without the dot that may stand behind the last label.
fn bare(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// What a host may hold (RFC 3986, 3.2.2), with port.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'&' | b'\'' | b'('..=b',' | b';' | b'=' | b':' | b'[' | b']'
        )
}
