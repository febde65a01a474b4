//! The WebSocket decoder against other people's WebSockets: tungstenite (which has no deflate) and Node's `ws` (which
//! has): what they were given to send, the decoder must find in the bytes that they sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use firstframe::{
    decode::{
        Decoder, DeflateParameters, Event, FrameEvent, WebSocketEvent,
        websocket::{Options, WebSocket},
    },
    model::{
        Side, Timestamp,
        side::Sides,
        trace::Chunk,
        websocket::opcode::{BINARY, CLOSE, PING, PONG, TEXT},
    },
};
use proptest::prelude::*;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{
    Message, WebSocket as Tungstenite,
    protocol::{
        CloseFrame, Role,
        frame::{Frame, coding::Data, coding::OpCode},
    },
};

/// What a side sent: messages, and control frames' payloads, each with its opcode.
type Sent = Vec<(u8, Vec<u8>)>;

/// Decodes chunks; gives what each side sent. Anything that is not whole, and any anomaly, fails.
fn decode(deflate: Option<DeflateParameters>, chunks: &[(Side, Vec<u8>)]) -> Sides<Sent> {
    let mut socket = WebSocket::new(deflate, Options::default());
    let mut offsets = Sides { client: 0, server: 0 };
    let mut sent = Sides::default();
    for (from, bytes) in chunks {
        let chunk = Chunk { from: *from, offset: *offsets.of(*from), arrived: None, read: Timestamp(1), bytes };
        *offsets.of_mut(*from) += bytes.len() as u64;
        socket.push(&chunk, &mut |event| collect(&event, &mut sent));
    }
    for from in Side::BOTH {
        socket.end(from, Timestamp(2), &mut |event| collect(&event, &mut sent));
    }
    sent
}

fn collect(event: &Event<'_>, sent: &mut Sides<Sent>) {
    match event {
        Event::WebSocket(WebSocketEvent::Message { from, opcode, payload, .. }) => {
            assert!(payload.whole);
            sent.of_mut(*from).push((*opcode, payload.bytes.to_vec()));
        }
        Event::WebSocket(WebSocketEvent::Frame(FrameEvent { from, opcode: opcode @ CLOSE.., payload, .. })) => {
            assert!(payload.whole);
            sent.of_mut(*from).push((*opcode, payload.bytes.to_vec()));
        }
        Event::WebSocket(WebSocketEvent::Frame(_)) => {}
        Event::Anomaly(_) | Event::Http(_) => panic!("{event:?}"),
    }
}

/// Cuts each side's bytes anew, into pieces of up to `largest`.
fn recut(chunks: &[(Side, Vec<u8>)], largest: usize) -> Vec<(Side, Vec<u8>)> {
    let pieces = |(side, bytes): &(Side, Vec<u8>)| {
        let side = *side;
        bytes.chunks(largest).map(move |piece| (side, piece.to_vec())).collect::<Vec<_>>()
    };
    chunks.iter().flat_map(pieces).collect()
}

/// A connection that only takes.
struct Captured(Vec<u8>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Captured {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Something to send: one message, in fragments with pings between them where there are several parts.
#[derive(Clone, Debug)]
enum Saying {
    Text(Vec<String>),
    Binary(Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn any_saying() -> impl Strategy<Value = Saying> {
    let small = || prop::collection::vec(any::<u8>(), 0..126);
    let sizes = prop_oneof![10 => 0..200_usize, 2 => 65_530..65_540_usize, 1 => 0..200_000_usize];
    let bytes = (sizes, any::<u8>()).prop_map(|(size, byte)| vec![byte; size]);
    prop_oneof![
        prop::collection::vec("\\PC{0,40}", 1..4).prop_map(Saying::Text),
        prop::collection::vec(bytes, 1..4).prop_map(Saying::Binary),
        small().prop_map(Saying::Ping),
        small().prop_map(Saying::Pong),
    ]
}

/// Sends it all with tungstenite; gives the bytes on the wire and what was given to it.
fn say(role: Role, sayings: Vec<Saying>, code: u16, reason: String) -> (Vec<u8>, Sent) {
    let mut socket = Tungstenite::from_raw_socket(Captured(Vec::new()), role, None);
    let mut sent = Sent::new();
    for saying in sayings {
        let (opcode, data, parts) = match saying {
            Saying::Ping(bytes) => {
                sent.push((PING, bytes.clone()));
                socket.send(Message::Ping(bytes.into())).unwrap();
                continue;
            }
            Saying::Pong(bytes) => {
                sent.push((PONG, bytes.clone()));
                socket.send(Message::Pong(bytes.into())).unwrap();
                continue;
            }
            Saying::Text(parts) if parts.len() == 1 => {
                sent.push((TEXT, parts[0].clone().into_bytes()));
                socket.send(Message::Text(parts[0].as_str().into())).unwrap();
                continue;
            }
            Saying::Text(parts) => (TEXT, Data::Text, parts.into_iter().map(String::into_bytes).collect::<Vec<_>>()),
            Saying::Binary(parts) => (BINARY, Data::Binary, parts),
        };
        let last = parts.len() - 1;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                sent.push((PING, vec![index as u8]));
                socket.send(Message::Ping(vec![index as u8].into())).unwrap();
            }
            let data = if index == 0 { data } else { Data::Continue };
            let frame = Frame::message(part.clone(), OpCode::Data(data), index == last);
            socket.send(Message::Frame(frame)).unwrap();
        }
        sent.push((opcode, parts.concat()));
    }
    let close = CloseFrame { code: code.into(), reason: reason.as_str().into() };
    sent.push((CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat()));
    socket.close(Some(close)).unwrap();
    (socket.get_ref().0.clone(), sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_tungstenite_sends_is_what_we_decode(
        sayings in prop::collection::vec(any_saying(), 0..12),
        client in any::<bool>(),
        code in prop_oneof![1000..1004_u16, 3000..5000_u16],
        reason in "[a-zé]{0,40}",
        largest in 1..100_000_usize,
    ) {
        let (side, role) = if client { (Side::Client, Role::Client) } else { (Side::Server, Role::Server) };
        let (bytes, sent) = say(role, sayings, code, reason);
        let chunks = [(side, bytes)];
        let whole = decode(None, &chunks);
        prop_assert_eq!(whole.of(side), &sent);
        let recut = decode(Some(DeflateParameters::default()), &recut(&chunks, largest));
        prop_assert_eq!(recut.of(side), &sent);
    }
}

/// What `support/node/ws_traffic.cjs` prints.
#[derive(Deserialize)]
struct Traffic {
    chunks: Vec<RecordedChunk>,
    sent: Sides<Vec<Told>>,
}

#[derive(Deserialize)]
struct RecordedChunk {
    from: Side,
    base64: String,
}

/// A message, or the code of a Close.
#[derive(Deserialize)]
struct Told {
    opcode: Option<u8>,
    base64: Option<String>,
    code: Option<u16>,
}

fn node_modules() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("FIRSTFRAME_NODE_MODULES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root.join(".cache/node/node_modules"));
    assert!(
        folder.join("ws/package.json").is_file(),
        "{} has no package ws: run scripts/test, which installs what the tests need, or name a folder that has it in \
         FIRSTFRAME_NODE_MODULES",
        folder.display()
    );
    folder
}

fn ws_traffic(seed: u32, server: &str, client: &str) -> Traffic {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/node/ws_traffic.cjs");
    let plan = format!(r#"{{"seed":{seed},"server":{server},"client":{client}}}"#);
    let output = Command::new("node").arg(script).arg(plan).env("NODE_PATH", node_modules()).output();
    let output = output.expect("node runs (scripts/test installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

impl Traffic {
    /// The chunks behind the upgrade's heads, and the server's head.
    fn after_upgrade(&self) -> (Vec<(Side, Vec<u8>)>, String) {
        let mut heads = Sides { client: Some(Vec::new()), server: Some(Vec::new()) };
        let (mut chunks, mut answer) = (Vec::new(), String::new());
        for RecordedChunk { from, base64 } in &self.chunks {
            let mut bytes = STANDARD.decode(base64).unwrap();
            if let Some(head) = heads.of_mut(*from) {
                head.append(&mut bytes);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                bytes = head.split_off(end + 4);
                if *from == Side::Server {
                    answer = String::from_utf8(head.clone()).unwrap();
                }
                *heads.of_mut(*from) = None;
            }
            chunks.push((*from, bytes));
        }
        (chunks, answer)
    }
}

/// The answer's `permessage-deflate`, read for the test alone.
fn agreed(answer: &str) -> Option<DeflateParameters> {
    let value = answer.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: permessage-deflate"))?;
    let mut agreed = DeflateParameters::default();
    for parameter in value.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            None if parameter == "server_no_context_takeover" => agreed.server_no_context_takeover = true,
            None if parameter == "client_no_context_takeover" => agreed.client_no_context_takeover = true,
            Some(("server_max_window_bits", bits)) => agreed.server_max_window_bits = Some(bits.parse().unwrap()),
            Some(("client_max_window_bits", bits)) => agreed.client_max_window_bits = Some(bits.parse().unwrap()),
            _ => panic!("{parameter}"),
        }
    }
    Some(agreed)
}

/// What a plan gives: the traffic must decode to what was sent, as it came and cut otherwise.
fn check(seed: u32, server: &str, client: &str) -> Option<DeflateParameters> {
    let traffic = ws_traffic(seed, server, client);
    let (chunks, answer) = traffic.after_upgrade();
    let agreed = agreed(&answer);
    for chunks in [chunks.clone(), recut(&chunks, 1), recut(&chunks, 1000)] {
        let mut decoded = decode(agreed, &chunks);
        for side in Side::BOTH {
            let mut pings = 0;
            decoded.of_mut(side).retain(|(opcode, _)| {
                pings += usize::from(*opcode == PING);
                !matches!(*opcode, PING | PONG)
            });
            assert!(pings > 0, "there are pings between fragments");
            let sent = traffic.sent.of(side);
            assert_eq!(decoded.of(side).len(), sent.len(), "{side}");
            for (index, ((opcode, bytes), told)) in decoded.of(side).iter().zip(sent).enumerate() {
                assert_eq!(*opcode, told.opcode.unwrap_or(CLOSE), "{side} {index}");
                match told.code {
                    Some(code) => assert_eq!(bytes[..2], code.to_be_bytes()),
                    None => {
                        let same = *bytes == STANDARD.decode(told.base64.as_ref().unwrap()).unwrap();
                        assert!(same, "{side}'s message {index} of {} bytes", bytes.len());
                    }
                }
            }
        }
    }
    agreed
}

#[test]
fn node_with_context_takeover() {
    let agreed = check(1, r#"{"threshold":0}"#, r#"{"threshold":0}"#);
    assert_eq!(agreed, Some(DeflateParameters::default()));
}

#[test]
fn node_without_context_takeover() {
    for (seed, server, client) in [(2, true, true), (3, true, false), (4, false, true)] {
        let options =
            format!(r#"{{"threshold":0,"serverNoContextTakeover":{server},"clientNoContextTakeover":{client}}}"#);
        let agreed = check(seed, &options, "true").expect("permessage-deflate was agreed");
        assert_eq!((agreed.server_no_context_takeover, agreed.client_no_context_takeover), (server, client));
    }
}

#[test]
fn node_with_small_windows() {
    let server = r#"{"threshold":0,"serverMaxWindowBits":9,"clientMaxWindowBits":10,"zlibDeflateOptions":{"level":9}}"#;
    let agreed = check(5, server, "true").expect("permessage-deflate was agreed");
    assert_eq!((agreed.server_max_window_bits, agreed.client_max_window_bits), (Some(9), Some(10)));
}

#[test]
fn node_with_odd_compressors() {
    // Level 0 stores, strategy 2 is Huffman alone, 3 runs, 4 fixed codes; a memory level of 1 makes many small blocks.
    for (seed, zlib) in [(6, r#"{"level":0}"#), (7, r#"{"strategy":2}"#), (8, r#"{"strategy":4,"memLevel":1}"#)] {
        let options = format!(r#"{{"threshold":0,"zlibDeflateOptions":{zlib}}}"#);
        assert!(check(seed, &options, &options).is_some());
    }
}

#[test]
fn node_without_deflate() {
    assert_eq!(check(9, "false", "false"), None);
}
