//! Captured text that JMeter would evaluate: a plan made of it runs none of it, and sends it as it was.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
};

use firstframe::{
    export::Options,
    model::{
        Side,
        trace::{Closer, Dialed, Ending, Fact, Opened},
    },
};

use super::{capture, exported, fs};
use crate::support::{client::content_length, tool};

/// Answers whatever comes, and hands on each request.
fn serve(listener: TcpListener) -> mpsc::Receiver<String> {
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let said = said.clone();
            thread::spawn(move || while answer(stream.try_clone().unwrap(), &said).is_some() {});
        }
    });
    heard
}

fn answer(mut stream: TcpStream, said: &mpsc::Sender<String>) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let mut body = vec![0; content_length(&String::from_utf8_lossy(&request))];
    stream.read_exact(&mut body).ok()?;
    request.extend(body);
    said.send(String::from_utf8(request).unwrap()).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok()
}

#[test]
fn jmeter_runs_nothing_that_was_captured_and_sends_it_as_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = serve(listener);
    let folder = tempfile::tempdir().unwrap();
    let touched = folder.path().join("touched");
    let run = format!("${{__groovy(new File('{}').createNewFile())}}", touched.display());
    let bodies = [
        format!(r#"{{"note":"{run}"}}"#),
        r#"{"x":"${notvar}","y":"a\\b","z":"\${__time()}"}"#.to_owned(),
        r#"{"x":"${__threadNum}","re":"\\d+\,","end":"\"}$"#.to_owned(),
        r#"{"re":"\\d+ \$ $x {y} \, \"}"#.to_owned(),
    ];
    let header = format!(r"{run} ${{z}} \\ \, $\");
    let capture = capture(folder.path(), |script| {
        let at = script.wait(10_000);
        let client = "127.0.0.1:50000".parse().unwrap();
        let listener = "127.0.0.1:8080".parse().unwrap();
        script.fact(1, Fact::Opened(Opened { at, mode: "forward".to_owned(), client, listener }));
        let (begin, end) = (script.wait(10), script.wait(900));
        let authority = address.to_string();
        let dialed = Dialed { begin, end, authority, address: Some(address), local: None, error: None };
        script.fact(1, Fact::Dialed(dialed));
        for (number, body) in bodies.iter().enumerate() {
            let request = format!(
                "POST /{number} HTTP/1.1\r\nHost: {address}\r\nX-Said: {header}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            script.say(1, Side::Client, request.as_bytes());
            script.say(1, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
        script.close(1, Closer::Client, Ending::Fin);
    });
    let plan = folder.path().join("export.jmx");
    fs::write(&plan, exported(&capture, "jmx", &Options { keep_secrets: true, ..Options::default() }).0).unwrap();
    let mut jmeter = Command::new(tool("jmeter/bin/jmeter"));
    jmeter.args(["-n", "-t"]).arg(&plan).arg("-l").arg(folder.path().join("out.jtl"));
    jmeter.arg("-j").arg(folder.path().join("jmeter.log")).env("HOME", folder.path());
    let output = jmeter.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut said: Vec<String> = heard.try_iter().collect();
    said.sort();
    assert_eq!(said.len(), bodies.len(), "{output:?}");
    for (said, body) in said.iter().zip(&bodies) {
        let (head, sent) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(sent, body);
        assert!(head.contains(&format!("\r\nX-Said: {header}\r\n")), "{head}");
    }
    assert!(!touched.exists(), "captured text ran in JMeter");
}
