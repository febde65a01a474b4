//! The program from outside: what it says, where it says it, and with which code it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

use assert_cmd::Command;
use serde_json::Value;

use crate::support::product::Product;

/// A folder of its own for captures and CA, and the program that uses it.
struct Place {
    folder: tempfile::TempDir,
}

struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn program(&self) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_firstframe"));
        command.current_dir(self.folder.path());
        for name in ["FIRSTFRAME_CAPTURES", "FIRSTFRAME_CONFIG", "FIRSTFRAME_PROFILE", "FIRSTFRAME_REDACTION_KEY"] {
            command.env_remove(name);
        }
        command.env("FIRSTFRAME_CA_DIR", self.path("ca")).env_remove("FIRSTFRAME_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, |_| {})
    }

    fn run_with(&self, arguments: &[&str], with: impl FnOnce(&mut std::process::Command)) -> Answer {
        let mut program = self.program();
        program.args(arguments);
        with(&mut program);
        let output = Command::from_std(program).output().unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one line that a wrong use gives, the folder's own path taken out, and the code.
    fn refused(&self, arguments: &[&str]) -> (String, i32) {
        let answer = self.run(arguments);
        assert_eq!(answer.stdout, "", "standard output is data");
        let line = answer.stderr.strip_suffix('\n').unwrap_or(&answer.stderr);
        assert!(!line.contains('\n'), "one line, not {}", answer.stderr);
        let shown = line.replace(&format!("{}/", self.folder.path().display()), "");
        (shown.strip_prefix("error: ").unwrap_or_else(|| panic!("no error in {line:?}")).to_owned(), answer.code)
    }

    fn captures(&self) -> usize {
        fs::read_dir(self.path("captures"))
            .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count())
    }
}

#[test]
fn help_names_every_subcommand_and_goes_to_standard_output() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for name in ["run", "record", "ls", "show", "tail", "reindex", "verify", "ca", "config", "doctor"] {
        assert!(help.stdout.contains(&format!("\n  {name} ")), "{name} is not in\n{}", help.stdout);
        let of_one = place.run(&[name, "--help"]);
        assert_eq!(of_one.code, 0, "{name} --help");
        assert!(of_one.stdout.contains("Usage: firstframe"), "{name}: {}", of_one.stdout);
    }
    assert_eq!(place.run(&["--version"]).stdout, format!("firstframe {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(place.run(&["recrod"]).code, 2);
    assert_eq!(place.run(&[]).code, 2);
}

#[test]
fn wrong_settings_are_one_line_with_key_value_allowed_hint_and_place() {
    let place = Place::new();
    place.write("key.toml", "[proxy]\nlisten_host = '127.0.0.1'\nlisten_prot = 8080\n");
    let (line, code) = place.refused(&["--config", "key.toml", "record"]);
    assert!(
        line.starts_with("key.toml:3: proxy.listen_prot = 8080: unknown key: expected modes, listen_host, "),
        "{line}"
    );
    assert!(line.ends_with("; hint: did you mean proxy.listen_port?"), "{line}");
    assert_eq!(code, 2);

    place.write("type.toml", "[proxy]\nlisten_port = 'eighty'\n");
    assert_eq!(
        place.refused(&["--config", "type.toml", "config", "check"]),
        (
            "type.toml:2: proxy.listen_port = 'eighty': expected a number from 0 to 65535; hint: 0 picks a free port"
                .into(),
            2
        )
    );
    place.write("not.toml", "proxy = [\n");
    let (line, code) = place.refused(&["--config", "not.toml", "ls"]);
    assert!(line.starts_with("not.toml:") && line.contains(": not TOML: "), "{line}");
    assert_eq!(code, 2);
    let (line, code) = place.refused(&["--config", "missing.toml", "ls"]);
    assert!(line.starts_with("missing.toml: the settings file cannot be read: "), "{line}");
    assert_eq!(code, 2);

    let (line, code) = place.refused(&["record", "--mode", "reversed:https://api.test"]);
    assert_eq!(
        line,
        "--mode = \"reversed:https://api.test\": \"reversed:https://api.test\": it is no mode of this proxy: expected a \
         list of \"forward\" and \"reverse:https://HOST[:PORT][@LISTENPORT]\" (or http://); hint: such as \
         \"reverse:https://api.test@8443\""
    );
    assert_eq!(code, 2);
    let (line, code) = place.refused(&["--profile", "genesis", "record", "-p", "0"]);
    assert!(line.starts_with("--profile = \"genesis\": ") && line.contains("generic"), "{line}");
    assert_eq!(code, 2);
    for (host, why) in [
        ("http://x", "a host is named without https:// and path"),
        ("api.test:443", "a host is named without a port"),
        ("a b", "' ' cannot stand in a host name"),
    ] {
        let (line, code) = place.refused(&["record", "-p", "0", "--insecure", host]);
        assert!(line.starts_with("--insecure = ") && line.contains(why), "{line}");
        assert_eq!(code, 2);
    }
    for host in ["api.test", "::1", "[::1]", "127.0.0.1"] {
        assert_eq!(place.run(&["--set", &format!("proxy.insecure=['{host}']"), "config", "check"]).code, 0, "{host}");
    }
    let (line, code) = place.refused(&["record", "--max-bytes", "20 bananas"]);
    assert!(line.starts_with("--max-bytes = \"20 bananas\": expected a size such as \"20GiB\""), "{line}");
    assert_eq!(code, 2);
    let (line, code) = place.refused(&["record", "--metadata", "colour=blue"]);
    assert!(line.starts_with("--metadata = \"colour=blue\": "), "{line}");
    assert_eq!(code, 2);
    let (line, code) = place.refused(&["run", "--fail-on", "metadata-before-opne", "--", "true"]);
    assert!(line.starts_with("--fail-on \"metadata-before-opne\": expected one of "), "{line}");
    assert_eq!(code, 2);
    assert_eq!(place.captures(), 0, "nothing is left of what was refused");
}

#[test]
fn a_profile_that_is_wrong_is_refused_at_start_with_its_line() {
    let place = Place::new();
    let route = "[[routes]]\nid = \"r\"\nmethod = \"GET\"\n";
    for (what, body, line, says) in [
        ("an unknown key", "[gate]\nkid = \"open\"".to_owned(), 4, "unknown key `gate.kid`"),
        (
            "a bad regex",
            "[metadata]\nmatch = \"frames\"\nframe = [{ pointer = \"/a\", matches = \"(\" }]".to_owned(),
            5,
            "matches",
        ),
        ("a bad template", format!("{route}path = \"/a/{{id\""), 6, "path"),
        ("a bad schema", format!("{route}path = \"/a\"\nschema = '{{\"type\": 7}}'"), 7, "schema"),
    ] {
        let file = place.write("bad.toml", &format!("name = \"p\"\nsummary = \"s\"\n{body}\n"));
        for subcommand in [&["record"][..], &["run", "--", "true"]] {
            let profile = ["--profile", file.to_str().unwrap()];
            let (said, code) = place.refused(&[&subcommand[..1], &profile, &subcommand[1..]].concat());
            assert_eq!(code, 2, "{what}: {said}");
            assert!(said.contains(&format!("bad.toml:{line}: ")), "{what}: {said}");
            assert!(said.contains(says) && said.contains("(hint: "), "{what}: {said}");
        }
        assert_eq!(place.captures(), 0, "{what}: nothing is begun");
    }
}

#[test]
fn what_cannot_be_had_fails_with_one_line_and_leaves_nothing() {
    let place = Place::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (line, code) = place.refused(&["record", "-p", &port]);
    assert!(line.starts_with(&format!("cannot listen on 127.0.0.1:{port} for mode forward: ")), "{line}");
    assert!(line.contains("hint: "), "{line}");
    assert_eq!(code, 1);
    assert_eq!(place.captures(), 0, "no capture is left behind");

    place.write("file", "");
    let (line, code) = place.refused(&["-w", "file/captures", "record", "-p", "0"]);
    assert!(line.starts_with("--captures = \"file/captures\": the folder cannot be made: "), "{line}");
    assert!(line.ends_with("; hint: name another one with -w DIR"), "{line}");
    assert_eq!(code, 1);
}

#[test]
fn a_wrong_filter_is_shown_with_the_spot_under_it() {
    let answer = Place::new().run(&["ls", "--filter", "method=GET colour=red"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""));
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(
        lines.get(..3),
        Some(
            ["error: --filter: there is no field \"colour\"", "  method=GET colour=red", "             ^^^^^^"]
                .as_slice()
        ),
        "{lines:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_ca_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    assert_eq!(place.run(&["ca", "show"]).code, 0);
    let key = place.path("ca/firstframe-ca.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for arguments in [&["record", "-p", "0"][..], &["ca", "show"], &["run", "--", "true"]] {
        let (line, code) = place.refused(arguments);
        assert!(line.contains("mode 0644") && line.contains("allowed is 0600"), "{line}");
        assert!(line.contains("hint: chmod 600 ca/firstframe-ca.key"), "{line}");
        assert_eq!(code, 1, "{arguments:?}");
    }
    let doctor = place.run(&["doctor", "--json", "--", "sh"]);
    assert_eq!(doctor.code, 1);
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let failed: Vec<&Value> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["status"] == "fail").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["name"], "ca");
}

#[test]
fn an_exported_certificate_replaces_nothing_unasked() {
    let place = Place::new();
    assert_eq!(place.run(&["ca", "export", "-o", "ca.pem"]).code, 0);
    place.write("ca.pem", "something else");
    let (line, code) = place.refused(&["ca", "export", "-o", "ca.pem"]);
    assert!(line.contains("ca.pem exists") && line.contains("hint: --force"), "{line}");
    assert_eq!((code, fs::read_to_string(place.path("ca.pem")).unwrap().as_str()), (2, "something else"));
    assert_eq!(place.run(&["ca", "export", "-o", "ca.pem", "--force"]).code, 0);
    assert!(fs::read_to_string(place.path("ca.pem")).unwrap().contains("BEGIN CERTIFICATE"));
}

#[test]
fn doctor_tries_the_servers_that_are_named() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mode = format!("proxy.modes=['reverse:http://{closed}@0']");
    for arguments in
        [&["doctor", "--json", "--to", &format!("http://{closed}")][..], &["--set", &mode, "doctor", "--json"]]
    {
        let doctor = place.run(arguments);
        assert_eq!(doctor.code, 1, "{arguments:?}: {}", doctor.stderr);
        let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let server = checks.iter().find(|check| check["name"] == "server").unwrap();
        assert_eq!(server["status"], "fail");
        assert!(server["found"].as_str().unwrap().contains("cannot be reached"), "{server}");
    }
}

#[test]
fn the_settings_in_force_are_shown_with_their_origin() {
    let place = Place::new();
    place.write("f.toml", "[record]\nmax_bytes = '5GiB'\n");
    let shown = place.run(&["--config", "f.toml", "--set", "proxy.drain=0.5", "config", "check"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("\nmax_bytes = \"5GiB\" # from f.toml:2\n"), "{}", shown.stdout);
    assert!(shown.stdout.contains("\ndrain = \"500ms\" # from --set proxy.drain\n"), "{}", shown.stdout);
    // What is shown is a settings file itself.
    place.write("again.toml", &shown.stdout);
    let again = place.run(&["--config", "again.toml", "config", "show", "--json"]);
    let all: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(all["record.max_bytes"]["value"], "5GiB");
    assert_eq!(all["proxy.drain"]["value"], "500ms");
    assert_eq!(all["name"]["value"], Value::Null);
    let example = place.run(&["config", "example"]);
    assert_eq!(
        example.stdout,
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap()
    );
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut program = place.program();
    let output = program.args(["config", "example"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[cfg(unix)]
#[test]
fn run_points_its_command_at_the_proxy_and_passes_on_its_code() {
    let place = Place::new();
    let script = "env > seen; test -s \"$SSL_CERT_FILE\" && test -s \"$NODE_EXTRA_CA_CERTS\" && exit 7";
    let answer = place.run_with(&["run", "--", "sh", "-c", script], |command| {
        command.env("NO_PROXY", "localhost").env("JAVA_TOOL_OPTIONS", "-Dkept=1").env("https_proxy", "http://other:1");
    });
    assert_eq!(answer.code, 7, "{}", answer.stderr);
    assert!(answer.stdout.starts_with("capture "), "the command's own output, then the summary: {}", answer.stdout);
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    let value = |name: &str| {
        let line = seen.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not set in\n{seen}")).to_owned()
    };
    let listening = answer.stderr.lines().find_map(|line| line.strip_prefix("listening on ")).unwrap();
    let address = listening.strip_suffix(" (forward)").unwrap();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"] {
        assert_eq!(value(name), format!("http://{address}"), "{name}");
    }
    assert_eq!((value("NO_PROXY"), value("no_proxy")), (String::new(), String::new()));
    assert_eq!(value("NODE_USE_ENV_PROXY"), "1");
    let java = value("JAVA_TOOL_OPTIONS");
    assert!(java.starts_with("-Dkept=1 -Dhttp.proxyHost=127.0.0.1 "), "{java}");
    let ours = fs::read_to_string(place.path("ca/firstframe-ca.pem")).unwrap();
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"] {
        let bundle = fs::read_to_string(value(name)).unwrap();
        assert!(bundle.contains(ours.trim()), "{name} holds our root");
    }
    assert!(answer.stderr.contains("nothing reached the proxy: "), "{}", answer.stderr);

    assert_eq!(place.run(&["run", "--", "sh", "-c", "kill -TERM $$"]).code, 143, "as a shell has it");
    let missing = place.run(&["run", "--", "no-such-command-here"]);
    assert_eq!(missing.code, 127);
    assert!(missing.stderr.contains("error: cannot run no-such-command-here: "), "{}", missing.stderr);
    assert_eq!(place.captures(), 2, "an empty one would be the newest, which is what the next `ls` reads");
}

#[cfg(unix)]
#[test]
fn run_keeps_what_bundles_held_before() {
    let place = Place::new();
    let corporate = "-----BEGIN CERTIFICATE-----\nY29ycG9yYXRl\n-----END CERTIFICATE-----";
    let path = place.write("corporate.pem", corporate);
    let answer = place.run_with(&["run", "--", "sh", "-c", "cat \"$REQUESTS_CA_BUNDLE\" > seen"], |command| {
        command.env("REQUESTS_CA_BUNDLE", &path);
    });
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(fs::read_to_string(place.path("seen")).unwrap().contains(corporate));
}

/// A real JMeter is another test's; this is about what its command line becomes.
#[cfg(unix)]
#[test]
fn run_adds_jmeters_flags() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let script = place.write("jmeter", "#!/bin/sh\necho \"$@\" > seen\nenv | grep -c ^HTTPS_PROXY >> seen\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let answer = place.run(&["run", "-p", "0", "--", "./jmeter", "-n", "-t", "plan.jmx"]);
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    let flags: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!((flags[0], flags[1], flags[2]), ("-H", "127.0.0.1", "-P"), "{seen}");
    assert_eq!(&flags[4..], ["-n", "-t", "plan.jmx", "0"], "no proxy variables for jmeter: {seen}");
    assert!(answer.stderr.contains(&format!("jmeter: added -H 127.0.0.1 -P {}", flags[3])), "{}", answer.stderr);
}

#[cfg(unix)]
#[test]
fn record_tells_its_events_and_stops_in_order_on_either_signal() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let origin = Origin::start();
        let mut recording = Recording::start(&place, &["--mode", "forward", "--mode", "reverse:http://127.0.0.1:9@0"]);
        assert_eq!(recording.listening.len(), 2);
        let [forward, reverse] = [&recording.listening[0], &recording.listening[1]];
        assert_eq!((&forward["event"], &forward["mode"]), (&"listening".into(), &"forward".into()));
        assert_eq!(reverse["mode"], "reverse:http://127.0.0.1:9");
        assert!(Path::new(forward["ca"].as_str().unwrap()).is_file(), "{forward}");
        assert!(Path::new(forward["capture"].as_str().unwrap()).join("capture.json").is_file(), "{forward}");

        let answer = get(forward["address"].as_str().unwrap(), &format!("http://{}/made?x=1", origin.address));
        assert!(answer.starts_with("HTTP/1.1 400 Nope\r\n") && answer.ends_with("because"), "{answer}");

        let (stopped, code) = recording.stop(signal);
        assert_eq!(code, Some(0), "SIG{signal}");
        assert_eq!(stopped["event"], "stopped");
        for (key, expected) in
            [("connections", 1), ("exchanges", 1), ("refused", 1), ("flags", 0), ("gaps", 0), ("stalled_ns", 0)]
        {
            assert_eq!(stopped[key], expected, "{key} in {stopped}");
        }
        assert_eq!((&stopped["complete"], &stopped["capture"]), (&true.into(), &recording.listening[0]["capture"]));
        for key in ["event", "mode", "address", "ca", "capture"] {
            assert!(recording.listening.iter().all(|line| line[key].is_string()), "{key} in {:?}", recording.listening);
        }

        let listed = place.run(&["ls", "exchanges", "--json"]);
        let row: Value = serde_json::from_str(listed.stdout.trim()).unwrap();
        assert_eq!((&row["path"], &row["status"]), (&"/made".into(), &400.into()));
        let meta = fs::read_to_string(Path::new(stopped["capture"].as_str().unwrap()).join("capture.json")).unwrap();
        let meta: Value = serde_json::from_str(&meta).unwrap();
        assert_eq!(meta["state"], "clean");
        assert_eq!(meta["options"]["proxy.modes"], serde_json::json!(["forward", "reverse:http://127.0.0.1:9@0"]));
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_does_not_wait_for_open_connections() {
    let place = Place::new();
    let mut recording = Recording::start(&place, &["--set", "proxy.drain=1h"]);
    let mut held = TcpStream::connect(recording.listening[0]["address"].as_str().unwrap()).unwrap();
    // The proxy holds the connection once it reads from it: a first answer proves that.
    held.write_all(b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut byte = [0];
    held.read_exact(&mut byte).unwrap();
    recording.signal("INT");
    // Until the first one has been taken the two could be one: it closes the listener.
    let address = recording.listening[0]["address"].as_str().unwrap().to_owned();
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    let (stopped, code) = recording.stop("INT");
    assert_eq!((code, &stopped["event"]), (Some(0), &"stopped".into()));
}

#[cfg(unix)]
#[test]
fn run_with_events_keeps_standard_output_for_them() {
    let place = Place::new();
    let origin = Origin::start();
    let script = "echo hello; while ! test -e done; do sleep 0.05; done";
    let mut child = place
        .program()
        .args(["run", "--json", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let listening = event(&mut events);
    assert_eq!(listening["event"], "listening");
    get(listening["address"].as_str().unwrap(), &format!("http://{}/x", origin.address));
    place.write("done", "");
    let (exited, verdict, stopped) = (event(&mut events), event(&mut events), event(&mut events));
    assert_eq!((&exited["event"], &exited["code"]), (&"exited".into(), &0.into()));
    assert_eq!((&verdict["event"], &verdict["verdict"]["refused"]), (&"verdict".into(), &1.into()));
    assert_eq!((&stopped["event"], &stopped["refused"]), (&"stopped".into(), &1.into()));
    let mut after = String::new();
    events.read_line(&mut after).unwrap();
    assert_eq!(after, "", "stopped is the last line");
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.starts_with(b"hello\n"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn run_passes_signals_on_to_its_command() {
    let place = Place::new();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = place
        .program()
        .args(["run", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// Answers every request with a 400 that says why.
struct Origin {
    address: std::net::SocketAddr,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                let answer = b"HTTP/1.1 400 Nope\r\nContent-Length: 7\r\nConnection: close\r\n\r\nbecause";
                reader.get_mut().write_all(answer).unwrap();
            }
        });
        Self { address }
    }
}

/// One plain-HTTP request through a forward proxy.
fn get(proxy: &str, url: &str) -> String {
    let mut stream = TcpStream::connect(proxy).unwrap();
    let host = url.split('/').nth(2).unwrap();
    let request = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// `record --json` at work.
struct Recording {
    child: Child,
    events: BufReader<ChildStdout>,
    listening: Vec<Value>,
}

impl Recording {
    /// Waits until every listener has said that it accepts.
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = place
            .program()
            .args(["record", "--json", "-p", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let modes = arguments.iter().filter(|argument| **argument == "--mode").count().max(1);
        let mut events = BufReader::new(child.stdout.take().unwrap());
        let listening = (0..modes).map(|_| event(&mut events)).collect();
        Self { child, events, listening }
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The last event, and the code.
    fn stop(&mut self, name: &str) -> (Value, Option<i32>) {
        self.signal(name);
        let stopped = event(&mut self.events);
        let mut rest = String::new();
        self.events.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "it is the last line");
        (stopped, self.child.wait().unwrap().code())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn event(events: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Answers every request on every connection, until the test's process ends.
fn plain_origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = BufReader::new(client.unwrap());
            std::thread::spawn(move || {
                let mut line = String::new();
                while client.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line.trim().is_empty() {
                        let _ = client.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

#[test]
fn short_of_open_files_clients_wait_and_the_recorder_goes_on() {
    let place = Place::new();
    let config = place.write("small.toml", "[record]\nsegment = \"64KiB\"\n[proxy]\ndrain = \"100ms\"\n");
    let mut recorder = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_firstframe"), "record", "--json"])
        .args(["--listen-port", "0", "--config"])
        .arg(config)
        .arg("--captures")
        .arg(place.path("captures"))
        .arg("--ca-dir")
        .arg(place.path("ca"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(recorder.stdout.take().unwrap()).lines();
    let listening: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let proxy: std::net::SocketAddr = listening["address"].as_str().unwrap().parse().unwrap();
    let origin = plain_origin();
    let mut client = TcpStream::connect(proxy).unwrap();
    let request = format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nX-Padding: {}\r\n\r\n", "x".repeat(1000));
    let mut exchange = || {
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 40];
        client.read_exact(&mut answer).unwrap();
        assert!(answer.ends_with(b"ok"), "{}", String::from_utf8_lossy(&answer));
    };
    exchange();
    let idle: Vec<_> = (0..150).map(|_| TcpStream::connect(proxy).unwrap()).collect();
    // Enough for several segments, each of which needs a file.
    (0..200).for_each(|_| exchange());
    drop(idle);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(recorder.id() as i32), nix::sys::signal::SIGTERM).unwrap();
    let stopped: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(recorder.wait().unwrap().success());
    assert_eq!((&stopped["complete"], &stopped["exchanges"]), (&Value::Bool(true), &Value::from(201)), "{stopped}");
}

#[test]
fn tail_says_that_its_recorder_was_killed() {
    let product = Product::new(None);
    let recording = product.record(&[]);
    let mut tail = product.command("tail").arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let stdout = tail.stdout.take().unwrap();
    let reader = std::thread::spawn(move || BufReader::new(stdout).lines().for_each(|line| drop(send.send(line))));
    // It watches once a row has come through.
    loop {
        let mut client = TcpStream::connect(recording.address).unwrap();
        client.write_all(b"GET http://127.0.0.1:1/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n").unwrap();
        let _ = client.shutdown(std::net::Shutdown::Write);
        client.read_to_end(&mut Vec::new()).unwrap();
        if lines.recv_timeout(std::time::Duration::from_millis(50)).is_ok() {
            break;
        }
    }
    recording.kill();
    reader.join().unwrap();
    let mut said = String::new();
    tail.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("killed") && said.contains("firstframe ls"), "{said}");
}
