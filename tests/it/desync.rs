//! The keep-alive desync on real servers: a body that is longer than its `Content-Length` leaves bytes behind, and the next
//! request, which is innocent, gets the 400. nginx, HAProxy and Node each do it; the flag names the culprit and its bytes.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{client, product::Product};

/// A server of a test's own, ended by its id.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago: these servers cannot be asked which one they took.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server on the port that its command was made with, and waits until it accepts.
fn start(mut command: Command, port: u16) -> Server {
    let process = command.stdout(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut server = Server { process, port };
    let give_up = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(server.process.try_wait().unwrap().is_none(), "{command:?} has ended");
        assert!(Instant::now() < give_up, "{command:?} does not accept");
        std::thread::yield_now();
    }
    server
}

fn nginx(folder: &Path) -> Server {
    let port = free_port();
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n\
         events {{}}\n\
         http {{\n\
           access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
           server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}\n\
         }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), configuration).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    start(command, port)
}

fn haproxy(folder: &Path) -> Server {
    let port = free_port();
    let configuration = format!(
        "defaults\n  mode http\n  timeout client 20s\n  timeout server 20s\n  timeout connect 20s\n\
         frontend api\n  bind 127.0.0.1:{port}\n  http-request return status 200 content-type text/plain string ok\n"
    );
    std::fs::write(folder.join("haproxy.cfg"), configuration).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    start(command, port)
}

fn node(_: &Path) -> Server {
    let script = "const s = require('http').createServer((q, r) => { q.resume(); q.on('end', () => r.end('ok')); });\
                  s.listen(0, '127.0.0.1', () => console.log(s.address().port));";
    let mut process = Command::new("node").args(["-e", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines.next().unwrap().unwrap().parse().unwrap();
    Server { process, port }
}

/// `mark` is how the server's own 400 looks.
///
/// `apart`: what is too long arrives after the answer, as when a body's end is in a segment of its own. Node, which parses
/// what it has, else refuses before it answers.
fn check(server: impl FnOnce(&Path) -> Server, mark: &str, apart: bool) {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let authority = format!("127.0.0.1:{}", server.port);
    let product = Product::new(None);
    let recording = product.record(&[]);
    let get = format!("GET /innocent HTTP/1.1\r\nHost: {authority}\r\n\r\n");

    // On a connection of its own it is answered.
    let mut tunnel = client::connect(recording.address, &authority);
    tunnel.write_all(get.as_bytes()).unwrap();
    assert!(client::read_head(&mut tunnel).starts_with("HTTP/1.1 200"));
    drop(tunnel);

    let mut tunnel = client::connect(recording.address, &authority);
    let head = format!("POST /culprit HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n");
    let (announced, surplus) = ("{\"a\":", format!("1}}{get}"));
    let mut answers = String::new();
    let begun = format!("{head}Content-Length: 5\r\n\r\n{announced}");
    if apart {
        tunnel.write_all(begun.as_bytes()).unwrap();
        answers.push_str(&client::read_head(&mut tunnel));
        tunnel.write_all(surplus.as_bytes()).unwrap();
    } else {
        tunnel.write_all(format!("{begun}{surplus}").as_bytes()).unwrap();
    }
    let _ = std::io::Read::read_to_string(&mut tunnel, &mut answers);
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    let refusal = answers.rsplit("HTTP/1.").next().unwrap();
    assert!(refusal.contains(" 400 Bad") && refusal.contains(mark), "{answers}");
    drop(tunnel);
    recording.stop();

    let exchanges = product.json("ls", &["exchanges"]);
    let statuses: Vec<u64> = exchanges.iter().map(|exchange| exchange["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 400], "{exchanges:#?}");
    assert_eq!(exchanges[1]["path"], "/culprit");
    let flags = product.json("ls", &["flags", "--filter", "rule=bytes-after-body"]);
    let [flag] = flags.as_slice() else { panic!("{flags:#?}") };
    assert_eq!(
        (flag["subject"].as_str(), flag["severity"].as_str()),
        (Some("x3"), Some("error")),
        "the 400 is explained"
    );
    assert!(flag["message"].as_str().unwrap().contains("behind the body of x2 (Content-Length: 5)"), "{flag}");
    let evidence = flag["evidence"].as_array().unwrap();
    assert!(
        evidence.iter().any(|evidence| evidence["id"] == "x2" && evidence["side"] == "client"),
        "the culprit: {flag}"
    );
}

#[test]
fn nginx_refuses_the_innocent_request() {
    check(nginx, "Server: nginx", false);
}

#[test]
fn haproxy_refuses_the_innocent_request() {
    check(haproxy, "Your browser sent an invalid request.", false);
}

#[test]
fn node_refuses_the_innocent_request() {
    check(node, "Connection: close", true);
}
