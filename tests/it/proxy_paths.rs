//! Each path through the proxy, with raw bytes on both sides: what arrives, what is answered, what the trace says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

use std::{collections::HashSet, time::Duration};

use firstframe::{
    model::{
        ConnectionId, Side,
        rows::Row,
        trace::{Closer, Ending, Fact, RewriteKind, TraceEvent},
    },
    proxy::{Options, Proxy},
    record::Overflow,
    rules,
};
use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{proxy_rig::*, support::inspection::inspect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_absolute_form_of_the_tunnels_authority_becomes_origin_form_and_malformed_headers_stay() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    let mut server = server.unwrap();
    client
        .write_all(b"GET https://api.test:443/ws?a=b c HTTP/1.1\r\nX Bad:: v\r\nX-JM-Thread: t 1\r\n: noname\r\n\r\n")
        .await
        .unwrap();
    let expected = "GET /ws?a=b c HTTP/1.1\r\nX Bad:: v\r\n: noname\r\n\r\n";
    assert_eq!(read_head(&mut server).await, expected);
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    read_exact(&mut client, 40).await;
    // Another authority is none of ours.
    client.write_all(b"GET https://other.test/ HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut server).await, "GET https://other.test/ HTTP/1.1\r\n\r\n");
    drop((client, server));
    let facts = rig.closed(1).await;
    assert_eq!(
        rewrites_of(&facts),
        [
            (RewriteKind::AbsoluteForm, "https://api.test:443".into(), String::new()),
            (RewriteKind::IdentityHeader, "X-JM-Thread: t 1\r\n".into(), String::new()),
        ]
    );
    let sent = bytes_of(&facts, Side::Client);
    assert!(sent.starts_with(b"GET https://api.test:443/ws?a=b c HTTP/1.1\r\n"));
    assert_eq!(written_of(&facts, Side::Client), sent.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_tells_each_phase_in_order() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &["http/1.1"]));
    let mut server = server.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(read_exact(&mut server, 1).await, b"x");
    drop(client);
    assert!(server.read_u8().await.is_err());
    drop(server);
    let facts = rig.closed(1).await;
    let mut kinds = Vec::new();
    let (mut connect, mut last) = (None, 0);
    for fact in &facts {
        kinds.push(match fact {
            Fact::Opened(opened) => {
                assert_eq!((opened.mode.as_str(), opened.listener), ("forward", rig.address));
                last = opened.at.0;
                "opened"
            }
            Fact::Dialed(dialed) => {
                assert_eq!((dialed.authority.as_str(), dialed.address), ("api.test:443", Some(address)));
                assert!(last <= dialed.begin.0 && dialed.begin <= dialed.end);
                last = dialed.end.0;
                "dialed"
            }
            Fact::ServerRtt(rtt) => {
                assert!(rtt.rtt_ns > 0);
                "rtt"
            }
            Fact::Connect(fact, bytes) => {
                assert_eq!(*bytes, b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n");
                assert!(fact.begin <= fact.end && fact.answered.unwrap().0 >= last, "the server is reached first");
                connect = Some(fact.clone());
                "connect"
            }
            Fact::Tls(tls) => {
                assert_eq!((tls.error.as_ref(), tls.sni.as_deref()), (None, Some("api.test")));
                assert_eq!((tls.version.as_deref(), tls.alpn.as_ref()), (Some("TLSv1.3"), None));
                // The client may have read our answer before the write of it returned.
                assert!(connect.as_ref().unwrap().end <= tls.begin && tls.begin <= tls.end);
                if tls.side == Side::Server { "server tls" } else { "client tls" }
            }
            Fact::Data(_) => "data",
            Fact::Written(_) => "written",
            Fact::Ended(_) => "ended",
            Fact::Closed(_) => "closed",
            _ => "other",
        });
    }
    kinds.truncate(8);
    let expected = ["opened", "dialed", "rtt", "connect", "server tls", "client tls", "data", "written"];
    if cfg!(target_os = "linux") {
        assert_eq!(kinds, expected);
    }
    assert_eq!(closed_of(&facts).by, Closer::Client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upgrade_is_relayed_with_its_body() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    let mut server = server.unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut server).await, upgrade);
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad token";
    server.write_all(answer).await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, answer);
    client.shutdown().await.unwrap();
    let facts = rig.closed(1).await;
    assert_eq!(bytes_of(&facts, Side::Server), answer);
    assert_eq!((closed_of(&facts).by, closed_of(&facts).how), (Closer::Server, Ending::CloseNotify));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_bytes_behind_an_upgrade_request_go_on_before_the_answer() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    let mut server = server.unwrap();
    let bytes = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x82maskhi";
    client.write_all(bytes).await.unwrap();
    assert_eq!(read_exact(&mut server, bytes.len()).await, bytes);
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02yo";
    server.write_all(answer).await.unwrap();
    assert_eq!(read_exact(&mut client, answer.len()).await, answer);
    // Frames that look like requests are frames.
    let frame = b"GET https://api.test/ HTTP/1.1\r\nX-JM-Thread: 1\r\n\r\n";
    client.write_all(frame).await.unwrap();
    assert_eq!(read_exact(&mut server, frame.len()).await, frame);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_websocket_goes_through_connect() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, mut server) = tokio::join!(rig.tunnel("api.test:80"), accept(&listener));
    client.write_all(b"GET http://api.test:80/ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut server).await, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    server.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    client.write_all(b"\x81\x80mask").await.unwrap();
    assert_eq!(read_exact(&mut server, 6).await, b"\x81\x80mask");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_requests_may_change_their_authority() {
    let ((first, a), (second, b)) = (origin().await, origin().await);
    let rig = Rig::start(options_for(a));
    let mut client = rig.dial().await;
    // Two to the first, then one to the second, all at once.
    let requests = format!(
        "GET http://{a}/1 HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\n\r\nPOST http://{a}/2 HTTP/1.1\r\n\
         Content-Length: 4\r\n\r\nbodyGET ws://{b}/3 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    );
    client.write_all(requests.as_bytes()).await.unwrap();
    let mut server = accept(&first).await;
    assert_eq!(read_head(&mut server).await, "GET /1 HTTP/1.1\r\n\r\n");
    assert_eq!(read_head(&mut server).await, "POST /2 HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(read_exact(&mut server, 4).await, b"body");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await.unwrap();
    assert_eq!(read_exact(&mut client, 39).await.last(), Some(&b'1'));
    // The second one is not asked before the first has answered to the end.
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n").await.unwrap();
    read_exact(&mut client, 53).await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.accept()).await;
    assert!(early.is_err(), "the second server was asked too early");
    server.write_all(b"0\r\n\r\n").await.unwrap();
    let mut server = accept(&second).await;
    assert_eq!(read_exact(&mut client, 5).await, b"0\r\n\r\n");
    assert_eq!(read_head(&mut server).await, "GET /3 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    server.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\nframes").await.unwrap();
    read_head(&mut client).await;
    assert_eq!(read_exact(&mut client, 6).await, b"frames");
    drop((client, server));
    let facts = rig.closed(1).await;
    assert_eq!(bytes_of(&facts, Side::Client), requests.as_bytes());
    assert!(bytes_of(&facts, Side::Server).ends_with(b"\r\n\r\nframes"));
    let dialed: Vec<_> = facts.iter().filter_map(|f| if let Fact::Dialed(d) = f { d.address } else { None }).collect();
    assert_eq!(dialed, [a, b]);
    let kinds: Vec<_> = rewrites_of(&facts).into_iter().map(|(kind, ..)| kind).collect();
    use RewriteKind::{AbsoluteForm, ProxyHeader};
    assert_eq!(kinds, [AbsoluteForm, ProxyHeader, AbsoluteForm, AbsoluteForm]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_behind_its_answer_does_not_keep_the_next_request_from_another() {
    let ((first, a), (second, b)) = (origin().await, origin().await);
    let rig = Rig::start(options_for(a));
    let mut client = rig.dial().await;
    let requests = format!("GET http://{a}/ HTTP/1.0\r\n\r\nGET http://{b}/ HTTP/1.0\r\n\r\n");
    client.write_all(requests.as_bytes()).await.unwrap();
    for (listener, answer) in [(&first, "HTTP/1.0 200 OK\r\n\r\none"), (&second, "HTTP/1.0 200 OK\r\n\r\ntwo")] {
        let mut server = accept(listener).await;
        read_head(&mut server).await;
        server.write_all(answer.as_bytes()).await.unwrap();
        drop(server);
        assert_eq!(read_exact(&mut client, answer.len()).await, answer.as_bytes());
    }
    assert_eq!(read_all(&mut client).await, b"");
    client.shutdown().await.unwrap();
    let expected = [(format!("http://{a}/"), 3), (format!("http://{b}/"), 3)];
    assert_eq!(exchanges(&rig.closed(1).await), expected, "an answer without length ends with its server");
}

/// The URL of each exchange that an inspector makes of a connection's facts, and the bytes of its answer's body.
fn exchanges(facts: &[Fact<'static>]) -> Vec<(String, u64)> {
    let events: Vec<TraceEvent<'static>> =
        facts.iter().map(|fact| TraceEvent { connection: ConnectionId(1), fact: fact.clone() }).collect();
    let outcome = inspect(&events, &rules::Options::default());
    let row = |row: &Row| match row {
        Row::Exchange(row) => {
            let (scheme, authority, path) = (row.scheme.as_str(), &row.authority, &row.path);
            Some((format!("{scheme}://{authority}{path}"), row.response_body_bytes.unwrap_or_default()))
        }
        _ => None,
    };
    outcome.rows.iter().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_may_follow_plain_requests() {
    let ((first, a), (second, b)) = (origin().await, origin().await);
    let rig = Rig::start(options_for(b));
    let mut client = rig.dial().await;
    let plain = format!("GET http://{a}/1 HTTP/1.1\r\n\r\n");
    client.write_all(plain.as_bytes()).await.unwrap();
    let mut server = accept(&first).await;
    read_head(&mut server).await;
    // It lasts to the server's end, and what begins like CONNECT is none.
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    for part in ["CON", "TINUE ", &format!("http://{a}/2 HTTP/1.1\r\n\r\n")] {
        client.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_head(&mut server).await, "CONTINUE /2 HTTP/1.1\r\n\r\n");
    // The CONNECT is not answered before that is.
    for part in ["C", "ONNECT api.test:443 HT", "TP/1.1\r\nHost: api.test:443\r\n\r\n"] {
        client.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), second.accept()).await;
    assert!(early.is_err(), "the second server was asked too early");
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.unwrap();
    drop(server);
    read_head(&mut client).await;
    read_exact(&mut client, 13).await;
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 Connection established"), "{answer}");
    let (mut client, server) = tokio::join!(rig.tls_over(client, &[]), accept_tls(&second, &[]));
    let (client, mut server) = (client.as_mut().unwrap(), server.unwrap());
    client.write_all(b"GET https://api.test/3 HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut server).await, "GET /3 HTTP/1.1\r\nHost: api.test\r\n\r\n");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    read_exact(client, 40).await;
    client.shutdown().await.unwrap();
    drop(server);
    let facts = rig.closed(1).await;
    let sent = String::from_utf8(bytes_of(&facts, Side::Client)).unwrap();
    let expected = format!(
        "{plain}CONTINUE http://{a}/2 HTTP/1.1\r\n\r\nGET https://api.test/3 HTTP/1.1\r\nHost: api.test\r\n\r\n"
    );
    assert_eq!(sent, expected, "the CONNECT is none of it");
    let connects = facts.iter().filter_map(|fact| if let Fact::Connect(_, bytes) = fact { Some(*bytes) } else { None });
    assert_eq!(connects.collect::<Vec<_>>(), [b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"]);
    let expected = [(format!("http://{a}/1"), 0), (format!("http://{a}/2"), 13), ("https://api.test:443/3".into(), 2)];
    assert_eq!(exchanges(&facts), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_behind_a_request_in_one_piece_is_answered_by_us() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let mut client = rig.dial().await;
    let both = format!("GET http://{address}/ HTTP/1.1\r\n\r\nCONNECT api.test:443 HTTP/1.1\r\n\r\n");
    client.write_all(both.as_bytes()).await.unwrap();
    let mut server = accept(&listener).await;
    read_head(&mut server).await;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    server.write_all(answer).await.unwrap();
    assert_eq!(read_exact(&mut client, answer.len()).await, answer);
    assert_ours(&String::from_utf8(read_all(&mut client).await).unwrap(), 502, "once that was answered");
}

async fn answer_to(rig: &Rig, request: &[u8]) -> String {
    let mut client = rig.dial().await;
    client.write_all(request).await.unwrap();
    String::from_utf8(read_all(&mut client).await).unwrap()
}

fn assert_ours(answer: &str, status: u16, words: &str) {
    let head = answer.split("\r\n\r\n").next().unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} Firstframe: ")), "{head}");
    assert!(head.contains("\r\nX-Firstframe-Error: ") && head.contains("\r\nConnection: close"), "{head}");
    assert!(head.contains(words), "{words:?} in {head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_answered_by_us_and_traced() {
    let (listener, address) = origin().await;
    drop(listener);
    let rig = Rig::start(options_for(address));
    let refused = format!("cannot reach {address}: {address}: Connection refused");
    for (id, (request, words)) in [
        (format!("CONNECT {address} HTTP/1.1\r\n\r\n"), refused.as_str()),
        (format!("GET http://{address}/x HTTP/1.1\r\n\r\n"), refused.as_str()),
        ("CONNECT api.test HTTP/1.1\r\n\r\n".into(), "it names no port"),
        ("CONNECT ${host}:443 HTTP/1.1\r\n\r\n".into(), "cannot look up"),
        ("CONNECT  HTTP/1.1\r\n\r\n".into(), "cannot be used"),
        (format!("CONNECT u:s3cret@{address} HTTP/1.1\r\n\r\n"), "a user stands before it"),
        ("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n".into(), "names no server"),
        ("GET https://api.test/ HTTP/1.1\r\n\r\n".into(), "needs a CONNECT"),
        ("\u{16}\u{3}\u{1}\u{2}".into(), "does not speak HTTP/1"),
    ]
    .iter()
    .enumerate()
    {
        let answer = answer_to(&rig, request.as_bytes()).await;
        assert_ours(&answer, 502, words);
        let facts = rig.closed(id as u64 + 1).await;
        let to_connect = request.starts_with("CONNECT");
        let made = facts.iter().find_map(|f| if let Fact::ProxyMade(m, bytes) = f { Some((m, *bytes)) } else { None });
        let (made, bytes) = made.unwrap();
        assert_eq!((made.status, made.to_connect, bytes), (502, to_connect, answer.as_bytes()));
        assert!(made.cause.contains(words), "{made:?}");
        assert!(!made.cause.contains("s3cret") && !answer.contains("s3cret"), "{made:?}");
        let (closed, connected) = (closed_of(&facts), facts.iter().any(|fact| matches!(fact, Fact::Connect(..))));
        assert_eq!((closed.by, connected), (Closer::Proxy, to_connect));
        let recorded = bytes_of(&facts, Side::Client);
        assert_eq!(recorded, if to_connect { b"" } else { request.as_bytes() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_in_time_is_a_504() {
    // A listener whose backlog is full lets a further SYN wait.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(one)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        filling.push(one);
    }
    let options = Options { dial_timeout: Duration::from_millis(200), ..options_for(address) };
    let rig = Rig::start(options);
    assert_ours(
        &answer_to(&rig, format!("CONNECT {address} HTTP/1.1\r\n\r\n").as_bytes()).await,
        504,
        "longer than 200ms",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_trusted_is_a_502_inside_tls() {
    let (listener, address) = origin().await;
    let options = Options { server_ca: Vec::new(), ..options_for(address) };
    let rig = Rig::start(options);
    let served = tokio::spawn(async move {
        for _ in 0..3 {
            assert!(accept_tls(&listener, &["h2", "http/1.1"]).await.is_err());
        }
    });
    for alpn in [&["h2", "http/1.1"][..], &[]] {
        let mut client = rig.tls_over(rig.tunnel("api.test:443").await, alpn).await.unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), (!alpn.is_empty()).then_some(&b"http/1.1"[..]));
        client.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
        let answer = String::from_utf8(read_all(&mut client).await).unwrap();
        assert_ours(&answer, 502, "--server-ca FILE");
    }
    let error = rig.tls_over(rig.tunnel("api.test:443").await, &["h2"]).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    served.await.unwrap();
    let facts = rig.closed(1).await;
    assert_eq!(bytes_of(&facts, Side::Client), b"GET /x HTTP/1.1\r\n\r\n");
    let failed = facts.iter().any(|f| matches!(f, Fact::Tls(tls) if tls.side == Side::Server && tls.error.is_some()));
    assert!(failed && closed_of(&facts).by == Closer::Proxy);
    rig.closed(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insecure_host_is_not_verified() {
    let (listener, address) = origin().await;
    let options = Options { server_ca: Vec::new(), insecure: vec!["API.test".into()], ..options_for(address) };
    let rig = Rig::start(options);
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_exact(&mut server.unwrap(), 5).await, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_trust_us_is_told_in_the_trace() {
    let (listener, address) = origin().await;
    let (rig, stranger) = (Rig::start(options_for(address)), Rig::start(options_for(address)));
    let served = tokio::spawn(async move { accept_tls(&listener, &[]).await.is_ok() });
    let tunnel = rig.tunnel("api.test:443").await;
    assert!(stranger.tls_over(tunnel, &[]).await.is_err());
    assert!(served.await.unwrap());
    let facts = rig.closed(1).await;
    let error = facts.iter().find_map(|f| match f {
        Fact::Tls(tls) if tls.side == Side::Client => tls.error.clone(),
        _ => None,
    });
    assert!(error.unwrap().contains("UnknownCA"), "{facts:?}");
    assert_eq!(closed_of(&facts).by, Closer::Client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_protocol_is_the_one_that_the_server_chooses() {
    let (listener, address) = origin().await;
    for (http2, client_offers, server_has, chosen) in [
        (true, &["h2", "http/1.1"][..], &["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (true, &["h2", "http/1.1"], &["http/1.1"], Some(b"http/1.1")),
        (true, &["http/1.1"], &["h2", "http/1.1"], Some(b"http/1.1")),
        (true, &["h2", "http/1.1"], &[], None),
        (true, &[], &["h2", "http/1.1"], None),
        (false, &["h2", "http/1.1"], &["h2", "http/1.1"], Some(b"http/1.1")),
    ] {
        let rig = Rig::start(Options { http2, ..options_for(address) });
        let tunnel = rig.tunnel("api.test:443").await;
        let (client, server) = tokio::join!(rig.tls_over(tunnel, client_offers), accept_tls(&listener, server_has));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(client.get_ref().1.alpn_protocol(), chosen);
        assert_eq!(server.get_ref().1.alpn_protocol(), chosen);
        // HTTP/2 is not looked into.
        if chosen == Some(b"h2") {
            let bytes = b"GET https://api.test/ HTTP/1.1\r\nX-JM-Thread: 1\r\n\r\n";
            client.write_all(bytes).await.unwrap();
            assert_eq!(read_exact(&mut server, bytes.len()).await, bytes);
        }
        let leaf = client.get_ref().1.peer_certificates().unwrap()[0].clone();
        assert!(memchr::memmem::find(&leaf, b"*.api.test").is_some(), "the server's names are copied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_again_resumes_its_session_and_keys_of_both_legs_are_logged() {
    let (listener, address) = origin().await;
    let dir = tempfile::tempdir().unwrap();
    let key_log = dir.path().join("keys");
    let rig = Rig::start(Options { key_log: Some(key_log.clone()), ..options_for(address) });
    let (config, served) = (rig.client_config(&[]), server_config(&[]));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let tunnel = rig.tunnel("api.test:443").await;
        let (client, server) =
            tokio::join!(rig.tls_with(config.clone(), tunnel), accept_with(&listener, served.clone()));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        // The tickets come with the first bytes.
        server.write_all(b"hello").await.unwrap();
        server.flush().await.unwrap();
        read_exact(&mut client, 5).await;
        assert_eq!(client.get_ref().1.handshake_kind(), Some(kind));
        assert_eq!(server.get_ref().1.handshake_kind(), Some(kind), "and we resume the server's");
    }
    assert_eq!(rig.authority.leaves_minted(), 1);
    let log = std::fs::read_to_string(key_log).unwrap();
    let randoms: HashSet<_> =
        log.lines().filter_map(|line| line.strip_prefix("CLIENT_TRAFFIC_SECRET_0 ")?.split(' ').next()).collect();
    assert_eq!(randoms.len(), 4, "two connections of two legs: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_without_room_slows_the_traffic_and_the_trace_says_so() {
    const BYTES: usize = 8 << 20;
    let (listener, address) = origin().await;
    let recording = firstframe::record::Options { queue_bytes: 16 << 10, ..Default::default() };
    let rig = Rig::start_recording(options_for(address), recording);
    let (mut client, mut server) = tokio::join!(rig.tunnel("api.test:80"), accept(&listener));
    let sending = tokio::spawn(async move {
        server.write_all(&vec![7; BYTES]).await.unwrap();
        server
    });
    assert_eq!(read_exact(&mut client, BYTES).await, vec![7; BYTES]);
    drop((client, sending.await.unwrap()));
    let facts = rig.closed(1).await;
    assert_eq!(bytes_of(&facts, Side::Server).len(), BYTES, "nothing is lost");
    let stalled = facts.iter().filter(|f| matches!(f, Fact::Stalled(s) if s.from == Side::Server && s.waited_ns > 0));
    assert!(stalled.count() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_drops_names_each_byte_and_loses_no_exchange() {
    const POSTS: usize = 160;
    let body = vec![b'x'; 256 << 10];
    let (listener, address) = origin().await;
    let recording =
        firstframe::record::Options { queue_bytes: 64 << 10, overflow: Overflow::Gap, ..Default::default() };
    let rig = Rig::start_recording(options_for(address), recording);
    let (mut client, mut server) = tokio::join!(rig.tunnel("api.test:80"), accept(&listener));
    let head = format!("POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), &body].concat();
    let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
    for _ in 0..POSTS {
        let (sent, arrived) = tokio::join!(client.write_all(&request), read_exact(&mut server, request.len()));
        sent.unwrap();
        assert!(arrived == request, "what is not recorded is relayed all the same");
        server.write_all(answer).await.unwrap();
        assert_eq!(read_exact(&mut client, answer.len()).await, answer);
        // Then there is room for the next head.
        rig.written().await;
    }
    drop((client, server));
    let facts = rig.closed(1).await;
    let (mut next, mut lost) = (0, 0);
    for fact in &facts {
        let range = match fact {
            Fact::Data(chunk) if chunk.from == Side::Client => chunk.range(),
            Fact::Gap(gap) if gap.range.from == Side::Client => gap.range,
            _ => continue,
        };
        lost += if matches!(fact, Fact::Gap(_)) { range.len() } else { 0 };
        assert_eq!(range.start, next, "recorded or named, in order");
        next = range.end;
    }
    assert_eq!(next, (POSTS * request.len()) as u64);
    assert!(lost > 0, "64 KiB cannot have been enough");
    assert_eq!(exchanges(&facts), vec![("http://api.test:80/upload".to_owned(), 2); POSTS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_hello_may_come_byte_by_byte() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let tunnel = rig.tunnel("api.test:443").await;
    // A relay of its own cuts what the client sends into single bytes.
    let between = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(between.local_addr().unwrap()).await.unwrap();
    let (inner, _) = between.accept().await.unwrap();
    tokio::spawn(async move {
        let ((mut from_client, mut to_client), (mut from_proxy, mut to_proxy)) =
            (inner.into_split(), tunnel.into_split());
        let down = tokio::spawn(async move { tokio::io::copy(&mut from_proxy, &mut to_client).await });
        while let Ok(byte) = from_client.read_u8().await {
            to_proxy.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(to_proxy);
        let _ = down.await;
    });
    let (client, server) = tokio::join!(rig.tls_over(stream, &[]), accept_tls(&listener, &[]));
    client.unwrap().write_all(b"hello").await.unwrap();
    assert_eq!(read_exact(&mut server.unwrap(), 5).await, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_a_tunnel_is_relayed_byte_by_byte_in_lock_step() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    // With TLS on both legs, and with none; the second looks like the beginning of TLS at first.
    let garbage = [
        b"\x00\xff\x80 GE\r\n\r\n:\n\n\x16\x03HTTP/1.1 500\r\n".as_slice(),
        b"\x16\x03\x09\x00\x00\x02garbage".as_slice(),
    ];
    let (client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    lock_step(&mut { client }, &mut server.unwrap(), garbage[0], 1).await;
    for (bytes, first) in [(garbage[0], 1), (garbage[1], 6)] {
        let (mut client, mut server) = tokio::join!(rig.tunnel("api.test:443"), accept(&listener));
        lock_step(&mut client, &mut server, bytes, first).await;
    }
    let facts = rig.facts(ConnectionId(3));
    assert!(facts.iter().all(|fact| !matches!(fact, Fact::Tls(_))));
}

/// Each byte is echoed before the next is sent; the first `first` come at once.
async fn lock_step<C, S>(client: &mut C, server: &mut S, bytes: &[u8], first: usize)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (begin, rest) = bytes.split_at(first);
    for piece in std::iter::once(begin).chain(rest.chunks(1)) {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(read_exact(server, piece.len()).await, piece);
        server.write_all(piece).await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(read_exact(client, piece.len()).await, piece);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_speak_first() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let (mut client, mut server) = tokio::join!(rig.tunnel("api.test:443"), accept(&listener));
    server.write_all(b"220 ready\r\n").await.unwrap();
    assert_eq!(read_exact(&mut client, 11).await, b"220 ready\r\n");
    client.write_all(b"QUIT\r\n").await.unwrap();
    assert_eq!(read_exact(&mut server, 6).await, b"QUIT\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reverse_listener_terminates_tls_and_names_the_server() {
    let (listener, address) = origin().await;
    let modes = ["reverse:https://api.test", "reverse:http://api.test"].map(|mode| mode.parse().unwrap()).to_vec();
    let rig = Rig::start(Options { modes, ..options_for(address) });
    let request = b"GET https://api.test/ HTTP/1.1\r\nHost: localhost:9\r\nX-JM-Thread: 1\r\n\r\n";
    let expected = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n";
    for (mode, client_tls) in [(0, true), (0, false), (1, true), (1, false)] {
        let stream = TcpStream::connect(rig.addresses[mode]).await.unwrap();
        let client = async {
            let mut stream: Box<dyn Duplex> = if client_tls {
                Box::new(rig.tls_over(stream, &["http/1.1"]).await.unwrap())
            } else {
                Box::new(stream)
            };
            // The absolute form of HTTP's default port is another authority than port 443's.
            let request = String::from_utf8_lossy(request).replace("https", if mode == 0 { "https" } else { "http" });
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            read_head(&mut stream).await
        };
        let server = async {
            let mut stream: Box<dyn Duplex> = if mode == 0 {
                Box::new(accept_tls(&listener, &["http/1.1"]).await.unwrap())
            } else {
                Box::new(accept(&listener).await)
            };
            assert_eq!(read_head(&mut stream).await, expected);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (answer, _) = tokio::join!(client, server);
        assert_eq!(answer, "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Duplex for T {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_decrypting_the_servers_own_certificate_is_seen() {
    let (listener, address) = origin().await;
    let rig = Rig::start(Options { decrypt: false, ..options_for(address) });
    let mut tunnel = rig.tunnel("api.test:443").await;
    let served = tokio::spawn(async move { accept_tls(&listener, &[]).await.map(drop) });
    // Our CA did not sign it.
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03";
    tunnel.write_all(hello).await.unwrap();
    assert!(!read_all(&mut tunnel).await.is_empty(), "the server's alert");
    drop(tunnel);
    assert!(served.await.unwrap().is_err());
    let facts = rig.closed(1).await;
    assert_eq!(bytes_of(&facts, Side::Client), hello);
    assert!(facts.iter().all(|fact| !matches!(fact, Fact::Tls(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_outlive_every_timeout_of_the_setup() {
    let (listener, address) = origin().await;
    let short = Duration::from_millis(100);
    let timeouts =
        Options { first_bytes_timeout: short, tls_timeout: short, dial_timeout: short, ..options_for(address) };
    let rig = Rig::start(timeouts);
    let (mut client, server) = tokio::join!(rig.tls(), accept_tls(&listener, &[]));
    let mut server = server.unwrap();
    let (mut waiting, _kept) = tokio::join!(rig.tunnel("api.test:443"), accept(&listener));
    tokio::time::sleep(4 * short).await;
    client.write_all(b"still here").await.unwrap();
    assert_eq!(read_exact(&mut server, 10).await, b"still here");
    waiting.write_all(b"\x00").await.unwrap();
    assert!(Options::default().first_bytes_timeout >= Duration::from_secs(65));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_nothing_is_closed_by_us_in_time() {
    let (_listener, address) = origin().await;
    let rig = Rig::start(Options { first_bytes_timeout: Duration::from_millis(50), ..options_for(address) });
    let mut client = rig.dial().await;
    assert_eq!(read_all(&mut client).await, b"");
    let closed = closed_of(&rig.closed(1).await);
    assert_eq!((closed.by, closed.how), (Closer::Proxy, Ending::Timeout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_drains_and_then_cuts_off() {
    let (listener, address) = origin().await;
    let mut rig = Rig::start(Options { drain: Duration::from_millis(300), ..options_for(address) });
    let (mut leaving, mut first) = tokio::join!(rig.tunnel("api.test:80"), accept(&listener));
    let (mut staying, _second) = tokio::join!(rig.tunnel("api.test:80"), accept(&listener));
    let (address, open) = (rig.address, std::sync::Arc::clone(&rig.open));
    let stopping = tokio::spawn(async move {
        rig.stop().await;
        rig
    });
    soon("the listener's end", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    leaving.write_all(b"last words").await.unwrap();
    assert_eq!(read_exact(&mut first, 10).await, b"last words");
    drop((leaving, first));
    let rig = stopping.await.unwrap();
    assert_eq!(read_all(&mut staying).await, b"");
    assert_eq!(closed_of(&rig.closed(1).await).by, Closer::Client);
    let cut = closed_of(&rig.closed(2).await);
    assert_eq!((cut.by, cut.error.as_deref()), (Closer::Proxy, Some("the proxy was stopped")));
    assert_eq!(open(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_and_two_modes_on_one_port_are_told() {
    let (_listener, address) = origin().await;
    let mut rig = Rig::start(options_for(address));
    let bind = |options| match Proxy::bind(options, rig.tap.clone(), rig.authority.clone()) {
        Ok(_) => panic!("it was bound"),
        Err(error) => error.to_string(),
    };
    let taken = bind(Options { listen_port: address.port(), ..Options::default() });
    assert!(taken.contains(&address.to_string()) && taken.contains("--listen-port 0"), "{taken}");
    let free = rig.address.port();
    rig.stop().await;
    let rig = Rig::start(options_for(address));
    let bind = |options| Proxy::bind(options, rig.tap.clone(), rig.authority.clone()).err().unwrap().to_string();
    let modes = vec!["forward".parse().unwrap(), format!("reverse:https://api.test@{free}").parse().unwrap()];
    let both = bind(Options { modes, listen_port: free, ..Options::default() });
    assert!(both.contains("both want"), "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_leave_no_task() {
    const ALL: usize = 10_000;
    const AT_ONCE: usize = 20;
    let (listener, address) = origin().await;
    let rig = std::sync::Arc::new(Rig::start(options_for(address)));
    let echo = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            tokio::spawn(async move {
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    // Once one is served, the listener's own tasks have begun: they are not to be taken for left-overs.
    let first = rig.tunnel("api.test:80").await;
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    drop(first);
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let rig = std::sync::Arc::clone(&rig);
            tokio::spawn(async move {
                for each in 0..ALL / AT_ONCE {
                    let mut stream = rig.tunnel("api.test:80").await;
                    stream.write_all(b"ping").await.unwrap();
                    read_exact(&mut stream, 4).await;
                    if (each + number) % 3 == 0 {
                        stream.set_zero_linger().unwrap();
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    soon("the end of all connections", async {
        while (rig.open)() > 0 || tasks.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    echo.abort();
}
