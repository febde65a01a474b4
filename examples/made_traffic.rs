//! A capture of any size with its bytes, without a network: for measuring exports. 150 agents on a connection of their
//! own, each with its token, ask for JSON documents and post some.
//! `cargo run --release --example made_traffic -- DIR [EXCHANGES [BYTES OF AN ANSWER'S BODY]]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "an example"
)]

use std::path::Path;

use firstframe::{
    inspect,
    model::{
        ConnectionId, Side, Timestamp, WallAnchor,
        trace::{Chunk, Closed, Closer, Dialed, Ending, Fact, Opened, TraceEvent, Written},
    },
    profile::Profile,
    record::{self, Inspection},
    rules,
    store::{CaptureDir, CaptureMeta, SegmentWriter, State, format, segment_writer},
};

const AGENTS: u64 = 150;
/// What the proxy reads at once.
const READ: usize = 64 << 10;

struct Tape {
    writer: SegmentWriter,
    record: Vec<u8>,
    offsets: Vec<[u64; 2]>,
    now: u64,
}

impl Tape {
    fn put(&mut self, agent: u64, fact: Fact<'_>) {
        self.record.clear();
        format::encode(&TraceEvent { connection: ConnectionId(agent + 1), fact }, &mut self.record);
        self.writer.append(&self.record).unwrap();
    }

    fn say(&mut self, agent: u64, from: Side, bytes: &[u8]) {
        for part in bytes.chunks(READ) {
            self.now += 20_000;
            let at = Timestamp(self.now);
            let offset = &mut self.offsets[agent as usize][usize::from(from == Side::Server)];
            let start = *offset;
            *offset += part.len() as u64;
            let upto = *offset;
            self.put(agent, Fact::Data(Chunk { from, offset: start, arrived: Some(at), read: at, bytes: part }));
            let written = Timestamp(self.now + 30_000);
            self.put(agent, Fact::Written(Written { from, upto, begun: at, written }));
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().expect("a folder");
    let number = |at: usize, otherwise: u64| arguments.get(at).map_or(otherwise, |n| n.parse().unwrap());
    let (count, size) = (number(1, 100_000), number(2, 600) as usize);
    let anchor = WallAnchor { unix_ns: 1_700_000_000_000_000_000 };
    let meta = CaptureMeta::new(anchor, serde_json::json!({}), None);
    let mut dir = CaptureDir::create(Path::new(folder), None, meta).unwrap();
    let writer = SegmentWriter::create(&dir, &segment_writer::Options::default()).unwrap();
    let mut tape = Tape { writer, record: Vec::new(), offsets: vec![[0; 2]; AGENTS as usize], now: 0 };
    for agent in 0..AGENTS {
        let at = Timestamp(tape.now);
        let client = format!("127.0.0.1:{}", 40_000 + agent).parse().unwrap();
        let listener = "127.0.0.1:8080".parse().unwrap();
        tape.put(agent, Fact::Opened(Opened { at, mode: "forward".to_owned(), client, listener }));
        let address = Some("192.0.2.7:80".parse().unwrap());
        let authority = "api.test:80".to_owned();
        let dialed = Dialed { begin: at, end: at, authority, address, local: None, error: None };
        tape.put(agent, Fact::Dialed(dialed));
    }
    let mut body = String::from("{\"items\":[");
    while body.len() + 40 < size {
        let item = body.len();
        body.push_str(&format!("{{\"id\":\"item-{item:08}\",\"n\":{item}}},"));
    }
    body.push_str("null]}");
    for id in 1..=count {
        let agent = id % AGENTS;
        let unique = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let head = format!(
            "Host: api.test\r\nUser-Agent: Apache-HttpClient/4.5.14 (Java/17.0.12)\r\nAccept: application/json\r\n\
             Authorization: Bearer made-token-of-agent-{agent:04}\r\nX-JM-Thread: agents 1-{agent}\r\nX-Request-Id: {unique:016x}\r\n"
        );
        let request = if id.is_multiple_of(2) {
            let sent = format!("{{\"sessionId\":\"{unique:016x}\",\"state\":\"on\",\"agent\":{agent}}}");
            let length = sent.len();
            format!(
                "POST http://api.test/v2/recordings/{agent} HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{sent}"
            )
        } else {
            format!("GET http://api.test/v2/scripts/{agent}?page={id} HTTP/1.1\r\n{head}\r\n")
        };
        tape.say(agent, Side::Client, request.as_bytes());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Correlation-Id: {unique:016x}\r\n\
             Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nConnection: keep-alive\r\n\r\n{body}",
            body.len()
        );
        tape.say(agent, Side::Server, answer.as_bytes());
    }
    for agent in 0..AGENTS {
        let at = Timestamp(tape.now);
        tape.put(agent, Fact::Closed(Closed { at, by: Closer::Client, how: Ending::Fin, error: None }));
    }
    tape.writer.seal().unwrap();
    dir.set_state(State::Clean).unwrap();
    let path = dir.path().to_owned();
    // It holds the lock.
    drop((tape, dir));
    let inspection = Inspection {
        inspector: inspect::Options::default(),
        rules: rules::Options::default(),
        refused: Profile::named("generic").unwrap().refused,
    };
    record::reindex(CaptureDir::open(&path).unwrap(), &inspection, &mut |_| {}).unwrap();
    println!("{}", path.display());
}
