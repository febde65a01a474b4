//! JMeter's WebSocket Samplers send `GET https://host:443/path` inside the tunnel, and real servers refuse that: Node's
//! `ws` with its `path` option, and Starlette under uvicorn with either of its HTTP parsers. Through us they answer 101.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{client, product::Product, repository, tool};

struct Server {
    process: std::process::Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(mut command: Command) -> Server {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines.next().expect("the server prints its port").unwrap().trim().parse().unwrap();
    Server { process, port }
}

/// `ca.pem`, `cert.pem` and `key.pem` for localhost; the root as PEM.
fn certificates(folder: &Path) -> String {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    pem
}

fn upgrade(stream: &mut (impl std::io::Read + Write), port: u16) -> String {
    write!(
        stream,
        "GET https://localhost:{port}/ws/chat HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    client::read_head(stream).lines().next().unwrap().to_owned()
}

fn check(server: impl FnOnce(&Path) -> Command, refusal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ca = certificates(folder.path());
    let server = start(server(folder.path()));
    let authority = format!("localhost:{}", server.port);

    // The server does refuse it, or this test shows nothing.
    let direct = client::dial(([127, 0, 0, 1], server.port).into());
    let answer = upgrade(&mut client::tls(direct, "localhost", &ca), server.port);
    assert!(answer.starts_with(&format!("HTTP/1.1 {refusal}")), "direct: {answer}");

    let product = Product::new(Some(&ca));
    let recording = product.record(&[]);
    let ours = std::fs::read_to_string(product.ca()).unwrap();
    let mut tunnel = client::connect_tls(recording.address, &authority, &ours);
    let answer = upgrade(&mut tunnel, server.port);
    assert!(answer.starts_with("HTTP/1.1 101"), "through the proxy: {answer}");
    drop(tunnel);
    recording.stop();

    let exchange = product.json("show", &["x1"]).remove(0);
    assert_eq!(exchange["target"], format!("https://localhost:{}/ws/chat", server.port), "as the client sent it");
    assert_eq!(exchange["rewritten"][0]["kind"], "absolute-form");
    assert_eq!(exchange["rewritten"][0]["to"], "/ws/chat");
}

#[test]
fn node_ws_with_a_path_accepts_it_through_us() {
    check(
        |folder| {
            let mut command = Command::new("node");
            command
                .arg(repository().join("tests/it/support/node/absolute_form_origin.js"))
                .args([folder.join("cert.pem"), folder.join("key.pem")])
                .env("NODE_PATH", tool("node/node_modules"));
            command
        },
        "400",
    );
}

fn starlette(implementation: &'static str) {
    check(
        |folder| {
            let mut command = Command::new(tool("python/bin/python"));
            command
                .arg(repository().join("tests/it/support/python/absolute_form_origin.py"))
                .args([folder.join("cert.pem"), folder.join("key.pem")])
                .arg(implementation);
            command
        },
        "403",
    );
}

#[test]
fn starlette_under_uvicorn_with_h11_accepts_it_through_us() {
    starlette("h11");
}

#[test]
fn starlette_under_uvicorn_with_httptools_accepts_it_through_us() {
    starlette("httptools");
}
