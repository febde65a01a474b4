//! What `diagnose` proposes is run as it is printed, by a shell.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    client,
    product::{Product, describe},
};

/// An API that takes a while for each request, and refuses bodies that are no JSON.
fn api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                while let Some(body) = client::read_request(&mut stream) {
                    // What an API does; it makes what the recording adds small beside it.
                    std::thread::sleep(Duration::from_millis(200));
                    let json = serde_json::from_slice::<Value>(&body).is_ok();
                    let status = if json { "200 OK" } else { "400 Bad Request" };
                    if write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// All bodies are as long, so that their length tells nothing.
const BODY: usize = 12;
const USERS: u64 = 40;
const EACH: u64 = 12;

/// Some users' requests bear a header, and those have a comma too many: which of both is refused for?
fn load(proxy: SocketAddr, api: SocketAddr) {
    std::thread::scope(|scope| {
        for user in 0..USERS {
            scope.spawn(move || {
                let mut stream = client::dial(proxy);
                for nth in 0..EACH {
                    let spoilt = (user * 31 + nth * 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 7 == 0;
                    let (body, header) =
                        if spoilt { (r#"{"a":12345,}"#, "X-Build: 7\r\n") } else { (r#"{"a":123456}"#, "") };
                    assert_eq!(body.len(), BODY);
                    let head =
                        format!("POST http://{api}/v1/items HTTP/1.1\r\nHost: {api}\r\nX-JM-Thread: u{user}\r\n");
                    let rest =
                        format!("Content-Type: application/json\r\n{header}Content-Length: {BODY}\r\n\r\n{body}");
                    stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
                    client::read_response(&mut stream);
                }
            });
        }
    });
}

#[test]
fn the_proposed_experiment_runs_as_printed_and_finds_the_cause() {
    let (product, api) = (Product::new(None), api());
    let recording = product.record(&["--name", "confounded"]);
    load(recording.address, api);
    recording.stop();
    // Whatever is recorded afterwards: the command means this capture.
    product.record(&["--name", "later"]).stop();
    let diagnosed = product.command("diagnose").args(["-c", "confounded", "--json"]).output().unwrap();
    let verdict: Value =
        serde_json::from_slice(&diagnosed.stdout).unwrap_or_else(|_| panic!("{}", describe(&diagnosed)));
    let confounded = verdict["confounded"].as_array().unwrap();
    let found = confounded.iter().find(|found| found["hypotheses"].to_string().contains("malformed-json"));
    let found = found.unwrap_or_else(|| panic!("{verdict:#}"));
    assert!(found["hypotheses"].to_string().contains("contrast:header:x-build"), "{found:#}");
    let printed = found["experiment"].as_str().unwrap();
    let text = product.command("diagnose").args(["-c", "confounded"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(printed), "people are shown the same: {printed}\n{text}");

    // The folder of programs comes first, as where it is installed.
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_firstframe")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &format!("{printed} --json")])
        .env("PATH", path)
        .env("FIRSTFRAME_CA_DIR", product.folder.path().join("ca"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{printed}: {}", describe(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answer = |arm: &str| {
        let comparisons = result["comparisons"].as_array().unwrap();
        comparisons.iter().find(|one| one["arm"] == arm).unwrap_or_else(|| panic!("{result:#}"))["result"].clone()
    };
    assert_eq!(answer("fix-json"), "removes", "{result:#}");
    assert_ne!(answer("drop-header=x-build"), "removes", "{result:#}");
}
