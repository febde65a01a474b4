//! What `replay` and `experiment` share: their options, what may be loaded, and a replay from its plan to its capture.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Globals,
    output::{Usage, say},
    reading,
    signals::Signals,
};
use crate::{
    app::{self, Running},
    clock,
    config::Settings,
    model::{ExchangeId, SessionId},
    proxy::{HostPort, Mode},
    query::{Capture, Filter, Kind, Query},
    record::{Inspection, Summary},
    replay::{
        Changes, Plan, Script, Target, Wanted,
        driver::{self, Outcome},
        load, plan, trail,
    },
    shutdown,
    store::CaptureDir,
};

/// Which sessions, where to, and through what.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayingArgs {
    /// Only this session, repeatable [default: all]
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    /// Only sessions with an exchange for which this holds, as `ls exchanges --filter` takes it
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<String>,
    /// Another server than the captured one; its name takes that one's place in Host and TLS
    #[arg(long, value_name = "URL|HOST:PORT")]
    to: Option<String>,
    /// Allows loading a host that is not loopback with more than was captured, repeatable
    #[arg(long, value_name = "HOST")]
    i_may_load_this_host: Vec<String>,
    /// Connections to the first HOST:PORT go to the second (curl's syntax), repeatable [default: as recorded]
    #[arg(long, value_name = "HOST:PORT:HOST:PORT")]
    connect_to: Vec<String>,
    /// Further roots to trust in servers, PEM, repeatable [default: as recorded]
    #[arg(long, value_name = "FILE")]
    server_ca: Vec<String>,
    /// This host's certificate is not verified, repeatable [default: as recorded]
    #[arg(long, value_name = "HOST")]
    insecure: Vec<String>,
    /// Which requests are metadata, as `ls --filter` takes it [default: as recorded]
    #[arg(long, value_name = "FILTER")]
    metadata: Option<String>,
    /// Makes the same fresh ids and keys, and the same order of arms, again
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// A capture's sessions, ready to be replayed.
pub(super) struct Stage {
    pub(super) capture: Capture,
    pub(super) script: Script,
    pub(super) settings: Settings,
    pub(super) to: Option<Target>,
    pub(super) seed: u64,
    inspection: Inspection,
    allowed: Vec<String>,
    /// The profile of the capture, where it came from a file: gone with this.
    _profile: Option<TemporaryFile>,
}

/// What a replay came to.
pub(super) struct Replayed {
    pub(super) outcome: Outcome,
    pub(super) summary: Summary,
    pub(super) dir: CaptureDir,
}

impl ReplayingArgs {
    /// Opens the capture and reads its sessions.
    pub(super) fn stage(&self, globals: &Globals, name: Option<&str>) -> anyhow::Result<Stage> {
        let sessions = self.session.iter().map(|id| id.parse()).collect::<Result<Vec<SessionId>, _>>();
        let sessions = sessions.map_err(|error| Usage(format!("--session: {error}")))?;
        let filter = reading::filter(self.filter.as_deref())?;
        let to = self.to.as_deref().map(target).transpose()?;
        let (dir, _) = reading::find(globals)?;
        let (settings, profile) = self.settings(globals, &dir, name)?;
        let inspection = app::inspection_of(&dir, &settings)?;
        let capture = Capture::open_dir(dir, inspection.clone())?;
        if !globals.quiet {
            capture.notes().iter().for_each(|note| say(&format!("note: {note}")));
        }
        let wanted = Wanted {
            sessions: &sessions,
            filter: filter.as_ref(),
            metadata: &inspection.rules.metadata,
            profile: inspection.inspector.profile.as_deref(),
            refused: &inspection.refused,
        };
        let script = load(&capture, &wanted)?;
        let seed = self.seed.unwrap_or_else(|| clock::wall_unix_ns().unsigned_abs());
        let allowed = self.i_may_load_this_host.clone();
        Ok(Stage { capture, script, settings, to, seed, inspection, allowed, _profile: profile })
    }

    /// The settings of the recording that a replay is: the capture's own, unless told otherwise.
    fn settings(
        &self,
        globals: &Globals,
        dir: &CaptureDir,
        name: Option<&str>,
    ) -> anyhow::Result<(Settings, Option<TemporaryFile>)> {
        let options = &dir.meta().options;
        let given = globals.settings()?;
        let mut overrides = globals.overrides();
        for (key, values) in [
            ("proxy.connect_to", &self.connect_to),
            ("proxy.server_ca", &self.server_ca),
            ("proxy.insecure", &self.insecure),
        ] {
            let recorded = options.get(key).and_then(|value| value.as_array()).into_iter().flatten();
            let mut recorded: Vec<String> = recorded.filter_map(|value| value.as_str().map(str::to_owned)).collect();
            if key == "proxy.server_ca" {
                recorded.retain(|path| Path::new(path).is_file());
            }
            if !values.is_empty() {
                overrides.set(key, values.as_slice());
            } else if given.origin(key).is_none() && !recorded.is_empty() {
                overrides.set(key, recorded.as_slice());
            }
        }
        overrides.set("proxy.listen_host", "127.0.0.1");
        overrides.set("proxy.listen_port", 0_u16);
        overrides.set_some("name", name);
        overrides.set_some("metadata", self.metadata.as_deref());
        let mut profile = None;
        if given.origin("profile").is_none()
            && let Some(text) = options.get("profile_text").and_then(|text| text.as_str())
        {
            let file = TemporaryFile::new(text).context("cannot put the capture's profile beside the others")?;
            overrides.set_path("profile", Some(&file.0));
            profile = Some(file);
        }
        Ok((globals.settings_with(overrides)?.or_recorded(options), profile))
    }
}

/// `https://host:port`, `http://host`, `host:port`.
fn target(text: &str) -> Result<Target, Usage> {
    let wrong = |why: &str| {
        Usage(format!("--to {text:?}: {why}: expected https://HOST[:PORT], http://HOST[:PORT] or HOST:PORT"))
    };
    let (tls, rest) = match text.split_once("://") {
        Some(("https" | "wss", rest)) => (Some(true), rest),
        Some(("http" | "ws", rest)) => (Some(false), rest),
        Some((scheme, _)) => return Err(wrong(&format!("scheme {scheme:?} is not known"))),
        None => (None, text),
    };
    let default = tls.map(|tls| if tls { 443 } else { 80 });
    let at = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest), default).map_err(|why| wrong(&why))?;
    Ok(Target { authority: authority(&at), tls })
}

fn authority(at: &HostPort) -> String {
    if at.host.contains(':') { format!("[{}]:{}", at.host, at.port) } else { format!("{}:{}", at.host, at.port) }
}

impl Stage {
    /// Plans a replay with changes.
    pub(super) fn plan(&self, changes: &Changes) -> anyhow::Result<Plan> {
        let delayed = changes
            .delays
            .iter()
            .map(|(filter, by)| Ok((self.taken(filter)?, *by)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let tokens = changes.unique_token.as_deref().map(tokens).transpose()?.unwrap_or_default();
        let profile = self.inspection.inspector.profile.as_ref();
        let gate = profile.map(|profile| profile.gate.clone()).unwrap_or_default();
        let inputs = plan::Inputs {
            changes,
            delayed: &delayed,
            tokens: &tokens,
            gate: &gate,
            identity_headers: &self.inspection.inspector.identity_headers,
            to: self.to.as_ref(),
        };
        Plan::new(&self.script, &inputs).map_err(|error| Usage(error.to_string()).into())
    }

    /// The exchanges that a filter takes.
    fn taken(&self, filter: &Filter) -> anyhow::Result<BTreeSet<ExchangeId>> {
        let mut taken = BTreeSet::new();
        self.capture.list(Kind::Exchanges, Query { filter: Some(filter), ..Query::default() }, &mut |row| {
            if let crate::model::rows::Row::Exchange(row) = row {
                taken.insert(row.id);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(taken)
    }

    /// Where it really goes that is not this machine: hosts, in order.
    pub(super) fn foreign_hosts(&self, plan: &Plan) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for text in plan.authorities() {
            let Ok(asked) = HostPort::parse(text, Some(443)) else {
                hosts.insert(text.to_owned());
                continue;
            };
            let rule = self.settings.proxy.connect_to.iter().find(|rule| rule.from == asked);
            let host = rule.map_or(&asked.host, |rule| &rule.to.host);
            if !is_loopback(host) {
                hosts.insert(host.clone());
            }
        }
        hosts
    }

    /// Refuses to load a host that nobody allowed to be loaded.
    pub(super) fn may_load(&self, plan: &Plan, more: Option<&str>, globals: &Globals) -> Result<(), Usage> {
        let foreign = self.foreign_hosts(plan);
        let unknown = self.allowed.iter().find(|host| !foreign.contains(&host.to_ascii_lowercase()));
        if let Some(host) = unknown.filter(|host| !is_loopback(host)) {
            let there: Vec<String> = foreign.into_iter().collect();
            let there = if there.is_empty() { "nothing but loopback".to_owned() } else { there.join(", ") };
            return Err(Usage(format!(
                "--i-may-load-this-host {host}: the replay does not go there: it goes to {there}"
            )));
        }
        let allowed = |host: &String| self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        for host in foreign.iter().filter(|host| !allowed(host)) {
            if let Some(more) = more {
                return Err(Usage(format!(
                    "{host} is not loopback, and {more} is more load than was captured: it needs --i-may-load-this-host \
                     {host} (hint: --to HOST:PORT replays against another server)"
                )));
            }
            if !globals.quiet {
                say(&format!("note: {host} is not loopback: it gets the captured load once more"));
            }
        }
        Ok(())
    }

    /// Runs a plan through a proxy that records it.
    pub(super) async fn replay(
        &self,
        plan: Plan,
        changes: &Changes,
        nth: u64,
        signals: &mut Signals,
    ) -> anyhow::Result<Replayed> {
        let mut settings = self.settings.clone();
        let modes = plan.reverse_modes().into_iter().map(|mode| mode.parse::<Mode>()).collect::<Result<Vec<_>, _>>()?;
        settings.proxy.modes = [Mode::Forward].into_iter().chain(modes).collect();
        let running = Running::start(&settings)?;
        let replayed = self.drive(&running, plan, nth, signals).await;
        let dir = running.capture().clone();
        let stopped = running
            .stop(async {
                signals.next().await;
            })
            .await;
        let outcome = replayed?;
        let record = trail::Record {
            replay_of: self.script.capture.clone(),
            began_unix_ns: self.capture.anchor().unix_ns,
            changes: changes.to_string(),
            connections: outcome.trails.clone(),
        };
        record
            .write(dir.path())
            .with_context(|| format!("cannot write {} into {}", trail::FILE, dir.path().display()))?;
        Ok(Replayed { outcome, summary: stopped?, dir: CaptureDir::open(dir.path())? })
    }

    async fn drive(&self, running: &Running, plan: Plan, nth: u64, signals: &mut Signals) -> anyhow::Result<Outcome> {
        let forward = running.forward_address().context("the proxy has no forward listener")?;
        let certificate = running.certificate();
        let roots = CertificateDer::pem_file_iter(certificate)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(|error| anyhow::anyhow!("{}: {error}", certificate.display()))?;
        let reverse = running.listeners().iter().filter(|listener| listener.mode != "forward");
        let reverse = reverse.map(|listener| (listener.mode.clone(), listener.address)).collect();
        let profile = self.inspection.inspector.profile.as_ref();
        let options = driver::Options {
            refused: self.inspection.refused.clone(),
            profile: profile.cloned(),
            seed: self.seed.wrapping_add(nth),
            ..driver::Options::default()
        };
        let (trigger, stop) = shutdown::channel();
        // On threads of its own: a timer must not wait behind the proxy's handshakes.
        let threads = app::runtime()?;
        let proxy = driver::Proxy { forward, reverse, roots };
        let mut driving = threads.spawn(driver::run(Arc::new(plan), proxy, options, stop));
        let outcome = tokio::select! {
            outcome = &mut driving => outcome,
            _ = signals.next() => {
                say("stopping");
                trigger.stop();
                driving.await
            }
        };
        threads.shutdown_background();
        outcome.context("the replay has panicked; what it had recorded stands")
    }

    /// What a capture that a replay made holds, for comparing.
    pub(super) fn script_of(&self, dir: CaptureDir) -> anyhow::Result<Script> {
        script_of(dir, &self.settings)
    }
}

/// All sessions of a capture.
pub(super) fn script_of(dir: CaptureDir, settings: &Settings) -> anyhow::Result<Script> {
    let inspection = app::inspection_of(&dir, settings)?;
    let capture = Capture::open_dir(dir, inspection.clone())?;
    let wanted = Wanted {
        sessions: &[],
        filter: None,
        metadata: &inspection.rules.metadata,
        profile: inspection.inspector.profile.as_deref(),
        refused: &inspection.refused,
    };
    Ok(load(&capture, &wanted)?)
}

/// Whether a host is this machine by its name.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The first column of a CSV file, without a header line that says `token`.
fn tokens(path: &Path) -> anyhow::Result<Vec<String>> {
    let wrong = |why: String| Usage(format!("--unique-token {}: {why}", path.display()));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| wrong(error.to_string()))?;
    let mut tokens = Vec::new();
    for (nth, record) in reader.records().enumerate() {
        // The message of a record that is none may hold what stands in it.
        let record = record.map_err(|_| wrong(format!("line {} is no CSV", nth + 1)))?;
        let token = record.get(0).unwrap_or_default();
        if nth == 0 && token.eq_ignore_ascii_case("token") || token.is_empty() {
            continue;
        }
        if token.bytes().any(|b| b.is_ascii_control() || b == b' ') {
            return Err(wrong(format!("the token in line {} has a blank or a control character in it", nth + 1)).into());
        }
        tokens.push(token.to_owned());
    }
    Ok(tokens)
}

/// A file that is gone when this is.
pub(super) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(text: &str) -> std::io::Result<Self> {
        use std::io::Write as _;
        let name = format!("firstframe-profile-{}-{}.toml", std::process::id(), clock::wall_unix_ns());
        let path = std::env::temp_dir().join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(text.as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
