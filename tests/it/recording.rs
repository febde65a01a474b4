//! The recorder from its taps to the rows that readers get: nothing lost silently, live equals offline, and a killed or
//! failing recorder leaves what it had.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests: helpers, too")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_util::StreamExt;

use firstframe::{
    api,
    clock::Clock,
    inspect,
    model::{
        ConnectionId, Side, Timestamp,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Position, Row, SessionRow},
        trace::{Chunk, Closed, Closer, Dialed, Ending, Fact, Opened, Written},
    },
    profile::Profile,
    query::{Capture, Kind, Query},
    record::{self, Inspection, OnRecordError, Options, Overflow, Recorder, Summary, Tap},
    rules,
    store::{CaptureDir, CaptureMeta, LockState, SegmentReader, State, tables, tables::Table},
};

fn inspection() -> Inspection {
    Inspection {
        inspector: inspect::Options::default(),
        rules: rules::Options::default(),
        refused: Profile::named("generic").unwrap().refused,
    }
}

/// Small segments, so that there are several.
fn options() -> Options {
    let mut options = Options::default();
    options.segments.segment_bytes = 64 << 10;
    options
}

fn begin(captures: &Path, options: Options) -> (Tap, Recorder, CaptureDir) {
    let clock = Clock::start();
    let meta = CaptureMeta::new(clock.anchor(), serde_json::Value::Null, None);
    let dir = CaptureDir::create(captures, Some("test"), meta).unwrap();
    let path = dir.path().to_owned();
    let (tap, recorder) = Recorder::start(dir, clock, options, inspection()).unwrap();
    (tap, recorder, CaptureDir::open(&path).unwrap())
}

/// A connection that is talked over, as the relay would record it.
struct Talk<'t> {
    tap: &'t Tap,
    id: ConnectionId,
    sent: [u64; 2],
}

impl<'t> Talk<'t> {
    fn open(tap: &'t Tap) -> Self {
        let id = tap.next_connection();
        let at = tap.clock().now();
        let client = format!("127.0.0.1:{}", 10_000 + id.0 % 50_000).parse().unwrap();
        let listener = "127.0.0.1:8080".parse().unwrap();
        tap.record(id, Fact::Opened(Opened { at, mode: "reverse:http://api.test:80".into(), client, listener }));
        let dialed = Dialed {
            begin: at,
            end: tap.clock().now(),
            authority: "api.test:80".into(),
            address: Some("127.0.0.1:80".parse().unwrap()),
            local: None,
            error: None,
        };
        tap.record(id, Fact::Dialed(dialed));
        Self { tap, id, sent: [0; 2] }
    }

    fn say(&mut self, from: Side, bytes: &[u8]) {
        let read = self.tap.clock().now();
        let offset = self.sent[from as usize];
        let upto = offset + bytes.len() as u64;
        self.tap.record(self.id, Fact::Data(Chunk { from, offset, arrived: Some(read), read, bytes }));
        let written = self.tap.clock().now();
        self.tap.record(self.id, Fact::Written(Written { from, upto, begun: read, written }));
        self.sent[from as usize] = upto;
    }

    fn exchange(&mut self, thread: u64, path: &str, json: &str, status: u16) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: t-{thread}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            json.len()
        );
        self.say(Side::Client, head.as_bytes());
        self.say(Side::Client, json.as_bytes());
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nok");
        self.say(Side::Server, answer.as_bytes());
    }

    fn upgrade(&mut self, thread: u64) {
        let head = format!(
            "GET /socket HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: t-{thread}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.say(Side::Client, head.as_bytes());
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        self.say(Side::Server, answer.as_bytes());
    }

    fn frame(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.say(Side::Client, &frame);
    }

    fn close(self) {
        let at = self.tap.clock().now();
        self.tap.record(self.id, Fact::Closed(Closed { at, by: Closer::Client, how: Ending::Fin, error: None }));
    }
}

/// Load of every kind: exchanges that are fine, refused and flagged, and sockets with frames, some left open.
fn load(tap: &Tap, users: u64) {
    thread::scope(|scope| {
        for user in 0..users {
            scope.spawn(move || {
                let mut socket = Talk::open(tap);
                socket.upgrade(user);
                let mut talk = Talk::open(tap);
                for n in 0..40 {
                    let json = if n % 7 == 0 { "{\"a\": 1,}" } else { "{\"a\": 1}" };
                    let status = if n % 10 == 0 { 400 } else { 200 };
                    talk.exchange(user, &format!("/api/items/{n}"), json, status);
                    socket.frame(&format!("hello {n} of {user}"));
                }
                talk.close();
                if user % 2 == 0 {
                    socket.close();
                }
            });
        }
    });
}

/// All rows of a kind in all tables, by segment.
fn table<T: Table>(dir: &CaptureDir) -> Vec<(u64, Vec<T>)> {
    let segments = tables::segments_with::<T>(dir).unwrap();
    segments.into_iter().map(|segment| (segment, tables::read(dir, segment, None).unwrap())).collect()
}

#[derive(Debug, PartialEq)]
struct Tables {
    connections: Vec<(u64, Vec<ConnectionRow>)>,
    exchanges: Vec<(u64, Vec<ExchangeRow>)>,
    frames: Vec<(u64, Vec<FrameRow>)>,
    sessions: Vec<(u64, Vec<SessionRow>)>,
    flags: Vec<(u64, Vec<FlagRow>)>,
}

impl Tables {
    fn of(dir: &CaptureDir) -> Self {
        Self {
            connections: table(dir),
            exchanges: table(dir),
            frames: table(dir),
            sessions: table(dir),
            flags: table(dir),
        }
    }
}

fn reindex(dir: &CaptureDir) -> record::Reindexed {
    record::reindex(dir.clone(), &inspection(), &mut |_| {}).unwrap()
}

/// What the segments hold of each connection's and side's bytes: recorded, and lost in gaps. Offsets must have no holes.
fn bytes_on_disk(dir: &CaptureDir) -> BTreeMap<(ConnectionId, Side), [u64; 2]> {
    let mut reader = SegmentReader::open(dir, Position::default()).unwrap();
    let mut bytes = BTreeMap::<_, [u64; 2]>::new();
    while let Some((_, event)) = reader.next().unwrap() {
        let (from, start, length, kind) = match &event.fact {
            Fact::Data(chunk) => (chunk.from, chunk.offset, chunk.bytes.len() as u64, 0),
            Fact::Gap(gap) => (gap.range.from, gap.range.start, gap.range.len(), 1),
            _ => continue,
        };
        let sums = bytes.entry((event.connection, from)).or_default();
        assert_eq!(start, sums[0] + sums[1], "{} {from} has a hole", event.connection);
        sums[kind] += length;
    }
    bytes
}

#[test]
fn reindexing_gives_the_rows_that_recording_gave() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, mut dir) = begin(captures.path(), options());
    load(&tap, 12);
    let summary = recorder.stop().unwrap();
    assert_eq!(dir.reload().unwrap().state, State::Clean);
    assert!(summary.complete, "{:?}", summary.failure);
    assert_eq!((summary.totals.connections, summary.unrecorded_bytes), (24, 0));
    assert_eq!(summary.totals.exchanges, 12 * 41);
    assert_eq!(summary.totals.refused, 12 * 4);
    assert_eq!(summary.totals.frames, 12 * 40);
    assert!(summary.totals.rules["malformed-json"].count > 0);
    let route = &summary.routes[0];
    assert_eq!((route.path.as_str(), route.method.as_str(), route.status), ("/api/items/{id}", "POST", Some(200)));

    let live = Tables::of(&dir);
    assert!(dir.segments().unwrap().len() > 2, "several segments");
    assert!(live.exchanges.len() > 1 && !live.sessions.is_empty() && !live.flags.is_empty());
    assert_eq!(live.exchanges.iter().map(|(_, rows)| rows.len()).sum::<usize>(), 12 * 41);

    let again = reindex(&dir);
    assert_eq!(Tables::of(&dir), live);
    assert_eq!((again.totals, again.routes), (summary.totals, summary.routes));
    assert!(again.damage.is_empty());

    fs::remove_dir_all(dir.catalogue_dir()).unwrap();
    fs::remove_dir_all(dir.tables_dir()).unwrap();
    reindex(&dir);
    assert_eq!(Tables::of(&dir), live, "after catalogue and tables were deleted");
}

#[test]
fn eight_threads_lose_nothing_and_keep_their_order() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, dir) = begin(captures.path(), options());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut talk = Talk::open(&tap);
                (0..500).for_each(|n| talk.say(Side::Client, format!("{n:08}").as_bytes()));
                talk.close();
            });
        }
    });
    let summary = recorder.stop().unwrap();
    let bytes = bytes_on_disk(&dir);
    assert_eq!(bytes.len(), 8);
    assert!(bytes.values().all(|sums| *sums == [4000, 0]));
    assert_eq!(summary.totals.bytes_from_client, 32_000);
    assert_eq!(summary.queue.offered_bytes, 32_000);
}

#[test]
fn a_queue_that_overflows_records_or_names_every_byte() {
    let captures = tempfile::tempdir().unwrap();
    let mut options = options();
    (options.overflow, options.queue_bytes) = (Overflow::Gap, 8 << 10);
    let (tap, recorder, dir) = begin(captures.path(), options);
    let payload = vec![b'x'; 3000];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut talk = Talk::open(&tap);
                (0..2000).for_each(|_| talk.say(Side::Client, &payload));
                talk.close();
            });
        }
    });
    let summary = recorder.stop().unwrap();
    let bytes = bytes_on_disk(&dir);
    assert!(bytes.values().all(|[recorded, lost]| recorded + lost == 2000 * 3000), "{bytes:?}");
    let lost: u64 = bytes.values().map(|[_, lost]| lost).sum();
    assert!(lost > 0, "8 KiB cannot have been enough");
    assert_eq!((summary.totals.gap_bytes, summary.unrecorded_bytes), (lost, 0));
    assert!(summary.complete, "a gap is a stored fact");
    assert!(summary.queue.peak_bytes < 16 << 10, "{}", summary.queue.peak_bytes);
}

#[test]
fn a_queue_that_overflows_loses_parts_of_bodies_and_no_exchange() {
    let captures = tempfile::tempdir().unwrap();
    let mut options = options();
    (options.overflow, options.queue_bytes) = (Overflow::Gap, 64 << 10);
    let (tap, recorder, _) = begin(captures.path(), options);
    let index = recorder.index();
    let mut talk = Talk::open(&tap);
    let body = vec![b'x'; 200 << 10];
    for _ in 0..20 {
        let head = format!("POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), &body].concat();
        request.chunks(64 << 10).for_each(|read| talk.say(Side::Client, read));
        talk.say(Side::Server, b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
        until("the writer has caught up", || index.status().queue.pending_bytes == 0);
    }
    talk.close();
    let summary = recorder.stop().unwrap();
    assert!(summary.totals.gaps > 0, "64 KiB cannot have been enough");
    assert_eq!((summary.totals.exchanges, summary.totals.unanswered), (20, 0));
}

#[test]
fn what_is_open_and_what_is_fresh_is_seen_while_recording() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, _) = begin(captures.path(), options());
    let index = recorder.index();
    let mut talk = Talk::open(&tap);
    talk.exchange(1, "/a", "{}", 200);
    talk.say(Side::Client, b"GET /b HTTP/1.1\r\nHost: api.test\r\n\r\n");
    until("both exchanges are seen", || {
        let snapshot = index.snapshot();
        let recent: u64 = snapshot.recent.iter().map(|rows| rows.exchanges.len()).sum();
        recent == 1 && snapshot.open.exchanges.len() == 1 && snapshot.open.connections.len() == 1
    });
    talk.close();
    let summary = recorder.stop().unwrap();
    assert_eq!((summary.totals.exchanges, summary.totals.unanswered), (2, 1));
    let after = index.snapshot();
    assert_eq!(after.tables, [1]);
    assert!(after.recent.is_empty() && after.open == firstframe::store::Rows::default());
}

#[test]
fn oldest_segments_go_and_the_rest_is_indexed_as_before() {
    let captures = tempfile::tempdir().unwrap();
    let mut options = options();
    options.retention.max_bytes = 256 << 10;
    let (tap, recorder, dir) = begin(captures.path(), options);
    let index = recorder.index();
    let mut socket = Talk::open(&tap);
    socket.upgrade(1);
    let mut rounds = 0;
    until("the first four are gone", || {
        rounds += 1;
        load(&tap, 2);
        socket.frame(&format!("round {rounds}"));
        // What is not indexed is never dropped, so that the indexer must keep up for some to be left.
        until("all is indexed", || index.status().lag_bytes == 0);
        dir.segments().unwrap()[0] > 4
    });
    socket.close();
    recorder.stop().unwrap();
    let first = dir.segments().unwrap()[0];
    let live = Tables::of(&dir);
    reindex(&dir);
    let again = Tables::of(&dir);
    // What began before the first segment that is kept and ended in what is, such as the socket's exchange, has its row
    // all the same.
    assert_eq!(again.frames, live.frames);
    assert_eq!(again.exchanges, live.exchanges);
    let capture = Capture::open_dir(CaptureDir::open(dir.path()).unwrap(), inspection()).unwrap();
    let mut marks = Vec::new();
    capture
        .list(Kind::Sessions, Query::default(), &mut |row| {
            if let Row::Session(row) = row {
                let named = row.exchanges.iter().chain(&row.sockets);
                let has_gone = named
                    .clone()
                    .any(|id| !again.exchanges.iter().any(|(_, rows)| rows.iter().any(|row| row.id == *id)));
                assert_eq!(row.dropped, has_gone, "{row:?}");
                marks.push(row.dropped);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert!(marks.contains(&true), "what lasted from before the first segment on");
    assert!(again.exchanges.iter().all(|(segment, _)| *segment >= first));
}

/// Runs this test binary again as a recorder of its own, to be killed or to be short of disk.
fn child(mode: &str, captures: &Path, shell_prefix: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{shell_prefix} exec \"$0\" --exact recording::child_recorder --nocapture")])
        .arg(exe)
        .env("FIRSTFRAME_TEST_CHILD", mode)
        .env("FIRSTFRAME_TEST_CAPTURES", captures)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what [`child`] runs.
#[test]
fn child_recorder() {
    let Ok(mode) = std::env::var("FIRSTFRAME_TEST_CHILD") else { return };
    let captures = PathBuf::from(std::env::var_os("FIRSTFRAME_TEST_CAPTURES").unwrap());
    match mode.as_str() {
        "endless" => {
            let (tap, recorder, _) = begin(&captures, options());
            let index = recorder.index();
            loop {
                load(&tap, 4);
                // Who reads all of it again is to come to an end, however seldom the indexer has a processor.
                until("the indexer is not far behind", || index.status().lag_bytes < 1 << 20);
            }
        }
        "continue" | "stop" => {
            let mut options = options();
            options.segments.segment_bytes = 1 << 30;
            if mode == "stop" {
                options.on_record_error = OnRecordError::Stop;
            }
            let (tap, recorder, _) = begin(&captures, options);
            let index = recorder.index();
            until("recording fails", || {
                load(&tap, 4);
                !index.status().complete
            });
            let failed = recorder.failed();
            until("the policy is followed", || failed.is_stopped() == (mode == "stop"));
            let before = index.status().queue;
            load(&tap, 4);
            let after = index.status().queue;
            assert!(after.discarded_bytes > before.discarded_bytes, "traffic goes on, and is counted");
            let summary = recorder.stop().unwrap();
            fs::write(captures.join("summary.json"), serde_json::to_vec(&summary).unwrap()).unwrap();
        }
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        "idle" => {
            let (tap, recorder, _) = begin(&captures, options());
            load(&tap, 2);
            let index = recorder.index();
            until("all is indexed", || index.status().lag_bytes == 0 && index.status().totals.connections == 4);
            until("all threads sleep without a timeout", || sleeping_threads() == ["flusher", "indexer", "writer"]);
            assert_eq!((niceness("indexer"), niceness("writer")), (5, 0), "only the indexer gives way to the traffic");
            recorder.stop().unwrap();
        }
        other => panic!("{other}"),
    }
}

/// The recorder's threads that wait in `futex` (202) without a timeout (its fourth argument).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn sleeping_threads() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| {
            let task = task.unwrap().path();
            let call = fs::read_to_string(task.join("syscall")).ok()?;
            let words: Vec<_> = call.split_whitespace().collect();
            let sleeps = words.first() == Some(&"202") && words.get(4) == Some(&"0x0");
            sleeps.then(|| fs::read_to_string(task.join("comm")).unwrap().trim().to_owned())
        })
        .filter(|name| matches!(name.as_str(), "writer" | "indexer" | "flusher"))
        .collect();
    names.sort();
    names
}

/// How nice our thread of that name is.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn niceness(name: &str) -> i32 {
    let stats = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("stat"));
    let stats = stats.map(|stat| fs::read_to_string(stat).unwrap());
    let stat = stats.into_iter().find(|stat| stat.contains(&format!("({name})"))).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn an_idle_recorder_sleeps_without_a_timeout() {
    let captures = tempfile::tempdir().unwrap();
    assert!(child("idle", captures.path(), "").wait().unwrap().success());
}

#[test]
fn a_killed_recorder_leaves_rows_that_readers_and_reindex_agree_on() {
    let captures = tempfile::tempdir().unwrap();
    let mut recorder = child("endless", captures.path(), "");
    let path = captures.path().join("test");
    until("there are several segments", || {
        CaptureDir::open(&path).is_ok_and(|dir| dir.segments().unwrap().len() > 4)
            && tables::segments_with::<ExchangeRow>(&CaptureDir::open(&path).unwrap()).unwrap().len() > 2
    });
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let dir = CaptureDir::open(&path).unwrap();
    assert_eq!((dir.lock_state().unwrap(), &dir.meta().state), (LockState::Free, &State::Recording));

    let before = listing(&path);
    let snapshot = record::index_tail(&dir, &inspection()).unwrap();
    assert_eq!(listing(&path), before, "readers write nothing");
    assert!(!snapshot.tables.is_empty());
    let mut read: Vec<ExchangeRow> = Vec::new();
    for segment in &snapshot.tables {
        read.extend(tables::read_exchanges(&dir, *segment).unwrap());
    }
    for rows in &snapshot.recent {
        let mut each = |row| {
            read.push(row);
            ControlFlow::Continue(())
        };
        rows.exchanges.each(&mut each).unwrap();
    }
    read.sort_by_key(|row| row.id);

    let report = reindex(&dir);
    let mut again: Vec<ExchangeRow> = table(&dir).into_iter().flat_map(|(_, rows)| rows).collect();
    again.sort_by_key(|row| row.id);
    assert_eq!(again.len() as u64, report.totals.exchanges);
    assert!(again == read, "{} rows against {}", again.len(), read.len());
    assert!(record::index_tail(&dir, &inspection()).unwrap().recent.is_empty(), "now all have tables");

    let dir = CaptureDir::open(&path).unwrap();
    let State::Incomplete { from_ns: Some(from_ns), why } = dir.meta().state.clone() else {
        panic!("it is known what became of it: {:?}", dir.meta().state)
    };
    assert!(from_ns > Timestamp(0) && why.contains("killed"), "{from_ns:?} {why}");
    let ends = again.iter().filter_map(|row| row.response_last_byte_ns);
    assert!(ends.max().unwrap() <= from_ns, "it is complete as far as the records reach");
    reindex(&dir);
    assert_eq!(CaptureDir::open(&path).unwrap().meta(), dir.meta(), "once more changes nothing");
}

/// Where even that cannot be noted.
#[test]
fn a_failed_recording_ends_with_its_summary_and_its_failure() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, dir) = begin(captures.path(), options());
    let index = recorder.index();
    load(&tap, 1);
    until("it is indexed", || index.status().lag_bytes == 0 && index.status().totals.exchanges > 0);
    fs::rename(dir.path(), captures.path().join("moved")).unwrap();
    fs::write(dir.path(), "no folder").unwrap();
    until("recording fails", || {
        load(&tap, 2);
        !index.status().complete
    });
    let summary = recorder.stop().unwrap();
    assert!(!summary.complete && summary.failure.is_some() && summary.totals.exchanges > 0);
}

#[test]
fn a_capture_that_may_hardly_hold_anything_holds_its_end() {
    let captures = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.retention.max_bytes = 1 << 20;
    let (tap, recorder, dir) = begin(captures.path(), options);
    let index = recorder.index();
    until("the first is gone", || {
        load(&tap, 2);
        until("all is indexed", || index.status().lag_bytes == 0);
        dir.segments().unwrap()[0] > 1
    });
    let last = index.status().totals.exchanges;
    recorder.stop().unwrap();
    let kept: Vec<ExchangeRow> = table(&dir).into_iter().flat_map(|(_, rows)| rows).collect();
    assert!(kept.len() > 20 && kept.iter().any(|row| row.id.0 == last), "{} of {last}", kept.len());
}

#[test]
fn a_full_disk_leaves_traffic_alone_and_the_capture_says_from_where() {
    for mode in ["continue", "stop"] {
        let captures = tempfile::tempdir().unwrap();
        // In blocks of 512 bytes; the tables and the catalogue stay below.
        let status = child(mode, captures.path(), "trap '' XFSZ; ulimit -f 4096;").wait().unwrap();
        assert!(status.success(), "{mode}");
        let summary: Summary =
            serde_json::from_slice(&fs::read(captures.path().join("summary.json")).unwrap()).unwrap();
        let failure = summary.failure.unwrap();
        assert!(!summary.complete && failure.why.contains("000002.seg"), "{}", failure.why);
        let dir = CaptureDir::open(&captures.path().join("test")).unwrap();
        let from_ns = Some(failure.complete_until_ns);
        assert_eq!(dir.meta().state, State::Incomplete { from_ns, why: failure.why });

        let recorded: u64 = bytes_on_disk(&dir).values().map(|sums| sums[0]).sum();
        assert_eq!(recorded, summary.totals.bytes_from_client + summary.totals.bytes_from_server);
        assert_eq!(recorded + summary.unrecorded_bytes, summary.queue.offered_bytes, "nothing is lost silently");
        let mut reader = SegmentReader::open(&dir, Position::default()).unwrap();
        let mut newest = Timestamp(0);
        while let Some((_, event)) = reader.next().unwrap() {
            if let Fact::Data(chunk) = event.fact {
                newest = newest.max(chunk.read);
            }
        }
        assert!(newest <= failure.complete_until_ns, "what it calls complete reaches as far as the records");
    }
}

#[test]
fn a_capture_that_is_deleted_while_it_is_recorded_is_noticed_before_its_segment_ends() {
    for on_record_error in [OnRecordError::Continue, OnRecordError::Stop] {
        let captures = tempfile::tempdir().unwrap();
        let (tap, recorder, dir) = begin(captures.path(), Options { on_record_error, ..Options::default() });
        let index = recorder.index();
        let mut talk = Talk::open(&tap);
        talk.exchange(1, "/before", "{}", 200);
        until("it is on disk", || index.status().totals.exchanges == 1);
        fs::remove_dir_all(dir.path()).unwrap();
        until("it is noticed", || {
            talk.exchange(1, "/after", "{}", 200);
            index.status().failure.is_some()
        });
        let failure = index.status().failure.unwrap();
        assert!(failure.why.contains("is gone"), "{}", failure.why);
        assert_eq!(failure.complete_until_ns, Timestamp(0), "nothing of it is there");
        assert!(!index.status().complete);
        assert_eq!(recorder.failed().is_stopped(), on_record_error == OnRecordError::Stop);
        talk.close();
        assert!(!recorder.stop().unwrap().complete);
    }
}

fn listing(path: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => pending.push(entry.path()),
                false => files.push((entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    files.sort();
    files
}

/// Waits for a condition, a minute at most.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("in a minute it did not come to this: {what}");
}

/// One request on a capture's socket: status line and body.
fn ask(dir: &CaptureDir, uri: &str) -> (u16, Vec<u8>) {
    let mut socket = record::socket::connect(&dir.socket_path()).unwrap();
    write!(socket, "GET {uri} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}

fn lines(body: &[u8]) -> Vec<serde_json::Value> {
    body.split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_answers_several_readers_while_recording() {
    let captures = tempfile::tempdir().unwrap();
    // Longer than a socket's address may be.
    let deep = captures.path().join("long".repeat(40));
    let (tap, recorder, dir) = begin(&deep, options());
    let server = api::Server::start(&dir, recorder.index(), inspect::Options::default()).unwrap();
    let (reading, lists) = (AtomicUsize::new(2), AtomicUsize::new(0));
    let (tap, reading, lists, dir) = (&tap, &reading, &lists, &dir);
    thread::scope(|scope| {
        scope.spawn(move || {
            while reading.load(SeqCst) > 0 {
                let before = lists.load(SeqCst);
                load(tap, 1);
                until("someone read", || lists.load(SeqCst) > before || reading.load(SeqCst) == 0);
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                let mut counts = vec![0];
                until("the list grew five times", || {
                    let (status, body) = ask(dir, "/ls/exchanges");
                    assert_eq!(status, 200);
                    // Tables, recent and open rows together hold each row once, in order, without holes.
                    let ids: Vec<_> = lines(&body).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
                    let expected: Vec<_> = (1..=ids.len()).map(|n| format!("x{n}")).collect();
                    assert_eq!(ids, expected);
                    lists.fetch_add(1, SeqCst);
                    counts.push(ids.len());
                    counts.dedup();
                    counts.len() > 5
                });
                assert!(counts.is_sorted(), "rows are never taken back");
                reading.fetch_sub(1, SeqCst);
            });
        }
    });

    let (status, body) = ask(dir, "/show/x1");
    assert_eq!((status, &lines(&body)[0]["id"]), (200, &"x1".into()));
    let (status, request) = ask(dir, "/raw/x1?part=request");
    assert_eq!(status, 200);
    assert!(request.starts_with(b"GET /socket") || request.starts_with(b"POST /api/"), "{request:?}");
    let (_, status_line) = ask(dir, "/status");
    assert_eq!(lines(&status_line)[0]["capture"], "test");
    assert_eq!(lines(&status_line)[0]["complete"], true);
    assert!(!lines(&ask(dir, "/routes").1).is_empty());
    let refused = lines(&ask(dir, "/ls/exchanges?filter=status%3E%3D400").1);
    assert!(!refused.is_empty() && refused.iter().all(|row| row["status"] == 400));
    for (uri, expected) in [
        ("/show/x999999", 404),
        ("/show/nothing", 400),
        ("/ls/everything", 400),
        ("/ls/flags?colour=red", 400),
        ("/ls/flags?filter=%3D%3D", 400),
        ("/live", 426),
        ("/elsewhere", 404),
    ] {
        let (status, body) = ask(dir, uri);
        assert_eq!(status, expected, "{uri}");
        assert!(lines(&body)[0]["error"].is_string());
    }
    recorder.stop().unwrap();
    server.stop().await;
    assert!(!dir.socket_path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_rows_as_they_become_final_and_the_end() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, dir) = begin(captures.path(), options());
    let server = api::Server::start(&dir, recorder.index(), inspect::Options::default()).unwrap();
    let stream = record::socket::connect(&dir.socket_path()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let uri = "ws://capture/live?kinds=exchanges,flags,status&filter=not%20status%3D200";
    let (mut socket, _) = tokio_tungstenite::client_async(uri, stream).await.unwrap();

    let mut talk = Talk::open(&tap);
    talk.exchange(1, "/fine", "{}", 200);
    talk.exchange(1, "/refused", "{\"a\": 1,}", 400);
    let mut seen = Vec::new();
    let mut status = false;
    while seen.len() < 2 || !status {
        let message = tokio::time::timeout(Duration::from_secs(60), socket.next()).await.unwrap().unwrap().unwrap();
        let row: serde_json::Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        match row["event"].as_str() {
            Some("status") => status = true,
            Some(other) => panic!("{other}"),
            None => seen.push(row),
        }
    }
    assert_eq!((&seen[0]["rule"], &seen[0]["subject"]), (&"malformed-json".into(), &"x2".into()));
    assert_eq!((&seen[1]["id"], &seen[1]["flags"][0]), (&"x2".into(), &"malformed-json".into()));
    talk.close();
    tokio::task::spawn_blocking(move || recorder.stop().unwrap()).await.unwrap();
    let end = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                return;
            }
        }
        panic!("it ended without a Close");
    };
    tokio::time::timeout(Duration::from_secs(60), end).await.unwrap();
    server.stop().await;
}

#[test]
fn a_recorder_that_nobody_uses_is_not_behind() {
    let captures = tempfile::tempdir().unwrap();
    let (tap, recorder, _) = begin(captures.path(), options());
    let index = recorder.index();
    until("the first segment's header is read", || index.status().lag_bytes == 0);
    assert_eq!(index.status().lag_ns, 0);
    drop(tap);
    recorder.stop().unwrap();
}
