//! Watching a recorder at work: what `tail` prints at once, and what `-v` says of connections.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

use crate::support::product::Product;

/// Far longer than anything takes; what waits for it has failed.
const LONG: Duration = Duration::from_secs(60);

/// Answers each request with a 200 and closes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut reader = BufReader::new(client.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

fn post(proxy: SocketAddr, to: SocketAddr, target: &str, headers: &str, body: &str) {
    let mut client = TcpStream::connect(proxy).unwrap();
    let length = body.len();
    let head = format!("POST http://{to}{target} HTTP/1.1\r\nHost: {to}\r\n{headers}Content-Length: {length}\r\n\r\n");
    client.write_all(format!("{head}{body}").as_bytes()).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
}

/// By order, not by time: the next request is made only when the line of the one before was printed, and nothing else
/// happens that could push it out.
#[test]
fn tail_prints_each_flagged_exchange_before_the_next_is_made_and_no_secret() {
    const SECRET: &str = "s3cr3t-watched-token-0123456789";
    let (product, to) = (Product::new(None), origin());
    let recording = product.record(&[]);
    let filter = "flag:malformed-json or path~\"warm\" or rule=malformed-json";
    let mut tail = product
        .command("tail")
        .args(["--json", "--filter", filter])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (send, lines) = mpsc::channel::<Value>();
    let stdout = BufReader::new(tail.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        stdout.lines().for_each(|line| drop(send.send(serde_json::from_str(&line.unwrap()).unwrap())));
    });
    // It watches once something has come through.
    loop {
        post(recording.address, to, "/warm", "", "");
        if lines.recv_timeout(Duration::from_millis(50)).is_ok() {
            break;
        }
    }
    let mut all = String::new();
    for round in 0..5 {
        let target = format!("/early/{round}/{SECRET}?access_token={SECRET}");
        let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {SECRET}\r\n");
        post(recording.address, to, &target, &headers, "{\"a\": ,}");
        let (mut exchange, mut flag) = (false, false);
        while !(exchange && flag) {
            let line = lines.recv_timeout(LONG).expect("a line for the request before the next one is made");
            all.push_str(&line.to_string());
            exchange |= line["path"].as_str().is_some_and(|path| path.starts_with(&format!("/early/{round}/")));
            flag |= line["rule"] == "malformed-json"
                && line["message"].as_str().is_some_and(|text| text.contains(&format!("/early/{round}/")));
        }
    }
    assert!(!all.contains(SECRET), "{all}");
    recording.stop();
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
}

#[test]
fn connections_and_listeners_are_told_to_those_who_ask() {
    let (product, to) = (Product::new(None), origin());
    for (level, connections) in [("-v", false), ("-vv", true)] {
        let mut child = product
            .command("record")
            .args(["--json", "--listen-port", "0", level])
            .env_remove("FIRSTFRAME_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&events.next().unwrap().unwrap()).unwrap();
        let address = first["address"].as_str().unwrap();
        post(address.parse().unwrap(), to, "/", "", "");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let said = child.wait_with_output().unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains(&format!("INFO listening on {address} (forward)")), "{level}: {said}");
        assert_eq!(said.contains("DEBUG c1 opened: 127.0.0.1:"), connections, "{level}: {said}");
        assert_eq!(said.contains("DEBUG c1 closed by the server (fin)"), connections, "{level}: {said}");
    }
}
