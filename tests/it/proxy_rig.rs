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
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use firstframe::{
    ca::Authority,
    clock::Clock,
    inspect,
    model::{
        ConnectionId, Side,
        rows::Position,
        trace::{Chunk, Closed, Fact, RewriteKind},
    },
    profile::Profile,
    proxy::{Options, Proxy},
    record::{self, Inspection, Recorder, Tap},
    rules,
    shutdown::{self, Trigger},
    store::{CaptureDir, CaptureMeta, SegmentReader},
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
    trace: Mutex<Recorded>,
    trigger: Trigger,
    running: Option<JoinHandle<()>>,
    recorder: Recorder,
    _dir: TempDir,
}

/// What the recorder has written so far.
struct Recorded {
    reader: SegmentReader,
    facts: HashMap<ConnectionId, Vec<Fact<'static>>>,
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
    pub(crate) fn start(options: Options) -> Self {
        Self::start_recording(options, record::Options::default())
    }

    pub(crate) fn start_recording(options: Options, recording: record::Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open_or_create(dir.path()).unwrap());
        let clock = Clock::start();
        let meta = CaptureMeta::new(clock.anchor(), serde_json::Value::Null, None);
        let capture = CaptureDir::create(dir.path(), Some("test"), meta).unwrap();
        let reader = SegmentReader::open(&capture, Position::default());
        let inspection = Inspection {
            inspector: inspect::Options::default(),
            rules: rules::Options::default(),
            refused: Profile::named("generic").unwrap().refused,
        };
        let (tap, recorder) = Recorder::start(capture, clock, recording, inspection).unwrap();
        let proxy = Proxy::bind(options, tap.clone(), Arc::clone(&authority)).unwrap();
        let addresses: Vec<_> = proxy.addresses().iter().map(|listening| listening.address).collect();
        let open = Arc::new(proxy.open_connections());
        let (trigger, shutdown) = shutdown::channel();
        let running = tokio::spawn(proxy.run(shutdown));
        let trace = Mutex::new(Recorded { reader: reader.unwrap(), facts: HashMap::new() });
        Self {
            address: addresses[0],
            addresses,
            tap,
            authority,
            open,
            trace,
            trigger,
            running: Some(running),
            recorder,
            _dir: dir,
        }
    }

    /// Waits until everything that was recorded so far is written.
    pub(crate) async fn written(&self) {
        soon("the writer", async {
            while self.recorder.index().status().queue.pending_bytes > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.trigger.stop();
        soon("the stop", self.running.take().unwrap()).await.unwrap();
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
        self.tls_with(self.client_config(alpn), stream).await
    }

    pub(crate) fn client_config(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate_der().clone()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    pub(crate) async fn tls_with(
        &self,
        config: Arc<ClientConfig>,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(config);
        let name = ServerName::try_from("api.test").unwrap();
        soon("the handshake", connector.connect(name, stream)).await.map(TlsStream::from)
    }

    /// The facts of a connection so far.
    pub(crate) fn facts(&self, connection: ConnectionId) -> Vec<Fact<'static>> {
        let mut trace = self.trace.lock().unwrap();
        let Recorded { reader, facts } = &mut *trace;
        while let Some((_, event)) = reader.next().unwrap() {
            facts.entry(event.connection).or_default().push(kept(event.fact));
        }
        facts.get(&connection).cloned().unwrap_or_default()
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

/// A fact that outlives the reader's buffer: tests are short.
fn kept(fact: Fact<'_>) -> Fact<'static> {
    let kept = |bytes: &[u8]| -> &'static [u8] { Box::leak(Box::from(bytes)) };
    match fact {
        Fact::Data(chunk) => Fact::Data(Chunk { bytes: kept(chunk.bytes), ..chunk }),
        Fact::Connect(fact, bytes) => Fact::Connect(fact, kept(bytes)),
        Fact::Rewritten(fact, bytes) => Fact::Rewritten(fact, kept(bytes)),
        Fact::ProxyMade(fact, bytes) => Fact::ProxyMade(fact, kept(bytes)),
        Fact::Opened(fact) => Fact::Opened(fact),
        Fact::Dialed(fact) => Fact::Dialed(fact),
        Fact::Tls(fact) => Fact::Tls(fact),
        Fact::Written(fact) => Fact::Written(fact),
        Fact::SteppedAside(fact) => Fact::SteppedAside(fact),
        Fact::Ended(fact) => Fact::Ended(fact),
        Fact::Closed(fact) => Fact::Closed(fact),
        Fact::ServerRtt(fact) => Fact::ServerRtt(fact),
        Fact::Stalled(fact) => Fact::Stalled(fact),
        Fact::Gap(fact) => Fact::Gap(fact),
        Fact::ClockStep(fact) => Fact::ClockStep(fact),
        Fact::Cpu(fact) => Fact::Cpu(fact),
        Fact::Dropped(fact) => Fact::Dropped(fact),
    }
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
    accept_with(listener, server_config(alpn)).await
}

pub(crate) async fn accept_with(
    listener: &TcpListener,
    config: Arc<ServerConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = accept(listener).await;
    soon("the origin's handshake", TlsAcceptor::from(config).accept(stream)).await.map(TlsStream::from)
}

pub(crate) fn server_config(alpn: &[&str]) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![TEST_CA.leaf.clone()], TEST_CA.key.clone_key())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
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
