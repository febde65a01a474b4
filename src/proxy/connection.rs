//! One client connection from accept to close: what it wants, the server for it, TLS on both legs, then the relay.
//!
//! What must not happen here: a way out that leaves no trace of its cause. [`Trace`] sees to it that every connection is
//! closed in the trace, even one that is dropped half-way.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use rustls_pki_types::CertificateDer;
use tokio::{io::ReadBuf, net::TcpStream, time::timeout};

use super::{
    HostPort, Mode, Options,
    answer::Answer,
    destination::Dialer,
    leg::{Broken, Input, Leg, Stamp},
    relay::{Elsewhere, Finish, Relay},
    rewrite::{CONNECT, Framer, Passed, Place, Rules, Told},
    rtt, socket,
    tls::{self, ClientHello, Hello, Peek},
};
use crate::{
    model::{
        ConnectionId, Side, Timestamp,
        exchange::without_userinfo,
        side::Sides,
        trace::{
            Chunk, Closed, Closer, Connect, Dialed, Ending, Fact, Opened, ProxyMade, ServerRtt, SteppedAside, Tls,
        },
    },
    record::Tap,
};

/// What all connections share.
pub(super) struct Shared {
    pub(super) tap: Tap,
    pub(super) options: Options,
    pub(super) dialer: Dialer,
    pub(super) tls: tls::Shared,
    /// Connections that have not closed yet.
    pub(super) open: AtomicUsize,
}

/// What the connections of one listener share.
pub(super) struct Entry {
    pub(super) mode: Mode,
    /// The mode as it is shown.
    pub(super) shown: String,
    /// For what is inside tunnels, or behind a reverse listener.
    pub(super) rules: Arc<Rules>,
    /// For plain requests to the forward proxy.
    pub(super) forward: Arc<Rules>,
}

/// How long a client gets to take an answer of ours before we close.
const LINGER: Duration = Duration::from_secs(2);
/// How long we wait for the request that an answer of ours is to answer.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The connection's trace: closed exactly once.
struct Trace<'a> {
    shared: &'a Shared,
    id: ConnectionId,
    /// How many bytes of each side were recorded, while no relay counts them.
    recorded: Sides<u64>,
    is_closed: bool,
}

/// How a connection ended.
struct End {
    by: Closer,
    how: Ending,
    error: Option<String>,
}

impl End {
    fn proxy(error: impl Into<String>) -> Self {
        Self { by: Closer::Proxy, how: Ending::Error, error: Some(error.into()) }
    }

    fn client(broken: Broken) -> Self {
        let error = (broken.how != Ending::Fin).then_some(broken.why);
        Self { by: Closer::Client, how: broken.how, error }
    }
}

impl<'a> Trace<'a> {
    fn open(shared: &'a Shared, opened: Opened) -> Self {
        let id = shared.tap.next_connection();
        shared.open.fetch_add(1, Relaxed);
        tracing::debug!("{id} opened: {} to {} ({})", opened.client, opened.listener, opened.mode);
        shared.tap.record(id, Fact::Opened(opened));
        Self { shared, id, recorded: Sides::default(), is_closed: false }
    }

    fn record(&self, fact: Fact<'_>) {
        self.shared.tap.record(self.id, fact);
    }

    fn now(&self) -> Timestamp {
        self.shared.tap.clock().now()
    }

    /// A relay that goes on behind what was recorded.
    fn relay(&self, client: Leg, server: Leg, framer: Option<Framer>) -> Relay {
        let mut relay = Relay::new(self.shared.tap.clone(), self.id, client, server, framer);
        relay.go_on_behind(self.recorded);
        relay
    }

    /// The client's bytes, when no relay does it.
    fn data(&self, offset: u64, stamp: Stamp, bytes: &[u8]) {
        let chunk = Chunk { from: Side::Client, offset, arrived: stamp.arrived, read: stamp.read, bytes };
        self.record(Fact::Data(chunk));
    }

    fn close(&mut self, end: End) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let closed = Closed { at: self.now(), by: end.by, how: end.how, error: end.error };
            let why = closed.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            tracing::debug!("{} closed by the {} ({}){why}", self.id, closed.by.as_str(), closed.how.as_str());
            self.record(Fact::Closed(closed));
        }
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        self.close(End::proxy("the proxy was stopped"));
        self.shared.open.fetch_sub(1, Relaxed);
    }
}

/// Serves one connection, which was accepted at `at`, to its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    stream: TcpStream,
    client: SocketAddr,
    at: Timestamp,
) {
    let listener = stream.local_addr().unwrap_or(client);
    let mut trace = Trace::open(&shared, Opened { at, mode: entry.shown.clone(), client, listener });
    // What sets a connection up is large and is gone before the relay begins.
    let end = match Box::pin(prepare(&trace, &entry, stream)).await {
        Ok(relay) => relayed(&mut trace, &entry, relay).await,
        Err(end) => end,
    };
    trace.close(end);
}

/// Runs the relay, with one server after the other where plain requests change theirs.
async fn relayed(trace: &mut Trace<'_>, entry: &Entry, mut relay: Relay) -> End {
    loop {
        let to = match (&mut relay).await {
            Finish::Closed { by, how, error } => {
                server_rtt(trace, relay.server().tcp());
                return End { by, how, error };
            }
            Finish::Nowhere(why) | Finish::Elsewhere(Elsewhere::Nowhere(why)) => {
                let answer = Answer::bad_gateway(why.into());
                return Box::pin(say(trace, relay.client(), &answer, false)).await;
            }
            Finish::Elsewhere(Elsewhere::Server(to)) => to,
            Finish::Elsewhere(Elsewhere::Tunnel) => {
                server_rtt(trace, relay.server().tcp());
                let begin = at(relay.client().stamp());
                let (client, head, recorded) = relay.into_client();
                trace.recorded = recorded;
                match Box::pin(connect(trace, entry, client, head, begin)).await {
                    Ok(next) => relay = next,
                    Err(end) => return end,
                }
                continue;
            }
        };
        server_rtt(trace, relay.server().tcp());
        match Box::pin(dial(trace, &to)).await {
            Ok(server) => relay.reconnect(server, to),
            Err(answer) => return Box::pin(say(trace, relay.client(), &answer, false)).await,
        }
    }
}

async fn prepare(trace: &Trace<'_>, entry: &Entry, stream: TcpStream) -> Result<Relay, End> {
    socket::prepare(&stream);
    let mut client = Leg::new(stream);
    if trace.shared.options.quick_ack {
        client.acknowledge_at_once();
    }
    match &entry.mode {
        Mode::Forward => {
            let mut head = Vec::new();
            let begin = first_bytes(trace, &mut client, &mut head).await?;
            if CONNECT.starts_with(&head) || head.starts_with(CONNECT) {
                connect(trace, entry, client, head, begin).await
            } else {
                forward(trace, entry, client, head).await
            }
        }
        Mode::Reverse { tls, server: to, .. } => {
            let server = dial(trace, to).await;
            let tls = if *tls { ServerTls::Always } else { ServerTls::Never };
            between(trace, entry, client, server, to, tls).await
        }
    }
}

/// Reads until it is clear whether this is a CONNECT. Gives the instant of the first byte.
async fn first_bytes(trace: &Trace<'_>, client: &mut Leg, head: &mut Vec<u8>) -> Result<Timestamp, End> {
    let clock = trace.shared.tap.clock();
    let mut begin = None;
    while head.len() < CONNECT.len() && CONNECT.starts_with(head) {
        let read = timeout(trace.shared.options.first_bytes_timeout, client.read_raw_into(clock, head)).await;
        let end = match read {
            Ok(Ok(0)) => End { by: Closer::Client, how: Ending::Fin, error: None },
            Ok(Ok(_)) => {
                begin = begin.or_else(|| Some(at(client.stamp())));
                continue;
            }
            Ok(Err(error)) => End::client(error.into()),
            Err(_) => End {
                by: Closer::Proxy,
                how: Ending::Timeout,
                error: Some(format!("the client sent no request in {:?}", trace.shared.options.first_bytes_timeout)),
            },
        };
        if !head.is_empty() {
            trace.data(0, client.stamp(), head);
        }
        return Err(end);
    }
    Ok(begin.unwrap_or_else(|| at(client.stamp())))
}

fn at(stamp: Stamp) -> Timestamp {
    stamp.arrived.unwrap_or(stamp.read)
}

/// A CONNECT: the server is reached before it is answered.
async fn connect(
    trace: &Trace<'_>,
    entry: &Entry,
    mut client: Leg,
    mut head: Vec<u8>,
    begin: Timestamp,
) -> Result<Relay, End> {
    let clock = trace.shared.tap.clock();
    let mut seen = 0;
    let mut refusal = None;
    let length = loop {
        if let Some(length) = head_end(&head, seen) {
            break length;
        }
        if head.len() > trace.shared.options.max_head_bytes {
            let max = trace.shared.options.max_head_bytes;
            refusal = Some(Answer::bad_gateway(format!("the CONNECT's head is larger than {max} bytes")));
            break head.len();
        }
        seen = head.len().saturating_sub(3);
        match timeout(trace.shared.options.first_bytes_timeout, client.read_raw_into(clock, &mut head)).await {
            Ok(Ok(read)) if read > 0 => {}
            other => {
                let connect = Connect { begin, end: at(client.stamp()), authority: target(&head), answered: None };
                trace.record(Fact::Connect(connect, &head));
                return Err(match other {
                    Ok(Ok(_)) => End { by: Closer::Client, how: Ending::Fin, error: None },
                    Ok(Err(error)) => End::client(error.into()),
                    Err(_) => End::proxy("the client did not finish its CONNECT in time"),
                });
            }
        }
    };
    let (head, rest) = head.split_at(length);
    client.unread(rest);
    let authority = target(head);
    let mut connect = Connect { begin, end: at(client.stamp()), authority: authority.clone(), answered: None };
    let parsed = match names_user(head) {
        true => Err("a user stands before it, which CONNECT does not allow (RFC 9112, 3.2.3)".to_owned()),
        false => HostPort::parse(&authority, None),
    };
    let parsed =
        parsed.map_err(|why| Answer::bad_gateway(format!("the CONNECT's target {authority:?} cannot be used: {why}")));
    let reached = match (refusal, parsed) {
        (Some(refusal), _) | (None, Err(refusal)) => Err(refusal),
        (None, Ok(to)) => dial(trace, &to).await.map(|server| (server, to)),
    };
    let (server, to) = match reached {
        Ok(reached) => reached,
        Err(answer) => {
            trace.record(Fact::Connect(connect, head));
            return Err(say(trace, &mut client, &answer, true).await);
        }
    };
    let sent = client.send_all(ESTABLISHED, clock).await;
    // Before it the client cannot have gone on; it often has when the write returns.
    connect.answered = sent.as_ref().ok().copied();
    trace.record(Fact::Connect(connect, head));
    sent.map_err(|error| End::client(error.into()))?;
    if !trace.shared.options.decrypt {
        return Ok(trace.relay(client, server, None));
    }
    between(trace, entry, client, Ok(server), &to, ServerTls::AsClient).await
}

/// The second word of a CONNECT, without a user and password before it: they are no part of the server's name, and are
/// to stand in the recorded head alone.
fn target(head: &[u8]) -> String {
    let target = String::from_utf8_lossy(second_word(head)).into_owned();
    without_userinfo(&target).to_owned()
}

fn names_user(head: &[u8]) -> bool {
    memchr::memchr(b'@', second_word(head)).is_some()
}

fn second_word(head: &[u8]) -> &[u8] {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.split(u8::is_ascii_whitespace).nth(1).unwrap_or_default()
}

/// Where a head ends whose bytes before `from` were looked at.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memchr_iter(b'\n', rest).map(|end| from + end + 1).find(|end| {
        let after = bytes.get(..*end).unwrap_or_default();
        after.ends_with(b"\n\r\n") || after.ends_with(b"\n\n")
    })
}

/// A plain request: the server is the one that its target names.
async fn forward(trace: &Trace<'_>, entry: &Entry, mut client: Leg, mut bytes: Vec<u8>) -> Result<Relay, End> {
    let clock = trace.shared.tap.clock();
    let mut framer = Framer::new(Arc::clone(&entry.forward), Place::Forward(None));
    let mut offset = 0;
    let mut out = Vec::new();
    let answer = loop {
        trace.data(offset, client.stamp(), &bytes);
        let mut aside = None;
        let mut more = Vec::new();
        let passed = framer.client(offset, &bytes, &mut more, &mut |told| {
            if let Told::Aside(_, offset, why) = told {
                aside = Some((offset, why));
            }
        });
        offset += bytes.len() as u64;
        if let Some((offset, why)) = aside {
            let fact = SteppedAside { at: trace.now(), from: Side::Client, offset, why: why.into() };
            trace.record(Fact::SteppedAside(fact));
            break Answer::bad_gateway(why.into());
        }
        match passed {
            Passed::AsTheyAre => out.extend_from_slice(&bytes),
            Passed::Changed => out.extend_from_slice(&more),
            Passed::Nowhere(why) | Passed::Refused(why) => break Answer::bad_gateway(why.into()),
            Passed::Elsewhere(to) => {
                out.extend_from_slice(&more);
                match dial(trace, &to).await {
                    Ok(server) => {
                        framer.connected(to);
                        let mut relay = trace.relay(client, server, Some(framer));
                        relay.go_on_behind(Sides { client: offset, server: 0 });
                        relay.begin(&out);
                        return Ok(relay);
                    }
                    Err(answer) => break answer,
                }
            }
        }
        bytes.clear();
        match timeout(trace.shared.options.first_bytes_timeout, client.read_raw_into(clock, &mut bytes)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(Ok(_)) => return Err(End { by: Closer::Client, how: Ending::Fin, error: None }),
            Ok(Err(error)) => return Err(End::client(error.into())),
            Err(_) => break Answer::bad_gateway("the client did not finish its request line in time".into()),
        }
    };
    Err(say(trace, &mut client, &answer, false).await)
}

/// Whether the server is spoken to in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerTls {
    /// If the client does.
    AsClient,
    Always,
    Never,
}

/// Sets TLS up on both legs, as far as they want it, and the relay between them. `server` may be an answer of ours that
/// the client is to get instead.
async fn between(
    trace: &Trace<'_>,
    entry: &Entry,
    mut client: Leg,
    mut server: Result<Leg, Answer>,
    to: &HostPort,
    tls: ServerTls,
) -> Result<Relay, End> {
    let (hello, begin) = client_hello(trace, &mut client, server.as_ref().ok()).await?;
    let Some(hello) = hello else {
        if tls == ServerTls::Always {
            server = match server {
                Ok(server) => server_handshake(trace, server, to, &to.host, &[]).await,
                Err(answer) => Err(answer),
            };
        }
        return match server {
            Ok(server) => Ok(relay(trace, entry, client, server, to, None)),
            Err(answer) => Err(answer_request(trace, &mut client, &answer).await),
        };
    };
    let offer = trace.shared.tls.offer(&hello.alpn);
    // A reverse listener's own name is none of the server's.
    let name = match (&hello.sni, tls) {
        (Some(sni), ServerTls::AsClient) => sni.clone(),
        _ => to.host.clone(),
    };
    if tls != ServerTls::Never {
        server = match server {
            Ok(server) => server_handshake(trace, server, to, &name, &offer).await,
            Err(answer) => Err(answer),
        };
    }
    let chosen = match &server {
        Ok(server) if tls != ServerTls::Never => server.tls().and_then(|tls| tls.alpn_protocol()).map(<[u8]>::to_vec),
        // We answer, or a server without TLS does: in HTTP/1 or not at all.
        _ => (!hello.alpn.is_empty()).then(|| b"http/1.1".to_vec()),
    };
    let like = server.as_ref().ok().and_then(|server| server.tls()?.peer_certificates()?.first().cloned());
    client_handshake(trace, &mut client, *hello, to, like.as_ref(), chosen.as_deref(), begin)
        .await
        .map_err(|end| pass_on(end, server.as_ref().ok()))?;
    match server {
        Ok(server) => Ok(relay(trace, entry, client, server, to, chosen.as_deref())),
        Err(answer) => Err(answer_request(trace, &mut client, &answer).await),
    }
}

fn relay(trace: &Trace<'_>, entry: &Entry, client: Leg, server: Leg, to: &HostPort, protocol: Option<&[u8]>) -> Relay {
    let is_http1 = protocol.is_none_or(|protocol| protocol.starts_with(b"http/1"));
    let framer = is_http1.then(|| Framer::new(Arc::clone(&entry.rules), Place::Fixed(to.clone())));
    trace.relay(client, server, framer)
}

/// Waits for a whole ClientHello. `None` where the client speaks something else, or the server speaks first; what was
/// read is then still to be read. With the instant of its first byte.
async fn client_hello(
    trace: &Trace<'_>,
    client: &mut Leg,
    server: Option<&Leg>,
) -> Result<(Option<Box<ClientHello>>, Timestamp), End> {
    let clock = trace.shared.tap.clock();
    let mut peek = Peek::default();
    let mut begin = None;
    let mut server_broke = None;
    loop {
        match peek.look() {
            Hello::Tls(hello) => {
                client.unread(&peek.bytes);
                return Ok((Some(hello), begin.unwrap_or_default()));
            }
            Hello::NotTls => break,
            Hello::Unknown => {}
        }
        // No byte yet may last as long as client and server like; a begun hello may not.
        let wait = if peek.bytes.is_empty() { Duration::MAX } else { trace.shared.options.tls_timeout };
        let read = async {
            tokio::select! {
                biased;
                read = client.read_raw_into(clock, &mut peek.bytes) => Some(read),
                broken = speaks(server) => {
                    server_broke = broken;
                    None
                }
            }
        };
        match timeout(wait, read).await {
            Ok(Some(Ok(read))) if read > 0 => {
                begin.get_or_insert_with(|| at(client.stamp()));
            }
            Ok(Some(Err(error))) => return Err(pass_on(End::client(error.into()), server)),
            // The end is still there to be read.
            Ok(Some(Ok(_)) | None) | Err(_) => break,
        }
    }
    if let Some(Broken { how, why }) = server_broke {
        if how == Ending::Rst {
            client.reset_on_drop();
        }
        return Err(End { by: Closer::Server, how, error: Some(why) });
    }
    client.unread(&peek.bytes);
    Ok((None, begin.unwrap_or_default()))
}

/// A client that resets its connection resets the server's.
fn pass_on(end: End, server: Option<&Leg>) -> End {
    if let (Ending::Rst, Some(server)) = (end.how, server) {
        server.reset_on_drop();
    }
    end
}

/// Returns when the server has sent something, or ended; or how it broke, which is told but once.
async fn speaks(server: Option<&Leg>) -> Option<Broken> {
    let Some(server) = server else { return std::future::pending().await };
    poll_fn(|cx| {
        let mut byte = [0];
        match server.tcp().poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(_)) => Poll::Ready(None),
            Poll::Ready(Err(error)) => Poll::Ready(Some(error.into())),
        }
    })
    .await
}

async fn dial(trace: &Trace<'_>, to: &HostPort) -> Result<Leg, Answer> {
    let begin = trace.now();
    let (address, result) = trace.shared.dialer.dial(to).await;
    let local = result.as_ref().ok().and_then(|stream| stream.local_addr().ok());
    let error = result.as_ref().err().map(|error| error.why.clone());
    let dialed = Dialed { begin, end: trace.now(), authority: to.to_string(), address, local, error };
    trace.record(Fact::Dialed(dialed));
    match result {
        Ok(stream) => {
            server_rtt(trace, &stream);
            Ok(Leg::new(stream))
        }
        Err(error) => {
            let cause = format!("cannot reach {to}: {}", error.why);
            Err(if error.timed_out { Answer::gateway_timeout(cause) } else { Answer::bad_gateway(cause) })
        }
    }
}

fn server_rtt(trace: &Trace<'_>, server: &TcpStream) {
    let (Ok(local), Ok(peer)) = (server.local_addr(), server.peer_addr()) else { return };
    if let Some(rtt) = rtt::smoothed(local, peer) {
        let rtt_ns = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        trace.record(Fact::ServerRtt(ServerRtt { at: trace.now(), rtt_ns }));
    }
}

async fn server_handshake(
    trace: &Trace<'_>,
    mut server: Leg,
    to: &HostPort,
    name: &str,
    offer: &[Vec<u8>],
) -> Result<Leg, Answer> {
    let clock = trace.shared.tap.clock();
    let begin = trace.now();
    let mut timed_out = false;
    let result = match trace.shared.tls.to_server(name, offer) {
        Err(error) => Err(error.to_string()),
        Ok(tls) => {
            server.set_tls(tls.into());
            match timeout(trace.shared.options.tls_timeout, server.handshake(clock)).await {
                Ok(result) => result.map_err(|broken| broken.why),
                Err(_) => {
                    timed_out = true;
                    Err(format!("it took longer than {:?}", trace.shared.options.tls_timeout))
                }
            }
        }
    };
    trace.record(Fact::Tls(tls_fact(
        Side::Server,
        begin,
        trace.now(),
        Some(name),
        offer,
        &server,
        result.clone().err(),
    )));
    match result {
        Ok(()) => Ok(server),
        Err(why) => {
            let hint = if why.contains("certificate") {
                format!(" (hint: --server-ca FILE trusts it or its CA, --insecure {name} does not verify it)")
            } else {
                String::new()
            };
            let cause = format!("TLS with {to} failed: {why}{hint}");
            Err(if timed_out { Answer::gateway_timeout(cause) } else { Answer::bad_gateway(cause) })
        }
    }
}

async fn client_handshake(
    trace: &Trace<'_>,
    client: &mut Leg,
    hello: ClientHello,
    to: &HostPort,
    like: Option<&CertificateDer<'_>>,
    alpn: Option<&[u8]>,
    begin: Timestamp,
) -> Result<(), End> {
    let clock = trace.shared.tap.clock();
    let ClientHello { accepted, sni, alpn: offered } = hello;
    let name = sni.as_deref().unwrap_or(&to.host);
    let result = match trace.shared.tls.to_client(name, like, alpn) {
        Err(why) => Err(Broken { how: Ending::Error, why }),
        Ok(config) => match accepted.into_connection(config) {
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                let _ = alert.write_all(&mut bytes);
                let _ = client.send_all(&bytes, clock).await;
                Err(error.into())
            }
            Ok(tls) => {
                client.set_tls(tls.into());
                match timeout(trace.shared.options.tls_timeout, client.handshake(clock)).await {
                    Ok(result) => result,
                    Err(_) => {
                        let why = format!("it took longer than {:?}", trace.shared.options.tls_timeout);
                        Err(Broken { how: Ending::Timeout, why })
                    }
                }
            }
        },
    };
    let error = result.as_ref().err().map(|broken| broken.why.clone());
    trace.record(Fact::Tls(tls_fact(Side::Client, begin, trace.now(), sni.as_deref(), &offered, client, error)));
    result.map_err(|broken| {
        let why = format!("TLS with the client failed: {} (does it trust our CA?)", broken.why);
        End { by: Closer::Client, how: broken.how, error: Some(why) }
    })
}

fn tls_fact(
    side: Side,
    begin: Timestamp,
    end: Timestamp,
    sni: Option<&str>,
    offered: &[Vec<u8>],
    leg: &Leg,
    error: Option<String>,
) -> Tls {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tls = leg.tls().filter(|_| error.is_none());
    Tls {
        side,
        begin,
        end,
        sni: sni.map(str::to_owned),
        offered: offered.iter().map(|protocol| text(protocol)).collect(),
        alpn: tls.and_then(|tls| tls.alpn_protocol()).map(text),
        version: tls.and_then(|tls| tls.protocol_version()).map(tls::version_name),
        cipher: tls.and_then(|tls| tls.negotiated_cipher_suite()).map(|suite| format!("{:?}", suite.suite())),
        error,
    }
}

/// Waits for the request, records it, and answers it.
async fn answer_request(trace: &Trace<'_>, client: &mut Leg, answer: &Answer) -> End {
    let clock = trace.shared.tap.clock();
    let mut bytes = Vec::new();
    let reading = async {
        let mut offset = trace.recorded.client;
        loop {
            let begin = bytes.len();
            let Input { close_notify, fin, broken, .. } = client.read_into(clock, &mut bytes).await;
            let new = bytes.get(begin..).unwrap_or_default();
            if !new.is_empty() {
                trace.data(offset, client.stamp(), new);
                offset += new.len() as u64;
            }
            if let Some(broken) = broken {
                return Some(End::client(broken));
            }
            if close_notify || fin {
                let how = if fin { Ending::Fin } else { Ending::CloseNotify };
                return Some(End { by: Closer::Client, how, error: Some(answer.cause.clone()) });
            }
            let is_long = bytes.len() > trace.shared.options.max_head_bytes;
            if is_long || head_end(&bytes, begin.saturating_sub(3)).is_some() {
                return None;
            }
        }
    };
    match timeout(REQUEST_WAIT, reading).await {
        Ok(Some(end)) => end,
        Ok(None) | Err(_) => say(trace, client, answer, false).await,
    }
}

/// Answers the client ourselves, and closes.
async fn say(trace: &Trace<'_>, client: &mut Leg, answer: &Answer, to_connect: bool) -> End {
    let clock = trace.shared.tap.clock();
    let bytes = answer.bytes();
    let sent = timeout(LINGER, client.send_all(&bytes, clock)).await;
    let made = ProxyMade { at: trace.now(), status: answer.status, to_connect, cause: answer.cause.clone() };
    trace.record(Fact::ProxyMade(made, &bytes));
    if matches!(sent, Ok(Ok(_))) {
        client.end(Ending::CloseNotify);
        client.end(Ending::Fin);
        // A close with bytes unread would be a reset, which may overtake the answer.
        let leaving = async {
            let _ = poll_fn(|cx| client.poll_flush(cx)).await;
            let mut rest = Vec::new();
            while client.read_raw_into(clock, &mut rest).await.is_ok_and(|read| read > 0) {
                rest.clear();
            }
        };
        let _ = timeout(LINGER, leaving).await;
    }
    End::proxy(answer.cause.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_connection_is_small() {
        assert!(size_of::<Relay>() <= 1024, "{}", size_of::<Relay>());
        assert!(size(serve) <= 2560, "{}", size(serve));
    }
}
