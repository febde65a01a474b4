//! What goes in comes out: both sides' bytes, whatever they are and however they are cut, and each way of ending.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use firstframe::model::{
    ConnectionId, Side,
    trace::{Closer, Ending, Fact},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::TlsStream;

use super::proxy_rig::*;

/// One end of a connection through the proxy.
enum Peer {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a peer sees of the other's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    CloseNotify,
    Fin,
    Rst,
}

impl Peer {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn stream(&mut self) -> &mut (dyn AsyncReadWrite + Unpin + Send) {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls,
        }
    }

    /// Reads to the next end, in pieces of `size`.
    async fn read_to_end(&mut self, size: usize, into: &mut Vec<u8>) -> Seen {
        let is_tls = matches!(self, Self::Tls(_));
        let mut buffer = vec![0; size];
        loop {
            match soon("more bytes or an end", self.stream().read(&mut buffer)).await {
                Ok(0) if is_tls => return Seen::CloseNotify,
                Ok(0) => return Seen::Fin,
                Ok(read) => into.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Seen::Fin,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Seen::Rst,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).await.unwrap();
        self.stream().flush().await.unwrap();
    }

    /// A close_notify and nothing else.
    async fn close_notify(&mut self) {
        let Self::Tls(tls) = self else { panic!("no TLS") };
        match &mut **tls {
            TlsStream::Client(tls) => tls.get_mut().1.send_close_notify(),
            TlsStream::Server(tls) => tls.get_mut().1.send_close_notify(),
        }
        tls.flush().await.unwrap();
    }

    /// A FIN without a close_notify.
    fn fin(&self) {
        SockRef::from(self.tcp()).shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn reset(self) {
        self.tcp().set_zero_linger().unwrap();
    }

    /// The TCP connection's next end, beneath TLS that has ended.
    async fn tcp_end(&mut self) -> Seen {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_mut().0,
        };
        let mut byte = [0];
        match soon("the end of TCP", tcp.read(&mut byte)).await {
            Ok(0) => Seen::Fin,
            Ok(_) => panic!("bytes follow"),
            Err(_) => Seen::Rst,
        }
    }

    async fn tcp_is_open(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), self.tcp().peek(&mut byte)).await.is_err()
    }
}

trait AsyncReadWrite: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> AsyncReadWrite for T {}

async fn pair(rig: &Rig, listener: &TcpListener, tls: bool) -> (Peer, Peer) {
    if tls {
        let (client, server) = tokio::join!(rig.tls(), accept_tls(listener, &[]));
        (Peer::Tls(client.into()), Peer::Tls(server.unwrap().into()))
    } else {
        let (client, server) = tokio::join!(rig.tunnel("api.test:80"), accept(listener));
        (Peer::Plain(client), Peer::Plain(server))
    }
}

/// One run: what each side sends and how it is cut, how it reads, and how it ends.
#[derive(Clone, Debug)]
struct Script {
    tls: bool,
    client: Vec<Vec<u8>>,
    server: Vec<Vec<u8>>,
    client_reads: usize,
    server_reads: usize,
    /// Who ends first; the other ends once it has seen that.
    first: Side,
    end: Ending,
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // HTTP-like pieces make the framer work; none of them is one that it changes.
    let piece = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => proptest::collection::vec(any::<u8>(), 10_000..80_000),
        2 => proptest::sample::select(vec![
            "GET / HTTP/1.1\r\n", "X Bad:: v\r\n", ": noname\r\n", "Content-Length: 4\r\n\r\nbody", "\r\n", "HTTP/1.1 200 OK\r\n",
            "Transfer-Encoding: chunked\r\n\r\n", "4\r\nbody\r\n", "0\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "Upgrade: websocket\r\n", "X-JM", "https://api.test",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..12)
}

fn script() -> impl Strategy<Value = Script> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let end = prop_oneof![2 => Just(Ending::Fin), 2 => Just(Ending::CloseNotify), 1 => Just(Ending::Rst)];
    (any::<bool>(), chunks(), chunks(), 1..5000_usize, 1..5000_usize, side, end).prop_map(
        |(tls, client, server, client_reads, server_reads, first, end)| {
            let end = if !tls && end == Ending::CloseNotify { Ending::Fin } else { end };
            Script { tls, client, server, client_reads, server_reads, first, end }
        },
    )
}

/// Sends, ends if it is first, and reads on to the other's end.
async fn play(mut peer: Peer, chunks: &[Vec<u8>], size: usize, ends: Option<Ending>, total: usize) -> (Vec<u8>, Seen) {
    let mut got = Vec::new();
    let mut buffer = vec![0; size];
    for chunk in chunks {
        // Both ways at once: a peer that only writes would stop the other when the buffers are full.
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let (mut reading, mut writing) = tokio::io::split(peer.stream());
            tokio::select! {
                written = writing.write(rest) => rest = &rest[written.unwrap()..],
                read = reading.read(&mut buffer), if got.len() < total => got.extend_from_slice(&buffer[..read.unwrap()]),
            }
        }
        peer.stream().flush().await.unwrap();
    }
    match ends {
        Some(Ending::Rst) => {
            // After everything has come, so that it is known what the other can have got.
            while got.len() < total {
                let read = soon("bytes before the reset", peer.stream().read(&mut buffer)).await.unwrap();
                assert_ne!(read, 0);
                got.extend_from_slice(&buffer[..read]);
            }
            peer.reset();
            return (got, Seen::Rst);
        }
        Some(Ending::CloseNotify) => peer.close_notify().await,
        Some(_) => peer.fin(),
        None => {}
    }
    let seen = peer.read_to_end(size, &mut got).await;
    if ends.is_none() && seen != Seen::Rst {
        assert_eq!(got.len(), total);
        if seen == Seen::CloseNotify { peer.close_notify().await } else { peer.fin() }
    }
    (got, seen)
}

async fn run(rig: &Rig, listener: &TcpListener, id: u64, script: Script) {
    let (client, server) = pair(rig, listener, script.tls).await;
    let (sent, answered) = (script.client.concat(), script.server.concat());
    let ends = |side| (script.first == side).then_some(script.end);
    let ((at_client, client_saw), (at_server, server_saw)) = tokio::join!(
        play(client, &script.client, script.client_reads, ends(Side::Client), answered.len()),
        play(server, &script.server, script.server_reads, ends(Side::Server), sent.len()),
    );
    let facts = rig.closed(id).await;
    let expected = match script.end {
        Ending::CloseNotify => Seen::CloseNotify,
        Ending::Rst => Seen::Rst,
        _ => Seen::Fin,
    };
    assert_eq!((client_saw, server_saw), (expected, expected));
    if script.end == Ending::Rst {
        // What is on its way when the reset comes may be lost, but never changed.
        assert!(answered.starts_with(&at_client) && sent.starts_with(&at_server));
    } else {
        assert!(at_client == answered && at_server == sent, "bytes were changed");
        assert_eq!(bytes_of(&facts, Side::Client), sent);
        assert_eq!(bytes_of(&facts, Side::Server), answered);
        assert_eq!(written_of(&facts, Side::Client), sent.len() as u64);
        assert_eq!(written_of(&facts, Side::Server), answered.len() as u64);
    }
    let closed = closed_of(&facts);
    assert_eq!((closed.by, closed.how), (script.first.into(), script.end));
    assert!(facts.iter().all(|fact| !matches!(fact, Fact::Rewritten(..) | Fact::ProxyMade(..))));
    in_order(&facts);
}

/// A chunk is recorded before it is written, and stamps ascend.
fn in_order(facts: &[Fact<'_>]) {
    let mut recorded = [0; 2];
    let mut last_read = [0; 2];
    for fact in facts {
        match fact {
            Fact::Data(chunk) => {
                let side = (chunk.from == Side::Server) as usize;
                recorded[side] = chunk.range().end;
                assert!(chunk.arrived.is_none_or(|arrived| arrived <= chunk.read));
                assert!(chunk.read.0 >= last_read[side]);
                last_read[side] = chunk.read.0;
            }
            Fact::Written(written) => {
                let side = (written.from == Side::Server) as usize;
                assert!(written.upto <= recorded[side]);
                assert!(written.begun.0 <= written.written.0);
            }
            _ => {}
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn arbitrary_bytes_cuts_and_ends_come_out_as_they_went_in() {
    let cases = if std::env::var_os("FIRSTFRAME_LONG").is_some() { 3000 } else { 60 };
    let runtime = runtime();
    let (rig, listener) = runtime.block_on(async {
        let (listener, address) = origin().await;
        (Rig::start(options_for(address)).await, listener)
    });
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() });
    let ids = AtomicU64::new(1);
    let result = runner.run(&script(), |script| {
        runtime.block_on(run(&rig, &listener, ids.fetch_add(1, Relaxed), script));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn a_slow_reader_gets_everything_and_holds_the_sender_back() {
    const BYTES: usize = 24 << 20;
    let runtime = runtime();
    runtime.block_on(async {
        let (listener, address) = origin().await;
        let rig = Rig::start(options_for(address)).await;
        for tls in [false, true] {
            let (mut client, mut server) = pair(&rig, &listener, tls).await;
            let bytes: Vec<u8> = (0..BYTES).map(|n| (n / 251) as u8).collect();
            let hash = blake3::hash(&bytes);
            let sender = tokio::spawn(async move {
                server.send(&bytes).await;
                server
            });
            // Nothing is read until the sender is stuck: what we took meanwhile is bounded by the kernels' buffers.
            let id = ConnectionId(if tls { 2 } else { 1 });
            let mut before = u64::MAX;
            let stuck = soon("the sender's standstill", async {
                loop {
                    let now = bytes_of(&rig.facts(id), Side::Server).len() as u64;
                    if now == before && now > 0 {
                        return now;
                    }
                    before = now;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
            .await;
            assert!(stuck < BYTES as u64, "{stuck} bytes were taken although nobody read");
            assert!(!sender.is_finished());
            let mut got = vec![0; BYTES];
            let mut at = 0;
            while at < BYTES {
                let end = (at + 7_000).min(BYTES);
                at += soon("more", client.stream().read(&mut got[at..end])).await.unwrap();
            }
            assert_eq!(blake3::hash(&got), hash);
            drop(sender.await.unwrap());
        }
    });
}

/// Each of the ways, one after the other, with what each side sees in between.
async fn half_close(rig: &Rig, listener: &TcpListener, first: Side, tls: bool, how: Ending) -> (Peer, Peer) {
    let (client, server) = pair(rig, listener, tls).await;
    let (mut ending, mut staying) = if first == Side::Client { (client, server) } else { (server, client) };
    ending.send(b"before the end").await;
    if how == Ending::CloseNotify {
        ending.close_notify().await
    } else {
        ending.fin()
    }
    let mut got = Vec::new();
    let expected = if how == Ending::CloseNotify { Seen::CloseNotify } else { Seen::Fin };
    assert_eq!((staying.read_to_end(100, &mut got).await, got.as_slice()), (expected, &b"before the end"[..]));
    // The other direction lives on.
    staying.send(b"after the end").await;
    assert_eq!(read_exact(ending.stream(), 13).await, b"after the end");
    (ending, staying)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_is_passed_on_as_it_came() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address)).await;
    let mut id = 0;
    for first in Side::BOTH {
        for (tls, how) in [(false, Ending::Fin), (true, Ending::Fin), (true, Ending::CloseNotify)] {
            let (ending, mut staying) = half_close(&rig, &listener, first, tls, how).await;
            if how == Ending::CloseNotify {
                assert!(staying.tcp_is_open().await, "a lone close_notify leaves TCP open");
                ending.fin();
                assert_eq!(staying.tcp_end().await, Seen::Fin);
            }
            drop((ending, staying));
            id += 1;
            let facts = rig.closed(id).await;
            let closed = closed_of(&facts);
            assert_eq!((closed.by, closed.how), (Closer::from(first), how));
            let ended = facts.iter().filter(|f| matches!(f, Fact::Ended(ended) if ended.from == first)).count();
            assert_eq!(ended, if how == Ending::CloseNotify { 2 } else { 1 });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_passed_on_also_behind_a_close_notify() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address)).await;
    let mut id = 0;
    for first in Side::BOTH {
        for tls in [false, true] {
            let (client, server) = pair(&rig, &listener, tls).await;
            let (ending, mut staying) = if first == Side::Client { (client, server) } else { (server, client) };
            ending.reset();
            assert_eq!(staying.read_to_end(10, &mut Vec::new()).await, Seen::Rst);
            id += 1;
            let closed = closed_of(&rig.closed(id).await);
            assert_eq!((closed.by, closed.how), (Closer::from(first), Ending::Rst));
        }
        let (ending, mut staying) = half_close(&rig, &listener, first, true, Ending::CloseNotify).await;
        ending.reset();
        assert_eq!(staying.tcp_end().await, Seen::Rst);
        id += 1;
        let closed = closed_of(&rig.closed(id).await);
        assert_eq!((closed.by, closed.how), (Closer::from(first), Ending::CloseNotify), "how it began");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_a_server_that_takes_no_more_still_reaches_the_client() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address)).await;
    let (mut client, mut server) = pair(&rig, &listener, false).await;
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n").await;
    read_head(server.stream()).await;
    let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    // With bytes unread, the server's close is a reset.
    let Peer::Plain(mut client_tcp) = client else { unreachable!() };
    client_tcp.write_all(&[b'x'; 4096]).await.unwrap();
    soon("unread bytes", server.tcp().readable()).await.unwrap();
    server.send(answer).await;
    drop(server);
    assert_eq!(read_exact(&mut client_tcp, answer.len()).await, answer);
    drop(client_tcp);
    assert_eq!(bytes_of(&rig.closed(1).await, Side::Server), answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_bytes_are_passed_on_when_the_client_ends_within_them() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address)).await;
    for bytes in ["GET https://api.te", "GET / HTTP/1.1\r\nX-JM-Thr"] {
        let (mut client, mut server) = pair(&rig, &listener, true).await;
        client.send(bytes.as_bytes()).await;
        client.fin();
        let mut got = Vec::new();
        assert_eq!(server.read_to_end(100, &mut got).await, Seen::Fin);
        assert_eq!(got, bytes.as_bytes());
    }
}
