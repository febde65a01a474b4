//! The processes of a run, and what the system says of them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Relay,
    Ours,
}

/// A started process that listens; it is killed when dropped.
pub struct Child {
    process: std::process::Child,
    pub port: u16,
    /// The capture that it writes, removed with it.
    captures: Option<PathBuf>,
}

impl Child {
    pub fn origin(folder: &Path) -> Self {
        Self::role("role-origin", folder)
    }

    pub fn proxy(peer: Peer, folder: &Path, _origin: u16) -> Self {
        match peer {
            Peer::Relay => Self::role("role-relay", folder),
            Peer::Ours => Self::ours(folder),
        }
    }

    fn role(role: &str, folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(role)
            .env("BENCH_FOLDER", folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let port = line.strip_prefix("port ").unwrap().parse().unwrap();
        Self { process, port, captures: None }
    }

    fn ours(folder: &Path) -> Self {
        let captures = folder.join(format!("captures-{}", Instant::now().elapsed().as_nanos() + unique()));
        let mut process = Command::new(env!("CARGO_BIN_EXE_firstframe"))
            .args(["record", "--json", "-p", "0", "-w"])
            .arg(&captures)
            .arg("--server-ca")
            .arg(folder.join("ca.pem"))
            .arg("--ca-dir")
            .arg(folder.join("our-ca"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let address = line["address"].as_str().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { process, port, captures: Some(captures) }
    }

    /// User and system time of all threads so far.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let fields: Vec<u64> = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
        (fields[0] + fields[1]) as f64 / 100.0
    }

    pub fn rss_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Until it has used no CPU for a second.
    pub fn wait_until_idle(&self, at_most: Duration) {
        let begin = Instant::now();
        let mut last = self.cpu_seconds();
        while begin.elapsed() < at_most {
            std::thread::sleep(Duration::from_secs(1));
            let now = self.cpu_seconds();
            if now - last < 0.02 {
                return;
            }
            last = now;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(captures) = &self.captures {
            let _ = std::fs::remove_dir_all(captures);
        }
    }
}

fn unique() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64
}

/// What this was measured on.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores,{}, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}
