//! Captured sessions again: the same bytes, what the server issues carried on, and what changes do.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{
    client,
    origin::{Behaviour, Origin},
    product::{Product, describe},
};

mod compressed;
mod messages;
mod proposed;

/// An API with a runtime of its own, and the product that trusts it.
struct Place {
    _runtime: Runtime,
    origin: Origin,
    product: Product,
}

impl Place {
    fn new(behaviour: Behaviour) -> Self {
        let runtime = Runtime::new().unwrap();
        let origin = runtime.block_on(Origin::start(0, behaviour)).unwrap();
        let product = Product::new(Some(&origin.ca_pem));
        Self { _runtime: runtime, origin, product }
    }

    fn connect_to(&self) -> String {
        format!("api.test:443:{}", self.origin.address)
    }

    /// Records what `clients` do, as the capture `name`.
    fn record(&self, name: &str, clients: impl FnOnce(SocketAddr, &str)) {
        let recording = self.product.record(&["--name", name, "--connect-to", &self.connect_to()]);
        let ca = std::fs::read_to_string(self.product.ca()).unwrap();
        clients(recording.address, &ca);
        recording.stop();
    }

    fn replay(&self, arguments: &[&str]) -> Value {
        let mut lines = self.product.json("replay", arguments);
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    /// What reached the API: method, target, body, status.
    fn seen(&self) -> Vec<(String, String, String, u16)> {
        let log = self.origin.log.lock().unwrap();
        log.requests
            .iter()
            .map(|seen| (seen.method.clone(), seen.target.clone(), seen.body.clone(), seen.status))
            .collect()
    }
}

fn post(path: &str, thread: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: {thread}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Opens a channel's socket.
fn open(proxy: SocketAddr, ca: &str, channel: &str, thread: &str) -> client::Tls {
    let mut socket = client::connect_tls(proxy, "api.test:443", ca);
    let upgrade = format!(
        "GET /channels/{channel} HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: {thread}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).unwrap();
    assert!(client::read_head(&mut socket).starts_with("HTTP/1.1 101"));
    socket
}

/// A short frame of the server's: its first byte and its payload.
fn read_frame(socket: &mut client::Tls) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    socket.read_exact(&mut header).unwrap();
    let mut payload = vec![0; usize::from(header[1])];
    socket.read_exact(&mut payload).unwrap();
    (header[0], payload)
}

/// One virtual user: creates a channel, opens its socket, sends a frame and its metadata at once, reads all, closes.
fn user(proxy: SocketAddr, ca: &str, thread: &str) -> u16 {
    let mut http = client::connect_tls(proxy, "api.test:443", ca);
    http.write_all(post("/api/v2/notifications/channels", thread, "{}").as_bytes()).unwrap();
    let (_, body) = client::read_response(&mut http);
    let channel = serde_json::from_slice::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();

    let mut socket = open(proxy, ca, &channel, thread);

    let metadata = format!(r#"{{"sessionId":"{channel}","metadata":[]}}"#);
    http.write_all(post("/api/v2/recordings/screen", thread, &metadata).as_bytes()).unwrap();
    let (head, _) = client::read_response(&mut http);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();

    // Two fragments, masked with a key of ones.
    let message = format!(r#"{{"hello":"{channel}"}}"#);
    let (first, second) = message.split_at(5);
    for (opcode, part) in [(0x01_u8, first), (0x80, second)] {
        let mut frame = vec![opcode, 0x80 | part.len() as u8, 1, 1, 1, 1];
        frame.extend(part.bytes().map(|b| b ^ 1));
        socket.write_all(&frame).unwrap();
    }
    let (first, reply) = read_frame(&mut socket);
    assert_eq!(first, 0x81);
    assert!(String::from_utf8(reply).unwrap().contains(&message));
    socket.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    status
}

#[test]
fn a_replay_sends_the_same_bytes_in_the_same_order() {
    let place = Place::new(Behaviour::default());
    place.record("first", |proxy, ca| {
        assert_eq!(user(proxy, ca, "u1"), 200);
        assert_eq!(user(proxy, ca, "u2"), 200);
        // A head that no client library sends, and bytes behind a body.
        let mut odd = client::connect_tls(proxy, "api.test:443", ca);
        odd.write_all(b"POST /api/v2/odd HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: u3\r\nX  Odd:: v\r\n: noname\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = odd.read_to_end(&mut answer);
        assert!(!answer.is_empty());
    });
    let before = place.seen();
    let replayed = place.replay(&["-c", "first", "--name", "second"]);
    assert_eq!(replayed["comparison"]["differences"], serde_json::json!([]), "{replayed:#}");
    assert_eq!(replayed["troubles"], serde_json::json!({}), "{replayed:#}");
    assert_eq!((&replayed["sessions"], &replayed["requests"], &replayed["sent"]), (&3.into(), &7.into(), &7.into()));
    assert_eq!(replayed["comparison"]["identical"], 7);
    assert_eq!(replayed["comparison"]["frames"], 6);

    // The API saw the same, but for the ids that it issued anew.
    let after = place.seen().split_off(before.len());
    assert_eq!(after.len(), before.len());
    let known = |all: &[(String, String, String, u16)]| {
        let text = format!("{all:?}");
        let mut ids: Vec<&str> = text.match_indices("channel-").filter_map(|(at, _)| text.get(at..at + 16)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(known(&before), ["channel-00000001", "channel-00000002"]);
    assert_eq!(known(&after), ["channel-00000003", "channel-00000004"]);
    assert!(after.iter().filter(|(_, target, ..)| target.contains("recordings")).all(|(.., status)| *status == 200));

    // Each fragment as it was; a fresh key.
    let raw = |capture: &str| {
        let sockets = place.product.json("ls", &["exchanges", "-c", capture, "--filter", "status=101"]);
        assert_eq!(sockets.len(), 2);
        place.product.output("show", &[sockets[0]["id"].as_str().unwrap(), "-c", capture, "--raw", "request"])
    };
    let key = |text: &str| text.lines().find(|line| line.starts_with("Sec-WebSocket-Key")).unwrap().to_owned();
    assert_ne!(key(&raw("first")), key(&raw("second")));
    let fragments = |capture: &str| {
        let mut frames = place.product.json("ls", &["frames", "-c", capture, "--filter", "from=client"]);
        // One user's come in order; what they do at the same time does not.
        frames.sort_by_key(|frame| frame["exchange"].to_string());
        frames
            .iter()
            .map(|frame| (frame["opcode"].clone(), frame["fin"].clone(), frame["bytes"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(fragments("first").len(), 6);
    assert_eq!(fragments("first"), fragments("second"));

    let compared = place.product.command("compare").args(["first", "second"]).output().unwrap();
    assert_eq!(compared.status.code(), Some(0), "{}", describe(&compared));
    let text = String::from_utf8(compared.stdout).unwrap();
    assert!(text.starts_with("first and second do not differ: 7 requests and 6 frames of 3 sessions"), "{text}");
}

/// A capture of users who send their metadata at once to an API that registers a socket later than it opens it.
fn early(users: usize) -> Place {
    let place = Place::new(Behaviour { registered_after: Duration::from_millis(120), ..Behaviour::default() });
    place.record("early", |proxy, ca| {
        std::thread::scope(|scope| {
            for nth in 0..users {
                scope.spawn(move || assert_eq!(user(proxy, ca, &format!("u{nth}")), 400));
            }
        });
    });
    place
}

#[test]
fn holding_metadata_removes_the_refusals() {
    let place = early(4);
    let again = place.replay(&["-c", "early"]);
    assert_eq!((&again["refused"], &again["refused_before"]), (&4.into(), &4.into()), "{again:#}");
    let held = place.replay(&["-c", "early", "--hold", "metadata:400ms", "--name", "held"]);
    assert_eq!((&held["refused"], &held["sent"]), (&0.into(), &12.into()), "{held:#}");
    let differences = held["comparison"]["differences"].as_array().unwrap();
    let statuses = differences.iter().filter(|one| one["kind"] == "status").count();
    assert_eq!(statuses, 4, "{held:#}");
    assert!(differences.iter().all(|one| one["kind"] != "bytes"), "what is sent is the same: {held:#}");
    let compared = place.product.command("compare").args(["early", "held", "--json"]).output().unwrap();
    assert_eq!(compared.status.code(), Some(3), "{}", describe(&compared));
}

/// The API says when a socket is ready, and the clients do not wait for it.
#[test]
fn waiting_for_the_gate_removes_the_refusals() {
    let behaviour =
        Behaviour { registered_after: Duration::from_millis(150), says_ready: true, ..Behaviour::default() };
    let place = Place::new(behaviour);
    let profile = place.product.folder.path().join("gated.toml");
    let gate = "name = \"gated\"\nsummary = \"a test\"\n[gate]\nkind = \"frame\"\nframe = [{ pointer = \"/type\", equals = \"ready\" }]\n";
    std::fs::write(&profile, gate).unwrap();
    let recording = place.product.record(&[
        "--name",
        "early",
        "--profile",
        profile.to_str().unwrap(),
        "--connect-to",
        &place.connect_to(),
    ]);
    let ca = std::fs::read_to_string(place.product.ca()).unwrap();
    std::thread::scope(|scope| {
        for nth in 0..3 {
            let (proxy, ca) = (recording.address, &ca);
            scope.spawn(move || {
                let thread = format!("u{nth}");
                let mut http = client::connect_tls(proxy, "api.test:443", ca);
                http.write_all(post("/api/v2/notifications/channels", &thread, "{}").as_bytes()).unwrap();
                let (_, body) = client::read_response(&mut http);
                let channel = serde_json::from_slice::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
                let mut socket = open(proxy, ca, &channel, &thread);
                let metadata = format!(r#"{{"sessionId":"{channel}","metadata":[]}}"#);
                assert_eq!(ask(&mut http, &post("/api/v2/recordings/screen", &thread, &metadata)), 400);
                assert_eq!(read_frame(&mut socket), (0x81, br#"{"type":"ready"}"#.to_vec()));
                socket.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
                let _ = socket.read_to_end(&mut Vec::new());
            });
        }
    });
    recording.stop();
    let again = place.replay(&["-c", "early"]);
    assert_eq!((&again["refused"], &again["refused_before"]), (&3.into(), &3.into()), "{again:#}");
    let waited = place.replay(&["-c", "early", "--wait-for", "ready", "--name", "waited"]);
    assert_eq!((&waited["refused"], &waited["sent"]), (&0.into(), &9.into()), "{waited:#}");
    assert_eq!(waited["troubles"], serde_json::json!({}), "{waited:#}");
    // As the API saw it: each was sent behind its socket's frame.
    let requests = place.product.json("ls", &["exchanges", "-c", "waited", "--filter", "path~recordings"]);
    let frames = place.product.json("ls", &["frames", "-c", "waited", "--filter", "from=server opcode=1"]);
    let ready: Vec<u64> = frames.iter().map(|frame| frame["arrived_ns"].as_u64().unwrap()).collect();
    assert_eq!((requests.len(), ready.len()), (3, 3), "{frames:#?}");
    let first = ready.iter().min().unwrap();
    assert!(requests.iter().all(|request| request["request_first_byte_ns"].as_u64().unwrap() > *first));
}

#[test]
fn an_experiment_makes_correlation_cause() {
    let place = early(3);
    let arms = ["hold=metadata:0ms", "hold=metadata:400ms"];
    let arguments = ["-c", "early", "--rounds", "3", "--pause", "0s", "--seed", "1", "--arms", arms[0], arms[1]];
    let found = place.product.json("experiment", &arguments).remove(0);
    let arm = |at: usize| {
        let arm = &found["arms"][at];
        assert_eq!(arm["arm"], arms[at]);
        (arm["refused"].as_u64().unwrap(), arm["sent"].as_u64().unwrap())
    };
    assert_eq!((arm(0), arm(1)), ((9, 9), (0, 9)), "{found:#}");
    let contrast = &found["comparisons"][0];
    assert_eq!((&contrast["result"], &contrast["difference"]), (&"removes".into(), &(-1.0).into()), "{found:#}");
    assert!(contrast["p"].as_f64().unwrap() < 0.001 && contrast["high"].as_f64().unwrap() < -0.5, "{found:#}");
    assert!(
        found["answer"].as_str().unwrap().starts_with("hold=metadata:400ms removes the refusals: 0 of 9"),
        "{found:#}"
    );
    assert_eq!(found["order"].as_array().unwrap().len(), 3);
}

#[test]
fn copies_have_ids_and_keys_of_their_own() {
    let place = Place::new(Behaviour::default());
    place.record("one", |proxy, ca| assert_eq!(user(proxy, ca, "u1"), 200));
    let before = place.seen().len();
    let replayed = place.replay(&["-c", "one", "--copies", "5", "--name", "five"]);
    assert_eq!((&replayed["sessions"], &replayed["refused"]), (&5.into(), &0.into()), "{replayed:#}");
    assert_eq!(replayed["comparison"]["differences"], serde_json::json!([]), "{replayed:#}");
    assert_eq!(place.seen().len() - before, 15);
    let sessions = place.product.json("ls", &["sessions", "-c", "five"]);
    assert_eq!(sessions.len(), 5, "each copy is a user of its own: {sessions:#?}");
    let log = place.origin.log.lock().unwrap();
    let keys: std::collections::BTreeSet<&str> = log
        .requests
        .iter()
        .flat_map(|seen| &seen.headers)
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(keys.len(), 6);
}

#[test]
fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let place = early(1);
    let refused = |arguments: &[&str]| {
        let output = place.product.command("replay").args(["-c", "early"]).args(arguments).output().unwrap();
        assert!(output.stdout.is_empty(), "{}", describe(&output));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--session", "s9"], 1, "early has no session s9: there is only s1"),
        (&["--session", "x1"], 2, "--session: \"x1\" is not the id of a session"),
        (&["--hold", "150ms"], 2, "--hold \"150ms\": expected metadata:DURATION"),
        (&["--filter", "statos=1"], 2, "statos"),
        (&["--to", "ftp://h"], 2, "--to \"ftp://h\": scheme \"ftp\" is not known"),
        (&["--unique-token", "none.csv"], 2, "--unique-token none.csv"),
        (
            &["--to", "192.0.2.1:443", "--copies", "2"],
            2,
            "192.0.2.1 is not loopback, and 2 copies is more load than was captured: it needs --i-may-load-this-host 192.0.2.1",
        ),
        (&["--i-may-load-this-host", "other.test"], 2, "the replay does not go there"),
    ];
    for (arguments, code, message) in cases {
        let (found, text) = refused(arguments);
        assert!(found == code && text.contains(message), "{arguments:?}: {found}: {text}");
    }
    let before = place.seen().len();
    let schedule =
        place.product.json("replay", &["-c", "early", "--dry-run", "--hold", "metadata:150ms", "--copies", "2"]);
    assert_eq!(place.seen().len(), before, "a dry run sends nothing");
    let metadata = schedule.iter().find(|step| step["metadata"] == true).expect("the metadata's step");
    assert!(metadata["waits"].as_array().unwrap().contains(&"x2 open for 150ms".into()), "{metadata:#}");
    assert!(metadata["waits"].as_array().unwrap().contains(&"a value that x1 issues".into()), "{metadata:#}");
    assert_eq!(schedule.iter().filter(|step| step["kind"] == "request").count(), 6);
}

#[test]
fn what_retention_dropped_is_named() {
    let place = Place::new(Behaviour::default());
    let limits = ["--set", "record.segment=64KiB", "--max-bytes", "1MiB"];
    let connect_to = place.connect_to();
    let recording =
        place.product.record(&[&["--name", "kept", "--connect-to", connect_to.as_str()], &limits[..]].concat());
    let ca = std::fs::read_to_string(place.product.ca()).unwrap();
    let mut http = client::connect_tls(recording.address, "api.test:443", &ca);
    for _ in 0..60 {
        http.write_all(post("/api/v2/large", "u1", &"x".repeat(40_000)).as_bytes()).unwrap();
        client::read_response(&mut http);
    }
    drop(http);
    recording.stop();
    let output = place.product.command("replay").args(["-c", "kept"]).output().unwrap();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(text.contains("s1 cannot be replayed: "), "{text}");
    assert!(text.contains("not in the capture any more") || text.contains("dropped by retention"), "{text}");
    assert!(text.contains("record.max_bytes"), "{text}");
}

/// Sends bytes and reads one answer.
fn ask(stream: &mut (impl std::io::Read + std::io::Write), bytes: &str) -> u16 {
    stream.write_all(bytes.as_bytes()).unwrap();
    let (head, _) = client::read_response(stream);
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn plain_and_reverse_connections_are_replayed_as_they_were() {
    let place = Place::new(Behaviour { plain: true, ..Behaviour::default() });
    let origin = place.origin.address;
    let reverse = format!("reverse:http://{origin}");
    for (name, mode, target) in [
        ("plain", "forward", format!("http://{origin}/api/v2/scripts/7")),
        ("reversed", &reverse, "/api/v2/scripts/7".to_owned()),
    ] {
        let recording = place.product.record(&["--name", name, "--mode", mode]);
        let mut http = client::dial(recording.address);
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {origin}\r\nX-JM-Thread: u1\r\nPROXY-connection: keep-alive\r\n\r\n"
        );
        assert_eq!(ask(&mut http, &request), 200);
        assert_eq!(ask(&mut http, &request), 200);
        drop(http);
        recording.stop();
        let before = place.seen().len();
        let replayed = place.replay(&["-c", name]);
        assert_eq!(replayed["comparison"]["differences"], serde_json::json!([]), "{name}: {replayed:#}");
        assert_eq!((&replayed["sent"], &replayed["refused"]), (&2.into(), &0.into()), "{name}: {replayed:#}");
        assert_eq!(place.seen().len() - before, 2);
    }
}

#[test]
fn requests_that_are_nobodys_are_replayed_too() {
    let place = Place::new(Behaviour { plain: true, ..Behaviour::default() });
    let origin = place.origin.address;
    let recording = place.product.record(&["--name", "nobody"]);
    // Two at once, and nothing that tells whose they are.
    let mut connections = [(); 2].map(|()| client::dial(recording.address));
    for round in 0..2 {
        for (at, http) in connections.iter_mut().enumerate() {
            let target = format!("http://{origin}/api/v2/scripts/{at}{round}");
            http.write_all(format!("GET {target} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes()).unwrap();
        }
        connections.iter_mut().for_each(|http| assert!(client::read_response(http).0.starts_with("HTTP/1.1 200")));
    }
    drop(connections);
    recording.stop();
    let rows = place.product.json("ls", &["exchanges", "-c", "nobody"]);
    assert!(rows.iter().any(|row| row["session"].is_null()), "{rows:#?}");
    let replayed = place.replay(&["-c", "nobody", "--name", "again"]);
    assert_eq!((&replayed["sent"], &replayed["comparison"]["identical"]), (&4.into(), &4.into()), "{replayed:#}");
    assert_eq!(replayed["comparison"]["differences"], serde_json::json!([]), "{replayed:#}");
    let compared = place.product.json("compare", &["nobody", "again"]).remove(0);
    assert_eq!((&compared["requests"], &compared["empty"]), (&4.into(), &true.into()), "{compared:#}");
}

#[test]
fn another_server_takes_the_place_of_the_captured_one() {
    let place = Place::new(Behaviour::default());
    place.record("first", |proxy, ca| assert_eq!(user(proxy, ca, "u1"), 200));
    let to = place.origin.address.to_string();
    let replayed = place.replay(&["-c", "first", "--to", &to]);
    assert_eq!(replayed["comparison"]["differences"], serde_json::json!([]), "{replayed:#}");
    assert_eq!((&replayed["refused"], &replayed["comparison"]["identical"]), (&0.into(), &3.into()), "{replayed:#}");
    let log = place.origin.log.lock().unwrap();
    let hosts: Vec<&str> = log
        .requests
        .iter()
        .flat_map(|seen| &seen.headers)
        .filter(|(name, _)| name == "host")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(hosts, ["api.test", "api.test", "api.test", &to, &to, &to]);
}

#[test]
fn what_is_refused_is_tried_again() {
    let place = early(2);
    let changes = ["--retry", "5:60ms", "--max-inflight", "1", "--ramp", "0s", "--speed", "2x"];
    let replayed = place.replay(&[&["-c", "early", "--name", "retried"], &changes[..]].concat());
    assert_eq!((&replayed["refused"], &replayed["refused_before"]), (&0.into(), &2.into()), "{replayed:#}");
    assert_eq!(replayed["changes"], "ramp=0ms,max-inflight=1,retry=5:60ms,speed=2x");
    let more = replayed["comparison"]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["kind"] == "only-in-b")
        .count();
    assert!(more >= 2, "{replayed:#}");
}

#[test]
fn metadata_that_came_before_its_socket_waits_for_it() {
    let place = Place::new(Behaviour::default());
    place.record("early", |proxy, ca| {
        let mut http = client::connect_tls(proxy, "api.test:443", ca);
        // Refused, and only then the client opens the socket: at replay that must not wait for the answer.
        assert_eq!(ask(&mut http, &post("/api/v2/recordings/screen", "u1", r#"{"sessionId":"channel-own"}"#)), 400);
        let mut socket = client::connect_tls(proxy, "api.test:443", ca);
        socket.write_all(b"GET /channels/channel-own HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: u1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").unwrap();
        assert!(client::read_head(&mut socket).starts_with("HTTP/1.1 101"));
        std::thread::sleep(Duration::from_millis(300));
    });
    let none =
        place.product.command("replay").args(["-c", "early", "--hold", "metadata:50ms", "--dry-run"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{}", describe(&none));
    assert!(
        String::from_utf8_lossy(&none.stderr).contains("hold: none of the sessions has metadata"),
        "{}",
        describe(&none)
    );
    let named = ["-c", "early", "--metadata", "path~recordings"];
    let again = place.replay(&named);
    assert_eq!(again["refused"], 1, "{again:#}");
    let held = place.replay(&[&named[..], &["--hold", "metadata:50ms"]].concat());
    assert_eq!((&held["refused"], &held["sent"]), (&0.into(), &2.into()), "{held:#}");
    let order = held["comparison"]["differences"].as_array().unwrap().iter().find(|one| one["kind"] == "order");
    assert_eq!(order.expect("they changed places")["a"], "x2", "{held:#}");
}

#[test]
fn heads_bodies_and_tokens_are_changed_as_asked() {
    let place = Place::new(Behaviour::default());
    place.record("first", |proxy, ca| {
        let mut http = client::connect_tls(proxy, "api.test:443", ca);
        let body = r#"{"a":1,}"#;
        let request = format!("POST /api/v2/odd HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer secret-0001\r\nX-Old: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(ask(&mut http, &request), 404);
        let head = "POST /api/v2/odd HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer secret-0001\r\nX-Old: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(ask(&mut http, &format!("{head}5\r\n{{\"b\":\r\n3;x=y\r\n1,}}\r\n0\r\n\r\n")), 404);
    });
    let tokens = place.product.folder.path().join("tokens.csv");
    std::fs::write(&tokens, "token\nfresh-token-1\nfresh-token-2\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    let changes = [
        "--set-header",
        "X-New: yes",
        "--drop-header",
        "x-old",
        "--fix-json",
        "--unique-token",
        tokens,
        "--copies",
        "2",
    ];
    let mut arguments = vec!["-c", "first", "--name", "changed"];
    arguments.extend(changes);
    let replayed = place.replay(&arguments);
    assert_eq!(replayed["sent"], 4, "{replayed:#}");
    let said = replayed.to_string();
    assert!(!said.contains("secret-0001") && !said.contains("fresh-token"), "{said}");
    let log = place.origin.log.lock().unwrap();
    let mut seen: Vec<(String, String)> = log.requests[2..]
        .iter()
        .map(|seen| {
            let value = |name: &str| seen.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
            assert_eq!((value("x-new").as_deref(), value("x-old")), (Some("yes"), None));
            (value("authorization").unwrap(), seen.body.clone())
        })
        .collect();
    seen.sort();
    let fixed = |token: &str, body: &str| (format!("Bearer fresh-token-{token}"), body.to_owned());
    let (plain, chunked) = (r#"{"a":1}"#, r#"{"b":1}"#);
    assert_eq!(seen, [fixed("1", plain), fixed("1", chunked), fixed("2", plain), fixed("2", chunked)]);
}

#[test]
fn two_recordings_of_the_same_users_do_not_differ() {
    let place = Place::new(Behaviour::default());
    for name in ["monday", "tuesday"] {
        place.record(name, |proxy, ca| {
            assert_eq!(user(proxy, ca, "u1"), 200);
            assert_eq!(user(proxy, ca, "u2"), 200);
        });
    }
    place.record("wednesday", |proxy, ca| assert_eq!(user(proxy, ca, "u1"), 200));
    let compare = |b: &str| {
        let output = place.product.command("compare").args(["monday", b, "--json"]).output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (code, same) = compare("tuesday");
    assert_eq!((code, &same["empty"], &same["requests"]), (Some(0), &true.into(), &6.into()), "{same:#}");
    let (code, other) = compare("wednesday");
    let missing = other["differences"].as_array().unwrap().iter().filter(|one| one["kind"] == "only-in-a").count();
    assert_eq!((code, missing), (Some(3), 3), "{other:#}");
}
