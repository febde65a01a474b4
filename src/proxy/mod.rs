//! The data path: listeners, destinations, TLS on both legs, and the relay between them.
//!
//! - [`listener`]: accepts, limits, drains. [`connection`]: one client connection from accept to close.
//! - [`destination`]: where it is to go, and dialing it. [`tls`]: both legs' configurations and handshakes;
//!   [`trust`]: which certificates are taken.
//! - [`leg`], [`socket`]: one TCP connection with or without TLS, and the kernel's stamps. [`relay`]: the two legs.
//! - [`rewrite`]: the few changes that are made to HTTP/1. [`answer`]: what the proxy says itself, always marked.
//!
//! What must not happen here: a byte changed, held back or dropped that `rewrite` does not name; a connection that leaves
//! no trace; an answer that looks like the server's; a lock, an allocation or a wake-up per chunk beyond the tap's own.
//! Bytes that are not understood are relayed.

mod answer;
mod connection;
mod destination;
mod leg;
mod listener;
mod names;
mod options;
pub mod reach;
mod relay;
mod rewrite;
mod rtt;
mod socket;
mod tls;
mod trust;

pub use destination::{ConnectTo, HostPort, Mode};
pub use listener::{Listening, Proxy};
pub use options::Options;
pub use tls::Unverified;

use std::{io, net::SocketAddr, path::PathBuf};

/// What keeps the proxy from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--mode` is not understood.
    #[error(
        "mode {found:?}: {why}; allowed are `forward` and `reverse:https://HOST[:PORT][@LISTENPORT]` (or `http://`) (hint: such as `reverse:https://api.test@8443`)"
    )]
    Mode {
        /// As given.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// `--connect-to` is not understood.
    #[error("connect-to {found:?}: {why}; allowed is HOST:PORT:HOST:PORT (hint: IPv6 addresses stand in brackets)")]
    ConnectTo {
        /// As given.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// The listening socket could not be had.
    #[error("cannot listen on {address} for mode {mode}: {source}{hint}", hint = hint(source))]
    Listen {
        /// Where.
        address: String,
        /// For which mode.
        mode: String,
        /// Why.
        source: io::Error,
    },
    /// Two modes want one port.
    #[error(
        "modes {first} and {second} both want {address} (hint: give the reverse mode its own port: `{second}@PORT`)"
    )]
    SamePort {
        /// The mode that has it.
        first: String,
        /// The mode that cannot have it.
        second: String,
        /// The address.
        address: SocketAddr,
    },
    /// A file of `--server-ca` is of no use.
    #[error("server-ca {path}: {why}; allowed is a PEM file with at least one certificate", path = .path.display())]
    ServerCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file for TLS keys cannot be written.
    #[error("cannot write TLS keys to {path}: {source} (hint: SSLKEYLOGFILE and FIRSTFRAME_SSLKEYLOGFILE name it)", path = .path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (hint: another program has this port; --listen-port 0 picks a free one)",
        io::ErrorKind::PermissionDenied => " (hint: ports below 1024 need privileges; choose a higher one)",
        io::ErrorKind::AddrNotAvailable => " (hint: --listen-host must be an address of this machine)",
        _ => "",
    }
}
