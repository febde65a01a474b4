//! A capture of any size without traffic, for measuring readers: 150 agents in a closed loop against an API that refuses
//! from 84 requests in flight on. Tables alone: its segments are empty.
//! `cargo run --release --example made_capture -- DIR [EXCHANGES]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "an example"
)]

use std::{collections::BinaryHeap, fs::File, path::Path};

use firstframe::{
    model::{
        ConnectionId, ExchangeId, SessionId, Timestamp, WallAnchor,
        headers::Headers,
        rows::{ConnectionRow, ExchangeRow, Extent, FlagRow, Offsets, Phases, SessionRow},
    },
    store::{
        CaptureDir, CaptureMeta, Rows, State,
        tables::{Table as _, write_tables},
    },
};

const AGENTS: u64 = 150;
const LIMIT: u64 = 83;
const IN_A_SEGMENT: usize = 50_000;
const ID: u64 = 0x9e37_79b9_7f4a_7c15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().expect("a folder");
    let count: u64 = arguments.get(1).map_or(1_000_000, |n| n.parse().unwrap());
    let anchor = WallAnchor { unix_ns: 1_700_000_000_000_000_000 };
    let meta = CaptureMeta::new(anchor, serde_json::json!({"profile": "genesys-cloud"}), None);
    let mut dir = CaptureDir::create(Path::new(folder), None, meta).unwrap();

    let mut random = ID;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as f64 / (1_u64 << 31) as f64
    };
    // The next instant of each agent, soonest first.
    let mut agents: BinaryHeap<(std::cmp::Reverse<u64>, u64)> =
        (0..AGENTS).map(|agent| (std::cmp::Reverse(agent * 1_000_000), agent)).collect();
    let mut ends: BinaryHeap<std::cmp::Reverse<u64>> = BinaryHeap::new();
    let mut of_session: Vec<Vec<ExchangeId>> = vec![Vec::new(); AGENTS as usize];
    let mut rows = Rows::default();
    let mut segment = 0;
    let mut last = 0;
    for id in 1..=count {
        let (std::cmp::Reverse(at), agent) = agents.pop().unwrap();
        while ends.peek().is_some_and(|end| end.0 <= at) {
            ends.pop();
        }
        let refused = ends.len() as u64 >= LIMIT;
        let took = if refused { 2e6 } else { 20e6 + next() * 40e6 } as u64;
        ends.push(std::cmp::Reverse(at + took));
        let busy = 0.5 + 0.5 * ((at as f64) / 20e9).sin();
        agents.push((std::cmp::Reverse(at + took + (next() * (20e6 + 80e6 * (1.0 - busy))) as u64), agent));
        last = last.max(at + took);
        if let Some(session) = of_session.get_mut(agent as usize) {
            session.push(ExchangeId(id));
        }
        rows.exchanges.push(exchange(id, agent, at, took, refused));
        if id.is_multiple_of(50) {
            rows.flags.push(FlagRow {
                rule: "shared-token".into(),
                severity: "warning".into(),
                subject: format!("x{id}"),
                session: Some(SessionId(agent + 1)),
                message: "made".into(),
                evidence: Vec::new(),
                at_ns: Timestamp(at),
            });
        }
        if rows.exchanges.len() == IN_A_SEGMENT && id < count {
            segment += 1;
            seal(&dir, segment, &mut rows);
        }
    }
    for agent in 0..AGENTS {
        rows.connections.push(connection(agent, last));
        let mut session = SessionRow::blank();
        session.id = SessionId(agent + 1);
        session.correlated_by = "header".into();
        session.exchanges = std::mem::take(&mut of_session[agent as usize]);
        rows.sessions.push(session);
    }
    seal(&dir, segment + 1, &mut rows);
    let indexed = format!("{{\"upto\":{},\"except\":[]}}", segment + 1);
    std::fs::write(dir.tables_dir().join("indexed.json"), indexed).unwrap();
    dir.set_state(State::Clean).unwrap();
    println!("{}", dir.path().display());
}

fn seal(dir: &CaptureDir, segment: u64, rows: &mut Rows) {
    File::create(dir.segment_path(segment)).unwrap();
    write_tables(dir, segment, &std::mem::take(rows)).unwrap();
}

fn exchange(id: u64, agent: u64, at: u64, took: u64, refused: bool) -> ExchangeRow {
    let script = format!("{:08x}-9dc0-11d1-b245-{:012x}", agent.wrapping_mul(ID) >> 32, agent);
    let post = id.is_multiple_of(2);
    let path = if post { "/api/v2/recordings/screen".to_owned() } else { format!("/api/v2/scripts/{script}") };
    let unique = id.wrapping_mul(ID);
    let token = format!("Bearer token:{:012x}", (agent % 5).wrapping_mul(ID) >> 16);
    let (thread, unique) = (format!("agents/{agent}@host"), format!("{unique:016x}"));
    let mut request: Headers = [
        ("Host", "api.mypurecloud.com"),
        ("User-Agent", "Apache-HttpClient/4.5.14 (Java/17.0.12)"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Authorization", &token),
        ("X-JM-Thread", &thread),
        ("X-Request-Id", &unique),
    ]
    .into_iter()
    .collect();
    if post {
        request.push("Content-Type", "application/json");
        request.push("Content-Length", "143");
    }
    let response: Headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", "57"),
        ("ININ-Correlation-Id", &unique),
        ("X-Amz-Cf-Id", &unique),
        ("X-Served-By", if id.is_multiple_of(3) { "a" } else { "b" }),
        ("Date", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("Connection", "keep-alive"),
    ]
    .into_iter()
    .collect();
    let mut row = ExchangeRow::blank();
    row.id = ExchangeId(id);
    row.connection = ConnectionId(agent + 1);
    row.index = u32::try_from(id / AGENTS + 1).unwrap();
    row.method = if post { "POST" } else { "GET" }.into();
    row.target.clone_from(&path);
    row.scheme = "https".into();
    row.authority = "api.mypurecloud.com:443".into();
    row.path = path;
    row.http = "1.1".into();
    row.request_headers = request;
    row.request_body_bytes = if post { 143 } else { 0 };
    row.status = Some(if refused { 400 } else { 200 });
    row.reason = Some(if refused { "Bad Request" } else { "OK" }.into());
    row.response_headers = Some(response);
    row.response_body_bytes = Some(57);
    row.request_first_byte_ns = Timestamp(at);
    row.request_last_byte_ns = Some(Timestamp(at + 1_000));
    row.response_first_byte_ns = Some(Timestamp(at + took - 1_000));
    row.response_last_byte_ns = Some(Timestamp(at + took));
    row.offsets = Offsets { request_head_end: 400, request_end: 543, ..Offsets::default() };
    row
}

fn connection(agent: u64, last: u64) -> ConnectionRow {
    ConnectionRow {
        id: ConnectionId(agent + 1),
        mode: "forward".into(),
        client: format!("127.0.0.1:{}", 40_000 + agent),
        server: Some("192.0.2.1:443".into()),
        authority: Some("api.mypurecloud.com:443".into()),
        sni: Some("api.mypurecloud.com".into()),
        alpn: Some("http/1.1".into()),
        client_tls: Some("TLSv1.3".into()),
        server_tls: Some("TLSv1.3".into()),
        opened_ns: Timestamp(agent * 1_000_000),
        phases: Phases::default(),
        closed_ns: Some(Timestamp(last)),
        closed_by: Some("client".into()),
        how: Some("fin".into()),
        bytes_from_client: 1,
        bytes_from_server: 1,
        exchanges: 1,
        frames: 0,
        gaps: 0,
        proxy_error: None,
        opaque: None,
        // The API counts what is in flight here.
        server_rtt_ns: Some(0),
        extent: Extent::default(),
    }
}
