//! `host-form`: `Host` is missing, impossible, not that of the connection, or bears a port that goes without saying.
//!
//! Source: RFC 9112, 3.2 (a request of HTTP/1.1 without `Host` gets a 400), 3.2.2; RFC 9110, 7.2. Measured: JMeter's
//! WebSocket plugin always sends the port (`Host: api.test:443`), which the standard allows and some virtual hosts do not
//! know; a `Host` that the plan sets is sent as it is, whatever CONNECT said. What would be evidence: the same request
//! with the bare host passes.
//!
//! A `Host` that is there twice is `duplicate-header`'s.

use crate::model::{
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
    summary: "a request's Host is missing, impossible, not that of the connection, or bears the default port",
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
    /// Connections to a server that the client itself named. In reverse mode the client means us.
    named: ByConnection<()>,
}

impl Rule for HostForm {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionOpened, Heard::ConnectionClosed, Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::ConnectionOpened(connection) if !connection.mode.starts_with("reverse") => {
                self.named.set(connection.id, ());
            }
            What::ConnectionClosed(connection) => {
                self.named.take(connection.id);
            }
            What::RequestHead(exchange) => {
                let named = self.named.get(exchange.connection).is_some();
                if let Some(fault) = judge(exchange, named) {
                    raise(fault.flag(&INFO, observation, exchange));
                }
            }
            _ => {}
        }
    }
}

fn judge(exchange: &Exchange, named: bool) -> Option<Fault> {
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
    let default: &[u8] = if secure { b"443" } else { b"80" };
    let (wanted, wanted_port) = split(exchange.authority.as_bytes());
    let given_port = if port.is_empty() { default } else { port };
    let wanted_port = if wanted_port.is_empty() { default } else { wanted_port };
    if named && !wanted.is_empty() && !(bare(name).eq_ignore_ascii_case(bare(wanted)) && given_port == wanted_port) {
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
