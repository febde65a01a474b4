//! A connection as a client makes one: from its own address, through the proxy's tunnel, TLS in it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    lab::wire::{Reader, Stream},
    proxy::Unverified,
};

use super::{Error, Target};

/// How long making a connection may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A proxy's answer to CONNECT is no larger.
const MAX_HEAD: usize = 16 << 10;
/// Addresses of one 127.0.x, without the network's own, the first and the last.
const HOSTS: u32 = 250;

/// Makes connections.
pub(super) struct Dialer {
    connector: TlsConnector,
    name: ServerName<'static>,
    address: SocketAddr,
    /// The CONNECT, where there is a proxy.
    connect: Option<Vec<u8>>,
}

impl Dialer {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let mut config = match &target.roots {
            Some(certificates) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates.iter().cloned());
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let authority = format!("{host}:{}", target.port);
        let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").into_bytes();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(target.host.clone()).map_err(|_| Error::Name(target.host.clone()))?,
            address: target.address,
            connect: target.by_proxy.then_some(connect),
        })
    }

    /// A connection from the client address of that number.
    pub(super) async fn dial(&self, address: u32) -> io::Result<Reader> {
        timeout(PATIENCE, self.make(address)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn make(&self, address: u32) -> io::Result<Reader> {
        let mut tcp = self.tcp(address).await?;
        tcp.set_nodelay(true)?;
        if let Some(connect) = &self.connect {
            tcp.write_all(connect).await?;
            let status = tunnel(&mut tcp).await?;
            if status != 200 {
                return Err(io::Error::other(format!("the proxy answered CONNECT with {status}")));
            }
        }
        let stream: Box<dyn Stream> = Box::new(self.connector.connect(self.name.clone(), tcp).await?);
        Ok(Reader::new(stream))
    }

    async fn tcp(&self, address: u32) -> io::Result<TcpStream> {
        let from = own_address(address);
        if self.address.ip().is_loopback() && self.address.is_ipv4() {
            let socket = TcpSocket::new_v4()?;
            // Not every system has all of 127/8.
            if socket.bind(SocketAddr::new(from, 0)).is_ok() {
                return socket.connect(self.address).await;
            }
        }
        TcpStream::connect(self.address).await
    }
}

/// 127.0.0.2 and on: each number has one of its own.
pub(super) fn own_address(number: u32) -> IpAddr {
    let (third, fourth) = (number / HOSTS % HOSTS, number % HOSTS + 2);
    IpAddr::V4(Ipv4Addr::new(127, 0, third as u8, fourth as u8))
}

/// The status of the answer to a CONNECT, read to its head's end and not beyond: the tunnel begins there.
async fn tunnel(tcp: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::with_capacity(64);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(io::Error::other("the answer to CONNECT does not end"));
        }
        head.push(tcp.read_u8().await?);
    }
    let status = head.split(|b| *b == b' ').nth(1).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer to CONNECT has no status"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_of_clients_differ() {
        let mut all: Vec<IpAddr> = (0..600).map(own_address).collect();
        assert_eq!(all[0], IpAddr::from([127, 0, 0, 2]));
        assert!(all.iter().all(|address| address.is_loopback() && *address != IpAddr::from([127, 0, 0, 1])));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 600);
    }
}
