//! The store against kills, full disks, several readers at once, and captures of every format version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use firstframe::{
    model::{
        ConnectionId, ExchangeId, FrameId, SessionId, Side, Timestamp, WallAnchor,
        rows::{
            ConnectionRow, EvidenceRow, ExchangeRow, Extent, FlagRow, FrameRow, Offsets, Phase, Phases, Position,
            RewrittenRow, SessionRow, SocketRow,
        },
        trace::{
            ByteRange, Chunk, ClockStep, Closed, Closer, Connect, Dialed, Dropped, Ended, Ending, Fact, Gap, Opened,
            ProxyMade, RewriteKind, Rewritten, ServerRtt, Stalled, SteppedAside, Tls, TraceEvent, Written,
        },
    },
    store::{
        CaptureDir, CaptureMeta, LockState, Rows, SegmentReader, SegmentWriter, State, format, recovery,
        retention::{self, Retained},
        segment_writer::Options,
        tables,
    },
};

/// What a child process of these tests is to do; see [`child`].
const ROLE: &str = "FIRSTFRAME_TEST_STORE_ROLE";
const DIR: &str = "FIRSTFRAME_TEST_STORE_DIR";

#[test]
fn a_killed_recorder_loses_nothing_that_it_acknowledged() {
    for acknowledgements in [1, 7, 40, 150] {
        let captures = tempfile::tempdir().unwrap();
        let mut child = itself("record", captures.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        for _ in 0..acknowledgements {
            acknowledged = next_ack(&mut lines).expect("it writes until it is killed");
        }
        let dir = CaptureDir::newest(captures.path()).unwrap();
        assert_eq!(dir.lock_state().unwrap(), LockState::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(more) = next_ack(&mut lines) {
            acknowledged = more;
        }

        assert_eq!(dir.lock_state().unwrap(), LockState::Free, "the lock died with its process");
        assert_eq!(CaptureDir::open(dir.path()).unwrap().meta().state, State::Recording);
        let before = files(dir.path());
        let read = count_numbered(&dir);
        assert!(read >= acknowledged, "{read} records of at least {acknowledged}");
        let report = recovery::verify(&dir).unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.segments.iter().map(|segment| segment.records).sum::<u64>(), read);
        assert_eq!(files(dir.path()), before, "readers write nothing");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_whole_records() {
    let captures = tempfile::tempdir().unwrap();
    // A file may not grow beyond 100 blocks of 512 bytes, which bash counts in twos.
    let limited = r#"trap "" XFSZ; ulimit -f 100 && exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh"]);
    let status = with_role(command.arg(env::current_exe().unwrap()), "fill", captures.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the child says why");
    let dir = CaptureDir::newest(captures.path()).unwrap();
    let report = recovery::verify(&dir).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.segments.iter().map(|segment| segment.torn_tail_bytes).sum::<u64>(), 0);
    assert_eq!(report.segments.len(), 2, "it went on in another segment");
}

#[test]
fn two_readers_follow_one_writer() {
    const RECORDS: u64 = 12_000;
    let captures = tempfile::tempdir().unwrap();
    let dir = new_capture(captures.path());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = SegmentReader::open(&dir, Position::default()).unwrap();
                let mut read = 0;
                while read < RECORDS {
                    match reader.next().unwrap() {
                        Some((_, event)) => {
                            check_numbered(&event, read);
                            read += 1;
                        }
                        None => thread::yield_now(),
                    }
                }
            });
        }
        scope.spawn(|| {
            // Many segments: the moment between a seal and the next segment is where a reader may go wrong.
            let options = Options { segment_bytes: 1_000, ..Options::default() };
            let mut writer = SegmentWriter::create(&dir, &options).unwrap();
            let mut batch = Vec::new();
            for n in 0..RECORDS {
                numbered(n, &mut batch);
                if n % 7 == 0 || n + 1 == RECORDS {
                    writer.append(&batch).unwrap();
                    batch.clear();
                }
            }
        });
    });
    assert!(dir.segments().unwrap().len() > 1_000);
}

#[test]
fn syncing_is_rare_and_driven_by_the_caller() {
    let captures = tempfile::tempdir().unwrap();
    let dir = new_capture(captures.path());
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    let ms = |n: u64| Timestamp(n * 1_000_000);
    assert!(!writer.sync_if_due(ms(999)).unwrap());
    assert!(writer.sync_if_due(ms(1_000)).unwrap());
    assert!(!writer.sync_if_due(ms(1_999)).unwrap());
    assert!(writer.sync_if_due(ms(2_000)).unwrap());
}

#[test]
fn what_is_not_records_is_refused_and_nothing_of_it_written() {
    let captures = tempfile::tempdir().unwrap();
    let dir = new_capture(captures.path());
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    let mut records = Vec::new();
    (0..3).for_each(|n| numbered(n, &mut records));
    let before = writer.position();
    for wrong in [&records[..records.len() - 1], b"garbage that is no record"] {
        assert!(writer.append(wrong).is_err());
        assert_eq!((writer.position(), writer.appended()), (before, 0));
    }
    writer.append(&records).unwrap();
    assert_eq!((count_numbered(&dir), writer.appended()), (3, records.len() as u64));
}

#[cfg(unix)]
#[test]
fn everything_in_a_capture_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let captures = tempfile::tempdir().unwrap();
    let dir = new_capture(captures.path());
    let mut writer = SegmentWriter::create(&dir, &small()).unwrap();
    let mut records = Vec::new();
    (0..500).for_each(|n| numbered(n, &mut records));
    writer.append(&records).unwrap();
    tables::write_tables(&dir, 1, &sample_rows()).unwrap();
    firstframe::store::catalogue::Catalogue::rebuild(&dir).unwrap().close().unwrap();
    retention::write_retained(&dir, &Retained { segment: 1, ..Retained::default() }).unwrap();
    let everything = files(dir.path());
    assert!(everything.len() > 10, "{everything:?}");
    for (path, _) in everything {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

/// `FIRSTFRAME_WRITE_FIXTURE=1` writes the fixture of the present version where there is none. One that was released is
/// never written again.
#[test]
fn format_1_stays_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/v1/capture");
    if env::var_os("FIRSTFRAME_WRITE_FIXTURE").is_some() && !path.exists() {
        write_fixture(&path);
    }
    let dir = CaptureDir::open(&path).unwrap();
    let meta = dir.meta();
    assert_eq!((meta.format.major, meta.format.minor), (1, 0));
    assert_eq!(meta.state, State::Incomplete { from_ns: Some(Timestamp(9_000)), why: "a fixture".into() });
    assert_eq!(meta.started_at, "2026-11-22T18:25:55.123456789Z");
    assert_eq!(meta.anchor.unix_ns, 1_795_371_955_123_456_789);
    assert_eq!(meta.options, serde_json::json!({"mode": ["forward"]}));
    assert_eq!(meta.redaction_key.as_deref(), Some("3f2a"));

    let mut reader = SegmentReader::open(&dir, Position::default()).unwrap();
    let expected = sample_events();
    for (n, expected) in expected.iter().enumerate() {
        let (position, event) = reader.next().unwrap().unwrap_or_else(|| panic!("event {n} is missing"));
        assert_eq!(&event, expected, "event {n} at {position:?}");
    }
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.tail().unwrap(), 5, "the last segment ends with a part of a record");
    let report = recovery::verify(&dir).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let seals: Vec<_> = report.segments.iter().map(|segment| segment.seal.is_some()).collect();
    assert_eq!(seals, [true, true, false]);

    let rows = Rows {
        connections: tables::read_connections(&dir, 1).unwrap(),
        exchanges: tables::read_exchanges(&dir, 1).unwrap(),
        frames: tables::read_frames(&dir, 1).unwrap(),
        sessions: tables::read_sessions(&dir, 1).unwrap(),
        flags: tables::read_flags(&dir, 1).unwrap(),
    };
    assert_eq!(rows, sample_rows());
    let retained = retention::read_retained(&dir).unwrap().unwrap();
    assert_eq!(
        retained,
        Retained { segment: 1, state: serde_json::json!({"next": {"exchange": 1}}), ..Retained::default() }
    );
}

/// Not a test of its own: what the child processes of the tests above do.
#[test]
fn child() {
    let Some(role) = env::var_os(ROLE) else { return };
    let captures = PathBuf::from(env::var_os(DIR).unwrap());
    match role.to_str() {
        Some("record") => record_until_killed(&captures),
        Some("fill") => fill_the_disk(&captures),
        other => panic!("{other:?}"),
    }
}

fn record_until_killed(captures: &Path) {
    let dir = new_capture(captures);
    let mut writer = SegmentWriter::create(&dir, &small()).unwrap();
    let mut out = io::stdout();
    let mut n = 0;
    for batch in 1.. {
        let mut records = Vec::new();
        for _ in 0..batch % 23 + 1 {
            numbered(n, &mut records);
            n += 1;
        }
        writer.append(&records).unwrap();
        writeln!(out, "\nack {n}").unwrap();
        out.flush().unwrap();
    }
}

fn fill_the_disk(captures: &Path) {
    let dir = new_capture(captures);
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    let large = record(0, &[7; 10_000]);
    let mut written = 0;
    let error = loop {
        match writer.append(&large) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    assert!(written > 2, "the limit leaves room for {written}");
    let length = |number| fs::metadata(dir.segment_path(number)).unwrap().len();
    assert_eq!(length(1), writer.position().offset, "the part of the record that was written is taken back");
    assert_eq!(writer.appended(), written * large.len() as u64);
    let again = writer.append(&large).unwrap_err();
    assert!(again.is_full(), "{again}");
    // What is small enough goes on, and so does the next segment.
    writer.append(&record(written, b"small")).unwrap();
    writer.seal().unwrap();
    writer.append(&large).unwrap();
    writer.sync().unwrap();
    let mut reader = SegmentReader::open(&dir, Position::default()).unwrap();
    let mut read = 0;
    while reader.next().unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, written + 2);
}

/// This test binary again, in a role.
fn itself(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    with_role(&mut command, role, dir);
    command
}

fn with_role<'a>(command: &'a mut Command, role: &str, dir: &Path) -> &'a mut Command {
    let arguments = ["--exact", "store_recovery::child", "--nocapture", "--test-threads=1"];
    command.args(arguments).env(ROLE, role).env(DIR, dir).stdin(Stdio::null())
}

fn next_ack(lines: &mut impl Iterator<Item = io::Result<String>>) -> Option<u64> {
    lines.find_map(|line| line.ok()?.strip_prefix("ack ")?.parse().ok())
}

fn small() -> Options {
    Options { segment_bytes: 20_000, ..Options::default() }
}

fn new_capture(captures: &Path) -> CaptureDir {
    let meta = CaptureMeta::new(WallAnchor { unix_ns: 1 }, serde_json::Value::Null, None);
    CaptureDir::create(captures, None, meta).unwrap()
}

fn record(offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let chunk = Chunk { from: Side::Client, offset, arrived: Some(Timestamp(1)), read: Timestamp(2), bytes };
    format::encode(&TraceEvent { connection: ConnectionId(1), fact: Fact::Data(chunk) }, &mut out);
    out
}

fn payload(n: u64) -> Vec<u8> {
    vec![n as u8; (n * 37 % 300) as usize]
}

fn numbered(n: u64, out: &mut Vec<u8>) {
    out.extend(record(n, &payload(n)));
}

fn check_numbered(event: &TraceEvent<'_>, n: u64) {
    match &event.fact {
        Fact::Data(chunk) => assert_eq!((chunk.offset, chunk.bytes), (n, payload(n).as_slice())),
        other => panic!("only data was written, not {other:?}"),
    }
}

fn count_numbered(dir: &CaptureDir) -> u64 {
    let mut reader = SegmentReader::open(dir, Position::default()).unwrap();
    let mut read = 0;
    while let Some((_, event)) = reader.next().unwrap() {
        check_numbered(&event, read);
        read += 1;
    }
    read
}

/// All files and folders below a folder, and itself, with their lengths.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = vec![(dir.to_owned(), 0)];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let length = fs::metadata(&path).unwrap().len();
            found.push((path, length));
        }
    }
    found.sort();
    found
}

fn write_fixture(path: &Path) {
    let anchor = WallAnchor { unix_ns: 1_795_371_955_123_456_789 };
    let options = serde_json::json!({"mode": ["forward"]});
    let captures = path.parent().unwrap();
    let mut dir =
        CaptureDir::create(captures, Some("capture"), CaptureMeta::new(anchor, options, Some("3f2a".into()))).unwrap();
    let mut writer = SegmentWriter::create(&dir, &Options { segment_bytes: 1_000, ..Options::default() }).unwrap();
    for event in sample_events() {
        let mut record = Vec::new();
        format::encode(&event, &mut record);
        writer.append(&record).unwrap();
    }
    let last = dir.segment_path(writer.position().segment);
    let mut file = fs::OpenOptions::new().append(true).open(last).unwrap();
    file.write_all(&record(0, b"torn")[..5]).unwrap();
    tables::write_tables(&dir, 1, &sample_rows()).unwrap();
    let state = serde_json::json!({"next": {"exchange": 1}});
    retention::write_retained(&dir, &Retained { segment: 1, state, ..Retained::default() }).unwrap();
    dir.set_state(State::Incomplete { from_ns: Some(Timestamp(9_000)), why: "a fixture".into() }).unwrap();
    fs::remove_file(path.join("lock")).unwrap();
}

/// Every kind of fact, and the forms that stamps take on disk.
fn sample_events() -> Vec<TraceEvent<'static>> {
    let at = Timestamp;
    let text = |text: &str| Some(text.to_owned());
    let one = |fact| TraceEvent { connection: ConnectionId(1), fact };
    let capture = |fact| TraceEvent { connection: ConnectionId::CAPTURE, fact };
    let data = |from, offset, arrived, read, bytes| one(Fact::Data(Chunk { from, offset, arrived, read, bytes }));
    let client = "127.0.0.1:40001".parse().unwrap();
    let server = "[::1]:443".parse().unwrap();
    vec![
        one(Fact::Opened(Opened {
            at: at(1_000),
            mode: "forward".into(),
            client,
            listener: "127.0.0.1:8080".parse().unwrap(),
        })),
        one(Fact::Connect(
            Connect { begin: at(1_100), end: at(1_200), authority: "api.test:443".into(), answered: Some(at(1_500)) },
            b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n",
        )),
        one(Fact::Dialed(Dialed {
            begin: at(1_210),
            end: at(1_400),
            authority: "api.test:443".into(),
            address: Some(server),
            local: Some("[::1]:50000".parse().unwrap()),
            error: None,
        })),
        one(Fact::Tls(Tls {
            side: Side::Server,
            begin: at(1_600),
            end: at(1_900),
            sni: text("api.test"),
            offered: vec!["h2".into(), "http/1.1".into()],
            alpn: text("http/1.1"),
            version: text("TLSv1.3"),
            cipher: text("TLS13_AES_256_GCM_SHA384"),
            error: None,
        })),
        one(Fact::Tls(Tls {
            side: Side::Client,
            begin: at(1_550),
            end: at(2_100),
            sni: text("api.test"),
            offered: Vec::new(),
            alpn: None,
            version: None,
            cipher: None,
            error: text("the client sent the alert unknown_ca"),
        })),
        data(Side::Client, 0, Some(at(2_150)), at(2_200), b"GET https://api.test:443/a HTTP/1.1\r\n\r\n"),
        one(Fact::Rewritten(
            Rewritten { range: ByteRange { from: Side::Client, start: 4, end: 27 }, kind: RewriteKind::AbsoluteForm },
            b"/a",
        )),
        one(Fact::Written(Written { from: Side::Client, upto: 39, begun: at(2_300), written: at(2_400) })),
        one(Fact::ServerRtt(ServerRtt { at: at(2_450), rtt_ns: 80_000 })),
        // No arrival; one that is stored whole, since it lies after the read; one more than 4.29 s before it.
        data(Side::Server, 0, None, at(3_000), b"HTTP/1.1 204 No Content\r\n\r\n"),
        data(Side::Server, 27, Some(at(3_200)), at(3_100), b"\x81\x02hi"),
        data(Side::Server, 31, Some(at(3_300)), at(9_000_003_300), b"\x00\xff"),
        one(Fact::Written(Written { from: Side::Server, upto: 33, begun: at(3_400), written: at(9_000_004_000) })),
        one(Fact::SteppedAside(SteppedAside {
            at: at(4_100),
            from: Side::Server,
            offset: 31,
            why: "neither a response nor a frame".into(),
        })),
        one(Fact::ProxyMade(
            ProxyMade { at: at(4_200), status: 502, to_connect: false, cause: "connection refused".into() },
            b"HTTP/1.1 502 Server Unreachable\r\nX-Firstframe-Error: refused\r\n\r\n",
        )),
        one(Fact::Stalled(Stalled { at: at(4_300), from: Side::Client, waited_ns: 17 })),
        one(Fact::Gap(Gap {
            at: at(4_400),
            range: ByteRange { from: Side::Server, start: 33, end: 99 },
            why: "the queue was full".into(),
        })),
        one(Fact::Ended(Ended { at: at(4_500), from: Side::Client, how: Ending::CloseNotify })),
        one(Fact::Closed(Closed { at: at(4_600), by: Closer::Client, how: Ending::Fin, error: None })),
        capture(Fact::ClockStep(ClockStep { at: at(4_700), by_ns: -1_000_000 })),
        capture(Fact::Dropped(Dropped { at: at(4_800), upto_segment: 0, bytes: 12_345 })),
    ]
}

fn sample_rows() -> Rows {
    let at = Timestamp;
    let some = |n| Some(Timestamp(n));
    let text = |text: &str| Some(text.to_owned());
    let position = |offset| Position { segment: 1, offset };
    let extent = Extent { first: position(80), last: position(900) };
    let phase = |begin, end| Some(Phase { begin_ns: Timestamp(begin), end_ns: Some(Timestamp(end)) });
    let phases = Phases {
        accept: phase(1_000, 1_100),
        connect: phase(1_100, 1_500),
        dial: phase(1_210, 1_400),
        server_tls: phase(1_600, 1_900),
        client_tls: Some(Phase { begin_ns: at(1_550), end_ns: None }),
    };
    Rows {
        connections: vec![ConnectionRow {
            id: ConnectionId(1),
            mode: "forward".into(),
            client: "127.0.0.1:40001".into(),
            server: text("[::1]:443"),
            authority: text("api.test:443"),
            sni: text("api.test"),
            alpn: text("http/1.1"),
            client_tls: None,
            server_tls: text("TLSv1.3"),
            opened_ns: at(1_000),
            phases,
            closed_ns: some(4_600),
            closed_by: text("client"),
            how: text("fin"),
            bytes_from_client: 39,
            bytes_from_server: 33,
            exchanges: 1,
            frames: 1,
            gaps: 1,
            proxy_error: None,
            opaque: None,
            server_rtt_ns: Some(80_000),
            extent,
        }],
        exchanges: vec![ExchangeRow {
            id: ExchangeId(1),
            connection: ConnectionId(1),
            session: Some(SessionId(1)),
            server: text("[::1]:443"),
            index: 1,
            method: "GET".into(),
            target: "https://api.test:443/a".into(),
            scheme: "wss".into(),
            authority: "api.test:443".into(),
            path: "/a".into(),
            http: "1.1".into(),
            request_headers: [("X-Bad", ": v"), ("", "noname")].into_iter().collect(),
            request_body_bytes: 0,
            status: Some(101),
            reason: text("Switching Protocols"),
            response_headers: Some(Default::default()),
            response_body_bytes: None,
            request_first_byte_ns: at(2_150),
            request_last_byte_ns: some(2_150),
            response_first_byte_ns: some(3_000),
            response_last_byte_ns: None,
            proxy_made: false,
            rewritten: vec![RewrittenRow { kind: "absolute-form".into(), from: "h".into(), to: "/a".into() }],
            websocket: Some(SocketRow {
                server_open_ns: some(3_000),
                open_write_begun_ns: some(3_400),
                client_open_written_ns: None,
                first_frame_from_client_ns: None,
                first_frame_from_server_ns: some(3_200),
                closed_by: text("server"),
                close_code: Some(1_005),
                frames_from_client: 0,
                frames_from_server: 1,
            }),
            flags: vec!["metadata-before-open".into()],
            offsets: Offsets { request_end: 39, request_head_end: 39, response_end: 27, ..Offsets::default() },
            extent,
        }],
        frames: vec![FrameRow {
            id: FrameId(1),
            connection: ConnectionId(1),
            exchange: ExchangeId(1),
            from: Side::Server,
            opcode: 1,
            fin: true,
            compressed: false,
            bytes: 2,
            arrived_ns: at(3_200),
            written_ns: None,
            text: None,
            metadata: false,
            start: 27,
            end: 31,
            extent,
        }],
        sessions: vec![SessionRow {
            dropped: false,
            id: SessionId(1),
            correlated_by: "header".into(),
            sure: true,
            sockets: vec![ExchangeId(1)],
            exchanges: Vec::new(),
            flags: vec!["metadata-before-open".into()],
        }],
        flags: vec![FlagRow {
            rule: "metadata-before-open".into(),
            severity: "error".into(),
            subject: "x1".into(),
            session: Some(SessionId(1)),
            message: "sent 0.2 ms before OPEN".into(),
            evidence: vec![EvidenceRow {
                id: "x1".into(),
                side: Some(Side::Client),
                offset: Some(0),
                length: None,
                at_ns: at(2_150),
            }],
            at_ns: at(2_150),
        }],
    }
}
