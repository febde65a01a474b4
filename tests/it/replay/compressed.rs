//! Sockets with `permessage-deflate` (Node's `ws` at the other end): what the server issues is carried on into compressed
//! messages, and what changes nothing is sent as captured.

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;

use crate::support::{client, product::Product, repository, tool};

/// The server, killed when dropped.
struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(deflate: &str) -> Self {
        let mut process = Command::new("node")
            .arg(repository().join("tests/it/support/node/deflating.cjs"))
            .arg(deflate)
            .env("NODE_PATH", tool("node/node_modules"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { process, lines, port }
    }

    /// The next messages that clients sent.
    fn said(&mut self, count: usize) -> Vec<String> {
        self.lines.by_ref().take(count).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client whose compressor remembers all that was sent, as most do.
struct Compressing {
    stream: std::net::TcpStream,
    compress: Compress,
}

impl Compressing {
    /// Opens a socket through the proxy; also the channel that it was given.
    fn open(proxy: SocketAddr, port: u16) -> (Self, String) {
        let mut stream = client::dial(proxy);
        write!(
            stream,
            "GET http://127.0.0.1:{port}/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-JM-Thread: u1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        .unwrap();
        let head = client::read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("permessage-deflate"), "{head}");
        let channel = head.lines().find_map(|line| line.strip_prefix("X-Channel-Id: ")).unwrap().to_owned();
        (Self { stream, compress: Compress::new(Compression::default(), false) }, channel)
    }

    /// Sends a message in so many frames, and waits for the answer.
    fn say(&mut self, message: &str, frames: usize) {
        let mut coded = Vec::with_capacity(message.len() + 64);
        self.compress.compress_vec(message.as_bytes(), &mut coded, FlushCompress::Sync).unwrap();
        coded.truncate(coded.len() - 4);
        let size = coded.len().div_ceil(frames);
        for (nth, piece) in coded.chunks(size).enumerate() {
            let first = if nth == 0 { 0x41 } else { 0 } | if nth + 1 == frames { 0x80 } else { 0 };
            let mut frame = vec![first, 0x80 | piece.len() as u8, 7, 7, 7, 7];
            frame.extend(piece.iter().map(|byte| byte ^ 7));
            self.stream.write_all(&frame).unwrap();
        }
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0xc1, "the answer is a compressed text");
        self.stream.read_exact(&mut vec![0; usize::from(header[1])]).unwrap();
    }

    fn close(mut self) {
        self.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
        let _ = self.stream.read_to_end(&mut Vec::new());
    }
}

const HELLO: &str = r#"{"hello":"nobody in particular"}"#;

fn subscribe(channel: &str, nth: usize) -> String {
    format!(r#"{{"subscribe":"{channel}","topic":"topic of channel number {nth}","n":{nth}}}"#)
}

/// Records one user, whose server prints what it was sent.
fn record(product: &Product, server: &mut Server) {
    let recording = product.record(&["--name", "first"]);
    let (mut socket, channel) = Compressing::open(recording.address, server.port);
    assert_eq!(channel, "channel-00000001");
    socket.say(HELLO, 1);
    socket.say(&subscribe(&channel, 1), 3);
    socket.say(&subscribe(&channel, 2), 1);
    socket.close();
    recording.stop();
    assert_eq!(server.said(3), [HELLO, &subscribe(&channel, 1), &subscribe(&channel, 2)]);
}

/// The client's frames: opcode, whether compressed, bytes.
fn frames(product: &Product, capture: &str) -> Vec<(u64, bool, u64)> {
    let frames = product.json("ls", &["frames", "-c", capture, "--filter", "from=client"]);
    let number = |frame: &serde_json::Value, name: &str| frame[name].as_u64().unwrap();
    frames.iter().map(|f| (number(f, "opcode"), f["compressed"] == true, number(f, "bytes"))).collect()
}

#[test]
fn what_was_issued_is_carried_on_into_compressed_messages() {
    for options in [
        r#"{"threshold":0}"#,
        r#"{"threshold":0,"clientMaxWindowBits":9}"#,
        r#"{"threshold":0,"clientNoContextTakeover":true}"#,
    ] {
        let product = Product::new(None);
        let mut server = Server::start(r#"{"threshold":0}"#);
        record(&product, &mut server);
        // The same server again, and one with which something else is agreed.
        let mut other = Server::start(options);
        for (name, port, server) in [("second", server.port, &mut server), ("third", other.port, &mut other)] {
            let to = format!("http://127.0.0.1:{port}");
            let replayed = product.json("replay", &["-c", "first", "--name", name, "--to", &to]).remove(0);
            assert_eq!(replayed["troubles"], json!({}), "{options}: {replayed:#}");
            assert_eq!(replayed["comparison"]["differences"], json!([]), "{options}: {replayed:#}");
            let channel = if name == "second" { "channel-00000002" } else { "channel-00000001" };
            assert_eq!(server.said(3), [HELLO, &subscribe(channel, 1), &subscribe(channel, 2)], "{options}");
        }
        let (first, second) = (frames(&product, "first"), frames(&product, "second"));
        assert_eq!(first[0], second[0], "what says the same is sent as captured");
        let kinds = |frames: &[(u64, bool, u64)]| frames.iter().map(|(opcode, ..)| *opcode).collect::<Vec<_>>();
        assert_eq!(kinds(&first), [1, 1, 0, 0, 1, 8]);
        assert_eq!(kinds(&second), kinds(&first), "in as many frames");
    }
}

#[test]
fn a_server_that_agrees_to_no_compression_is_sent_the_same_plainly() {
    let product = Product::new(None);
    let mut server = Server::start(r#"{"threshold":0}"#);
    record(&product, &mut server);
    let mut plain = Server::start("false");
    let to = format!("http://127.0.0.1:{}", plain.port);
    let replayed = product.json("replay", &["-c", "first", "--name", "plain", "--to", &to]).remove(0);
    assert_eq!(replayed["troubles"], json!({}), "{replayed:#}");
    assert_eq!(plain.said(3), [HELLO, &subscribe("channel-00000001", 1), &subscribe("channel-00000001", 2)]);
    assert!(frames(&product, "plain").iter().all(|(_, compressed, _)| !compressed));
}
