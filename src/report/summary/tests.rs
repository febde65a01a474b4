//! Tests of the closing summary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{ExchangeId, Timestamp},
    record::{Failure, QueueState},
};

const SUBJECT: Subject<'_> = Subject {
    name: "20261122-185507",
    path: "captures/20261122-185507",
    selector: "",
    metadata_named: false,
    took_ns: 12_345_678_901,
};

fn route(path: &str, status: Option<u16>, count: u64) -> RouteTotal {
    RouteTotal {
        method: "POST".to_owned(),
        path: path.to_owned(),
        status,
        websocket: false,
        proxy_made: false,
        refused: status == Some(400),
        count,
        p50_ns: Some(12_345_678),
        p90_ns: Some(20_000_000),
        p99_ns: Some(350_000_000),
        max_ns: Some(400_000_000),
        first: ExchangeId(count),
    }
}

fn summary() -> Summary {
    Summary {
        totals: Totals::default(),
        routes: Vec::new(),
        sockets: SocketTimes::default(),
        complete: true,
        failure: None,
        queue: QueueState::default(),
        without_tables: Vec::new(),
        unrecorded_bytes: 0,
    }
}

fn refused() -> Summary {
    let hits = |severity: &str, count: u64, first: &str, message: &str| RuleTotal {
        severity: severity.to_owned(),
        count,
        first: first.to_owned(),
        message: message.to_owned(),
    };
    let mut summary = summary();
    summary.totals = Totals {
        connections: 100,
        connections_closed: 99,
        exchanges: 1_250,
        refused: 50,
        sockets_opened: 50,
        frames: 400,
        bytes_from_client: 123_456,
        bytes_from_server: 65_432,
        flags: 51,
        rules: BTreeMap::from([
            ("content-type-missing".to_owned(), hits("hint", 400, "x3", "no Content-Type with a body of 19 bytes")),
            (
                "metadata-before-open".to_owned(),
                hits(
                    "error",
                    50,
                    "x12",
                    "its first byte arrived 3.21 ms before the proxy began to write the 101 of x11, \
                    the socket of its session, so the client cannot have seen OPEN when it sent this",
                ),
            ),
        ]),
        ..Totals::default()
    };
    summary.sockets.open =
        Times { count: 50, p50_ns: Some(3_210_000), p99_ns: Some(319_000_000), max_ns: Some(320_000_000) };
    summary.routes = vec![
        route("/api/v2/recordings/{id}/metadata", Some(201), 1_200),
        route("/api/v2/conversations/messages/{id}/screenrecordings/metadata", Some(400), 50),
    ];
    summary
}

#[test]
fn refusals_and_the_worst_flags_come_first() {
    let text = text(&refused(), SUBJECT);
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} is not in\n{text}"));
    assert!(at("capture 20261122-185507, 12.3 s, complete") == 0);
    assert!(at("connections  100, 1 still open at the end") < at("requests     1,250, 50 refused (4.0 %)"));
    assert!(at("400!") < at("201"), "what was refused is listed first");
    assert!(at("error    metadata-before-open 50x, first x12") < at("hint     content-type-missing 400x, first x3"));
    assert!(at("cannot have seen OPEN") > 0);
    let open = text.lines().find(|line| line.starts_with("open: request to 101 passed on")).unwrap();
    assert_eq!(open.split_whitespace().skip(6).collect::<Vec<_>>(), ["50", "3.21", "ms", "319", "ms"]);
    assert!(!text.contains("first frame from"), "what never happened is not listed");
    assert!(at("firstframe show x12") < at("firstframe show x50"));
    assert!(at("firstframe ls exchanges --filter 'status=400'") > 0);
    assert!(!text.contains("slowed") && !text.contains("not recorded"), "{text}");
}

#[test]
fn what_the_observer_did_is_said() {
    let mut summary = summary();
    summary.complete = false;
    summary.totals.stalled_ns = 1_500_000_000;
    summary.totals.gaps = 3;
    summary.totals.gap_bytes = 4096;
    summary.failure =
        Some(Failure { complete_until_ns: Timestamp(7_000_000), why: "no space left on device".to_owned() });
    let text = text(&summary, SUBJECT);
    for needle in [
        "INCOMPLETE",
        "slowed       by 1500 ms",
        "not recorded 4.0 KiB in 3 places",
        "incomplete   from 7.00 ms on: no space left on device",
        "firstframe verify",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn long_and_hostile_texts_stay_within_their_columns() {
    let mut summary = refused();
    summary.routes.push(route(&format!("/{}\u{1b}[2J", "é".repeat(200)), None, 7));
    summary.routes.extend((0..30).map(|n| route(&format!("/r{n}"), Some(200), 1)));
    if let Some(hits) = summary.totals.rules.get_mut("metadata-before-open") {
        hits.message = "word ".repeat(200) + &"x".repeat(500);
    }
    let subject = Subject { selector: " -w /a/rather/long/folder/of/captures -c 20261122-185507", ..SUBJECT };
    let text = text(&summary, subject);
    let commands = |line: &&str| !line.starts_with("  firstframe");
    assert!(text.lines().filter(commands).all(|line| line.chars().count() <= WIDTH), "{text}");
    assert!(!text.contains('\u{1b}'), "no escape sequence reaches the terminal");
    assert!(text.contains("and 21 more"), "{text}");
    assert!(text.contains("firstframe -w /a/rather/long/folder/of/captures -c 20261122-185507 show x12"), "{text}");
}

#[test]
fn silence_has_its_reason() {
    let totals = |connections, client_tls_failed, dials_failed, exchanges| Totals {
        connections,
        client_tls_failed,
        dials_failed,
        exchanges,
        ..Totals::default()
    };
    assert_eq!(silence(&totals(0, 0, 0, 0)), Some(Silence::NoConnection));
    assert_eq!(silence(&totals(5, 5, 0, 0)), Some(Silence::NotTrusted));
    assert_eq!(silence(&totals(5, 0, 5, 0)), Some(Silence::NoServer));
    assert_eq!(silence(&totals(5, 0, 0, 0)), Some(Silence::NoRequest));
    assert_eq!(silence(&totals(5, 4, 0, 1)), None);
    let both = Totals { server_tls_failed: 5, ..totals(5, 5, 0, 0) };
    assert_eq!(silence(&both), Some(Silence::NotTrusted), "a client that trusts us is told what failed");
    let ours = Totals { proxy_made: 3, ..totals(5, 0, 3, 3) };
    assert_eq!(silence(&ours), Some(Silence::NoServer), "answers of our own are none");
}

#[test]
fn http2_is_said_to_be_not_decoded() {
    let only = Totals { connections: 3, http2_connections: 3, ..Totals::default() };
    assert_eq!(silence(&only), Some(Silence::Http2));
    let mut summary = refused();
    assert!(!text(&summary, SUBJECT).contains("HTTP/2"));
    summary.totals.http2_connections = 2;
    assert_eq!(silence(&summary.totals), None);
    let text = text(&summary, SUBJECT);
    assert!(text.contains("not decoded  2 of the connections, HTTP/2: --no-http2"), "{text}");
}

#[test]
fn refused_posts_beside_sockets_lead_to_the_metadata_rule() {
    let mut summary = refused();
    summary.routes = vec![route("/api/v2/recordings/{id}/metadata", Some(400), 50)];
    let hint = "firstframe reindex --set 'metadata=method=POST path~\"/api/v2/recordings/\"'";
    assert!(!text(&summary, SUBJECT).contains(hint), "it was found early already");
    summary.totals.rules.clear();
    assert!(text(&summary, SUBJECT).contains(hint), "{}", text(&summary, SUBJECT));
    assert!(!text(&summary, Subject { metadata_named: true, ..SUBJECT }).contains(hint));
    summary.routes = vec![route("/a'b", Some(400), 50)];
    assert!(!text(&summary, SUBJECT).contains("reindex"), "no quoting that a shell could misread");
}
