//! The command as a user has it: its options, what it refuses, its target whatever happens, and the bundle.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use firstframe::{
    export::FORMATS,
    model::{
        Side,
        trace::{Closer, Ending},
    },
};
use serde_json::Value;

use super::{Path, capture, fs, play_whole, scenario::Script, secrets};
use crate::support::{
    client,
    origin::{Behaviour, Origin},
    product::{Product, describe},
    tool,
};

/// A product with one finished capture.
fn product(play: impl FnOnce(&mut Script<'_>)) -> Product {
    let product = Product::new(None);
    fs::create_dir(product.captures()).unwrap();
    drop(capture(&product.captures(), play));
    product
}

fn export(product: &Product, arguments: &[&str]) -> (i32, String, String) {
    let output = product.command("export").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_is_there_stays_without_force() {
    let product = product(play_whole);
    let out = tempfile::tempdir().unwrap();
    for id in FORMATS.iter().map(|format| format.id).chain(["bundle"]) {
        let file = out.path().join(id);
        fs::write(&file, "mine").unwrap();
        let file = file.to_str().unwrap();
        let (code, stdout, stderr) = export(&product, &["--format", id, "-o", file]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(&format!("{file} exists already (hint: --force writes over it)")), "{stderr}");
        assert_eq!(fs::read(file).unwrap(), b"mine");
        let (code, _, stderr) = export(&product, &["--format", id, "-o", file, "--force"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(&format!("{file}: ")), "the summary: {stderr}");
        assert!(fs::read(file).unwrap().len() > 500);
    }
    let (code, _, stderr) = export(&product, &["--format", "har", "--force", "-o", out.path().to_str().unwrap()]);
    assert!(code == 1 && stderr.contains("is a folder"), "{stderr}");
    assert_eq!(names(out.path()).len(), FORMATS.len() + 1, "nothing else is left there");
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let product = product(play_whole);
    let allowed: Vec<&str> = FORMATS.iter().map(|format| format.id).chain(["bundle"]).collect();
    for (arguments, said) in [
        (&["--format", "xls"][..], allowed.join(", ")),
        (&["--format", "har", "--session", "s9", "-o", "-"], "there are s1 to s2".to_owned()),
        (&["--format", "har", "--session", "x1", "-o", "-"], "x1 is no session".to_owned()),
        (&["--format", "har", "--filter", "stat=1", "-o", "-"], "did you mean `status`?".to_owned()),
        (&["--format", "ndjson", "--rows", "rows", "-o", "-"], "exchanges".to_owned()),
        (&["--format", "bundle", "-o", "-"], "-o FILE".to_owned()),
        (&["--format", "pcapng", "--tls-keys", "keys", "-o", "-"], "--keep-secrets".to_owned()),
        (&["--format", "csv", "-o", "/nowhere/a.csv"], "cannot create /nowhere/a.csv: ".to_owned()),
    ] {
        let (code, stdout, stderr) = export(&product, arguments);
        assert!(matches!(code, 1 | 2) && stdout.is_empty(), "{arguments:?}: {code}");
        assert!(stderr.contains(&said), "{arguments:?}: {stderr} has no {said}");
    }
}

#[test]
fn standard_output_is_the_file_and_nothing_else() {
    let product = product(play_whole);
    let out = tempfile::tempdir().unwrap();
    for id in FORMATS.iter().map(|format| format.id) {
        let file = out.path().join(id);
        let (code, _, stderr) = export(&product, &["--format", id, "-o", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        let output = product.command("export").args(["--format", id, "-o", "-"]).output().unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        assert!(output.stdout == fs::read(&file).unwrap(), "{id}");
    }
    let (_, csv, stderr) = export(&product, &["--format", "csv", "-o", "-", "--filter", "status=400"]);
    assert_eq!(csv.lines().skip(1).map(|line| &line[..3]).collect::<Vec<_>>(), ["x2,"], "{stderr}");
    let (_, csv, _) = export(&product, &["--format", "csv", "-o", "-", "--session", "s2"]);
    assert_eq!(csv.lines().skip(1).map(|line| &line[..3]).collect::<Vec<_>>(), ["x4,"]);
    let (_, _, stderr) = export(&product, &["--format", "csv", "-o", "-", "--keep-secrets"]);
    assert!(stderr.contains("WARNING: --keep-secrets"), "{stderr}");
}

#[test]
fn nothing_is_left_of_a_file_that_could_not_be_written() {
    let product = product(play_whole);
    let out = tempfile::tempdir().unwrap();
    for id in ["har", "jmx", "bundle"] {
        // A limit of a kilobyte or half of it; ignored, its signal becomes an error of write, as on a full disk.
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
        let export = product.command("export");
        let mut limited = Command::new("sh");
        limited.args(["-c", script, "sh"]).arg(export.get_program()).args(export.get_args());
        let output = limited.args(["--format", id, "-o"]).arg(out.path().join("out")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{id}: {}", describe(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("error: cannot write") && said.lines().count() == 1, "{id}: {said}");
        assert_eq!(names(out.path()), Vec::<String>::new(), "{id}");
    }
}

#[test]
fn a_process_that_dies_while_it_writes_leaves_nothing_under_the_name() {
    use std::os::unix::process::ExitStatusExt as _;
    let product = product(play_whole);
    let out = tempfile::tempdir().unwrap();
    for id in ["har", "pcapng", "bundle"] {
        let target = out.path().join(id);
        let export = product.command("export");
        let mut limited = Command::new("sh");
        // Not ignored, the limit's signal kills the process in the middle of a write.
        limited.args(["-c", "ulimit -c 0; ulimit -f 1; exec \"$@\"", "sh"]);
        limited.arg(export.get_program()).args(export.get_args()).args(["--format", id, "-o"]).arg(&target);
        let output = limited.output().unwrap();
        assert!(output.status.signal().is_some(), "{id}: {}", describe(&output));
        assert!(!target.exists(), "{id}: {:?}", names(out.path()));
        // What it leaves does not stand in the way.
        let (code, _, stderr) = export_to(&product, id, &target);
        assert_eq!((code, target.exists()), (0, true), "{id}: {stderr}");
    }
}

fn export_to(product: &Product, id: &str, target: &Path) -> (i32, String, String) {
    export(product, &["--format", id, "-o", target.to_str().unwrap()])
}

/// A TLS client of a recording, with the exchanges that it has.
fn talk(product: &Product, proxy: std::net::SocketAddr, origin: &Origin, requests: &[Vec<u8>]) {
    let ca = fs::read_to_string(product.ca()).unwrap();
    let mut stream = client::connect_tls(proxy, &format!("localhost:{}", origin.address.port()), &ca);
    for request in requests {
        stream.write_all(request).unwrap();
        client::read_response(&mut stream);
    }
}

#[test]
fn running_and_killed_captures_are_exported() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let recording = product.record(&[]);
    let request = |n: u32| format!("GET /api/v2/scripts/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    talk(&product, recording.address, &origin, &[request(1), request(2)]);
    let exported = |id: &str| product.output("export", &["--format", id, "-o", "-"]);
    let entries =
        || serde_json::from_str::<Value>(&exported("har")).unwrap()["log"]["entries"].as_array().unwrap().clone();
    // What readers see of a running capture is as old as its last flush.
    assert!((0..200).any(|_| entries().len() == 2));
    assert!(exported("curl").contains("/api/v2/scripts/2"));
    assert_eq!(exported("csv").lines().count(), 3);
    recording.kill();
    assert_eq!(entries().len(), 2);
    assert_eq!(entries()[1]["response"]["content"]["text"], r#"{"id":"2","pages":[]}"#);
    let packets = product.folder.path().join("killed.pcapng");
    product.output("export", &["--format", "pcapng", "-o", packets.to_str().unwrap()]);
    let output = Command::new("tshark").arg("-r").arg(&packets).args(["-Y", "http.request"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "{}", describe(&output));
    let bundle = product.folder.path().join("killed.zip");
    product.output("export", &["--format", "bundle", "-o", bundle.to_str().unwrap()]);
    assert!(unzipped(&bundle).contains_key("verdict.json"));
}

#[test]
fn bash_runs_the_curl_commands_and_the_server_gets_the_same_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let recording = product.record(&[]);
    let host = format!("localhost:{}", origin.address.port());
    let post = |headers: &str, body: &str| {
        let length = body.len();
        let head = format!("POST /api/v2/recordings/screen?a=1&b=%20c HTTP/1.1\r\nHost: {host}\r\n{headers}");
        format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let json = "Content-Type: application/json\r\nX-Empty:\r\nX-Quoted: it's \"$HOME\" `id` \\ !x\r\n";
    let socket = format!(
        "GET /mute/1 HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let requests = [
        post(json, "{\"name\":\"it's $HOME \u{fc}\\n\"}"),
        post("Authorization: Bearer 0123456789abcdef\r\n", "@/etc/hostname"),
        post("User-Agent: mine\r\nAccept: */*\r\n", &"0123456789abcdef".repeat(20_000)),
        post("", "a\0b%d\n"),
        format!("DELETE /a/../b//c?x=[1]{{2}} HTTP/1.1\r\nHost: {host}\r\nX-A: 1\r\nX-A: 2\r\n\r\n").into_bytes(),
    ];
    talk(&product, recording.address, &origin, &requests);
    talk(&product, recording.address, &origin, &[socket.into_bytes()]);
    recording.stop();
    let script = product.folder.path().join("all.sh");
    product.output("export", &["--format", "curl", "--keep-secrets", "-o", script.to_str().unwrap()]);
    let sent = std::mem::take(&mut origin.log.lock().unwrap().requests);
    assert_eq!(sent.len(), requests.len() + 1);
    let ca = product.folder.path().join("server-ca.pem");
    let output =
        Command::new("bash").arg(&script).env("CURL", format!("curl --cacert {}", ca.display())).output().unwrap();
    let again = std::mem::take(&mut origin.log.lock().unwrap().requests);
    assert_eq!(again.len(), sent.len(), "{}", describe(&output));
    for (again, sent) in again.iter().zip(&sent) {
        assert_eq!((&again.method, &again.target), (&sent.method, &sent.target));
        assert!(again.body == sent.body, "{}: {} bytes, not {}", sent.target, again.body.len(), sent.body.len());
        let sorted = |headers: &[(String, String)]| {
            let mut headers = headers.to_vec();
            headers.sort();
            headers
        };
        assert_eq!(sorted(&again.headers), sorted(&sent.headers));
    }
}

/// The files of a zip, as another program reads them.
fn unzipped(zip: &Path) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unzip").arg("-q").arg(zip).arg("-d").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    names(folder.path())
        .into_iter()
        .map(|name| {
            let mut text = String::new();
            fs::File::open(folder.path().join(&name)).unwrap().read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

#[test]
fn the_bundle_has_what_a_support_ticket_needs() {
    let orders = |script: &mut Script<'_>| {
        script.open_tunnel(1, "api.test:443");
        for n in 0..4 {
            let head = format!(
                "POST /api/v2/orders/{n} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer p1anted-order-token\r\n"
            );
            script.say(1, Side::Client, format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes());
            let status = if n == 2 { "400 Bad Request" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nININ-Correlation-Id: corr-{n}\r\nX-Amz-Cf-Id: edge-{n}\r\n");
            script.say(1, Side::Server, format!("{head}Content-Length: 0\r\n\r\n").as_bytes());
        }
        script.close(1, Closer::Client, Ending::CloseNotify);
    };
    let product = product(orders);
    let zip = product.folder.path().join("ticket.zip");
    product.output("export", &["--format", "bundle", "-o", zip.to_str().unwrap()]);
    let files = unzipped(&zip);
    let expected = [
        "README.txt",
        "connections.csv",
        "control.har",
        "correlation.csv",
        "exchanges.har",
        "hashes.json",
        "verdict.json",
        "verdict.txt",
    ];
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    for name in &expected[1..] {
        assert!(files["README.txt"].contains(name), "the README names {name}");
    }
    let json = |name: &str| serde_json::from_str::<Value>(&files[name]).unwrap();
    let ids = |name: &str| -> Vec<String> {
        let entries = json(name)["log"]["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["_firstframe"]["exchange"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("exchanges.har"), ["x1", "x2", "x3", "x4"]);
    assert_eq!(ids("control.har"), ["x1", "x2", "x4"], "the accepted ones of the same route");
    let lines: Vec<&str> = files["correlation.csv"].lines().collect();
    assert_eq!(lines.len(), 1 + 4 * 2);
    assert!(lines[5].starts_with("x3,") && lines[5].ends_with(",ININ-Correlation-Id,corr-2"), "{}", lines[5]);
    assert!(lines[5].contains("Z,POST,https://api.test:443/api/v2/orders/2,400,"), "{}", lines[5]);
    assert_eq!(lines[6].rsplit(',').next(), Some("edge-2"));
    // The verdict is the one of diagnose, the hashes are those of verify.
    let diagnosed = product.command("diagnose").arg("--json").output().unwrap();
    assert_eq!(json("verdict.json"), serde_json::from_slice::<Value>(&diagnosed.stdout).unwrap());
    assert!(files["verdict.txt"].contains("1 of 4"), "{}", files["verdict.txt"]);
    let hashes = json("hashes.json");
    assert_eq!((&hashes["whole"], hashes["segments"].as_array().map(Vec::len)), (&Value::Bool(true), Some(1)));
    let verified = product.output("verify", &[]);
    assert!(verified.contains(&hashes["last_seal"].as_str().unwrap()[..8]), "{verified}");
    for (name, text) in &files {
        assert!(!text.contains("p1anted"), "{name}: {text}");
    }
    // For one session of several, and of one that planted secrets everywhere.
    let product = self::product(secrets::play_all);
    let zip = product.folder.path().join("ticket.zip");
    product.output("export", &["--format", "bundle", "--session", "s1", "-o", zip.to_str().unwrap()]);
    for (name, text) in unzipped(&zip) {
        for secret in secrets::SECRETS {
            assert_eq!(secrets::finds(text.as_bytes(), secret), Vec::<String>::new(), "{name}: {secret}");
        }
    }
}

#[test]
fn a_pipe_that_closes_early_ends_the_export_quietly() {
    let product = product(play_whole);
    let mut export =
        product.command("export").args(["--format", "jmx", "-o", "-"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(export.stdout.take());
    assert!(export.wait().unwrap().code().is_some(), "it ends by itself");
}

#[test]
fn java_reads_the_truststore() {
    let product = Product::new(None);
    let store = product.folder.path().join("trust.p12");
    let ca = product.folder.path().join("ca");
    let output =
        product.command("ca").arg("--ca-dir").arg(&ca).args(["export", "--format", "p12", "-o"]).arg(&store).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    let listed =
        Command::new("keytool").args(["-list", "-storepass", "changeit", "-keystore"]).arg(&store).output().unwrap();
    assert!(listed.status.success(), "{}", describe(&listed));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("trustedCertEntry"), "{listed}");
    // Ours is in it, by the fingerprint that we show.
    let shown = product.command("ca").arg("--ca-dir").arg(&ca).args(["show", "--json"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let hex = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
    let ours = hex(shown["sha256"].as_str().unwrap());
    assert!(listed.lines().any(|line| hex(line).ends_with(&ours)), "{ours} is not in {listed}");
}

#[test]
fn duckdb_and_pyarrow_open_the_tables() {
    let product = product(play_whole);
    let tables = fs::read_dir(product.captures()).unwrap().find_map(|entry| {
        let tables = entry.unwrap().path().join("tables");
        tables.is_dir().then_some(tables)
    });
    let script = r#"
import duckdb, glob, json, sys, pyarrow.parquet as pq
for kind in ("connections", "exchanges", "frames", "sessions", "flags"):
    files = sorted(glob.glob(f"{sys.argv[1]}/{kind}/*.parquet"))
    arrow = sum(pq.read_table(f).num_rows for f in files)
    duck = duckdb.sql(f"select count(*) from read_parquet('{sys.argv[1]}/{kind}/*.parquet')").fetchall()[0][0] if files else 0
    print(json.dumps([kind, arrow, duck]))
print(json.dumps(duckdb.sql(f"select id, method, path, status from read_parquet('{sys.argv[1]}/exchanges/*.parquet') order by id").fetchall()))
"#;
    let mut python = Command::new(tool("python/bin/python"));
    let output = python.args(["-c", script]).arg(tables.unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for kind in ["connections", "exchanges", "frames", "sessions", "flags"] {
        let rows = product.json("ls", &[kind]).len();
        assert_eq!(lines.next().unwrap(), serde_json::json!([kind, rows, rows]));
    }
    let expected: Vec<Value> = product
        .json("ls", &["exchanges"])
        .iter()
        .map(|row| {
            let number: u64 = row["id"].as_str().unwrap()[1..].parse().unwrap();
            serde_json::json!([number, row["method"], row["path"], row["status"]])
        })
        .collect();
    assert_eq!(lines.next().unwrap(), Value::from(expected));
}
