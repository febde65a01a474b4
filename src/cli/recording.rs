//! What `record` and `run` share: the options of a recording, its events, its status line, its end.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    Globals, Output,
    junit::{Junit, JunitArg},
    output::{Usage, say},
    reading::quoted,
};
use crate::{
    app::Running,
    config::{Problem, Settings},
    model::Timestamp,
    record::{Status, Summary},
    report::{self, summary::Subject},
};

/// The options of a recording.
#[derive(Debug, clap::Args)]
pub(super) struct RecordingArgs {
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    listen_host: Option<String>,
    /// What to listen for, repeatable: forward, or `reverse:https://HOST[:PORT][@LISTENPORT]` [default: forward]
    #[arg(short, long, value_name = "MODE")]
    mode: Vec<String>,
    /// HTTP/2 is not offered to anybody
    #[arg(long)]
    no_http2: bool,
    /// Connections to the first HOST:PORT go to the second (curl's syntax), repeatable
    #[arg(long, value_name = "HOST:PORT:HOST:PORT")]
    connect_to: Vec<String>,
    /// Further roots to trust in servers, PEM, repeatable
    #[arg(long, value_name = "FILE")]
    server_ca: Vec<String>,
    /// This host's certificate is not verified, repeatable
    #[arg(long, value_name = "HOST")]
    insecure: Vec<String>,
    /// When the disk refuses: continue, or stop [default: continue]
    #[arg(long, value_name = "POLICY")]
    on_record_error: Option<String>,
    /// How much of a capture is kept; the oldest goes first [default: 20GiB]
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<String>,
    /// The capture's name [default: made from the time]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Which requests are metadata, as `ls --filter` takes it [default: as the profile says]
    #[arg(long, value_name = "FILTER")]
    metadata: Option<String>,
    /// Prints events as JSON, a line each
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    junit: JunitArg,
}

impl RecordingArgs {
    /// The settings of this recording; `port` is `--listen-port`.
    pub(super) fn settings(&self, globals: &Globals, port: Option<u16>) -> Result<Settings, Problem> {
        let mut overrides = globals.overrides();
        overrides.set_some("proxy.listen_host", self.listen_host.as_deref());
        overrides.set_some("proxy.listen_port", port);
        if self.no_http2 {
            overrides.set("proxy.http2", false);
        }
        let lists = [
            ("proxy.modes", &self.mode),
            ("proxy.connect_to", &self.connect_to),
            ("proxy.server_ca", &self.server_ca),
            ("proxy.insecure", &self.insecure),
        ];
        for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            overrides.set(key, values.as_slice());
        }
        overrides.set_some("record.on_record_error", self.on_record_error.as_deref());
        overrides.set_some("record.max_bytes", self.max_bytes.as_deref());
        overrides.set_some("name", self.name.as_deref());
        overrides.set_some("metadata", self.metadata.as_deref());
        globals.settings_with(overrides)
    }
}

impl RecordingArgs {
    /// Where the JUnit report goes, if one is wanted.
    pub(super) fn junit(&self) -> Result<Option<Junit>, Usage> {
        self.junit.target()
    }
}

/// Says where it listens: for people on standard error, with `json` an event per listener on standard output.
pub(super) fn announce(running: &Running, settings: &Settings, globals: &Globals, events: bool) -> io::Result<()> {
    for host in &settings.proxy.insecure {
        say(&format!(
            "warning: the certificate of {host} is NOT verified (--insecure): anybody between could be answering"
        ));
    }
    if events {
        let mut out = Output::stdout();
        for listener in running.listeners() {
            out.json_line(&json!({
                "event": "listening",
                "mode": listener.mode,
                "address": listener.address.to_string(),
                "ca": running.certificate(),
                "capture": running.capture_path(),
            }))?;
        }
    } else if !globals.quiet {
        for listener in running.listeners() {
            say(&format!("listening on {} ({})", listener.address, listener.mode));
        }
        say(&format!("recording to {}", running.capture().path().display()));
    }
    Ok(())
}

/// Tells the end on standard output: for people the summary, with `json` an event.
pub(super) fn conclude(
    ended: &Ended,
    summary: &Summary,
    settings: &Settings,
    globals: &Globals,
    events: bool,
) -> io::Result<()> {
    if events {
        let totals = &summary.totals;
        Output::stdout().json_line(&json!({
            "event": "stopped",
            "capture": ended.path,
            "connections": totals.connections,
            "exchanges": totals.exchanges,
            "refused": totals.refused,
            "flags": totals.flags,
            "gaps": totals.gaps,
            "stalled_ns": totals.stalled_ns,
            "dropped_upto_segment": totals.dropped_upto_segment,
            "dropped_bytes": totals.dropped_bytes,
            "complete": summary.complete,
            "sockets_opened": totals.sockets_opened,
            "sockets_refused": totals.sockets_refused,
            "frames": totals.frames,
            "proxy_made": totals.proxy_made,
            "unanswered": totals.unanswered,
            "http2_connections": totals.http2_connections,
            "routes": summary.routes,
            "sockets": summary.sockets,
            "rules": totals.rules,
            "failure": summary.failure,
        }))?;
    }
    if !events && !globals.quiet {
        let path = ended.shown.display().to_string();
        let selector = selector(settings, globals);
        let metadata_named = settings.metadata.is_some() || settings.profile != "generic";
        let subject =
            Subject { name: &ended.name, path: &path, selector: &selector, metadata_named, took_ns: ended.at.0 };
        let mut out = Output::stdout();
        out.write_all(report::summary::text(summary, subject).as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// So many bytes are indexed in a moment.
const MOMENT: u64 = 32 << 20;

/// Says before the end how much is yet to be indexed, where that takes more than a moment.
pub(super) fn say_what_waits(running: &Running, globals: &Globals, events: bool) {
    let waits = running.index().status().lag_bytes;
    if waits > MOMENT && !events && !globals.quiet {
        say(&format!("{} of the recording are yet to be indexed", report::bytes(waits)));
    }
}

/// What stays of a recording when it has stopped.
pub(super) struct Ended {
    name: String,
    /// As the person wrote it.
    shown: PathBuf,
    /// Absolute.
    path: PathBuf,
    at: Timestamp,
}

impl Ended {
    /// The capture's folder, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Of one that still runs.
    pub(super) fn of(running: &Running) -> Self {
        Self {
            name: running.capture().name(),
            shown: running.capture().path().to_owned(),
            path: running.capture_path(),
            at: running.now(),
        }
    }
}

/// The options that lead to the same captures folder in the next command; the capture itself is the newest there.
pub(super) fn selector(settings: &Settings, globals: &Globals) -> String {
    let by_option = globals.captures.is_some();
    let by_file = globals.config.as_ref().filter(|_| settings.origin("captures").is_some());
    match (by_option, by_file) {
        (true, _) => format!(" -w {}", quoted(&settings.captures.to_string_lossy())),
        (false, Some(file)) => format!(" --config {}", quoted(&file.to_string_lossy())),
        (false, None) => String::new(),
    }
}

/// Keeps a line of figures on the terminal until it is dropped; shows nothing elsewhere.
pub(super) struct StatusLine(tokio::task::JoinHandle<()>, ProgressBar);

impl StatusLine {
    pub(super) fn start(running: &Running, shown: bool) -> Self {
        let shown = shown && io::stderr().is_terminal();
        let line = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            line.set_style(style);
        }
        let (index, bar) = (running.index(), line.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            let mut before: Option<Status> = None;
            let mut warned = false;
            loop {
                ticks.tick().await;
                let status = index.status();
                if let Some(failure) = status.failure.as_ref().filter(|_| !warned) {
                    warned = true;
                    bar.suspend(|| say(&format!("warning: recording has failed: {}", failure.why)));
                }
                bar.set_message(status_text(&status, before.as_ref()));
                before = Some(status);
            }
        });
        Self(task, line)
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.0.abort();
        self.1.finish_and_clear();
    }
}

/// `00:12  3 of 50 connections open, 1,234 requests, 103/s, 5 refused, 2 flags, recorder 3.00 ms behind`
fn status_text(status: &Status, before: Option<&Status>) -> String {
    let totals = &status.totals;
    let seconds = status.at_ns.0 / 1_000_000_000;
    let open = totals.connections.saturating_sub(totals.connections_closed);
    let mut parts = vec![
        format!("{} of {} connections open", report::count(open), report::count(totals.connections)),
        format!("{} requests", report::count(totals.exchanges)),
    ];
    if let Some(before) = before {
        // What is counted is what is indexed: where that is behind, it is the traffic's time that passed in it.
        let counted = |s: &Status| if s.lag_ns > 0 { s.totals.indexed_upto_ns } else { s.at_ns };
        let took = counted(status).since(counted(before)).as_secs_f64().max(0.001);
        let more = totals.exchanges.saturating_sub(before.totals.exchanges);
        parts.push(format!("{:.0}/s", more as f64 / took));
    }
    parts.push(format!("{} refused", report::count(totals.refused)));
    if totals.flags > 0 {
        parts.push(format!("{} flags", report::count(totals.flags)));
    }
    if status.lag_ns > 0 {
        parts.push(format!("recorder {} behind", report::millis(status.lag_ns)));
    }
    if !status.complete {
        parts.push("INCOMPLETE".to_owned());
    }
    format!("{:02}:{:02}  {}", seconds / 60, seconds % 60, parts.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::record::{QueueState, Totals};

    fn status(at_s: u64, exchanges: u64) -> Status {
        Status {
            at_ns: Timestamp(at_s * 1_000_000_000),
            totals: Totals {
                connections: 50,
                connections_closed: 47,
                exchanges,
                refused: 5,
                indexed_upto_ns: Timestamp(at_s * 1_000_000_000 - 3_000_000),
                ..Totals::default()
            },
            queue: QueueState::default(),
            lag_bytes: 0,
            lag_ns: 3_000_000,
            complete: true,
            failure: None,
            without_tables: Vec::new(),
        }
    }

    #[test]
    fn the_status_line_tells_the_rate_since_the_last_one() {
        let before = status(11, 1131);
        assert_eq!(
            status_text(&status(12, 1234), Some(&before)),
            "00:12  3 of 50 connections open, 1,234 requests, 103/s, 5 refused, recorder 3.00 ms behind"
        );
        assert!(!status_text(&status(12, 1234), None).contains("/s"));
    }

    #[test]
    fn a_recorder_that_is_behind_tells_the_rate_of_what_it_has_seen() {
        let before = status(11, 1_000);
        let mut now = status(12, 3_000);
        now.totals.indexed_upto_ns = Timestamp(before.totals.indexed_upto_ns.0 + 100_000_000);
        now.lag_ns = 900_000_000;
        assert!(status_text(&now, Some(&before)).contains(" 20000/s,"), "{}", status_text(&now, Some(&before)));
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(quoted("/tmp/a-b_c.d"), "/tmp/a-b_c.d");
        assert_eq!(quoted("my captures"), "'my captures'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
