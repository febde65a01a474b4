//! `run`: a command through the proxy, from its start to the summary.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
};

use anyhow::Context as _;
use serde_json::json;
use tokio::process::{Child, Command};

use super::{
    Globals, Output,
    client::{self, Kind, Prepared, Trust},
    control,
    diagnose::About,
    exit_code,
    fail_on::FailOn,
    junit::Junit,
    output::{say, unless_closed, write_whole},
    reading::quoted,
    recording::{self, Ended, RecordingArgs, StatusLine},
    signals::{Signals, Wish},
};
use crate::{
    app::{
        self, Running,
        verdict::{self, Judged},
    },
    ca::truststore::{self, SystemRoots},
    clock,
    config::Settings,
    model::{finding::Verdict, flag::Severity},
    query::{Capture, columns},
    record::Summary,
    report::{
        junit::{Fails, warnings_and_errors},
        summary::{Silence, silence},
        verdict::{Subject, text},
    },
    store::CaptureDir,
};

/// Runs a command through the proxy and says what happened
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The port of the proxy [default: a free one]
    #[arg(short = 'p', long, value_name = "PORT")]
    listen_port: Option<u16>,
    /// Exit code 3 where this was flagged, repeatable: a rule's id, or error, warning, hint (or worse)
    #[arg(long, value_name = "RULE")]
    fail_on: Vec<String>,
    /// Runs the command twice, the second time through plain tunnels, and says whether looking inside moves the refusals
    #[arg(long)]
    control: bool,
    #[command(flatten)]
    recording: RecordingArgs,
    /// The command with its arguments, such as jmeter -n -t plan.jmx
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let fail_on = FailOn::parse_all(&args.fail_on)?;
    let settings = args.recording.settings(globals, args.listen_port.or(Some(0)))?;
    // Windows tries endings of its own. What is not there must not leave an empty capture, which would be the newest.
    if cfg!(unix)
        && let Some(program) = args.command.first().filter(|program| client::look_up(program).is_none())
    {
        say(&cannot_run(program, &"it is not found"));
        return Ok(ExitCode::from(exit_code::COMMAND_NOT_FOUND));
    }
    let runtime = app::runtime()?;
    let events = args.recording.json;
    let junit = args.recording.junit()?;
    let once = |command: &[OsString], settings: &Settings, globals: &Globals, fail_on: &[FailOn], junit| {
        runtime.block_on(through_the_proxy(command.to_vec(), fail_on, junit, settings, globals, events))
    };
    let jtl = jtl_of_jmeter(&args.command);
    let begun_ms = wall_ms();
    let ran = once(&args.command, &settings, globals, &fail_on, junit)?;
    if !args.control || !ran.started {
        return Ok(ran.exit);
    }
    let refused = app::profile::find(&settings.profile).map(|profile| profile.refused).unwrap_or_default();
    let first = control::Outcome::of(ran.code, jtl.as_deref(), begun_ms, &refused);
    if !globals.quiet {
        say("\ncontrol: the same command once more, through plain tunnels");
    }
    let (command, jtl) = control::command(&args.command, jtl.as_deref());
    let begun_ms = wall_ms();
    let quiet = Globals { quiet: true, ..globals.clone() };
    let again = once(&command, &control::settings(&settings), &quiet, &[], None)?;
    let second = control::Outcome::of(again.code, jtl.as_deref(), begun_ms, &refused);
    if events {
        unless_closed(Output::stdout().json_line(&control::event(&first, &second)))?;
    } else {
        unless_closed(print(&control::text(&first, &second)))?;
    }
    Ok(ran.exit)
}

/// How a run ended.
struct Ran {
    /// What we end with.
    exit: ExitCode,
    /// The command's own code.
    code: u8,
    /// Whether there was a command to start.
    started: bool,
}

impl Ran {
    fn not_found() -> Self {
        let code = exit_code::COMMAND_NOT_FOUND;
        Self { exit: ExitCode::from(code), code, started: false }
    }
}

/// Milliseconds since 1970.
fn wall_ms() -> i64 {
    clock::wall_unix_ns() / 1_000_000
}

async fn through_the_proxy(
    command: Vec<OsString>,
    fail_on: &[FailOn],
    junit: Option<Junit>,
    settings: &Settings,
    globals: &Globals,
    events: bool,
) -> anyhow::Result<Ran> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let running = Running::start(settings)?;
    let kind = client::kind(&command);
    let jtl = jtl_of_jmeter(&command);
    let prepared = prepare(command, &running)?;
    recording::announce(&running, settings, globals, events)?;
    if !globals.quiet && !events {
        prepared.notes.iter().for_each(|note| say(note));
    }
    let child = match start(&prepared, events) {
        Ok(child) => child,
        Err(error) => {
            running.stop(std::future::pending()).await?;
            prepared.command.first().into_iter().for_each(|program| say(&cannot_run(program, &error)));
            return Ok(Ran::not_found());
        }
    };
    // No status line: the terminal is the command's.
    let status = StatusLine::start(&running, false);
    let code = code_of(wait(child, &mut signals).await.context("cannot wait for the command")?);
    drop(status);
    recording::say_what_waits(&running, globals, events);
    let ended = Ended::of(&running);
    let summary = running
        .stop(async {
            signals.next().await;
        })
        .await?;
    if events {
        unless_closed(Output::stdout().json_line(&json!({"event": "exited", "code": code})))?;
    }
    let verdict = match summary.totals.exchanges {
        0 => None,
        _ => judged(&ended, jtl.as_deref(), settings, globals),
    };
    if let Some((verdict, _)) = verdict.as_ref().filter(|_| events) {
        unless_closed(Output::stdout().json_line(&json!({"event": "verdict", "verdict": verdict})))?;
    }
    unless_closed(recording::conclude(&ended, &summary, settings, globals, events))?;
    if let Some((_, text)) = verdict.filter(|_| !events && !globals.quiet) {
        unless_closed(print(&text))?;
    }
    if let Some(junit) = junit {
        // What makes the run fail is what fails there.
        let named = |rule: &str, severity| fail_on.iter().any(|wanted| wanted.matches(rule, severity));
        let fails: Fails<'_> = if fail_on.is_empty() { &warnings_and_errors } else { &named };
        junit.write(ended.path(), settings, &summary.totals, fails)?;
    }
    if let Some(silence) = silence(&summary.totals).filter(|_| settings.proxy.decrypt) {
        say(&format!("\n{}", advice(silence, kind, &recording::selector(settings, globals))));
    }
    let matched: Vec<&str> = fail_on.iter().filter(|wanted| flagged(wanted, &summary)).map(FailOn::as_str).collect();
    if !matched.is_empty() {
        say(&format!("--fail-on: {} was flagged", matched.join(", ")));
    }
    let exit = match code {
        0 if !matched.is_empty() => ExitCode::from(exit_code::FAIL_ON),
        code => ExitCode::from(code),
    };
    Ok(Ran { exit, code, started: true })
}

fn print(text: &str) -> io::Result<()> {
    let mut out = Output::stdout();
    write!(out, "\n{text}")?;
    out.flush()
}

/// The verdict on what was recorded, and how it is said. What keeps it from being made is said, and no failure of the
/// run.
fn judged(ended: &Ended, jtl: Option<&Path>, settings: &Settings, globals: &Globals) -> Option<(Verdict, String)> {
    let judged = || -> anyhow::Result<(Verdict, String)> {
        let dir = CaptureDir::open(ended.path())?;
        let inspection = app::inspection_of(&dir, settings)?;
        let captures = [Capture::open_dir(dir, inspection)?];
        let selector = recording::selector(settings, globals);
        let name = captures.first().map(|capture| capture.dir().name()).unwrap_or_default();
        let named = format!("{selector} -c {}", quoted(&name));
        let Judged { verdict, .. } = verdict::judge(&captures, &columns::Options::default(), &named, &mut |_| {})?;
        let about = About::of(&captures, globals);
        let subject = Subject { selector: &selector, ..about.subject() };
        let mut text = text::short(&verdict, subject);
        let capture = captures.first();
        let beside =
            jtl.filter(|path| path.exists()).zip(capture).map(|(path, capture)| app::jtl::beside(capture, path));
        match beside {
            Some(Ok(beside)) => text.push_str(&format!("\n{}", beside.to_short_text())),
            Some(Err(error)) => say(&format!("note: {error}")),
            None => {}
        }
        Ok((verdict, text))
    };
    judged().inspect_err(|error| say(&format!("warning: no verdict: {error:#}"))).ok()
}

/// Where the command writes its record, if it is JMeter and does.
fn jtl_of_jmeter(command: &[OsString]) -> Option<PathBuf> {
    matches!(client::kind(command), Kind::JMeter(_)).then(|| jtl_of(command)).flatten()
}

/// Where JMeter writes its record: `-l FILE`, `-lFILE`, `--logfile FILE`, `--logfile=FILE`.
fn jtl_of(command: &[OsString]) -> Option<PathBuf> {
    let mut arguments = command.iter();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else { continue };
        if matches!(text, "-l" | "--logfile") {
            return arguments.next().map(PathBuf::from);
        }
        let joined =
            text.strip_prefix("--logfile=").or_else(|| text.strip_prefix("-l").filter(|_| !text.starts_with("--")));
        if let Some(path) = joined.filter(|path| !path.is_empty()) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

/// Whether what `--fail-on` waits for was flagged.
fn flagged(wanted: &FailOn, summary: &Summary) -> bool {
    let severity = |text: &str| Severity::parse(text).unwrap_or(Severity::Error);
    summary.totals.rules.iter().any(|(rule, hits)| wanted.matches(rule, severity(&hits.severity)))
}

fn cannot_run(program: &OsStr, why: &dyn std::fmt::Display) -> String {
    let program = program.to_string_lossy();
    format!("error: cannot run {program}: {why} (hint: `firstframe doctor -- {program}` says more)")
}

/// The command with what leads it to the proxy; the files that make it trust us are written.
fn prepare(command: Vec<OsString>, running: &Running) -> anyhow::Result<Prepared> {
    let variable = |name: &str| std::env::var_os(name);
    let trust = write_trust(running, variable)?;
    let Some(address) = running.forward_address() else {
        // Reverse mode alone: the command is told by its own configuration where to go.
        let notes = vec!["no forward mode: the command must be pointed at the addresses above itself".to_owned()];
        return Ok(Prepared { command, environment: client::trust_environment(&trust, variable), notes });
    };
    Ok(client::prepare(command, reachable(address), &trust, variable))
}

/// Where a client on this machine reaches a listener: one on all addresses is reached on loopback.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Writes the bundle and the truststore beside the CA, or into the capture where that folder cannot be written.
fn write_trust(running: &Running, variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Trust> {
    let authority = running.authority();
    let roots = SystemRoots::load();
    for problem in &roots.problems {
        tracing::warn!("the system's roots: {problem}");
    }
    let mut bundle = truststore::pem_bundle(authority, &roots);
    for path in client::earlier_bundles(variable) {
        match std::fs::read_to_string(&path) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {
                bundle.push_str(&format!("\n# {}\n{}\n", path.display(), text.trim()));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{} is left out of the bundle: {error}", path.display()),
        }
    }
    let store = truststore::pkcs12(authority, &roots)?;
    let beside_ca = running.certificate().parent().unwrap_or_else(|| Path::new("."));
    write_both(beside_ca, bundle.as_bytes(), &store).or_else(|_| {
        let within = running.capture_path();
        write_both(&within, bundle.as_bytes(), &store)
            .with_context(|| format!("cannot write the trust bundle to {}", within.display()))
    })
}

fn write_both(dir: &Path, bundle: &[u8], store: &[u8]) -> io::Result<Trust> {
    let trust = Trust { bundle: dir.join("trust-bundle.pem"), truststore: dir.join("truststore.p12") };
    for (path, bytes) in [(&trust.bundle, bundle), (&trust.truststore, store)] {
        // Another run may be reading the old one.
        write_whole(path, bytes)?;
    }
    Ok(trust)
}

/// Starts the command on our own terminal. With events on standard output, the command's goes to standard error.
fn start(prepared: &Prepared, events: bool) -> io::Result<Child> {
    let [program, arguments @ ..] = prepared.command.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(&prepared.environment);
    if events {
        command.stdout(Stdio::from(io::stderr()));
    }
    command.spawn()
}

/// Waits for the command, passing on the wish to end.
async fn wait(mut child: Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            wish = signals.next() => pass_on(wish, &mut child),
        }
    }
}

/// Ctrl-C on a terminal reaches the command by itself, it belongs to the same group; everything else is sent on.
#[cfg(unix)]
fn pass_on(wish: Wish, child: &mut Child) {
    use std::io::IsTerminal as _;

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let signal = match wish {
        Wish::Interrupt if io::stdin().is_terminal() => return,
        Wish::Interrupt => Signal::SIGINT,
        Wish::Terminate => Signal::SIGTERM,
    };
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended this instant: then there is nobody to tell.
        let _ = kill(Pid::from_raw(id), signal);
    }
}

#[cfg(not(unix))]
fn pass_on(_wish: Wish, _child: &mut Child) {
    // Ctrl-C reaches every process of the console.
}

/// The command's code; a signal's number above [`exit_code::SIGNAL_BASE`], as shells have it.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return exit_code::SIGNAL_BASE.saturating_add(u8::try_from(signal).unwrap_or_default());
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::FAILED)
}

/// What to do where there is nothing to see.
fn advice(silence: Silence, kind: Kind, selector: &str) -> String {
    let program = match kind {
        Kind::JMeter(_) => "jmeter",
        Kind::Other => "the command",
    };
    match silence {
        Silence::NoConnection if matches!(kind, Kind::JMeter(_)) => {
            "nothing reached the proxy: jmeter may have been given other -H/-P or a -N that names the host, the plan's \
             samplers may have proxies of their own or failed before they connected (see the .jtl), or engines run \
             elsewhere (-R)"
                .to_owned()
        }
        Silence::NoConnection => {
            "nothing reached the proxy: the command reads no proxy variable (Node before 22.21, Node's `ws`, and Go towards \
             localhost do not), or sets its own; give it the proxy in its own configuration, or use \
             --mode reverse:https://HOST and the address that it prints as base URL"
                .to_owned()
        }
        Silence::NotTrusted => format!(
            "every connection broke off at our certificate: {program} does not trust it and reads none of the variables \
             that were set; `firstframe ca export --format pem|der|p12` gives it for the client's own truststore, \
             --set proxy.decrypt=false records without looking inside"
        ),
        Silence::NoServer => {
            format!("clients came, but no server was reached: `firstframe{selector} ls connections` says why for each")
        }
        Silence::Http2 => {
            "everything was asked over HTTP/2, which is relayed and recorded but not decoded yet: with --no-http2 clients \
             fall back to HTTP/1.1, and their requests are shown"
                .to_owned()
        }
        Silence::NoRequest => format!(
            "clients connected and asked for nothing that is HTTP: `firstframe{selector} ls connections` shows how far \
             they came"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (address, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("192.0.2.1:3", "192.0.2.1:3")]
        {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn jmeters_record_is_found_however_it_is_named() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, path) in [
            ("jmeter -n -t a.jmx -l out.jtl", Some("out.jtl")),
            ("jmeter -n -lout.jtl", Some("out.jtl")),
            ("jmeter -n --logfile out.jtl", Some("out.jtl")),
            ("jmeter -n --logfile=out.jtl", Some("out.jtl")),
            ("jmeter -n -t a.jmx", None),
            ("ls -l x", None),
        ] {
            assert_eq!(jtl_of_jmeter(&words(line)), path.map(PathBuf::from), "{line}");
        }
    }
}
