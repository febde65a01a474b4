//! The reading side on captures built in code: finished, killed and running; lists, pages, bytes, JSON shapes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
pub(crate) mod scenario;
mod secrets;

use std::{
    collections::BTreeSet,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
};

use firstframe::{
    api,
    cli::render::{self, rows, style::Look, table::Table},
    clock::Clock,
    inspect,
    model::{
        Side, WallAnchor,
        flag::Subject,
        rows::Row,
        trace::{ByteRange, Closer, Ending, Fact, RewriteKind, Rewritten, TraceEvent},
    },
    profile::Profile,
    query::{About, Capture, Error, Filter, Kind, Part, Query, Secrets, Standing, gather, wire},
    record::{self, Inspection, Options, Recorder, Tap},
    rules,
    store::{CaptureDir, CaptureMeta, SegmentWriter, State, format, segment_writer},
};
use serde_json::Value;

use scenario::{REFUSED, SWITCHING, Script, TOKEN};

fn inspection() -> Inspection {
    Inspection {
        inspector: inspect::Options { redaction_key: [7; 32], ..inspect::Options::default() },
        rules: rules::Options::default(),
        refused: Profile::named("generic").unwrap().refused,
    }
}

/// Writes the scenario as segments of about that size. Sealed and clean, or as a killed recorder leaves it.
fn write(captures: &Path, segment_bytes: u64, sealed: bool) -> PathBuf {
    let (mut dir, mut writer) = create(captures, segment_bytes);
    record_with(&mut writer, |script| {
        scenario::play(script);
        if sealed {
            scenario::end(script);
        } else {
            script.say_unwritten(1, Side::Server, &scenario::unmasked(1, b"last words"));
        }
    });
    if sealed {
        writer.seal().unwrap();
        dir.set_state(State::Clean).unwrap();
    }
    dir.path().to_owned()
}

/// A capture that holds something else, and is over.
fn write_with(captures: &Path, segment_bytes: u64, play: impl FnOnce(&mut Script<'_>)) -> PathBuf {
    let (mut dir, mut writer) = create(captures, segment_bytes);
    record_with(&mut writer, play);
    writer.seal().unwrap();
    dir.set_state(State::Clean).unwrap();
    dir.path().to_owned()
}

fn create(captures: &Path, segment_bytes: u64) -> (CaptureDir, SegmentWriter) {
    create_with(captures, segment_bytes, serde_json::json!({}))
}

fn create_with(captures: &Path, segment_bytes: u64, options: Value) -> (CaptureDir, SegmentWriter) {
    let anchor = WallAnchor { unix_ns: 1_795_371_955_123_456_789 };
    let meta = CaptureMeta::new(anchor, options, None);
    let dir = CaptureDir::create(captures, Some("one"), meta).unwrap();
    let options = segment_writer::Options { segment_bytes, ..segment_writer::Options::default() };
    let writer = SegmentWriter::create(&dir, &options).unwrap();
    (dir, writer)
}

fn record_with(writer: &mut SegmentWriter, play: impl FnOnce(&mut Script<'_>)) {
    let mut put = |connection, fact: Fact<'_>| {
        let mut record = Vec::new();
        format::encode(&TraceEvent { connection, fact }, &mut record);
        writer.append(&record).unwrap();
    };
    play(&mut Script::new(&mut put));
}

/// A capture that is over, with its tables.
fn finished(captures: &Path, segment_bytes: u64) -> PathBuf {
    let path = write(captures, segment_bytes, true);
    record::reindex(CaptureDir::open(&path).unwrap(), &inspection(), &mut |_| {}).unwrap();
    path
}

fn open(path: &Path) -> Capture {
    Capture::open_dir(CaptureDir::open(path).unwrap(), inspection()).unwrap()
}

fn list(capture: &Capture, kind: Kind, query: Query<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    capture
        .list(kind, query, &mut |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    rows
}

fn json(row: &Row) -> Value {
    let mut line = Vec::new();
    wire::write_row(row, &mut line).unwrap();
    serde_json::from_slice(&line).unwrap()
}

fn all_json(capture: &Capture, kind: Kind) -> Vec<Value> {
    list(capture, kind, Query::default()).iter().map(json).collect()
}

fn ids(capture: &Capture, kind: Kind, filter: &str) -> Vec<String> {
    let filter = Filter::parse(filter).unwrap();
    let rows = list(capture, kind, Query { filter: Some(&filter), ..Query::default() });
    rows.iter().map(|row| json(row)["id"].as_str().unwrap().to_owned()).collect()
}

fn raw(capture: &Capture, id: &str, part: Part) -> (Vec<u8>, Vec<String>) {
    let mut bytes = Vec::new();
    let copied = capture.raw(id.parse().unwrap(), part, None, &mut bytes).unwrap();
    assert_eq!(copied.bytes, bytes.len() as u64);
    (bytes, copied.missing.iter().map(ToString::to_string).collect())
}

fn page(capture: &Capture, id: &str, width: usize) -> String {
    let details = gather(capture, id.parse().unwrap(), Secrets::Fingerprints).unwrap();
    render::details(&details, capture.anchor(), Look::plain(width))
}

fn table(capture: &Capture, kind: Kind, width: usize) -> String {
    let mut out = Vec::new();
    let mut table = Table::new(rows::columns(kind), Look::plain(width), &mut out);
    list(capture, kind, Query::default()).iter().for_each(|row| table.row(rows::cells(row)).unwrap());
    table.flush().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_has_exactly_the_fields_that_scripts_rely_on() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 1 << 20));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    for (kind, expected) in [
        (
            Kind::Connections,
            "id mode client server authority sni alpn client_tls server_tls opened_ns phases closed_ns closed_by how \
             bytes_from_client bytes_from_server exchanges frames gaps proxy_error server_rtt_ns opaque",
        ),
        (
            Kind::Exchanges,
            "id connection session server index method target scheme authority path http request_headers \
             request_body_bytes status reason response_headers response_body_bytes request_first_byte_ns \
             request_last_byte_ns response_first_byte_ns response_last_byte_ns proxy_made rewritten websocket flags",
        ),
        (Kind::Frames, "id connection exchange from opcode fin compressed bytes arrived_ns written_ns text"),
        (Kind::Flags, "rule severity subject session message evidence at_ns"),
        (Kind::Sessions, "id correlated_by sure sockets exchanges flags dropped"),
    ] {
        let rows = all_json(&capture, kind);
        assert!(!rows.is_empty(), "{kind}");
        for row in rows {
            let mut expected: Vec<&str> = expected.split(' ').collect();
            let found = keys(&row);
            let mut found: Vec<&str> = found.split(' ').collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{kind}");
        }
    }
    let connection = &all_json(&capture, Kind::Connections)[0];
    assert_eq!(keys(&connection["phases"]), "accept connect dial server_tls client_tls");
    assert_eq!(keys(&connection["phases"]["dial"]), "begin_ns end_ns");
    let exchanges = all_json(&capture, Kind::Exchanges);
    assert_eq!(
        keys(&exchanges[0]["websocket"]),
        "server_open_ns open_write_begun_ns client_open_written_ns first_frame_from_client_ns \
         first_frame_from_server_ns closed_by close_code frames_from_client frames_from_server"
    );
    assert_eq!(keys(&exchanges[2]["rewritten"][0]), "kind from to");
    assert_eq!(exchanges[0]["request_headers"][0], serde_json::json!(["Host", "api.test"]));
    let flag = &all_json(&capture, Kind::Flags)[0];
    assert_eq!(keys(&flag["evidence"][0]), "id side offset length at_ns");
}

#[test]
fn rows_come_in_order_and_joined_whatever_the_segments() {
    let captures = tempfile::tempdir().unwrap();
    let one = open(&finished(&captures.path().join("large"), 1 << 20));
    let many = open(&finished(&captures.path().join("small"), 700));
    assert!(many.dir().segments().unwrap().len() > 4);
    for kind in Kind::ALL {
        assert_eq!(all_json(&one, kind), all_json(&many, kind), "{kind}");
    }
    let exchanges = all_json(&many, Kind::Exchanges);
    let column = |name: &str| exchanges.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("id"), ["x1", "x2", "x3", "x4"]);
    assert_eq!(column("session")[..3], ["s1", "s1", "s1"]);
    let flags: Vec<&str> =
        exchanges[1]["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
    assert!(flags.contains(&"malformed-json"), "{flags:?}");
    assert_eq!(list(&many, Kind::Exchanges, Query { limit: Some(2), ..Query::default() }).len(), 2);
    let about = |about| list(&many, Kind::Exchanges, Query { about: Some(about), ..Query::default() }).len();
    assert_eq!(about(About::Connection("c2".parse().unwrap())), 2);
    assert_eq!(about(About::Session("s1".parse().unwrap())), 3);
}

#[test]
fn filters_reach_into_joined_rows_texts_and_bodies() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 700));
    assert_eq!(ids(&capture, Kind::Exchanges, "status>=400"), ["x2"]);
    assert_eq!(ids(&capture, Kind::Exchanges, "flag=malformed-json"), ["x2"]);
    assert_eq!(ids(&capture, Kind::Exchanges, "client~\":50002$\""), ["x2", "x3"]);
    assert_eq!(ids(&capture, Kind::Exchanges, "request-body~agent-7"), ["x2"]);
    assert_eq!(ids(&capture, Kind::Exchanges, "response-body~\"not yet\""), ["x2"]);
    assert_eq!(ids(&capture, Kind::Frames, "text~ready"), ["f2"]);
    assert_eq!(ids(&capture, Kind::Frames, "path=/notifications and from=server").len(), 3);
    assert_eq!(ids(&capture, Kind::Connections, "proxy-error~refused"), ["c3"]);
    let filter = Filter::parse("text~ready").unwrap();
    let refused = capture.list(Kind::Connections, Query { filter: Some(&filter), ..Query::default() }, &mut |_| {
        Ok(ControlFlow::Continue(()))
    });
    assert!(matches!(refused, Err(Error::Filter(_))), "text means nothing for connections");
}

#[test]
fn raw_bytes_are_exact() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 700));
    let request = scenario::metadata_request("1-1");
    assert_eq!(raw(&capture, "x2", Part::Request), (request.clone().into_bytes(), vec![]));
    assert_eq!(raw(&capture, "x2", Part::RequestSent), (request.into_bytes(), vec![]));
    assert_eq!(raw(&capture, "x2", Part::Response), (REFUSED.as_bytes().to_vec(), vec![]));
    assert_eq!(raw(&capture, "x1", Part::Response), (SWITCHING.as_bytes().to_vec(), vec![]));
    let sent = "GET /api/v2/users?q=1 HTTP/1.1\r\nHost: api.test\r\n\r\n";
    assert_eq!(String::from_utf8(raw(&capture, "x3", Part::RequestSent).0).unwrap(), sent);
    let (asked, _) = raw(&capture, "x3", Part::Request);
    assert!(asked.starts_with(b"GET https://api.test:443/api/v2/users?q=1 HTTP/1.1\r\n"));
    let (client, missing) = raw(&capture, "c2", Part::Client);
    assert_eq!((client.len(), missing.len()), (scenario::metadata_request("1-1").len() + asked.len(), 0));
    let (server, missing) = raw(&capture, "c4", Part::Server);
    assert!(server.ends_with(b"0123456789abcdefghij"));
    assert_eq!(missing, ["20 bytes of the server at 51 are missing: the queue was full"]);
    let mut limited = Vec::new();
    let copied = capture.raw("x2".parse().unwrap(), Part::Request, Some(10), &mut limited).unwrap();
    assert_eq!((limited.as_slice(), copied.limited), (&b"POST /api/"[..], true));
    let error = capture.raw("c2".parse().unwrap(), Part::Request, None, &mut limited).unwrap_err().to_string();
    assert!(error.contains("client or server"), "{error}");
}

#[test]
fn what_the_server_got_does_not_depend_on_how_the_bytes_were_cut() {
    let head = "GET https://api.test/a HTTP/1.1\r\nX-JM-Thread: 1\r\nHost: api.test\r\n\r\n";
    let change = |from: &str, to: &str| {
        let start = head.find(from).unwrap() as u64;
        (ByteRange { from: Side::Client, start, end: start + from.len() as u64 }, to.to_owned())
    };
    let changes = [
        (RewriteKind::AbsoluteForm, change("https://api.test/a", "/a")),
        (RewriteKind::IdentityHeader, change("X-JM-Thread: 1\r\n", "")),
        (RewriteKind::Host, change("api.test\r\n\r\n", "other.test\r\n\r\n")),
    ];
    for size in [1, 2, 3, 5, 7, 16, 20, 33, 100] {
        let captures = tempfile::tempdir().unwrap();
        let path = write_with(captures.path(), 400, |script| {
            script.open_tunnel(1, "api.test:443");
            let pieces: Vec<&[u8]> = head.as_bytes().chunks(size).collect();
            for (index, piece) in pieces.iter().enumerate() {
                script.say(1, Side::Client, piece);
                // The facts stand behind the first byte, and somewhere among the others.
                if index == (pieces.len() - 1) * size % 3 / 2 {
                    for (kind, (range, with)) in &changes {
                        script.fact(1, Fact::Rewritten(Rewritten { range: *range, kind: *kind }, with.as_bytes()));
                    }
                }
            }
            script.say(1, Side::Server, b"HTTP/1.1 204 No Content\r\n\r\n");
            script.close(1, Closer::Client, Ending::Fin);
        });
        let capture = open(&path);
        assert_eq!(raw(&capture, "x1", Part::Request).0, head.as_bytes(), "in pieces of {size}");
        let sent = String::from_utf8(raw(&capture, "x1", Part::RequestSent).0).unwrap();
        assert_eq!(sent, "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n", "in pieces of {size}");
    }
}

#[test]
fn secrets_stay_in_unless_asked_for() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 700));
    let mut shown = String::new();
    for kind in Kind::ALL {
        all_json(&capture, kind).iter().for_each(|row| shown.push_str(&row.to_string()));
        shown.push_str(&table(&capture, kind, 120));
    }
    for id in ["c1", "c2", "c4", "x1", "x2", "x3", "x4", "f1", "f2", "s1"] {
        shown.push_str(&page(&capture, id, 100));
    }
    assert!(!shown.contains("s3cr3t"), "{}", &shown[shown.find("s3cr3t").unwrap_or_default()..]);
    let kept = Query { secrets: Secrets::Kept, ..Query::default() };
    let exchanges: Vec<Value> = list(&capture, Kind::Exchanges, kept).iter().map(json).collect();
    assert_eq!(exchanges[0]["target"], "/notifications?token=s3cr3t-query-token-42");
    assert_eq!(exchanges[1]["request_headers"][2], serde_json::json!(["Authorization", TOKEN]));
    let frames: Vec<Value> = list(&capture, Kind::Frames, kept).iter().map(json).collect();
    assert!(frames[0]["text"].as_str().unwrap().contains("s3cr3t-frame-token-77"));
    let details = gather(&capture, "x2".parse().unwrap(), Secrets::Kept).unwrap();
    assert!(render::details(&details, capture.anchor(), Look::plain(80)).contains(TOKEN));
}

#[test]
fn people_are_shown_what_happened() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 700));
    for width in [80, 120] {
        for kind in Kind::ALL {
            let shown = table(&capture, kind, width);
            assert!(shown.lines().all(|line| render::text::width(line) <= width), "{kind} at {width}:\n{shown}");
            insta::assert_snapshot!(format!("ls_{kind}_{width}"), shown);
        }
    }
    let mut lines = String::new();
    for kind in [Kind::Exchanges, Kind::Frames, Kind::Flags, Kind::Connections, Kind::Sessions] {
        for row in list(&capture, kind, Query::default()) {
            lines.push_str(&render::lines::line(&row, Look::plain(100)));
            lines.push('\n');
        }
    }
    insta::assert_snapshot!("tail", lines);
    for id in ["c1", "c3", "c4", "x1", "x2", "x3", "x4", "f1", "s1"] {
        insta::assert_snapshot!(format!("show_{id}"), page(&capture, id, 100));
    }
}

#[test]
fn an_id_that_is_not_there_tells_which_are() {
    let captures = tempfile::tempdir().unwrap();
    let capture = open(&finished(captures.path(), 700));
    let message = |id: &str| capture.show(id.parse().unwrap(), Secrets::Fingerprints).unwrap_err().to_string();
    assert!(message("x99").contains("there are x1 to x4"), "{}", message("x99"));
    assert!(message("s9").contains("s1"), "{}", message("s9"));
    assert!("y3".parse::<Subject>().unwrap_err().to_string().contains("c12 (connection)"));
}

#[test]
fn a_killed_capture_reads_like_a_finished_one_and_is_not_written_to() {
    let captures = tempfile::tempdir().unwrap();
    let path = write(captures.path(), 700, false);
    // The last write of its recorder was cut off.
    let last = CaptureDir::open(&path).unwrap().segments().unwrap().pop().unwrap();
    let segment = CaptureDir::open(&path).unwrap().segment_path(last);
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[0x55; 7]);
    fs::write(&segment, &bytes).unwrap();
    let before = files(&path);
    let capture = open(&path);
    assert_eq!(capture.standing(), Standing::Killed);
    assert!(capture.notes()[0].contains("reindex"), "{:?}", capture.notes());
    let exchanges = all_json(&capture, Kind::Exchanges);
    assert_eq!(exchanges.len(), 4);
    assert_eq!(exchanges[0]["websocket"]["closed_by"], Value::Null, "its socket was open");
    assert_eq!(exchanges[1]["status"], 400);
    let connections = all_json(&capture, Kind::Connections);
    assert_eq!(connections[0]["closed_ns"], Value::Null);
    assert_eq!(connections[2]["closed_by"], "proxy");
    assert_eq!(raw(&capture, "x1", Part::Response).0, SWITCHING.as_bytes());
    assert!(page(&capture, "c1", 80).contains("not yet"));
    let last = all_json(&capture, Kind::Frames).pop().unwrap();
    assert_eq!((&last["text"], &last["written_ns"]), (&Value::from("last words"), &Value::Null));
    assert_eq!(files(&path), before, "reading writes nothing");
}

/// Every file of a folder with its length.
fn files(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found
}

#[test]
fn without_its_tables_a_finished_capture_reads_the_same() {
    let captures = tempfile::tempdir().unwrap();
    let path = finished(captures.path(), 700);
    let before: Vec<Vec<Value>> = Kind::ALL.map(|kind| all_json(&open(&path), kind)).to_vec();
    fs::remove_dir_all(CaptureDir::open(&path).unwrap().tables_dir()).unwrap();
    let capture = open(&path);
    assert_eq!(capture.standing(), Standing::Finished);
    assert!(capture.notes()[0].contains("tables"), "{:?}", capture.notes());
    assert_eq!(Kind::ALL.map(|kind| all_json(&capture, kind)).to_vec(), before);
}

#[test]
fn many_readers_at_once_see_the_same() {
    let captures = tempfile::tempdir().unwrap();
    let path = finished(captures.path(), 700);
    let expected = all_json(&open(&path), Kind::Exchanges);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| all_json(&open(&path), Kind::Exchanges))).collect();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), expected));
    });
}

#[test]
fn what_retention_dropped_is_told() {
    let captures = tempfile::tempdir().unwrap();
    let path = finished(captures.path(), 700);
    let dir = CaptureDir::open(&path).unwrap();
    let segments = dir.segments().unwrap();
    segments.iter().take(segments.len() - 3).for_each(|number| fs::remove_file(dir.segment_path(*number)).unwrap());
    let capture = open(&path);
    let (_, missing) = raw(&capture, "c1", Part::Client);
    assert!(missing[0].contains("dropped by retention"), "{missing:?}");
}

/// A recorder with its socket.
fn start(captures: &Path) -> (tokio::runtime::Runtime, Tap, Recorder, api::Server) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Clock::start();
    let meta = CaptureMeta::new(clock.anchor(), serde_json::json!({}), None);
    let dir = CaptureDir::create(captures, Some("one"), meta).unwrap();
    let path = dir.path().to_owned();
    let mut options = Options::default();
    options.segments.segment_bytes = 700;
    let (tap, recorder) = Recorder::start(dir, clock, options, inspection()).unwrap();
    let server = runtime.block_on(async {
        api::Server::start(&CaptureDir::open(&path).unwrap(), recorder.index(), inspection().inspector).unwrap()
    });
    (runtime, tap, recorder, server)
}

#[test]
fn a_running_capture_answers_through_its_recorder() {
    let captures = tempfile::tempdir().unwrap();
    let (runtime, tap, recorder, server) = start(captures.path());
    let path = captures.path().join("one");
    let mut put = |connection, fact: Fact<'_>| tap.record(connection, fact);
    let mut script = Script::new(&mut put);
    scenario::play(&mut script);

    let capture = open(&path);
    assert_eq!(capture.standing(), Standing::Running);
    // The rows are behind the facts by what the writer and the indexer take.
    while capture
        .show("c4".parse().unwrap(), Secrets::Fingerprints)
        .map_or(true, |row| json(&row)["closed_ns"].is_null())
    {
        thread::yield_now();
    }
    let exchanges = all_json(&capture, Kind::Exchanges);
    assert_eq!(exchanges.len(), 4);
    assert_eq!(exchanges[1]["session"], "s1");
    assert_eq!(ids(&capture, Kind::Exchanges, "status>=400 and response-body~\"not yet\""), ["x2"]);
    assert_eq!(raw(&capture, "x2", Part::Request).0, scenario::metadata_request("1-1").into_bytes());
    assert_eq!(raw(&capture, "x1", Part::Response).0, SWITCHING.as_bytes());
    let shown = page(&capture, "x1", 80);
    assert!(shown.contains("client_open_written") && shown.contains("not yet"), "{shown}");
    let message = capture.show("x99".parse().unwrap(), Secrets::Fingerprints).unwrap_err().to_string();
    assert!(message.contains("x1 to x4"), "{message}");
    let other = open(&path);
    assert_eq!(all_json(&other, Kind::Frames), all_json(&capture, Kind::Frames), "two readers at once");

    // Two frames and the ends of c1 and c2 come live.
    let (subscribed, ready) = std::sync::mpsc::channel();
    let watcher = thread::spawn(move || {
        let mut seen = Vec::new();
        let recorder = other.recorder().unwrap();
        recorder
            .live(
                "connections,exchanges,frames",
                None,
                || subscribed.send(()).unwrap(),
                std::future::pending(),
                &mut |message| {
                    seen.push(message.to_json());
                    Ok(ControlFlow::Continue(()))
                },
            )
            .unwrap();
        seen
    });
    ready.recv().unwrap();
    scenario::end(&mut script);
    let summary = recorder.stop().unwrap();
    assert!(summary.complete);
    runtime.block_on(server.stop());
    let seen = watcher.join().unwrap();
    let live: Vec<String> = seen
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    for id in ["c1", "c2", "x1", "f5", "f6"] {
        assert!(live.iter().any(|seen| seen == id), "{id} in {live:?}");
    }
    let mut capture = open(&path);
    assert_eq!(capture.standing(), Standing::Finished);
    assert!(capture.notes().is_empty(), "{:?}", capture.notes());
    assert_eq!(all_json(&capture, Kind::Connections).len(), 4);
    capture = open(&path);
    assert_eq!(
        json(&capture.show("x1".parse().unwrap(), Secrets::Fingerprints).unwrap())["websocket"]["close_code"],
        1000
    );
}

/// The program on captures in that folder: exit code, standard output, standard error.
fn firstframe(captures: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = assert_cmd::Command::cargo_bin("firstframe")
        .unwrap()
        .env_remove("FIRSTFRAME_CONFIG")
        .arg("-w")
        .arg(captures)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_reads_a_finished_capture() {
    let captures = tempfile::tempdir().unwrap();
    let path = finished(captures.path(), 700);
    let run = |arguments: &[&str]| firstframe(captures.path(), arguments);
    let (code, out, err) = run(&["ls"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("one  began 2026-11-22T18:25:55.123456789Z, finished\nID "), "{out}");
    assert!(!out.contains('\x1b'), "no colours into a pipe");
    let (code, out, _) = run(&["ls", "exchanges", "--json", "--filter", "status>=400"]);
    let row: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((code, &row["id"], out.lines().count()), (0, &Value::from("x2"), 1));
    let (code, out, _) = run(&["ls", "captures", "--json"]);
    let row: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((code, &row["name"], &row["state"]), (0, &Value::from("one"), &Value::from("finished")));
    let (code, out, _) = run(&["show", "x1", "--json"]);
    let row: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &row["websocket"]["close_code"]), (0, &Value::from(1000)));
    let (code, out, _) = run(&["show", "x2", "--raw", "response"]);
    assert_eq!((code, out.as_str()), (0, REFUSED));
    let (code, _, err) = run(&["show", "c4", "--raw", "server"]);
    assert_eq!(code, 1);
    assert!(err.contains("20 bytes of the server at 51 are missing"), "{err}");
    let (code, out, _) = run(&["tail", "-n", "2", "--frames"]);
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    let (code, out, _) = run(&["verify", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["whole"]), (0, &Value::from(true)));

    let (code, _, err) = run(&["show", "x99"]);
    assert_eq!(code, 1);
    assert!(err.contains("there are x1 to x4"), "{err}");
    let (code, _, err) = run(&["show", "y9"]);
    assert_eq!(code, 2);
    assert!(err.contains("c12 (connection)"), "{err}");
    let (code, _, err) = run(&["ls", "--filter", "colour=red"]);
    assert_eq!(code, 2);
    assert!(err.contains("colour"), "{err}");
    let (code, _, err) = run(&["ls", "-c", "two"]);
    assert_eq!(code, 1);
    assert!(err.contains("firstframe ls captures"), "{err}");

    let dir = CaptureDir::open(&path).unwrap();
    fs::remove_dir_all(dir.tables_dir()).unwrap();
    let (code, out, err) = run(&["ls", "exchanges", "--json"]);
    assert_eq!((code, out.lines().count()), (0, 4));
    assert!(err.contains("firstframe reindex"), "{err}");
    let (code, out, _) = run(&["reindex", "--json"]);
    assert_eq!((code, out.contains("\"reindexed\"")), (0, true));
    assert_eq!(run(&["ls", "exchanges", "--json"]).2, "", "nothing to remark any more");
    // The newest segment gone, or cut: it was stopped in order, so that is told.
    let last = *dir.segments().unwrap().last().unwrap();
    let path = dir.segment_path(last);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (code, out, _) = run(&["verify"]);
    assert_eq!((code, out.contains("its end is missing"), out.contains("was killed")), (1, true, false), "{out}");
    fs::remove_file(&path).unwrap();
    let (code, out, _) = run(&["verify", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["missing"], &report["whole"]), (1, &serde_json::json!([last]), &Value::from(false)));
    let (code, _, err) = run(&["reindex"]);
    assert_eq!((code, err.contains(&format!("segment {last:06} is missing"))), (0, true), "{err}");
    let (_, out, _) = run(&["ls", "captures"]);
    assert!(out.contains("finished, damaged (1 segment)"), "{out}");
    let (_, out, _) = run(&["ls", "captures", "--json"]);
    assert!(out.contains("\"complete\":false"), "{out}");
    fs::write(&path, whole).unwrap();
    assert_eq!(run(&["verify"]).0, 0);

    let segment = dir.segment_path(2);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, out, _) = run(&["verify"]);
    assert_eq!(code, 1);
    assert!(out.contains("segment 000002"), "{out}");
}

#[test]
fn reindexing_on_a_full_disk_leaves_what_was_there() {
    let captures = tempfile::tempdir().unwrap();
    let path = finished(captures.path(), 1 << 20);
    let before = files(&path.join("tables"));
    assert!(!before.is_empty());
    let program = assert_cmd::cargo::cargo_bin("firstframe");
    let full = "trap '' XFSZ; ulimit -f 1; exec \"$0\" -w \"$1\" reindex";
    let output =
        std::process::Command::new("sh").args(["-c", full]).arg(program).arg(captures.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&path.join("tables")), before);
    assert!(!path.join("tables.new").exists());
    assert_eq!(firstframe(captures.path(), &["ls", "exchanges", "--json"]).1.lines().count(), 4);
}

#[test]
fn tail_follows_a_running_capture_until_it_stops() {
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        process::{Command, Stdio},
        sync::mpsc,
        time::Duration,
    };
    let captures = tempfile::tempdir().unwrap();
    let (runtime, tap, recorder, server) = start(captures.path());
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("firstframe"))
        .arg("-w")
        .arg(captures.path())
        .args(["tail", "--json", "--filter", "method=GET"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        BufReader::new(stdout).lines().try_for_each(|line| send.send(line.unwrap()).map_err(|_| ())).unwrap();
    });
    let mut put = |connection, fact: Fact<'_>| tap.record(connection, fact);
    let mut script = Script::new(&mut put);
    // It subscribes at some moment: something happens until it has seen something.
    let mut connections = 0;
    let first = loop {
        connections += 1;
        script.open_tunnel(connections, "api.test:443");
        script.say(connections, Side::Client, b"GET /seen HTTP/1.1\r\nHost: api.test\r\n\r\n");
        script.say(connections, Side::Server, b"HTTP/1.1 204 No Content\r\n\r\n");
        script.say(connections, Side::Client, b"PUT /unseen HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n");
        script.say(connections, Side::Server, b"HTTP/1.1 204 No Content\r\n\r\n");
        script.close(connections, Closer::Client, Ending::Fin);
        if let Ok(line) = lines.recv_timeout(Duration::from_millis(20)) {
            break line;
        }
    };
    drop(script);
    recorder.stop().unwrap();
    runtime.block_on(server.stop());
    reader.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "it ends with the capture");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    for line in std::iter::once(first).chain(lines.try_iter()) {
        let row: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&row["target"], &row["status"]), (&Value::from("/seen"), &Value::from(204)));
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::{Command, Stdio};
    let captures = tempfile::tempdir().unwrap();
    finished(captures.path(), 700);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("firstframe"))
        .arg("-w")
        .arg(captures.path())
        .args(["ls", "exchanges", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Gone before the first line can be written.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn where_there_is_no_capture_it_is_said_what_to_do() {
    let captures = tempfile::tempdir().unwrap();
    let error = Capture::open(captures.path(), None, inspection()).err().unwrap().to_string();
    assert!(error.contains(&captures.path().display().to_string()) && error.contains("hint"), "{error}");
    write(captures.path(), 1 << 20, true);
    let error = Capture::open(captures.path(), Some("two"), inspection()).err().unwrap().to_string();
    assert!(error.contains("\"two\"") && error.contains("firstframe ls captures"), "{error}");
}
