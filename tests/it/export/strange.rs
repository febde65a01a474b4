//! Traffic that no textbook has, and none at all: other people's programs read what we make of it all the same.

use std::process::Command;

use firstframe::{
    export::{FORMATS, Options},
    model::{
        Side,
        trace::{Closer, Dialed, Ending, Fact, Opened},
    },
};
use serde_json::Value;

use super::{Path, Script, capture, chromium, exported, foreign, fs};
use crate::support::tool;

/// A connection between IPv6 addresses, without TLS.
fn open(script: &mut Script<'_>, c: u64) {
    let at = script.wait(10_000);
    let client = format!("[2001:db8::5]:{}", 50_000 + c).parse().unwrap();
    let listener = "[::1]:8080".parse().unwrap();
    script.fact(c, Fact::Opened(Opened { at, mode: "forward".to_owned(), client, listener }));
    let (begin, end) = (script.wait(10), script.wait(900));
    let address = Some("[2001:db8::7]:80".parse().unwrap());
    let authority = "api.test:80".to_owned();
    script.fact(c, Fact::Dialed(Dialed { begin, end, authority, address, local: None, error: None }));
}

fn play(script: &mut Script<'_>) {
    open(script, 1);
    let ask = |line: &str, more: &str| format!("{line} HTTP/1.1\r\nHost: api.test\r\n{more}\r\n").into_bytes();
    // Answers whose length is of a body that does not come.
    script.say(1, Side::Client, &ask("HEAD /head", ""));
    script.say(1, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    script.say(1, Side::Client, &ask("GET /not-modified", "If-None-Match: \"e\"\r\n"));
    script.say(1, Side::Server, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\nETag: \"e\"\r\n\r\n");
    script.say(1, Side::Client, &ask("POST /expect", "Expect: 100-continue\r\nContent-Length: 2\r\n"));
    script.say(1, Side::Server, b"HTTP/1.1 100 Continue\r\n\r\n");
    script.say(1, Side::Client, b"{}");
    script.say(1, Side::Server, b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    // Two at once, both ways.
    script.say(1, Side::Client, &[ask("GET /pipelined/1", ""), ask("GET /pipelined/2", "")].concat());
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    script.say(1, Side::Server, &[&answer[..], answer].concat());
    // No UTF-8, in a head of many packets.
    let latin = [
        b"GET /caf\xe9?q=\xff HTTP/1.1\r\nHost: api.test\r\nX-Name: Andr\xe9\r\nX-Big: ",
        &[b'x'; 70_000][..],
        b"\r\n\r\n",
    ];
    script.say(1, Side::Client, &latin.concat());
    script.say(1, Side::Server, b"HTTP/1.1 200 D\xe9j\xe0 vu\r\nContent-Length: 3\r\n\r\n\xe9\x00\xff");
    // Broken off in its body.
    script.say(1, Side::Client, &[ask("POST /aborted", "Content-Length: 100\r\n"), b"{\"half".to_vec()].concat());
    script.close(1, Closer::Client, Ending::Rst);
    // Nothing at all, and nothing but bytes that are no HTTP.
    open(script, 2);
    script.close(2, Closer::Server, Ending::Fin);
    open(script, 3);
    script.say(3, Side::Client, b"\x00\x01\x02 what is this");
    script.close(3, Closer::Client, Ending::Fin);
}

/// What tshark shows; of a request whose body breaks off it waits for the rest.
const TARGETS: [&str; 6] =
    ["/head", "/not-modified", "/expect", "/pipelined/1", "/pipelined/2", "/caf\u{fffd}?q=\u{fffd}"];

/// Writes all formats beside one another.
fn write(folder: &Path, play: impl FnOnce(&mut Script<'_>)) {
    let capture = capture(folder, play);
    for format in FORMATS {
        fs::write(folder.join(format.id), exported(&capture, format.id, &Options::default()).0).unwrap();
    }
    let har: Value = serde_json::from_slice(&fs::read(folder.join("har")).unwrap()).unwrap();
    chromium::assert_valid(&har);
    let bash = Command::new("bash").arg("-n").arg(folder.join("curl")).status().unwrap();
    assert!(bash.success(), "bash takes the curl commands");
}

/// The rows that Python finds in each format.
fn counted(folder: &Path) -> String {
    let script = r#"
import csv, json, xml.etree.ElementTree as xml
har = json.load(open("har"))["log"]["entries"]
rows = [json.loads(line) for line in open("ndjson")]
table = list(csv.DictReader(open("csv", newline="")))
jtl = list(csv.DictReader(open("jtl", newline="")))
samplers = xml.parse("jmx").getroot().iter("HTTPSamplerProxy")
print(len(har), sum(str(r.get("id", "")).startswith("x") for r in rows), len(table), len(jtl), sum(1 for _ in samplers))
"#;
    let mut python = Command::new(tool("python/bin/python"));
    foreign::output(python.args(["-c", script]).current_dir(folder)).trim().to_owned()
}

#[test]
fn strange_traffic_is_read_by_all() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), play);
    let har: Value = serde_json::from_slice(&fs::read(folder.path().join("har")).unwrap()).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    let told: Vec<(&str, i64, i64)> = entries
        .iter()
        .map(|entry| {
            let response = &entry["response"];
            let size = response["content"]["size"].as_i64().unwrap();
            (entry["request"]["method"].as_str().unwrap(), response["status"].as_i64().unwrap(), size)
        })
        .collect();
    let expected = [
        ("HEAD", 200, 0),
        ("GET", 304, 0),
        ("POST", 204, 0),
        ("GET", 200, 2),
        ("GET", 200, 2),
        ("GET", 200, 3),
        ("POST", 0, -1),
    ];
    assert_eq!(told, expected);
    assert_eq!(entries[0]["serverIPAddress"], "2001:db8::7");
    assert_eq!(counted(folder.path()), "7 7 7 7 7");

    let file = folder.path().join("pcapng");
    let wrong = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status==0";
    assert_eq!(foreign::tshark(&file, &["-Y", wrong]), Vec::<String>::new());
    let fields =
        ["-T", "fields", "-E", "separator=|", "-e", "ipv6.src", "-e", "http.request.uri", "-e", "http.response.code"];
    let seen = foreign::tshark(&file, &[&["-Y", "http"], &fields[..]].concat());
    let list = |at: usize| -> Vec<String> {
        let all = seen.iter().filter_map(|line| line.split('|').nth(at));
        all.flat_map(|cell| cell.split(',')).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(list(2), ["200", "304", "100", "103", "204", "200", "200", "200"], "{seen:#?}");
    let targets = list(1);
    assert_eq!(targets.len(), TARGETS.len(), "{targets:?}");
    for (seen, target) in targets.iter().zip(TARGETS).filter(|(_, target)| target.is_ascii()) {
        assert_eq!(seen, target);
    }
    assert!(seen.iter().all(|line| line.starts_with("2001:db8::5|") || line.starts_with("2001:db8::7|")), "{seen:#?}");
}

#[test]
fn an_empty_capture_is_exported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), |_| {});
    assert_eq!(counted(folder.path()), "0 0 0 0 0");
    assert_eq!(foreign::tshark(&folder.path().join("pcapng"), &[]), Vec::<String>::new());
}
