//! Where a connection is to go: mode specs, CONNECT's authority, `--connect-to`, and the dial.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use tokio::net::TcpStream;

use super::{
    Error, Options,
    names::{Answer, Names},
    socket,
};

/// A host (a name, or an address without brackets) and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// In lower case.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `[v6]:port`; where there is no port, `default` stands in for it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| "`[` without `]`".to_owned())?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(format!("{after:?} follows the address")),
                }
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err("an IPv6 address must stand in brackets".into());
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
            Some(_) => None,
            None => Some(default.ok_or_else(|| "it names no port".to_owned())?),
        };
        let port =
            port.filter(|port| *port != 0).ok_or_else(|| "the port is not a number from 1 to 65535".to_owned())?;
        if host.is_empty() {
            return Err("it names no host".into());
        }
        if let Some(bad) = host.chars().find(|c| c.is_whitespace() || c.is_control() || "/?#@\\".contains(*c)) {
            return Err(format!("{bad:?} cannot stand in a host name"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a listener does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An HTTP proxy.
    Forward,
    /// Stands in front of one server.
    Reverse {
        /// Whether the server is reached over TLS.
        tls: bool,
        /// The server.
        server: HostPort,
        /// A port of its own to listen on.
        listen_port: Option<u16>,
    },
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |why: &str| Error::Mode { found: text.into(), why: why.into() };
        if text == "forward" {
            return Ok(Self::Forward);
        }
        let Some(url) = text.strip_prefix("reverse:") else {
            return Err(error("it is no mode of this proxy"));
        };
        let (tls, rest) = match url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some((scheme, _)) => return Err(error(&format!("scheme {scheme:?} is not one of https and http"))),
            None => return Err(error("the server must be given as https://HOST or http://HOST")),
        };
        let (server, listen_port) = match rest.rsplit_once('@') {
            Some((server, port)) => {
                let port = port.parse().map_err(|_| error(&format!("listening port {port:?} is not 0 to 65535")))?;
                (server, Some(port))
            }
            None => (rest, None),
        };
        let server = server.strip_suffix('/').unwrap_or(server);
        let default = if tls { 443 } else { 80 };
        let server = HostPort::parse(server, Some(default)).map_err(|why| error(&why))?;
        Ok(Self::Reverse { tls, server, listen_port })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::Reverse { tls, server, .. } => {
                write!(f, "reverse:{}://{server}", if *tls { "https" } else { "http" })
            }
        }
    }
}

/// `--connect-to HOST:PORT:HOST:PORT`: connections to the first go to the second. SNI, `Host` and verification keep the
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// What is asked for.
    pub from: HostPort,
    /// Where it leads.
    pub to: HostPort,
}

impl FromStr for ConnectTo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |why: &str| Error::ConnectTo { found: text.into(), why: why.into() };
        // The colon between the two halves is the second one outside brackets.
        let mut inside = false;
        let mut colons = text.char_indices().filter(|(_, c)| {
            inside = (inside || *c == '[') && *c != ']';
            *c == ':' && !inside
        });
        let middle = colons.nth(1).ok_or_else(|| error("it has not four parts"))?.0;
        let (from, to) = (text.get(..middle).unwrap_or_default(), text.get(middle + 1..).unwrap_or_default());
        let from = HostPort::parse(from, None).map_err(|why| error(&format!("{from:?}: {why}")))?;
        let to = HostPort::parse(to, None).map_err(|why| error(&format!("{to:?}: {why}")))?;
        Ok(Self { from, to })
    }
}

/// Why a server could not be reached.
#[derive(Debug)]
pub(super) struct DialError {
    /// In words, with the addresses that were tried.
    pub(super) why: String,
    /// Whether time ran out (504), instead of a refusal (502).
    pub(super) timed_out: bool,
}

/// Reaches servers.
#[derive(Debug)]
pub(super) struct Dialer {
    connect_to: Vec<ConnectTo>,
    timeout: Duration,
    names: Names,
}

/// An address of several gets at least so long, if the whole allows.
const LEAST_TRY: Duration = Duration::from_millis(500);

impl Dialer {
    pub(super) fn new(options: &Options) -> Self {
        Self { connect_to: options.connect_to.clone(), timeout: options.dial_timeout, names: Names::default() }
    }

    /// Looks the name up and tries its addresses in order. On failure the address that was tried last is told, too.
    pub(super) async fn dial(&self, to: &HostPort) -> (Option<SocketAddr>, Result<TcpStream, DialError>) {
        let to = self.connect_to.iter().find(|rule| rule.from == *to).map_or(to, |rule| &rule.to);
        let mut last = None;
        let result = match tokio::time::timeout(self.timeout, self.try_all(to, &mut last)).await {
            Ok(result) => result,
            Err(_) => {
                let what =
                    last.map_or_else(|| "looking up its name".into(), |address| format!("connecting to {address}"));
                Err(DialError { why: format!("{what} took longer than {:?}", self.timeout), timed_out: true })
            }
        };
        (last, result)
    }

    async fn try_all(&self, to: &HostPort, last: &mut Option<SocketAddr>) -> Result<TcpStream, DialError> {
        let found = self.names.of(to, look_up(to)).await;
        let addresses =
            found.map_err(|why| DialError { why: format!("cannot look up {:?}: {why}", to.host), timed_out: false })?;
        let share = (self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX)).max(LEAST_TRY);
        let mut failures = Vec::new();
        let mut timed_out = true;
        for address in &addresses {
            *last = Some(*address);
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    socket::prepare(&stream);
                    return Ok(stream);
                }
                Ok(Err(error)) => {
                    timed_out &= error.kind() == io::ErrorKind::TimedOut;
                    failures.push(format!("{address}: {}", words(&error)));
                }
                Err(_) => failures.push(format!("{address}: no answer in {share:?}")),
            }
        }
        Err(DialError { why: failures.join("; "), timed_out })
    }
}

async fn look_up(to: &HostPort) -> Answer {
    if let Ok(address) = to.host.parse::<IpAddr>() {
        return Ok(vec![(address, to.port).into()]);
    }
    let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await.map_err(|why| words(&why))?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
}

/// An error without the number that the system puts behind it.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    #[test]
    fn modes_are_read_and_shown() {
        let reverse = |tls, server, listen_port| Mode::Reverse { tls, server, listen_port };
        for (text, mode, shown) in [
            ("forward", Mode::Forward, "forward"),
            ("reverse:https://Api.test", reverse(true, at("api.test", 443), None), "reverse:https://api.test:443"),
            ("reverse:http://api.test/", reverse(false, at("api.test", 80), None), "reverse:http://api.test:80"),
            (
                "reverse:https://api.test:8443@9000",
                reverse(true, at("api.test", 8443), Some(9000)),
                "reverse:https://api.test:8443",
            ),
            ("reverse:https://[::1]@0", reverse(true, at("::1", 443), Some(0)), "reverse:https://[::1]:443"),
        ] {
            assert_eq!(text.parse::<Mode>().unwrap(), mode, "{text}");
            assert_eq!(mode.to_string(), shown);
        }
    }

    #[test]
    fn wrong_modes_say_what_is_allowed() {
        for (text, why) in [
            ("", "no mode"),
            ("forwards", "no mode"),
            ("reverse", "no mode"),
            ("reverse:api.test", "https://HOST"),
            ("reverse:ftp://api.test", "\"ftp\""),
            ("reverse:https://", "no host"),
            ("reverse:https://api.test:99999", "1 to 65535"),
            ("reverse:https://api.test:+1", "1 to 65535"),
            ("reverse:https://api.test@x", "\"x\""),
            ("reverse:https://api.test/path", "'/'"),
            ("reverse:https://::1", "brackets"),
        ] {
            let message = text.parse::<Mode>().unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("allowed are") && message.contains("hint"), "{message}");
        }
    }

    #[test]
    fn connect_to_is_curls() {
        let rule: ConnectTo = "API.test:443:127.0.0.1:9443".parse().unwrap();
        assert_eq!(rule, ConnectTo { from: at("api.test", 443), to: at("127.0.0.1", 9443) });
        let rule: ConnectTo = "[::1]:443:[::2]:9443".parse().unwrap();
        assert_eq!(rule, ConnectTo { from: at("::1", 443), to: at("::2", 9443) });
        for text in ["", "a:1", "a:1:b", "a:1:b:", "a:x:b:1", "::1:443:b:1", "a:1:b:0"] {
            let message = text.parse::<ConnectTo>().unwrap_err().to_string();
            assert!(message.contains("HOST:PORT:HOST:PORT"), "{message}");
        }
    }
}
