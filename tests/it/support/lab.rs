//! The lab's API as a program of its own, for tests that play against it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::product::{Product, signal};

/// `lab serve`, killed when dropped.
pub(crate) struct Lab {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    pub(crate) port: u16,
    pub(crate) ca: String,
}

impl Lab {
    /// One that listens on a port of its own.
    pub(crate) fn serve(product: &Product, arguments: &[&str]) -> Self {
        let mut process = lab(product, "serve")
            .args(["--json", "-p", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().expect("a line of lab serve").unwrap()).unwrap();
        assert_eq!(first["event"], "listening", "{first}");
        let port = first["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self { process, lines, port, ca: first["ca"].as_str().unwrap().to_owned() }
    }

    /// A connection without TLS, with a limit on how long a test may hang.
    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Ends it; what it told.
    pub(crate) fn stop(mut self) -> Value {
        signal(self.process.id(), nix::sys::signal::Signal::SIGTERM);
        let last = self.lines.by_ref().map(|line| line.unwrap()).last().expect("a last line");
        assert!(self.process.wait().unwrap().success());
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(last["event"], "stopped");
        last["told"].clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `firstframe lab SUBCOMMAND` with the folders of this test.
pub(crate) fn lab(product: &Product, subcommand: &str) -> Command {
    let mut command = product.command("lab");
    command.arg("--ca-dir").arg(product.folder.path().join("ca")).arg(subcommand);
    command
}
