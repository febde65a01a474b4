//! The lab on real sockets: its API with real clients, its agents through the product's own proxy, and whether the verdict
//! on such a capture names what was planted.

use std::{
    io::{Read as _, Write as _},
    process::Command,
};

use serde_json::Value;

use crate::support::{
    client::read_response,
    lab::{Lab, lab},
    product::{Product, describe},
    repository, tool,
};

fn json(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One run over sockets. The API is slow, so that what a busy machine does to times is small against them: else the verdict
/// is withheld, and rightly.
fn planted(product: &Product, arguments: &[&str]) -> Value {
    let mut command = lab(product, "run");
    command.args(["--json", "--ramp", "1s", "--duration", "14s", "--service", "700ms", "--think", "300ms"]);
    json(command.args(["--agents", "60"]).args(arguments)).remove(0)
}

#[test]
fn the_simulated_api_serves_node_and_tells_what_was_asked() {
    let product = Product::new(None);
    let plant = "metadata-before-ready:delay=80";
    assert!(!lab(&product, "serve").args(["--cause", plant]).output().unwrap().status.success(), "no such duration");
    let lab = Lab::serve(&product, &["--surface", "genesys-cloud", "--cause", "metadata-before-ready:delay=30s"]);
    let output = Command::new("node")
        .arg(repository().join("tests/it/support/node/lab_client.js"))
        .args([&lab.port.to_string(), &lab.ca, "api.mypurecloud.com"])
        .env("NODE_PATH", tool("node/node_modules"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&saw["script"]["status"], &saw["unknown"]["status"]), (&Value::from(200), &Value::from(404)));
    let headers = &saw["script"]["headers"];
    for name in ["inin-correlation-id", "inin-ratelimit-count", "inin-ratelimit-allowed", "date"] {
        assert!(headers[name].is_string(), "{headers}");
    }
    assert!(saw["answers"][0].as_str().unwrap().contains("pong"), "{saw}");
    assert_eq!((&saw["early"]["status"], &saw["code"]), (&Value::from(400), &Value::from(1000)));
    assert!(saw["early"]["text"].as_str().unwrap().contains("not registered"), "{saw}");
    let told = lab.stop();
    assert_eq!((&told["requests"], &told["sockets"], &told["strange"]), (&4.into(), &1.into(), &1.into()), "{told}");
    assert_eq!(told["refused_by"]["metadata-before-ready:delay=30s,spread=3"], 1, "{told}");
}

/// What an HTTP library would not let through, the API must see, and answer as a real server does.
#[test]
fn the_simulated_api_sees_bytes_behind_bodies_and_what_is_no_request() {
    let product = Product::new(None);
    let lab = Lab::serve(&product, &["--cause", "bytes-after-body"]);
    let mut stream = lab.dial();
    let post = b"POST /v1/streams/details HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(post).unwrap();
    let (first, _) = read_response(&mut stream);
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    stream.write_all(&[&post[..], b"}\r\n"].concat()).unwrap();
    assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 200"));
    stream.write_all(post).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 400 Bad Request\r\n") && rest.contains("Connection: close"), "{rest}");
    assert!(rest.contains("Malformed request line"), "{rest}");

    let mut stream = lab.dial();
    stream.write_all(b"hello\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("Server: nginx/1.22.1") && rest.ends_with("</html>\r\n"), "{rest}");
    let told = lab.stop();
    assert_eq!(
        (&told["statuses"]["200"], &told["statuses"]["400"], &told["strange"]),
        (&2.into(), &1.into(), &1.into())
    );
}

#[test]
fn agents_come_from_their_own_addresses_and_leave_a_log() {
    let product = Product::new(None);
    let served = Lab::serve(&product, &[]);
    let log = product.folder.path().join("out.jtl");
    let to = format!("127.0.0.1:{}", served.port);
    let mut command = lab(&product, "load");
    command.args(["--json", "--to", &to, "--agents", "6", "--rounds", "1", "--ramp", "100ms", "--think", "20ms"]);
    command.args(["--service", "5ms", "--jtl"]).arg(&log);
    let told = json(&mut command).remove(0);
    let requests = told["requests"].as_u64().unwrap();
    assert!(requests > 24 && told["statuses"]["0"].is_null(), "{told}");
    assert_eq!((&told["agents"], told["failures"].as_object().unwrap().len()), (&6.into(), 0));
    let mut rows = csv::Reader::from_path(&log).unwrap();
    let columns = rows.headers().unwrap().clone();
    assert_eq!(
        (columns.get(0), columns.get(1), columns.get(3)),
        (Some("timeStamp"), Some("elapsed"), Some("responseCode"))
    );
    assert_eq!(rows.records().map(Result::unwrap).count() as u64, requests);
    assert_eq!(served.stop()["requests"], requests);

    // Nobody is loaded by mistake.
    let refused = lab(&product, "load").args(["--to", "api.example:443"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("--i-may-load-this-host api.example"),
        "{}",
        describe(&refused)
    );
}

#[test]
fn agents_say_that_the_proxy_answered_in_the_place_of_the_api() {
    let product = Product::new(None);
    let served = Lab::serve(&product, &[]);
    // It does not trust the lab's certificate.
    let recording = product.record(&[]);
    let mut command = lab(&product, "load");
    command.args(["--proxy", &recording.address.to_string(), "--to", &format!("localhost:{}", served.port)]);
    command.args(["--agents", "2", "--rounds", "1", "--ramp", "1ms", "--think", "1ms"]);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("answers were the proxy's own") && said.contains("--server-ca"), "{}", describe(&done));
    assert_eq!(recording.stop()["refused"], 0, "nothing of it is the server's");
}

#[test]
fn a_defect_of_some_clients_is_found_over_sockets() {
    let product = Product::new(None);
    let done = planted(&product, &["--reads", "1", "--cause", "duplicate-header:share=0.25"]);
    assert_found(&done, &["duplicate-header"]);
    // All that the API decided went over the proxy, byte for byte: its count and the capture's agree.
    let refused = done["server"]["statuses"]["400"].as_u64().unwrap();
    assert_eq!(done["verdict"]["refused"], refused, "{done}");
}

#[test]
fn a_limit_on_requests_in_flight_is_found_over_sockets() {
    let product = Product::new(None);
    let done = planted(&product, &["--sockets", "0.3", "--cause", "inflight-limit:limit=46"]);
    assert_found(&done, &["inflight"]);
}

/// The first cause is the planted one, or cannot be told apart from it.
fn assert_found(done: &Value, right: &[&str]) {
    let first = &done["verdict"]["causes"][0]["hypothesis"];
    let plant = &done["comparison"]["plants"][0];
    assert!(right.contains(&plant["found"].as_str().unwrap_or_default()), "{first}: {}", done["comparison"]);
    assert_eq!(plant["rank"], 1, "{first}: {}", done["comparison"]);
    assert_eq!(done["complete"], true);
}

#[test]
fn the_demo_runs_and_leaves_captures_to_look_at() {
    let product = Product::new(None);
    let mut command = product.command("demo");
    command.arg("--ca-dir").arg(product.folder.path().join("ca"));
    command.args(["--json", "--agents", "30", "--seconds", "5"]);
    let parts = json(&mut command);
    assert_eq!(parts.len(), 2);
    for (part, planted) in
        parts.iter().zip([&["metadata-before-ready"][..], &["inflight-limit", "unresolved-variable"]])
    {
        assert!(part["exchanges"].as_u64().unwrap() > 100, "{part}");
        assert_eq!(part["complete"], true);
        assert!(part["matches"].is_boolean() && part["verdict"]["result"].is_string());
        for (plant, id) in part["planted"].as_array().unwrap().iter().zip(planted) {
            assert!(plant.as_str().unwrap().starts_with(id), "{plant}");
        }
        assert_eq!(part["load"]["failures"].as_object().unwrap().len(), 0, "{}", part["load"]);
    }
    assert_eq!(product.json("ls", &["captures"]).len(), 2);
    // Agents bear a channel's id on their socket and a session's id in their metadata, and always ask for the socket first.
    let recordings = parts[0]["capture"].as_str().unwrap();
    let flags = product.json("ls", &["flags", "--capture", recordings]);
    assert!(!flags.is_empty() && flags.iter().all(|flag| flag["rule"] != "metadata-without-socket"), "{flags:?}");
    let text = {
        let mut command = product.command("demo");
        command.arg("--ca-dir").arg(product.folder.path().join("ca"));
        let output = command.args(["--agents", "20", "--seconds", "2"]).output().unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for expected in ["held against what was planted", "what to type next", " ls captures", " show x", " diagnose -c "] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}
