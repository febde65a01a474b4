//! A client that writes the very bytes it is told to: CONNECT, TLS, and what the test wants.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TCP connection to the proxy, with a limit on how long a test may hang.
pub fn dial(proxy: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(proxy).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp
}

/// A tunnel to `authority`.
pub fn connect(proxy: SocketAddr, authority: &str) -> TcpStream {
    let mut tcp = dial(proxy);
    write!(tcp, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    let head = read_head(&mut tcp);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    tcp
}

/// A tunnel with TLS in it that trusts `ca` (PEM).
pub fn connect_tls(proxy: SocketAddr, authority: &str, ca: &str) -> Tls {
    tls(connect(proxy, authority), authority.rsplit_once(':').unwrap().0, ca)
}

/// TLS over a connection that stands.
pub fn tls(tcp: TcpStream, name: &str, ca: &str) -> Tls {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// Everything up to and with the empty line.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("the head ended early ({other:?}): {}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The body of the next request; `None` where the client has ended.
pub fn read_request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let mut body = vec![0; content_length(&String::from_utf8_lossy(&head))];
    stream.read_exact(&mut body).ok().map(|()| body)
}

/// What a head announces; 0 where it says nothing.
pub fn content_length(head: &str) -> usize {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, value)| value.trim().parse().unwrap())
}

/// A head and the body that its `Content-Length` announces.
pub fn read_response(stream: &mut impl Read) -> (String, Vec<u8>) {
    let head = read_head(stream);
    let mut body = vec![0; content_length(&head)];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}
