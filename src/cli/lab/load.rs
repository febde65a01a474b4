//! `lab load`: the virtual agents alone, against whatever is to be tried.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{rig, scenario::ScenarioArgs};
use crate::{
    app,
    cli::{
        Globals, Output, exit_code,
        output::{Usage, say},
        replaying::is_loopback,
        signals::Signals,
    },
    clock::Clock,
    lab::{
        load::{Running, Sample, Target, Told},
        scenario::Scenario,
    },
    model::Timestamp,
    proxy::HostPort,
    report::{count, millis},
};

/// Options of `lab load`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it goes [default: the host of the simulated API, port 443]
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Through this HTTP proxy [default: straight]
    #[arg(long, value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Trust these roots alone, PEM [default: every certificate, as JMeter does]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Writes each exchange into a file as JMeter's log has it, CSV
    #[arg(long, value_name = "FILE")]
    jtl: Option<PathBuf>,
    /// Allows loading a host that is not loopback, repeatable; through a proxy it is the host that it would be sent to
    #[arg(long, value_name = "HOST")]
    i_may_load_this_host: Vec<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scenario: ScenarioArgs,
}

/// Runs it.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let scenario = Arc::new(args.scenario.scenario()?);
    let to = match &args.to {
        Some(text) => host_port("--to", text)?,
        None => HostPort { host: scenario.surface.host().to_owned(), port: rig::HTTPS },
    };
    let proxy = args.proxy.as_deref().map(|text| host_port("--proxy", text)).transpose()?;
    args.may_load(&scenario, &to, proxy.as_ref())?;
    let roots = args.ca.as_deref().map(roots).transpose()?;
    let log = args.jtl.as_deref().map(Log::create).transpose()?;
    app::runtime()?.block_on(load(&scenario, to, proxy, roots, log, args.json, globals.quiet))
}

impl Args {
    /// Refuses to load a host that nobody allowed to be loaded. A name that exists nowhere (`.test`) needs a proxy that
    /// sends it elsewhere, and harms nobody.
    fn may_load(&self, scenario: &Scenario, to: &HostPort, proxy: Option<&HostPort>) -> Result<(), Usage> {
        let allowed = |host: &str| self.i_may_load_this_host.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        // The simulated host through a proxy on this machine is what the lab is for.
        let is_lab = self.to.is_none()
            && to.host == scenario.surface.host()
            && proxy.is_some_and(|proxy| is_loopback(&proxy.host));
        if is_loopback(&to.host) || to.host.ends_with(".test") || allowed(&to.host) {
            return Ok(());
        }
        let why = if is_lab {
            format!(
                "{} is a real host; where the proxy sends it to the lab's API (--connect-to), say so with \
                 --i-may-load-this-host {}",
                to.host, to.host
            )
        } else {
            format!("{} is not loopback: loading it needs --i-may-load-this-host {}", to.host, to.host)
        };
        Err(Usage(why))
    }
}

fn host_port(option: &str, text: &str) -> Result<HostPort, Usage> {
    HostPort::parse(text, None).map_err(|why| Usage(format!("{option} {text:?}: {why}: expected HOST:PORT")))
}

fn roots(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = |error: &dyn std::fmt::Display| Usage(format!("--ca {}: {error}", path.display()));
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    let roots = read.map_err(|error| wrong(&error))?;
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it").into());
    }
    Ok(roots)
}

async fn load(
    scenario: &Arc<Scenario>,
    to: HostPort,
    proxy: Option<HostPort>,
    roots: Option<Vec<CertificateDer<'static>>>,
    log: Option<Log>,
    json: bool,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let next = proxy.as_ref().unwrap_or(&to);
    let address = resolve(next).await?;
    let target = Target { host: to.host.clone(), port: to.port, address, by_proxy: proxy.is_some(), roots };
    let clock = Clock::start();
    let (samples, receiver) = log.is_some().then(unbounded_channel).unzip();
    let writing =
        log.zip(receiver).map(|(log, receiver)| tokio::task::spawn_blocking(move || log.write(receiver, clock)));
    let running = Running::new(scenario, target, clock, samples)?;
    if !quiet && !json {
        let way = proxy.map_or_else(String::new, |proxy| format!(" through {proxy}"));
        say(&format!("{} at {to}{way}; Ctrl-C ends it", rig::about(scenario)));
    }
    let (told, _) = rig::watch(&running, scenario, clock, &mut signals, quiet || json).await;
    // The last sender goes with it, which ends the log.
    drop(running);
    if let Some(writing) = writing {
        writing.await??;
    }
    let mut out = Output::stdout();
    if json {
        out.json_line(&told)?;
    } else {
        out.write_all(summary(&told).as_bytes())?;
        out.flush()?;
    }
    let nothing = told.connections == 0 && !told.failures.is_empty();
    if let Some((why, _)) = told.failures.iter().max_by_key(|(_, times)| **times).filter(|_| nothing) {
        anyhow::bail!("no connection could be made to {to}: {why}");
    }
    if told.proxy_made > 0 {
        say(&by_proxy(&told));
    }
    Ok(ExitCode::from(exit_code::DONE))
}

/// What did not get as far as the API.
fn by_proxy(told: &Told) -> String {
    let of = if told.proxy_made == told.requests { "all".to_owned() } else { count(told.proxy_made) };
    format!(
        "warning: {of} of {} answers were the proxy's own: these requests reached no API (hint: `firstframe ls connections` \
         says why; a certificate that it does not trust needs the --server-ca that `lab serve` names)",
        count(told.requests)
    )
}

async fn resolve(at: &HostPort) -> anyhow::Result<SocketAddr> {
    let found = tokio::net::lookup_host((at.host.as_str(), at.port)).await;
    let mut found = found.with_context(|| format!("cannot find {}", at.host))?;
    found.next().with_context(|| format!("{} has no address", at.host))
}

fn summary(told: &Told) -> String {
    let [median, p95, p99, most] = told.times_ns.map(millis);
    let mut text = format!(
        "{} requests by {} agents on {} connections; {} sockets opened, {} refused, {} closed by the server; {} messages \
         sent, {} received\n",
        count(told.requests),
        count(told.agents),
        count(told.connections),
        count(told.sockets_opened),
        count(told.sockets_refused),
        count(told.sockets_lost),
        count(told.messages),
        count(told.messages_received),
    );
    text.push_str(&format!("answered after {median} (median), {p95} (95 %), {p99} (99 %), {most} (longest)\n"));
    for (status, times) in &told.statuses {
        let status = if *status == 0 { "not answered".to_owned() } else { status.to_string() };
        text.push_str(&format!("  {:>9}  {status}\n", count(*times)));
    }
    for (route, (all, refused)) in &told.routes {
        text.push_str(&format!("  {:>9}  {route}, {} refused\n", count(*all), count(*refused)));
    }
    for (why, times) in &told.failures {
        text.push_str(&format!("  {:>9}  not connected: {why}\n", count(*times)));
    }
    if told.lost_arrivals > 0 {
        text.push_str(&format!("  {:>9}  users found all places taken (--agents)\n", count(told.lost_arrivals)));
    }
    text
}

/// JMeter's log.
struct Log {
    path: PathBuf,
    writer: csv::Writer<std::fs::File>,
}

const COLUMNS: [&str; 13] = [
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "Latency",
    "IdleTime",
    "Connect",
];

impl Log {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let created = csv::Writer::from_path(path);
        let mut writer = created.with_context(|| format!("cannot write {}", path.display()))?;
        writer.write_record(COLUMNS)?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Writes samples until there is nobody left to send any.
    fn write(mut self, mut samples: UnboundedReceiver<Sample>, clock: Clock) -> anyhow::Result<()> {
        let mut failed = None;
        while let Some(sample) = samples.blocking_recv() {
            if failed.is_none() {
                failed = self.writer.write_record(record(&sample, clock)).err();
            }
        }
        let flushed = self.writer.flush();
        match failed {
            Some(error) => Err(error).with_context(|| format!("cannot write {}", self.path.display())),
            None => flushed.with_context(|| format!("cannot write {}", self.path.display())),
        }
    }
}

fn record(sample: &Sample, clock: Clock) -> [String; COLUMNS.len()] {
    let began = clock.anchor().unix_ns(Timestamp(sample.began_ns.max(0).unsigned_abs()));
    let in_ms = |ns: i64| (ns / 1_000_000).to_string();
    let (code, message) = match sample.status {
        0 => ("Non HTTP response code".to_owned(), "Non HTTP response message".to_owned()),
        status => (status.to_string(), String::new()),
    };
    [
        (began / 1_000_000).to_string(),
        in_ms(sample.elapsed_ns),
        sample.label.clone(),
        code,
        message,
        format!("agents 1-{}", sample.agent + 1),
        (!sample.has_failed()).to_string(),
        sample.failure.clone(),
        sample.received.to_string(),
        sample.sent.to_string(),
        in_ms(sample.latency_ns),
        "0".to_owned(),
        in_ms(sample.connect_ns),
    ]
}
