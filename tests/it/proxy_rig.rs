//! A proxy on a port of its own with its trace, origins with certificates of a test CA, and clients that trust ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use firstframe::{
    ca::Authority,
    clock::Clock,
    model::{
        ConnectionId, Side,
        trace::{Closed, Fact, RewriteKind},
    },
    proxy::{Options, Proxy},
    record::Tap,
    shutdown::{self, Trigger},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Nothing in a test takes longer than this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// A proxy under test.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tap: Tap,
    pub(crate) authority: Arc<Authority>,
    pub(crate) open: Arc<dyn Fn() -> usize + Send + Sync>,
    trigger: Trigger,
    running: JoinHandle<()>,
    _dir: TempDir,
}

/// `api.test:443` leads to `origin`, whose CA is trusted.
pub(crate) fn options_for(origin: SocketAddr) -> Options {
    Options {
        connect_to: ["443", "80"]
            .iter()
            .map(|port| format!("api.test:{port}:127.0.0.1:{}", origin.port()).parse().unwrap())
            .collect(),
        server_ca: vec![TEST_CA.file.clone()],
        listen_port: 0,
        ..Options::default()
    }
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open_or_create(dir.path()).unwrap());
        let tap = Tap::collecting(Clock::start());
        let proxy = Proxy::bind(options, tap.clone(), Arc::clone(&authority)).unwrap();
        let addresses: Vec<_> = proxy.addresses().iter().map(|listening| listening.address).collect();
        let open = Arc::new(proxy.open_connections());
        let (trigger, shutdown) = shutdown::channel();
        let running = tokio::spawn(proxy.run(shutdown));
        Self { address: addresses[0], addresses, tap, authority, open, trigger, running, _dir: dir }
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(self) -> Tap {
        self.trigger.stop();
        soon("the stop", self.running).await.unwrap();
        self.tap
    }

    /// A connection to the proxy.
    pub(crate) async fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A tunnel.
    pub(crate) async fn tunnel(&self, authority: &str) -> TcpStream {
        let mut stream = self.dial().await;
        stream
            .write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream
    }

    /// A TLS connection through a tunnel to `api.test`.
    pub(crate) async fn tls(&self) -> TlsStream<TcpStream> {
        let tunnel = self.tunnel("api.test:443").await;
        self.tls_over(tunnel, &[]).await.unwrap()
    }

    /// TLS with a client that trusts our CA.
    pub(crate) async fn tls_over(&self, stream: TcpStream, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate_der().clone()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("api.test").unwrap();
        soon("the handshake", connector.connect(name, stream)).await.map(TlsStream::from)
    }

    /// The facts of a connection so far.
    pub(crate) fn facts(&self, connection: ConnectionId) -> Vec<Fact<'static>> {
        facts(&self.tap, connection)
    }

    /// The facts of a connection, once it is closed.
    pub(crate) async fn closed(&self, connection: u64) -> Vec<Fact<'static>> {
        let connection = ConnectionId(connection);
        soon("the connection's end", async {
            loop {
                let facts = self.facts(connection);
                if facts.iter().any(|fact| matches!(fact, Fact::Closed(_))) {
                    return facts;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
    }
}

/// The facts of a connection so far.
pub(crate) fn facts(tap: &Tap, connection: ConnectionId) -> Vec<Fact<'static>> {
    tap.collected().into_iter().filter(|(id, _)| *id == connection).map(|(_, fact)| fact).collect()
}

/// The recorded bytes of one side; they must be without holes.
pub(crate) fn bytes_of(facts: &[Fact<'_>], side: Side) -> Vec<u8> {
    let mut bytes = Vec::new();
    for fact in facts {
        if let Fact::Data(chunk) = fact
            && chunk.from == side
        {
            assert_eq!(chunk.offset, bytes.len() as u64);
            bytes.extend_from_slice(chunk.bytes);
        }
    }
    bytes
}

/// Up to where the bytes of one side were written.
pub(crate) fn written_of(facts: &[Fact<'_>], side: Side) -> u64 {
    let written = facts.iter().filter_map(|fact| match fact {
        Fact::Written(written) if written.from == side => Some(written.upto),
        _ => None,
    });
    written.max().unwrap_or(0)
}

pub(crate) fn closed_of(facts: &[Fact<'_>]) -> Closed {
    let mut closed = facts.iter().filter_map(|fact| match fact {
        Fact::Closed(closed) => Some(closed.clone()),
        _ => None,
    });
    let first = closed.next().unwrap();
    assert_eq!(closed.next(), None, "a connection is closed once");
    assert!(matches!(facts.last(), Some(Fact::Closed(_))), "nothing follows it: {facts:#?}");
    first
}

/// Kinds, replaced bytes, and their replacements.
pub(crate) fn rewrites_of(facts: &[Fact<'_>]) -> Vec<(RewriteKind, String, String)> {
    let client = bytes_of(facts, Side::Client);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rewritten = facts.iter().filter_map(|fact| match fact {
        Fact::Rewritten(what, to) => {
            let range = what.range.start as usize..what.range.end as usize;
            Some((what.kind, text(&client[range]), text(to)))
        }
        _ => None,
    });
    rewritten.collect()
}

/// Reads up to and with the empty line.
pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin + ?Sized)) -> String {
    let mut head = Vec::new();
    soon("a head", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    String::from_utf8(head).unwrap()
}

/// Reads so many bytes.
pub(crate) async fn read_exact(stream: &mut (impl tokio::io::AsyncRead + Unpin + ?Sized), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon("bytes", stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Reads to the end.
pub(crate) async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon("the end", stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// A listening origin without any behaviour.
pub(crate) async fn origin() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = soon("a connection to the origin", listener.accept()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Accepts a TLS connection as `api.test`.
pub(crate) async fn accept_tls(listener: &TcpListener, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = accept(listener).await;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![TEST_CA.leaf.clone()], TEST_CA.key.clone_key())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    soon("the origin's handshake", TlsAcceptor::from(Arc::new(config)).accept(stream)).await.map(TlsStream::from)
}

/// The CA of the origins.
pub(crate) struct TestCa {
    pub(crate) file: std::path::PathBuf,
    pub(crate) leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    _dir: TempDir,
}

pub(crate) static TEST_CA: LazyLock<TestCa> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = ["api.test".to_owned(), "*.api.test".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test-ca.pem");
    std::fs::write(&file, root.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    TestCa { file, leaf: leaf.der().clone(), key, _dir: dir }
});
