//! Checks of this machine and of the settings: trust, port, disk, descriptors, clock.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Check;
use crate::{
    ca::{self, Authority, truststore::SystemRoots},
    clock::{self, Clock},
    config::{Settings, value::size_text},
};

/// Files that a process may have open: two sockets per connection, and some for ourselves.
const DESCRIPTORS_WANTED: u64 = 4096;
/// Below this the disk is as good as full.
const FREE_WANTED: u64 = 1 << 30;
/// 2025-01-01: this program is younger than that, so no true clock shows less.
const EARLIEST_UNIX_S: i64 = 1_735_689_600;
/// 2100-01-01.
const LATEST_UNIX_S: i64 = 4_102_444_800;

pub(super) fn settings(settings: &Settings) -> Check {
    match crate::app::check(settings) {
        Ok(()) => Check::ok("settings", format!("profile {}", settings.profile)),
        Err(error) => Check::fail("settings", format!("{error:#}"), "`firstframe config check` says more"),
    }
}

pub(super) fn roots() -> Check {
    let roots = SystemRoots::load();
    let count = roots.certificates.len();
    match (count, roots.problems.first()) {
        (0, problem) => Check::warn(
            "roots",
            format!("no root certificates found{}", problem.map(|text| format!(": {text}")).unwrap_or_default()),
            "install them (Debian: apt-get install ca-certificates), or name the server's own with --server-ca FILE",
        ),
        (_, Some(problem)) => {
            Check::warn("roots", format!("{count} root certificates, but {problem}"), "remove that one")
        }
        (_, None) => Check::ok("roots", format!("{count} root certificates of this system")),
    }
}

pub(super) fn authority(settings: &Settings) -> Check {
    let dir = settings.ca_dir();
    match Authority::open(&dir) {
        Ok(authority) => Check::ok("ca", format!("{}", authority.certificate_path().display())),
        Err(ca::Error::Missing { .. }) => match try_writing(&dir) {
            Ok(()) => Check::ok("ca", format!("none yet: the first run makes one in {}", dir.display())),
            Err(why) => Check::fail("ca", format!("none yet, and {why}"), "name another folder with --ca-dir DIR"),
        },
        Err(error) => {
            let text = error.to_string();
            let (what, hint) = text.split_once(" (hint: ").unwrap_or((&text, "name another folder with --ca-dir DIR)"));
            Check::fail("ca", what, hint.trim_end_matches(')'))
        }
    }
}

pub(super) fn port(settings: &Settings, for_command: bool) -> Check {
    let (host, port) = (settings.proxy.listen_host.as_str(), settings.proxy.listen_port);
    if for_command {
        return match TcpListener::bind((host, 0)) {
            Ok(_) => Check::ok("port", format!("`run` takes a free port on {host}")),
            Err(error) => {
                Check::fail("port", format!("cannot listen on {host}: {error}"), "choose another --listen-host")
            }
        };
    }
    match TcpListener::bind((host, port)) {
        Ok(_) => Check::ok("port", format!("{host}:{port} is free")),
        Err(error) => Check::fail(
            "port",
            format!("cannot listen on {host}:{port}: {error}"),
            "stop what listens there, or choose another with -p (0 picks a free one)",
        ),
    }
}

pub(super) fn captures(settings: &Settings) -> Check {
    match try_writing(&settings.captures) {
        Ok(()) => Check::ok("captures", format!("{} can be written", settings.captures.display())),
        Err(why) => Check::fail("captures", why, "name another folder with -w DIR"),
    }
}

pub(super) fn disk(settings: &Settings) -> Check {
    let existing = existing_ancestor(&settings.captures);
    match fs4::available_space(&existing) {
        Ok(free) if free < FREE_WANTED => Check::warn(
            "disk",
            format!("{} free where captures go", rounded(free)),
            "free some, name another folder with -w DIR, or keep less with --max-bytes (oldest goes first)",
        ),
        Ok(free) => Check::ok("disk", format!("{} free where captures go", rounded(free))),
        Err(error) => Check::warn("disk", format!("free space cannot be told: {error}"), "look yourself"),
    }
}

pub(super) fn descriptors() -> Check {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        None => Check::ok("descriptors", "limit not known on this system"),
        Some(limit) if limit < DESCRIPTORS_WANTED => Check::warn(
            "descriptors",
            format!("{limit} open files at most: {} connections", limit.saturating_sub(64) / 2),
            format!("ulimit -n {DESCRIPTORS_WANTED} (or more) in the shell that starts firstframe"),
        ),
        Some(limit) => Check::ok("descriptors", format!("{limit} open files at most")),
    }
}

/// The hard limit of open files in the text of Linux's `/proc/self/limits`, to which a recorder raises its own; no limit
/// at all is `u64::MAX`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_whitespace().nth(1)?;
    if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
}

pub(super) fn clock() -> Check {
    let unix_s = clock::wall_unix_ns() / 1_000_000_000;
    if !(EARLIEST_UNIX_S..LATEST_UNIX_S).contains(&unix_s) {
        return Check::fail(
            "clock",
            "the wall clock shows a year that cannot be",
            "set it: certificates would not be valid, and stamps could not be compared with the server's",
        );
    }
    let clock = Clock::start();
    std::thread::sleep(Duration::from_millis(20));
    let drift = clock.wall_drift_ns().unsigned_abs();
    if drift > 5_000_000 {
        return Check::warn(
            "clock",
            format!("the wall clock moved by {} ms within 20 ms", drift / 1_000_000),
            "it is being set: wait until it has settled",
        );
    }
    Check::ok("clock", "plausible and steady")
}

pub(super) fn kernel_stamps() -> Check {
    if cfg!(target_os = "linux") {
        Check::ok("stamps", "arrival is stamped by the kernel")
    } else {
        Check::warn(
            "stamps",
            "this system's kernel does not stamp arrivals",
            "times are those of our own reads; run on Linux where tens of microseconds matter",
        )
    }
}

pub(super) fn environment(variable: impl Fn(&str) -> Option<String>) -> Check {
    let set: Vec<&str> = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
        .into_iter()
        .filter(|name| variable(name).is_some_and(|value| !value.is_empty()))
        .collect();
    if set.is_empty() {
        return Check::ok("environment", "no other proxy is set");
    }
    Check::warn(
        "environment",
        format!("{} names another proxy", set.join(", ")),
        "firstframe goes to servers directly: if only that proxy reaches them, it will not",
    )
}

/// Whether files can be made in `dir`, or `dir` itself where it is not there. What is made is removed.
fn try_writing(dir: &Path) -> Result<(), String> {
    let existing = existing_ancestor(dir);
    if !existing.is_dir() {
        return Err(format!("{} is not a folder", existing.display()));
    }
    let probe = existing.join(format!(".firstframe-doctor-{}", std::process::id()));
    let written = fs::File::create_new(&probe).and_then(|mut file| file.write_all(b"probe"));
    let _ = fs::remove_file(&probe);
    written.map_err(|error| format!("{} cannot be written: {error}", existing.display()))
}

/// The nearest folder upwards that is there.
fn existing_ancestor(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    absolute.ancestors().find(|path| path.exists()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Three digits are enough here.
fn rounded(bytes: u64) -> String {
    let unit = [1_u64 << 40, 1 << 30, 1 << 20].into_iter().find(|unit| bytes >= *unit).unwrap_or(1);
    size_text(bytes / unit * unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn the_limit_that_can_be_had_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(524_288));
        assert_eq!(
            open_files("Max open files            unlimited            unlimited            files"),
            Some(u64::MAX)
        );
        assert_eq!(open_files(""), None);
    }

    #[test]
    fn a_taken_port_fails_unless_run_chooses() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut settings = Settings::default();
        settings.proxy.listen_port = taken.local_addr().unwrap().port();
        assert_eq!(port(&settings, false).status, Status::Fail);
        assert_eq!(port(&settings, true).status, Status::Ok);
    }

    #[test]
    fn folders_are_tried_without_leaving_anything() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(try_writing(&folder.path().join("not/there/yet")), Ok(()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(try_writing(&file.join("below")).unwrap_err().contains("is not a folder"));
    }

    #[test]
    fn another_proxy_is_warned_of() {
        assert_eq!(environment(|_| None).status, Status::Ok);
        let check = environment(|name| (name == "https_proxy").then(|| "http://corp:3128".to_owned()));
        assert_eq!((check.status, check.found.as_str()), (Status::Warn, "https_proxy names another proxy"));
    }
}
