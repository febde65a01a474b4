//! The keys of the data path.

use std::{path::PathBuf, str::FromStr, time::Duration};

use serde_json::json;

use super::{DURATION, FLAG, Key, NAMES, PLAIN, Refused, SIZE, sized, within};
use crate::{
    config::value::{Given, duration_text, size_text},
    proxy::{ConnectTo, Error, HostPort, Mode},
};

const DAY: Duration = Duration::from_secs(86_400);

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "proxy.modes",
        meaning: "What to listen for, several at once: forward is an HTTP proxy, reverse stands in front of one server.",
        allowed: "a list of \"forward\" and \"reverse:https://HOST[:PORT][@LISTENPORT]\" (or http://)",
        hint: "such as \"reverse:https://api.test@8443\"",
        option: Some("--mode"),
        set: |s, v| {
            let modes = parsed::<Mode>(v)?;
            if modes.is_empty() {
                return Err(Refused::Because("there must be one at least".to_owned()));
            }
            s.proxy.modes = modes;
            Ok(())
        },
        show: |s| json!(s.proxy.modes.iter().map(mode_text).collect::<Vec<_>>()),
        ..PLAIN
    },
    Key {
        name: "proxy.listen_host",
        meaning: "The address to listen on. Whoever can reach it can use the proxy: it asks for no password.",
        allowed: "an IP address of this machine, such as \"127.0.0.1\"",
        hint: "\"0.0.0.0\" listens on all of them",
        option: Some("--listen-host"),
        set: |s, v| {
            let text = v.text()?;
            let text = if text == "localhost" { "127.0.0.1" } else { &text };
            let address: std::net::IpAddr = text.parse().map_err(|_| Refused::NotAllowed)?;
            s.proxy.listen_host = address.to_string();
            Ok(())
        },
        show: |s| json!(s.proxy.listen_host),
        ..PLAIN
    },
    Key {
        name: "proxy.listen_port",
        meaning: "The port of the first mode that has none of its own; the others get free ones. 0 picks a free one.",
        allowed: "a number from 0 to 65535",
        hint: "0 picks a free port",
        option: Some("--listen-port"),
        set: |s, v| {
            s.proxy.listen_port = v.number(0, 65535)?;
            Ok(())
        },
        show: |s| json!(s.proxy.listen_port),
        ..PLAIN
    },
    Key {
        name: "proxy.connect_to",
        meaning: "Other addresses for some authorities, as curl has it: connections to the first HOST:PORT go to the second.\nSNI, Host and verification keep the first.",
        allowed: "a list of HOST:PORT:HOST:PORT",
        hint: "IPv6 addresses stand in brackets",
        option: Some("--connect-to"),
        set: |s, v| {
            s.proxy.connect_to = parsed::<ConnectTo>(v)?;
            Ok(())
        },
        show: |s| json!(s.proxy.connect_to.iter().map(|to| format!("{}:{}", to.from, to.to)).collect::<Vec<_>>()),
        ..PLAIN
    },
    Key {
        name: "proxy.server_ca",
        meaning: "PEM files with roots to trust in servers, beside the system's.",
        allowed: "a list of paths",
        option: Some("--server-ca"),
        set: |s, v| {
            s.proxy.server_ca = v.texts()?.into_iter().map(PathBuf::from).collect();
            Ok(())
        },
        show: |s| json!(s.proxy.server_ca),
        ..PLAIN
    },
    Key {
        name: "proxy.insecure",
        meaning: "Hosts whose certificates are not verified. Whoever sits between can then read and change everything.",
        allowed: "a list of host names, such as [\"api.test\"]",
        option: Some("--insecure"),
        set: |s, v| {
            s.proxy.insecure = v.texts()?.into_iter().map(host).collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |s| json!(s.proxy.insecure),
        ..PLAIN
    },
    Key {
        name: "proxy.http2",
        meaning: "Whether HTTP/2 may be chosen, where client and server both want it. It is relayed as it is.",
        allowed: FLAG,
        option: Some("--no-http2"),
        set: |s, v| {
            s.proxy.http2 = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.http2),
        ..PLAIN
    },
    Key {
        name: "proxy.decrypt",
        meaning: "Whether TLS is terminated. If not, what is inside a CONNECT is relayed and recorded as it is on the wire.",
        allowed: FLAG,
        set: |s, v| {
            s.proxy.decrypt = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.decrypt),
        ..PLAIN
    },
    Key {
        name: "proxy.rewrite_absolute_form",
        meaning: "Whether `GET https://host/path` inside the tunnel to that host becomes `GET /path`. JMeter's WebSocket\nSamplers send the first, because of the proxy, and several servers refuse it.",
        allowed: FLAG,
        set: |s, v| {
            s.proxy.rewrite_absolute_form = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.rewrite_absolute_form),
        ..PLAIN
    },
    Key {
        name: "proxy.strip_headers",
        meaning: "Headers that are recorded and then taken out of requests: those that name the client's thread and sampler.",
        allowed: NAMES,
        set: |s, v| {
            s.proxy.strip_headers = v.texts()?;
            Ok(())
        },
        show: |s| json!(s.proxy.strip_headers),
        ..PLAIN
    },
    Key {
        name: "proxy.strip_proxy_headers",
        meaning: "Whether Proxy-Connection and Proxy-Authorization are taken out of requests outside tunnels.",
        allowed: FLAG,
        set: |s, v| {
            s.proxy.strip_proxy_headers = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.strip_proxy_headers),
        ..PLAIN
    },
    Key {
        name: "proxy.keep_host",
        meaning: "Whether reverse mode leaves Host as the client sent it, instead of naming the server.",
        allowed: FLAG,
        set: |s, v| {
            s.proxy.keep_host = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.keep_host),
        ..PLAIN
    },
    Key {
        name: "proxy.max_connections",
        meaning: "Client connections at once; further ones wait. Each takes two open files: where\n`ulimit -n` allows fewer, fewer it is.",
        allowed: "a number from 1 to 1000000",
        set: |s, v| {
            s.proxy.max_connections = v.number(1, 1_000_000)?;
            Ok(())
        },
        show: |s| json!(s.proxy.max_connections),
        ..PLAIN
    },
    Key {
        name: "proxy.max_head",
        meaning: "How large a request's head may be for the proxy to look into it. Larger ones are relayed all the same.",
        allowed: SIZE,
        hint: "from 1KiB to 16MiB",
        set: |s, v| {
            s.proxy.max_head_bytes = sized(v, 1 << 10, 16 << 20)?;
            Ok(())
        },
        show: |s| json!(size_text(s.proxy.max_head_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "proxy.first_bytes_timeout",
        meaning: "How long a client connection may stay without its first bytes. JMeter's pool keeps connections for 60 s.",
        allowed: DURATION,
        hint: "from 1s to 24h",
        set: |s, v| {
            s.proxy.first_bytes_timeout = within(v, Duration::from_secs(1), DAY)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.proxy.first_bytes_timeout)),
        ..PLAIN
    },
    Key {
        name: "proxy.dial_timeout",
        meaning: "How long looking up and reaching a server may take, all its addresses together.",
        allowed: DURATION,
        hint: "from 100ms to 24h",
        set: |s, v| {
            s.proxy.dial_timeout = within(v, Duration::from_millis(100), DAY)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.proxy.dial_timeout)),
        ..PLAIN
    },
    Key {
        name: "proxy.tls_timeout",
        meaning: "How long each TLS handshake may take, from its first byte.",
        allowed: DURATION,
        hint: "from 100ms to 24h",
        set: |s, v| {
            s.proxy.tls_timeout = within(v, Duration::from_millis(100), DAY)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.proxy.tls_timeout)),
        ..PLAIN
    },
    Key {
        name: "proxy.drain",
        meaning: "How long open connections get when the proxy is stopped.",
        allowed: DURATION,
        set: |s, v| {
            s.proxy.drain = within(v, Duration::ZERO, DAY)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.proxy.drain)),
        ..PLAIN
    },
    Key {
        name: "proxy.quick_ack",
        meaning: "Whether clients' bytes are acknowledged at once (Linux). It takes away the 40 ms that Nagle's algorithm costs\nclients without TCP_NODELAY, such as JMeter's WebSocket Samplers: a cause of late frames that then is not seen.",
        allowed: FLAG,
        set: |s, v| {
            s.proxy.quick_ack = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.proxy.quick_ack),
        ..PLAIN
    },
    Key {
        name: "proxy.key_log",
        meaning: "Where the TLS keys of both legs go, for Wireshark. Unset: where FIRSTFRAME_SSLKEYLOGFILE or SSLKEYLOGFILE says.",
        allowed: "a path",
        example: "\"tls-keys.log\"",
        set: |s, v| {
            s.proxy.key_log = Some(v.path()?);
            Ok(())
        },
        show: |s| json!(s.proxy.key_log),
        ..PLAIN
    },
];

/// A list of what the proxy's own grammar takes; the option takes one of them as well.
/// A host by its name or address alone.
fn host(text: String) -> Result<String, Refused> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let why = match HostPort::parse(&text, Some(443)) {
        Ok(_) if text.contains(':') => "a host is named without a port".to_owned(),
        Ok(_) => return Ok(text),
        Err(_) if text.contains("://") => "a host is named without https:// and path".to_owned(),
        Err(why) => why,
    };
    Err(Refused::Because(format!("{text:?}: {why}")))
}

fn parsed<T: FromStr<Err = Error>>(given: &Given) -> Result<Vec<T>, Refused> {
    let parse = |text: &String| {
        text.parse().map_err(|error| match error {
            Error::Mode { found, why } | Error::ConnectTo { found, why } => {
                Refused::Because(format!("{found:?}: {why}"))
            }
            other => Refused::Because(other.to_string()),
        })
    };
    given.texts()?.iter().map(parse).collect()
}

/// As it is given, its own port included.
fn mode_text(mode: &Mode) -> String {
    match mode {
        Mode::Reverse { listen_port: Some(port), .. } => format!("{mode}@{port}"),
        _ => mode.to_string(),
    }
}
