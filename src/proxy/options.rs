//! What the proxy can be told.

use std::{path::PathBuf, time::Duration};

use super::{ConnectTo, Mode};

/// What the proxy can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What to listen for; several at once.
    pub modes: Vec<Mode>,
    /// The address to listen on.
    pub listen_host: String,
    /// The port of the first mode that has none of its own; the others get free ones. 0 picks a free one.
    pub listen_port: u16,
    /// Other addresses for some authorities.
    pub connect_to: Vec<ConnectTo>,
    /// PEM files with further roots for servers' certificates.
    pub server_ca: Vec<PathBuf>,
    /// Hosts whose certificates are not verified.
    pub insecure: Vec<String>,
    /// Whether HTTP/2 may be chosen. It is relayed as it is.
    pub http2: bool,
    /// Whether TLS is terminated. If not, what is inside a CONNECT is relayed and recorded as it stands on the wire.
    pub decrypt: bool,
    /// Whether an absolute-form target inside the tunnel to its own authority becomes origin-form.
    pub rewrite_absolute_form: bool,
    /// Headers that are recorded and then taken out; names without case.
    pub strip_headers: Vec<String>,
    /// Whether `Proxy-Connection` and `Proxy-Authorization` are taken out outside tunnels.
    pub strip_proxy_headers: bool,
    /// Whether reverse mode leaves `Host` as it is, instead of naming the server.
    pub keep_host: bool,
    /// Client connections at once; further ones wait in the backlog.
    pub max_connections: usize,
    /// How large a head may be before the framer steps aside (it is relayed all the same), and how large a CONNECT's.
    pub max_head_bytes: usize,
    /// How long a client connection may stay without its first bytes. JMeter's pool keeps connections for 60 s.
    pub first_bytes_timeout: Duration,
    /// How long looking up and reaching a server may take, all its addresses together.
    pub dial_timeout: Duration,
    /// How long each TLS handshake may take, from its first byte.
    pub tls_timeout: Duration,
    /// How long open connections get when the proxy is stopped.
    pub drain: Duration,
    /// Whether client bytes are acknowledged at once (Linux). It hides the 40 ms that Nagle's algorithm costs clients
    /// without `TCP_NODELAY`, such as JMeter's WebSocket Samplers: a cause of late frames that is then no longer seen.
    pub quick_ack: bool,
    /// Where TLS keys of both legs go. `None` asks `FIRSTFRAME_SSLKEYLOGFILE` and `SSLKEYLOGFILE`.
    pub key_log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Forward],
            listen_host: "127.0.0.1".into(),
            listen_port: 8080,
            connect_to: Vec::new(),
            server_ca: Vec::new(),
            insecure: Vec::new(),
            http2: true,
            decrypt: true,
            rewrite_absolute_form: true,
            strip_headers: vec!["X-JM-Thread".into(), "X-JM-Sampler".into()],
            strip_proxy_headers: true,
            keep_host: false,
            max_connections: 10_000,
            max_head_bytes: 256 << 10,
            first_bytes_timeout: Duration::from_secs(120),
            dial_timeout: Duration::from_secs(15),
            tls_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            quick_ack: false,
            key_log: None,
        }
    }
}
