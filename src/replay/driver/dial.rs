//! Making a connection as the captured client did: to the proxy, through its tunnel, with TLS in it.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::replay::{
    plan::{Planned, Via, host_of},
    script::Tls,
};

use super::Proxy;

/// A head of the proxy's is no larger.
const MAX_HEAD: usize = 64 << 10;

/// What is read and written.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that stands.
pub(super) struct Dialed {
    pub(super) stream: Box<dyn Stream>,
    pub(super) local: SocketAddr,
    /// The same socket, to reset it.
    pub(super) socket: Option<socket2::Socket>,
}

/// Makes connections.
pub(super) struct Dialer {
    with_http1: Result<Arc<ClientConfig>, String>,
    without_alpn: Result<Arc<ClientConfig>, String>,
}

impl Dialer {
    pub(super) fn new(proxy: &Proxy) -> Self {
        let config = |alpn: &[&[u8]]| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(proxy.roots.iter().cloned());
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Self { with_http1: config(&[b"http/1.1"]), without_alpn: config(&[]) }
    }

    /// Connects as planned.
    ///
    /// # Errors
    /// What did not work.
    pub(super) async fn dial(&self, planned: &Planned, proxy: &Proxy) -> io::Result<Dialed> {
        let address = match &planned.via {
            Via::Forward | Via::Connect(_) => proxy.forward,
            Via::Reverse(mode) => {
                let found = proxy.reverse.iter().find(|(known, _)| known == mode);
                found.map(|(_, address)| *address).ok_or_else(|| io::Error::other(format!("no listener for {mode}")))?
            }
        };
        let mut tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let local = tcp.local_addr()?;
        let socket = duplicate(&tcp);
        if let Via::Connect(head) = &planned.via {
            tcp.write_all(head).await?;
            let status = answer(&mut tcp).await?;
            if !(200..300).contains(&status) {
                return Err(io::Error::other(format!("the CONNECT was answered with {status}")));
            }
        }
        let stream: Box<dyn Stream> = match &planned.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(self.handshake(tcp, tls, &planned.authority).await?),
        };
        Ok(Dialed { stream, local, socket })
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        tls: &Tls,
        authority: &str,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = if tls.alpn.is_some() { &self.with_http1 } else { &self.without_alpn };
        let config = config.as_ref().map_err(|why| io::Error::other(why.clone()))?;
        let name = tls.sni.clone().unwrap_or_else(|| host_of(authority).to_owned());
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await
    }
}

/// The same socket once more, which resetting it takes.
#[cfg(unix)]
fn duplicate(tcp: &TcpStream) -> Option<socket2::Socket> {
    use std::os::fd::AsFd as _;
    tcp.as_fd().try_clone_to_owned().ok().map(socket2::Socket::from)
}

#[cfg(not(unix))]
fn duplicate(_tcp: &TcpStream) -> Option<socket2::Socket> {
    None
}

/// The status of the answer to a CONNECT, read to its head's end and not beyond: the tunnel begins there.
async fn answer(tcp: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(io::Error::other("the answer to the CONNECT does not end"));
        }
        head.push(tcp.read_u8().await?);
    }
    let status = head.split(|b| *b == b' ').nth(1).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer to the CONNECT has no status"))
}
