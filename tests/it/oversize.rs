//! What is far too large: bodies of a gigabyte, JSON nested 100,000 deep, a million headers, decompression bombs. Said to be
//! too large to be judged, at most; never a crash, and memory is that of anything else.

use std::{io::Write as _, sync::Arc};

use firstframe::{
    model::{
        ConnectionId, Side, Timestamp,
        rows::Row,
        trace::{Chunk, Fact, TraceEvent},
    },
    profile::Profile,
    rules,
};

use crate::support::{
    inspection::{Inspection, Outcome},
    trace_script::{TraceScript, ms},
};

/// What the process may grow by, at its highest, over what it had before: caps of bodies and windows, with room.
const GROWTH: u64 = 96 << 20;

/// One connection whose bytes are made as they are needed.
struct Stream {
    inspection: Inspection,
    offsets: [u64; 2],
    now: u64,
    before: u64,
}

impl Stream {
    fn open(profile: &str) -> Self {
        let profile = Profile::named(profile).unwrap();
        let options = rules::Options { profile: Some(Arc::new(profile)), ..rules::Options::default() };
        let mut script = TraceScript::default();
        script.open(1, ms(0.0), "forward", ([10, 0, 0, 1], 5).into());
        let mut inspection = Inspection::new(&options);
        script.events.iter().for_each(|event| inspection.push(event));
        Self { inspection, offsets: [0, 0], now: 1_000_000, before: peak() }
    }

    fn say(&mut self, from: Side, bytes: &[u8]) {
        self.now += 1_000;
        let at = Timestamp(self.now);
        let offset = &mut self.offsets[usize::from(from == Side::Server)];
        let chunk = Chunk { from, offset: *offset, arrived: Some(at), read: at, bytes };
        *offset += bytes.len() as u64;
        self.inspection.push(&TraceEvent { connection: ConnectionId(1), fact: Fact::Data(chunk) });
    }

    fn finish(mut self) -> Outcome {
        self.inspection.finish();
        let grown = peak().saturating_sub(self.before);
        assert!(grown <= GROWTH, "it took {} MiB", grown >> 20);
        self.inspection.outcome
    }
}

/// The most that the process ever held, in bytes; 0 where that cannot be asked.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn flags(outcome: &Outcome, rule: &str) -> Vec<String> {
    outcome
        .flags
        .iter()
        .filter(|flag| flag.rule == rule)
        .map(|flag| format!("{}: {}", flag.severity, flag.message))
        .collect()
}

fn exchanges(outcome: &Outcome) -> Vec<(u64, Option<u16>)> {
    let row = |row: &Row| match row {
        Row::Exchange(row) => Some((row.request_body_bytes, row.status)),
        _ => None,
    };
    outcome.rows.iter().filter_map(row).collect()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn bodies_of_a_gigabyte_are_said_to_be_too_large() {
    const MIB: usize = 1 << 20;
    let part = "[1,2,\"three\"],".repeat(MIB / 14 + 1).into_bytes();
    let part = &part[..MIB];
    let mut stream = Stream::open("genesys-cloud");
    let head = format!(
        "POST /api/v2/recordings/screen HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        1024 * MIB
    );
    stream.say(Side::Client, head.as_bytes());
    (0..1024).for_each(|_| stream.say(Side::Client, part));
    stream.say(Side::Server, OK);
    // And in chunks, and as an answer.
    let head = "POST /api/v2/recordings/screen HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.say(Side::Client, head.as_bytes());
    for _ in 0..1024 {
        stream.say(Side::Client, format!("{MIB:x}\r\n").as_bytes());
        stream.say(Side::Client, part);
        stream.say(Side::Client, b"\r\n");
    }
    stream.say(Side::Client, b"0\r\n\r\n");
    stream.say(
        Side::Server,
        format!("HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", 1024 * MIB)
            .as_bytes(),
    );
    (0..1024).for_each(|_| stream.say(Side::Server, part));
    let outcome = stream.finish();
    assert_eq!(exchanges(&outcome), [(1 << 30, Some(200)), (1 << 30, Some(400))]);
    let found = flags(&outcome, "malformed-json");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|flag| flag.starts_with("hint: ") && flag.contains("too large to be judged")),
        "{found:?}"
    );
}

#[test]
fn json_that_is_nested_100_000_deep_is_said_to_be_too_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{}, ", "]")] {
        let body = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let mut stream = Stream::open("genesys-cloud");
        let head = format!(
            "POST /api/v2/recordings/screensessions/metadata HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.say(Side::Client, head.as_bytes());
        stream.say(Side::Client, body.as_bytes());
        let head =
            format!("HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.say(Side::Server, head.as_bytes());
        stream.say(Side::Server, body.as_bytes());
        let outcome = stream.finish();
        let found = flags(&outcome, "malformed-json");
        assert_eq!(found.len(), 1, "{open}: {found:?}");
        assert!(found[0].starts_with("hint: ") && found[0].contains("too deeply to be judged"), "{found:?}");
    }
}

#[test]
fn a_million_headers_are_said_to_be_too_many() {
    let mut stream = Stream::open("generic");
    stream.say(Side::Client, b"GET / HTTP/1.1\r\nHost: a\r\n");
    for thousand in 0..1_000 {
        let lines: String = (0..1_000).map(|n| format!("x-{thousand}-{n}: v\r\n")).collect();
        stream.say(Side::Client, lines.as_bytes());
    }
    stream.say(Side::Client, b"\r\n");
    let outcome = stream.finish();
    let found = flags(&outcome, "head-too-large");
    assert_eq!(found.len(), 1, "{:?}", outcome.flags);
}

/// A gigabyte of zeros behind the beginning of a JSON text, compressed.
fn bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"[\"").unwrap();
    let zeros = vec![b'0'; 1 << 20];
    (0..1024).for_each(|_| encoder.write_all(&zeros).unwrap());
    encoder.finish().unwrap()
}

#[test]
fn decompression_bombs_are_said_to_be_too_large() {
    let bomb = bomb();
    assert!(bomb.len() < 8 << 20, "{}", bomb.len());
    let mut stream = Stream::open("genesys-cloud");
    for (length, body) in [(bomb.len(), &bomb[..]), (1 << 19, &bomb[..1 << 19])] {
        let head = format!(
            "POST /api/v2/recordings/screen HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.say(Side::Client, head.as_bytes());
        stream.say(Side::Client, body);
        let head = format!(
            "HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.say(Side::Server, head.as_bytes());
        stream.say(Side::Server, body);
    }
    let outcome = stream.finish();
    let found = flags(&outcome, "malformed-json");
    assert_eq!(found.len(), 2, "{:?}", outcome.flags);
    assert!(
        found.iter().all(|flag| flag.starts_with("hint: ") && flag.contains("too large to be judged")),
        "{found:?}"
    );
}

#[test]
fn a_bomb_in_a_message_is_said_to_be_too_large() {
    // Raw DEFLATE, as permessage-deflate has it.
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![b'0'; 1 << 20];
    (0..1024).for_each(|_| encoder.write_all(&zeros).unwrap());
    let payload = encoder.finish().unwrap();
    let mut stream = Stream::open("genesys-cloud");
    stream.say(
        Side::Client,
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    );
    stream.say(
        Side::Server,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    );
    for _ in 0..2 {
        stream.say(Side::Server, &[0xc1, 127]);
        stream.say(Side::Server, &(payload.len() as u64).to_be_bytes());
        payload.chunks(64 << 10).for_each(|part| stream.say(Side::Server, part));
    }
    stream.say(Side::Server, &[0x81, 2, b'o', b'k']);
    // From the client, in two frames, as it is.
    for opcode in [0x01, 0x80] {
        stream.say(Side::Client, &[opcode, 0xff]);
        stream.say(Side::Client, &(600_u64 << 10).to_be_bytes());
        stream.say(Side::Client, &[0; 4]);
        stream.say(Side::Client, &zeros[..600 << 10]);
    }
    let outcome = stream.finish();
    let found = flags(&outcome, "message-too-large");
    let bomb = format!(
        "hint: a message of the server's on x1: its {} bytes, which inflate to more than is looked at, are too large to be judged",
        payload.len() + 10
    );
    let large = format!(
        "hint: a message of the client's on x1: its {} bytes are too large to be judged",
        2 * (14 + (600 << 10))
    );
    assert_eq!(found, [bomb.clone(), bomb, large]);
    let frames: Vec<u64> =
        outcome.rows.iter().filter_map(|row| if let Row::Frame(row) = row { Some(row.bytes) } else { None }).collect();
    assert_eq!(frames, [600 << 10, 600 << 10, payload.len() as u64, payload.len() as u64, 2]);
}
