//! `diagnose` on real captures: what it counts, what it says where there is too little, how it ends.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    client::read_response,
    product::{Product, Recording, describe},
};

/// A plain API that answers as its path says: `/status/400/...` with 400. `/silent` is cut off without an answer.
fn api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let Some(status) = path.split("/status/").nth(1).and_then(|rest| rest.get(..3)) else { return };
        let node = if path.contains("/b") { "b" } else { "a" };
        let answer = format!("HTTP/1.1 {status} x\r\nX-Served-By: {node}\r\nContent-Length: 2\r\n\r\n{{}}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Sends requests through the proxy, one after the other, on one connection.
fn send(recording: &Recording, api: SocketAddr, requests: &[String]) {
    let mut stream = TcpStream::connect(recording.address).unwrap();
    for path in requests {
        let head = format!("GET http://{api}{path} HTTP/1.1\r\nHost: {api}\r\nX-JM-Thread: t1\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        if path == "/silent" {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            return;
        }
        read_response(&mut stream);
    }
}

fn paths(path: &str, times: usize) -> Vec<String> {
    (0..times).map(|n| format!("{path}/{n}")).collect()
}

struct Diagnosis {
    code: i32,
    verdict: Value,
}

fn diagnose(product: &Product, arguments: &[&str]) -> Diagnosis {
    let output = product.command("diagnose").arg("--json").args(arguments).output().unwrap();
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)));
    Diagnosis { code: output.status.code().unwrap(), verdict }
}

/// Of a capture that is being recorded: once at least so many requests have come through to those who ask.
fn diagnose_of(product: &Product, total: u64) -> Diagnosis {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = diagnose(product, &[]);
        if found.verdict["total"].as_u64().unwrap_or(0) >= total {
            return found;
        }
        assert!(Instant::now() < deadline, "{} of {total} requests are judged", found.verdict["total"]);
    }
}

#[test]
fn a_run_without_refusals_is_said_to_be_one() {
    let (product, api) = (Product::new(None), api());
    let recording = product.record(&[]);
    send(&recording, api, &paths("/status/200/scripts", 12));
    recording.stop();
    let Diagnosis { code, verdict } = diagnose(&product, &[]);
    assert_eq!((code, &verdict["result"]), (0, &Value::from("no-refusals")));
    assert_eq!((&verdict["refused"], &verdict["total"]), (&Value::from(0), &Value::from(12)));
    let text = product.output("diagnose", &[]);
    assert!(text.starts_with("None of 12 requests was refused."), "{text}");
}

#[test]
fn few_refusals_are_not_enough_and_what_counts_can_be_said() {
    let (product, api) = (Product::new(None), api());
    let recording = product.record(&[]);
    send(&recording, api, &paths("/status/200/scripts", 20));
    send(&recording, api, &paths("/status/400/scripts", 7));
    send(&recording, api, &paths("/status/404/scripts", 3));
    send(&recording, api, &paths("/status/503/scripts", 2));
    send(&recording, api, &["/silent".to_owned()]);

    // While it is being recorded, what is finished is judged, and it is said until when.
    let running = diagnose_of(&product, 27);
    assert_eq!((running.code, &running.verdict["result"]), (4, &Value::from("not-enough-data")));
    let notes = running.verdict["honesty"]["notes"].to_string();
    assert!(notes.contains("still being recorded") && notes.contains("until 20"), "{notes}");
    assert_eq!(running.verdict["honesty"]["complete"], false);
    assert!(running.verdict["honesty"]["until_ns"].as_u64().unwrap() > 0);
    assert!(running.verdict["honesty"]["added_p50_ns"].as_u64().is_some(), "{}", running.verdict["honesty"]);

    recording.stop();
    let Diagnosis { code, verdict } = diagnose(&product, &[]);
    assert_eq!(code, 4);
    // What the proxy itself took is known where the kernel stamps arrivals.
    let added = |share: &str| verdict["honesty"][share].as_u64();
    if cfg!(target_os = "linux") {
        let (p50, p99) = (added("added_p50_ns").unwrap(), added("added_p99_ns").unwrap());
        assert!(0 < p50 && p50 <= p99, "{p50} {p99}");
    }
    // 404 and 503 say something else than refused; no answer at all is a refusal.
    assert_eq!((&verdict["refused"], &verdict["total"]), (&Value::from(8), &Value::from(28)));
    assert_eq!(verdict["answered_by"]["nobody"], 1);
    for (option, value, refused, total) in [
        ("--refused", "503", 3, 23),
        ("--refused", "400,404", 11, 31),
        ("--refused", "status=404", 3, 23),
        ("--filter", "path~\"/400/\"", 7, 7),
    ] {
        let verdict = diagnose(&product, &[option, value]).verdict;
        let found = (verdict["refused"].as_u64().unwrap(), verdict["total"].as_u64().unwrap());
        assert_eq!(found, (refused, total), "{option} {value}");
    }
    for (option, value) in [("--refused", "40"), ("--refused", "staus=400"), ("--filter", "nonsense=1")] {
        let output = product.command("diagnose").args([option, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {}", describe(&output));
    }
}

#[test]
fn a_killed_recording_is_judged_as_far_as_it_goes() {
    let (product, api) = (Product::new(None), api());
    let recording = product.record(&[]);
    send(&recording, api, &paths("/status/200/scripts", 5));
    send(&recording, api, &paths("/status/400/scripts", 4));
    let seen = diagnose_of(&product, 9).verdict;
    recording.kill();
    let verdict = diagnose(&product, &[]).verdict;
    assert_eq!((&verdict["refused"], &verdict["total"]), (&seen["refused"], &seen["total"]));
    assert_eq!(verdict["total"], 9);
    assert_eq!(verdict["honesty"]["complete"], false);
    assert!(verdict["honesty"]["notes"].to_string().contains("without sealing"), "{verdict}");
    assert!(verdict["honesty"]["added_p50_ns"].as_u64().is_some(), "{verdict}");
}

#[test]
fn several_captures_are_judged_together() {
    let (product, api) = (Product::new(None), api());
    for name in ["one", "two"] {
        let recording = product.record(&["--name", name]);
        send(&recording, api, &paths("/status/200/scripts", 6));
        send(&recording, api, &paths("/status/400/scripts", 2));
        recording.stop();
    }
    let both = diagnose(&product, &["-c", "one", "-c", "two"]).verdict;
    assert_eq!((&both["refused"], &both["total"]), (&Value::from(4), &Value::from(16)));
    assert_eq!(diagnose(&product, &["-c", "two"]).verdict["total"], 8);
    // Evidence of several captures bears their names.
    for selected in [&["two/x7"] as &[&str], &["-c", "one", "-c", "two", "two/x7"]] {
        assert_eq!(product.json("show", selected)[0]["id"], "x7");
    }
    let other = product.command("show").args(["-c", "one", "two/x7"]).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", describe(&other));
}

#[test]
fn routes_that_the_profile_does_not_know_are_not_judged() {
    let (product, api) = (Product::new(None), api());
    let recording = product.record(&["--profile", "genesys-cloud"]);
    send(&recording, api, &paths("/status/200/scripts", 5));
    send(&recording, api, &paths("/status/400/scripts", 4));
    recording.stop();
    let Diagnosis { code, verdict } = diagnose(&product, &[]);
    assert_eq!((code, &verdict["total"]), (4, &Value::from(0)));
    let why = verdict["honesty"]["notes"].to_string();
    assert!(why.contains("none of 9 requests is on a route that the profile genesys-cloud knows"), "{why}");
    assert_eq!(diagnose(&product, &["--profile", "generic"]).verdict["refused"], 4);
}
