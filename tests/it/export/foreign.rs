//! Other people's programs read what we write: tshark, JMeter, Python.

use std::{path::Path, process::Command};

use firstframe::export::Options;
use serde_json::Value;

use super::{capture, exported, fs, play_whole, secrets};
use crate::support::{
    origin::{Behaviour, Origin},
    product::{Product, describe},
    repository, tool,
};

pub(super) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (run scripts/setup)"));
    assert!(output.status.success(), "{command:?}: {}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn tshark(file: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    // No `-d tcp.port==443,http`: it finds the decrypted HTTP by itself. Checksums are looked at.
    command.arg("-r").arg(file);
    command.args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]).args(arguments);
    output(&mut command).lines().map(str::to_owned).collect()
}

#[test]
fn tshark_sees_the_same_requests_frames_and_stamps() {
    let folder = tempfile::tempdir().unwrap();
    for (index, keep_secrets) in [true, false].into_iter().enumerate() {
        let captures = folder.path().join(index.to_string());
        fs::create_dir(&captures).unwrap();
        let capture = capture(&captures, secrets::play);
        let options = Options { keep_secrets, ..Options::default() };
        let (bytes, report) = exported(&capture, "pcapng", &options);
        let file = captures.join("out.pcapng");
        fs::write(&file, bytes).unwrap();
        assert_eq!(tshark(&file, &[]).len() as u64, report.written["packets"]);
        let wrong = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status==0 || ip.checksum.status==0";
        assert_eq!(tshark(&file, &["-Y", wrong]), Vec::<String>::new(), "keep_secrets: {keep_secrets}");

        let (rows, _) = exported(&capture, "ndjson", &options);
        let rows: Vec<Value> =
            String::from_utf8(rows).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of =
            |letter: char| rows.iter().filter(move |row| row["id"].as_str().is_some_and(|id| id.starts_with(letter)));
        let anchor = i128::from(capture.anchor().unix_ns);
        let fields = ["-T", "fields", "-E", "separator=|", "-e", "frame.time_epoch"];
        let seen = tshark(
            &file,
            &[&["-Y", "http.request"], &fields[..], &["-e", "http.request.method", "-e", "http.request.uri"]].concat(),
        );
        let mut expected: Vec<String> = Vec::new();
        for row in of('x') {
            let at = anchor + i128::from(row["request_first_byte_ns"].as_u64().unwrap());
            let head = format!("{}.{:09}|{}", at / 1_000_000_000, at % 1_000_000_000, row["method"].as_str().unwrap());
            // Lengths are kept in packets, not in rows: targets are the same where no secret was in them.
            let target = row["target"].as_str().unwrap();
            expected.push(if target.contains(':') || keep_secrets { head } else { format!("{head}|{target}") });
        }
        assert_eq!(seen.len(), expected.len());
        let mut seen_sorted = seen;
        seen_sorted.sort();
        expected.sort();
        for (seen, expected) in seen_sorted.iter().zip(&expected) {
            assert!(seen.starts_with(expected), "{seen} is not {expected}");
        }
        let frames = tshark(&file, &[&["-Y", "websocket"], &fields[..], &["-e", "websocket.opcode"]].concat());
        let opcodes: usize = frames.iter().map(|line| line.split('|').nth(1).unwrap().split(',').count()).sum();
        assert_eq!(opcodes, of('f').count(), "{frames:?}");
        let followed = tshark(&file, &["-q", "-z", "follow,tcp,ascii,0"]).join("\n");
        assert!(followed.contains("POST /login?access_token="), "{followed}");
        assert_eq!(followed.contains("p1anted"), keep_secrets);
    }
}

#[test]
fn tshark_shows_flags_as_comments_and_gaps_as_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path(), play_whole);
    let (bytes, _) = exported(&capture, "pcapng", &Options::default());
    let file = folder.path().join("out.pcapng");
    fs::write(&file, bytes).unwrap();
    let comments = tshark(&file, &["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"]).join("\n");
    assert!(comments.contains("error metadata-before-open: "), "{comments}");
    assert!(comments.contains("20 bytes before this are not in the capture"), "{comments}");
    assert_eq!(tshark(&file, &["-Y", "tcp.analysis.lost_segment"]).len(), 1);
    assert_eq!(tshark(&file, &["-Y", "_ws.malformed || tcp.checksum.status==0"]), Vec::<String>::new());
}

#[test]
fn python_reads_the_texts() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path(), play_whole);
    for id in ["har", "ndjson", "csv", "jtl", "jmx"] {
        fs::write(folder.path().join(id), exported(&capture, id, &Options::default()).0).unwrap();
    }
    let script = r#"
import csv, json, sys, xml.etree.ElementTree as xml
har = json.load(open("har"))["log"]
assert har["version"] == "1.2" and har["creator"]["name"] == "firstframe"
for e in har["entries"]:
    assert isinstance(e["time"], float) and e["startedDateTime"].endswith("Z")
    for k in ("method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize"): assert k in e["request"], k
    for k in ("status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL", "headersSize", "bodySize"): assert k in e["response"], k
    t = e["timings"]
    total = sum(t[k] for k in ("blocked", "dns", "connect", "send", "wait", "receive") if t[k] > 0)
    assert abs(total - e["time"]) < 1e-6 and t["ssl"] <= max(t["connect"], -1), e
rows = [json.loads(line) for line in open("ndjson")]
exchanges = [r for r in rows if str(r.get("id", "")).startswith("x")]
assert len(exchanges) == len(har["entries"])
table = list(csv.DictReader(open("csv", newline="")))
assert [r["id"] for r in table] == [r["id"] for r in exchanges]
jtl = list(csv.DictReader(open("jtl", newline="")))
assert len(jtl) == len(table) and all(int(r["elapsed"]) >= 0 for r in jtl)
assert xml.parse("jmx").getroot().tag == "jmeterTestPlan"
print(len(table))
"#;
    let counted = output(Command::new(tool("python/bin/python")).args(["-c", script]).current_dir(folder.path()));
    assert_eq!(counted.trim(), "4");
}

#[test]
fn jmeter_makes_its_dashboard_of_the_jtl() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path(), secrets::play);
    let jtl = folder.path().join("out.jtl");
    fs::write(&jtl, exported(&capture, "jtl", &Options::default()).0).unwrap();
    let report = folder.path().join("report");
    let mut command = Command::new(tool("jmeter/bin/jmeter"));
    command.arg("-g").arg(&jtl).arg("-o").arg(&report).arg("-j").arg(folder.path().join("log"));
    output(command.env("HOME", folder.path()).current_dir(folder.path()));
    let statistics: Value = serde_json::from_slice(&fs::read(report.join("statistics.json")).unwrap()).unwrap();
    let rows = String::from_utf8(exported(&capture, "jtl", &Options::default()).0).unwrap().lines().count() - 1;
    assert_eq!(statistics["Total"]["sampleCount"], rows, "{statistics}");
}

#[test]
fn jmeter_runs_the_exported_plan_and_sends_the_same_bytes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let plan = product.folder.path().join("export.jmx");
    let run = |plan: &Path, name: &str| {
        let mut command = product.command("run");
        command.arg("--").arg(tool("jmeter/bin/jmeter")).args(["-n", "-t"]).arg(plan).arg("-l");
        command.arg(product.folder.path().join(format!("{name}.jtl"))).arg("-j");
        command.arg(product.folder.path().join(format!("{name}.log"))).arg(format!("-Jport={}", origin.address.port()));
        command.args(["-Jthreads=1", "-Jloops=1"]).env("HOME", product.folder.path());
        output(&mut command);
        let jtl = fs::read_to_string(product.folder.path().join(format!("{name}.jtl"))).unwrap();
        assert!(jtl.lines().skip(1).all(|line| line.contains(",true,")), "{jtl}");
        said(&product)
    };
    let first = run(&repository().join("tests/jmeter/screen-recording.jmx"), "first");
    product.output("export", &["--format", "jmx", "--keep-secrets", "-o", plan.to_str().unwrap()]);
    let text = fs::read_to_string(&plan).unwrap();
    assert!(
        text.contains("JSONPostProcessor") && !text.contains("channel-0000"),
        "what the server issued is extracted: {text}"
    );
    let second = run(&plan, "second");
    assert_eq!(second, first);
}

/// What the client of the newest capture said: heads as sorted lines, bodies and frames; the channel's id and the
/// socket's key, which are new each time, by name.
fn said(product: &Product) -> Vec<String> {
    let mut said = Vec::new();
    let mut channel = String::new();
    for exchange in product.json("ls", &["exchanges"]) {
        let id = exchange["id"].as_str().unwrap();
        let raw = product.output("show", &[id, "--raw", "request"]);
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Sec-WebSocket-Key:")).collect();
        lines[1..].sort_unstable();
        said.push(format!("{}\n\n{body}", lines.join("\n")));
        if channel.is_empty() {
            let answer = product.output("show", &[id, "--raw", "response"]);
            channel = answer.split('"').find(|part| part.starts_with("channel-")).unwrap_or_default().to_owned();
        }
    }
    let frames = product.json("ls", &["frames"]);
    said.extend(frames.iter().filter(|frame| frame["from"] == "client").map(|frame| frame["text"].to_string()));
    assert!(!channel.is_empty());
    said.into_iter().map(|text| text.replace(&channel, "CHANNEL")).collect()
}
