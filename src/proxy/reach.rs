//! Whether a server can be reached, as the proxy would reach it: its name, a connection, TLS. Nothing is asked of it.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{
    HostPort, Options,
    destination::{Dialer, words},
    tls,
};

/// A server that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where it was found.
    pub address: Option<SocketAddr>,
    /// The version of TLS, where it was asked for.
    pub tls: Option<String>,
}

/// What was not possible, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// Its name is not known, or no connection came about.
    Connection(String),
    /// A connection stood, but TLS failed.
    Tls(String),
}

/// Tries to reach a server; `patience` is for each step. Verification is that of the proxy.
///
/// # Errors
/// What was not possible.
pub async fn reach(
    options: &Options,
    server: &HostPort,
    with_tls: bool,
    patience: Duration,
) -> Result<Reached, Unreached> {
    let options = Options { dial_timeout: patience.min(options.dial_timeout), ..options.clone() };
    let (address, dialed) = Dialer::new(&options).dial(server).await;
    let stream = dialed.map_err(|error| Unreached::Connection(error.why))?;
    if !with_tls {
        return Ok(Reached { address, tls: None });
    }
    let failed = |why: String| Unreached::Tls(why);
    let stream = stream.into_std().map_err(|error| failed(words(&error)))?;
    let mut tls = tls::Shared::to_servers(&options)
        .and_then(|shared| Ok(shared.to_server(&server.host, &[b"http/1.1".to_vec()])?))
        .map_err(|error| failed(error.to_string()))?;
    let shaken = tokio::task::spawn_blocking(move || {
        shake(&mut tls, stream, patience)?;
        Ok(tls.protocol_version().map(tls::version_name))
    });
    let shaken: io::Result<_> = shaken.await.unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
    let version = shaken.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failed(format!("no answer in {patience:?}")),
        io::ErrorKind::UnexpectedEof => failed("it ended the connection: it may not speak TLS there".to_owned()),
        _ => failed(words(&error)),
    })?;
    Ok(Reached { address, tls: version })
}

/// A handshake, each step of which has so long.
fn shake(tls: &mut rustls::ClientConnection, mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}
