//! The product as a user has it: the binary, started as a process, ended by its id.

use std::{
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

/// A captures folder and a CA folder of a test's own.
pub struct Product {
    pub folder: tempfile::TempDir,
    server_ca: Option<PathBuf>,
}

impl Product {
    /// Trusts `server_ca` (PEM) beside the system's roots.
    pub fn new(server_ca: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server_ca = server_ca.map(|pem| {
            let path = folder.path().join("server-ca.pem");
            std::fs::write(&path, pem).unwrap();
            path
        });
        Self { folder, server_ca }
    }

    pub fn captures(&self) -> PathBuf {
        self.folder.path().join("captures")
    }

    /// The root that clients have to trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca/firstframe-ca.pem")
    }

    /// `firstframe SUBCOMMAND` with the folders of this test.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstframe"));
        command.arg(subcommand).arg("--captures").arg(self.captures()).env("NO_COLOR", "1");
        if matches!(subcommand, "run" | "record" | "replay" | "experiment") {
            command.arg("--ca-dir").arg(self.folder.path().join("ca"));
            if let Some(ca) = &self.server_ca {
                command.arg("--server-ca").arg(ca);
            }
        }
        command
    }

    /// The output of a subcommand that must succeed.
    pub fn output(&self, subcommand: &str, arguments: &[&str]) -> String {
        let output = self.command(subcommand).args(arguments).output().unwrap();
        assert!(output.status.success(), "{subcommand} {arguments:?}: {}", describe(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON lines of a subcommand that must succeed.
    pub fn json(&self, subcommand: &str, arguments: &[&str]) -> Vec<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.output(subcommand, &all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Starts `record` on a port that the system picks, and waits until it accepts.
    pub fn record(&self, arguments: &[&str]) -> Recording {
        let mut process = self
            .command("record")
            .args(["--json", "--listen-port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().expect("a line of record").unwrap()).unwrap();
        assert_eq!(first["event"], "listening", "{first}");
        let address = first["address"].as_str().unwrap().parse().unwrap();
        Recording { process, lines, address, capture: PathBuf::from(first["capture"].as_str().unwrap()) }
    }
}

/// A running `record`; killed when dropped.
pub struct Recording {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub address: std::net::SocketAddr,
    pub capture: PathBuf,
}

impl Recording {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it with SIGTERM; the `stopped` event.
    pub fn stop(mut self) -> Value {
        signal(self.id(), nix::sys::signal::Signal::SIGTERM);
        let mut last = Value::Null;
        for line in self.lines.by_ref() {
            last = serde_json::from_str(&line.unwrap()).unwrap();
        }
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(last["event"], "stopped", "{last}");
        last
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn signal(process: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process as i32), signal).unwrap();
}

pub fn describe(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether `path` is a file that this process can read.
pub fn readable(path: &Path) -> bool {
    std::fs::File::open(path).is_ok()
}
