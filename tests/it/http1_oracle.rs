//! hyper as oracle of the HTTP/1 decoder: real traffic of hyper's client and server, taken byte for byte from between
//! them, must decode to what hyper says that it sent and got.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::stream;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use firstframe::{
    decode::{
        Decoder, Event, HttpEvent,
        http1::{Http1, Options},
    },
    model::{Side, Timestamp, http::Head, side::Sides, trace::Chunk},
};

/// One message, as one of the two saw it. Header names in lower case, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    /// Method and target, or the status.
    start: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

type Wire = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;
type Body = BoxBody<Bytes, Infallible>;

/// The client's end of a connection; notes what passes it.
struct Noted {
    io: DuplexStream,
    wire: Wire,
}

impl AsyncRead for Noted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            self.wire.lock().unwrap().push((Side::Server, new.to_vec()));
        }
        polled
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = polled {
            self.wire.lock().unwrap().push((Side::Client, bytes.get(..n).unwrap().to_vec()));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Decodes what passed, and the end of both sides.
fn feed(wire: &[(Side, Vec<u8>)], out: &mut dyn FnMut(Event<'_>)) {
    let mut decoder = Http1::new(Options::default());
    let mut offsets = Sides::default();
    for (n, (from, bytes)) in wire.iter().enumerate() {
        let offset = offsets.of_mut(*from);
        decoder.push(&Chunk { from: *from, offset: *offset, arrived: None, read: Timestamp(n as u64), bytes }, out);
        *offset += bytes.len() as u64;
    }
    for side in [Side::Server, Side::Client] {
        decoder.end(side, Timestamp(wire.len() as u64), out);
    }
}

/// What the decoder makes of the wire: requests and final responses, in order.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    requests: Vec<Message>,
    responses: Vec<Message>,
    interim: usize,
}

fn decode(wire: &[(Side, Vec<u8>)]) -> Decoded {
    let mut decoded = Decoded::default();
    let mut ended = 0;
    let mut out = |event: Event<'_>| match event {
        Event::Http(HttpEvent::RequestHead { exchange, head, .. }) => {
            decoded.requests.push(message(&head, format!("{} {}", text(head.method()), text(head.target()))));
            assert_eq!(exchange as usize, decoded.requests.len());
        }
        Event::Http(HttpEvent::ResponseHead { interim: true, .. }) => decoded.interim += 1,
        Event::Http(HttpEvent::ResponseHead { exchange, head, .. }) => {
            decoded.responses.push(message(&head, head.status().unwrap().to_string()));
            assert_eq!(exchange as usize, decoded.responses.len());
        }
        Event::Http(HttpEvent::RequestBody { exchange, bytes, .. }) => {
            decoded.requests.get_mut(exchange as usize - 1).unwrap().body.extend_from_slice(bytes);
        }
        Event::Http(HttpEvent::ResponseBody { exchange, bytes, .. }) => {
            decoded.responses.get_mut(exchange as usize - 1).unwrap().body.extend_from_slice(bytes);
        }
        Event::Http(HttpEvent::RequestEnded { body, .. } | HttpEvent::ResponseEnded { body, .. }) => {
            assert!(body.complete);
            ended += 1;
        }
        other => panic!("hyper does nothing odd: {other:?}"),
    };
    feed(wire, &mut out);
    assert_eq!(ended, decoded.requests.len() + decoded.responses.len());
    decoded
}

/// The same bytes cut into single ones decode to the same.
fn decode_both_ways(wire: &Wire) -> Decoded {
    let wire = wire.lock().unwrap();
    let whole = decode(&wire);
    let single: Vec<_> = wire.iter().flat_map(|(side, bytes)| bytes.iter().map(|b| (*side, vec![*b]))).collect();
    assert_eq!(decode(&single), whole);
    whole
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn message(head: &Head, start: String) -> Message {
    let mut headers: Vec<_> = head.headers().map(|(n, v)| (text(n).to_ascii_lowercase(), text(v))).collect();
    headers.sort();
    Message { start, headers, body: vec![] }
}

fn of_hyper(start: String, headers: &HeaderMap, body: &[u8]) -> Message {
    let mut headers: Vec<_> = headers.iter().map(|(n, v)| (n.to_string(), text(v.as_bytes()))).collect();
    headers.sort();
    Message { start, headers, body: body.to_vec() }
}

fn pieces(kind: &str) -> Body {
    match kind {
        "length" => Full::new(Bytes::from("a body of known length")).boxed(),
        "large" => Full::new(Bytes::from(vec![b'x'; 100_000])).boxed(),
        "chunked" => {
            let frames = ["first", "second\r\n0\r\n\r\n", "third"].map(|s| Ok(Frame::data(Bytes::from(s))));
            StreamBody::new(stream::iter(frames)).boxed()
        }
        _ => Empty::new().boxed(),
    }
}

/// Answers as the path's last part says, and notes what came.
async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<Message>>>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push(of_hyper(format!("{} {}", parts.method, parts.uri), &parts.headers, &body));
    let kind = parts.uri.path().rsplit('/').next().unwrap().to_owned();
    let status = kind.parse().unwrap_or(200);
    Ok(Response::builder().status(status).header("X-Kind", &kind).body(pieces(&kind)).unwrap())
}

fn serve(io: DuplexStream) -> (tokio::task::JoinHandle<()>, Arc<Mutex<Vec<Message>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let task = tokio::spawn(async move {
        let service = service_fn(move |request| answer(request, noted.clone()));
        let server =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(io), service);
        server.await.unwrap();
    });
    (task, seen)
}

#[tokio::test]
async fn hypers_exchanges_decode_to_what_hyper_saw() {
    for buffer in [17, 1000, 65_536] {
        let wire = Wire::default();
        let (client, server) = duplex(buffer);
        let (served, seen) = serve(server);
        let noted = Noted { io: client, wire: wire.clone() };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(noted)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut got = Vec::new();
        for method in ["GET", "POST", "PUT", "HEAD", "DELETE"] {
            for sent in ["none", "length", "chunked", "large"] {
                for answered in ["none", "length", "chunked", "large", "204", "304", "404"] {
                    let uri = format!("/{sent}/{answered}");
                    let request = Request::builder().method(method).uri(uri).header("Host", "h").body(pieces(sent));
                    sender.ready().await.unwrap();
                    let (parts, body) = sender.send_request(request.unwrap()).await.unwrap().into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    got.push(of_hyper(parts.status.as_u16().to_string(), &parts.headers, &body));
                }
            }
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        served.await.unwrap();

        let decoded = decode_both_ways(&wire);
        assert_eq!(decoded.requests.len(), 140);
        assert_eq!(decoded.requests, *seen.lock().unwrap());
        assert_eq!(decoded.responses, got);
    }
}

/// Writes raw bytes to hyper's server and reads until it closes.
async fn raw(sent: &str) -> (Decoded, Vec<Message>) {
    let wire = Wire::default();
    let (client, server) = duplex(1000);
    let (served, seen) = serve(server);
    let (mut reader, mut writer) = tokio::io::split(Noted { io: client, wire: wire.clone() });
    let sent = sent.to_owned();
    let writing = tokio::spawn(async move {
        writer.write_all(sent.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.unwrap();
    writing.await.unwrap();
    served.await.unwrap();
    let seen = seen.lock().unwrap().clone();
    (decode_both_ways(&wire), seen)
}

#[tokio::test]
async fn pipelined_requests_decode_to_what_hyper_served() {
    let requests: Vec<String> = (0..50)
        .map(|n| match n % 5 {
            0 => format!("GET /{n}/length HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => format!("POST /{n}/chunked HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"),
            2 => format!("HEAD /{n}/large HTTP/1.1\r\nHost: h\r\n\r\n"),
            3 => format!(
                "PUT /{n}/204 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"
            ),
            _ => format!("POST /{n}/none HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"),
        })
        .collect();
    let (decoded, seen) = raw(&requests.concat()).await;
    assert_eq!(seen.len(), 50);
    assert_eq!(decoded.requests, seen);
    let statuses: Vec<_> = decoded.responses.iter().map(|r| r.start.as_str()).collect();
    assert_eq!(statuses, ["200", "200", "200", "204", "200"].repeat(10));
    for (n, response) in decoded.responses.iter().enumerate() {
        let expected: &[u8] = match n % 5 {
            0 => b"a body of known length",
            1 => b"firstsecond\r\n0\r\n\r\nthird",
            _ => b"",
        };
        assert_eq!(response.body, expected, "response {n}");
    }
}

#[tokio::test]
async fn a_close_delimited_response_of_hyper_is_whole() {
    let (decoded, seen) = raw("GET /1/chunked HTTP/1.0\r\n\r\n").await;
    assert_eq!(decoded.requests, seen);
    assert_eq!(decoded.responses.len(), 1);
    assert_eq!(decoded.responses[0].body, b"firstsecond\r\n0\r\n\r\nthird");
    assert!(!decoded.responses[0].headers.iter().any(|(name, _)| name == "transfer-encoding"));
}

#[tokio::test]
async fn hypers_client_and_the_decoder_agree_on_odd_but_valid_responses() {
    for (answer, interim) in [
        ("HTTP/1.1 200 OK\r\n\r\nuntil close", 0),
        ("HTTP/1.0 200 OK\r\n\r\n", 0),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 400\r\nContent-Length: 3\r\n\r\nbad",
            2,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:  chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            0,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA ;ext\r\n0123456789\r\n0\r\nT: v\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 0),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 0),
        ("HTTP/1.1 599 \r\nTransfer-Encoding: gzip\r\n\r\nuntil close", 0),
    ] {
        let wire = Wire::default();
        let (client, mut server) = duplex(20);
        let served = tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(server.read_u8().await.unwrap());
            }
            server.write_all(answer.as_bytes()).await.unwrap();
        });
        let noted = Noted { io: client, wire: wire.clone() };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(noted)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::builder().uri("/").header("Host", "h").body(Empty::<Bytes>::new()).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        drop(sender);
        let _ = connection.await.unwrap();
        served.await.unwrap();

        let wire = wire.lock().unwrap();
        let kept = odd_ones_allowed(&wire);
        assert_eq!(kept.0, of_hyper(parts.status.as_u16().to_string(), &parts.headers, &body), "{answer:?}");
        assert_eq!(kept.1, interim, "{answer:?}");
    }
}

/// The one final response, and how many interim ones came before it; anomalies may be named.
fn odd_ones_allowed(wire: &[(Side, Vec<u8>)]) -> (Message, usize) {
    let (mut found, mut interims, mut ended) = (Message::default(), 0, 0);
    let mut out = |event: Event<'_>| match event {
        Event::Http(HttpEvent::ResponseHead { interim: true, .. }) => interims += 1,
        Event::Http(HttpEvent::ResponseHead { head, .. }) => found = message(&head, head.status().unwrap().to_string()),
        Event::Http(HttpEvent::ResponseBody { bytes, .. }) => found.body.extend_from_slice(bytes),
        Event::Http(HttpEvent::ResponseEnded { body, .. }) => {
            assert!(body.complete);
            ended += 1;
        }
        Event::Anomaly(anomaly) => assert!(!anomaly.opaque, "{anomaly:?}"),
        _ => {}
    };
    feed(wire, &mut out);
    assert_eq!(ended, 1);
    (found, interims)
}
