//! The lab on real sockets, whole: its API, its agents, and our own proxy between them, recorded as a capture and judged;
//! and whether the verdict names what was planted. What the lab knows never reaches the diagnosis.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    app::{
        self, Running,
        verdict::{self, Judged},
    },
    ca::Authority,
    cli::{Globals, diagnose::About, output::say, recording, signals::Signals},
    clock::Clock,
    lab::{
        causes::Plant,
        load::{self, Snapshot, Target},
        scenario::{Pace, Scenario},
        server::{self, Server},
    },
    model::finding::{Cause, Conclusion, Verdict},
    query::{Capture, columns},
    record::Summary,
    report::{
        count,
        verdict::{Subject, text},
    },
    shutdown,
    store::CaptureDir,
};

/// The port that the simulated host is asked for.
pub(in crate::cli) const HTTPS: u16 = 443;

/// What a run came to.
pub(in crate::cli) struct Done {
    /// The capture's name.
    pub(in crate::cli) name: String,
    /// Its folder.
    pub(in crate::cli) path: PathBuf,
    /// The options that lead to its folder of captures.
    pub(in crate::cli) selector: String,
    /// What ran.
    pub(in crate::cli) scenario: Scenario,
    /// What the agents saw.
    pub(in crate::cli) load: load::Told,
    /// What the API decided.
    pub(in crate::cli) server: server::Told,
    /// What the recorder kept.
    pub(in crate::cli) summary: Summary,
    /// What the diagnosis says.
    pub(in crate::cli) verdict: Verdict,
    /// The same for people.
    pub(in crate::cli) text: String,
    /// How it compares.
    pub(in crate::cli) comparison: Comparison,
    /// Whether somebody ended it early.
    pub(in crate::cli) is_cut_short: bool,
}

/// Runs a scenario over real sockets, through the proxy, and judges what was recorded.
pub(in crate::cli) async fn run(
    scenario: Scenario,
    globals: &Globals,
    name: Option<&str>,
    signals: &mut Signals,
) -> anyhow::Result<Done> {
    let scenario = Arc::new(on_loopback(scenario));
    let first = globals.settings()?;
    let authority = Arc::new(Authority::open_or_create(&first.ca_dir())?);
    let clock = Clock::start();
    let anywhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let server = Server::start(&scenario, &authority, anywhere, clock).await?;
    let root = std::path::absolute(authority.certificate_path())?;
    let mut overrides = globals.overrides();
    overrides.set("proxy.listen_host", "127.0.0.1");
    overrides.set("proxy.listen_port", 0_u16);
    overrides.set("proxy.modes", ["forward".to_owned()].as_slice());
    overrides.set("proxy.connect_to", [redirect(&scenario, server.address())].as_slice());
    overrides.set("proxy.server_ca", [root.to_string_lossy().into_owned()].as_slice());
    if globals.profile.is_none() {
        overrides.set("profile", scenario.surface.profile());
    }
    overrides.set_some("name", name);
    let settings = globals.settings_with(overrides)?;
    let running = Running::start(&settings)?;
    let loaded = drive(&scenario, &running, &authority, clock, signals, globals.quiet).await;
    let (name, path) = (running.capture().name(), running.capture_path());
    let stopped = running
        .stop(async {
            signals.next().await;
        })
        .await;
    let server = server.stop().await;
    let (load, is_cut_short) = loaded?;
    let summary = stopped?;
    let (verdict, text, selector) = {
        let dir = CaptureDir::open(&path)?;
        let inspection = app::inspection_of(&dir, &settings)?;
        let captures = [Capture::open_dir(dir, inspection)?];
        let bar = bar(globals.quiet, "{msg} {bar:30} {percent:>3} %");
        bar.set_message("working out the cause");
        bar.set_length(1000);
        let selector = recording::selector(&settings, globals);
        let named = format!("{selector} -c {name}");
        let judged = verdict::judge(&captures, &columns::Options::default(), &named, &mut |done| {
            bar.set_position((done * 1000.0) as u64);
        });
        bar.finish_and_clear();
        let Judged { verdict, .. } = judged?;
        let about = About::of(&captures, globals);
        let text = text::short(&verdict, Subject { selector: &named, ..about.subject() });
        (verdict, text, selector)
    };
    let scenario = Scenario::clone(&scenario);
    let comparison = Comparison::of(&scenario, &verdict, &server);
    Ok(Done { name, path, selector, scenario, load, server, summary, verdict, text, comparison, is_cut_short })
}

/// On loopback there is no way between proxy and server worth speaking of: true thresholds are those at the server.
pub(super) fn on_loopback(mut scenario: Scenario) -> Scenario {
    scenario.network.rtt_ns = 0;
    scenario
}

/// `--connect-to` for the simulated host.
pub(in crate::cli) fn redirect(scenario: &Scenario, to: SocketAddr) -> String {
    format!("{}:{HTTPS}:{to}", scenario.surface.host())
}

async fn drive(
    scenario: &Arc<Scenario>,
    running: &Running,
    authority: &Authority,
    clock: Clock,
    signals: &mut Signals,
    quiet: bool,
) -> anyhow::Result<(load::Told, bool)> {
    let target = Target {
        host: scenario.surface.host().to_owned(),
        port: HTTPS,
        address: running.forward_address().context("the proxy has no forward listener")?,
        by_proxy: true,
        roots: Some(vec![authority.certificate_der().clone()]),
    };
    let load = load::Running::new(scenario, target, clock, None)?;
    Ok(watch(&load, scenario, clock, signals, quiet).await)
}

/// Runs a load to its end, or until a signal comes, with a line of figures; whether it was cut short.
pub(in crate::cli) async fn watch(
    load: &load::Running,
    scenario: &Scenario,
    clock: Clock,
    signals: &mut Signals,
    quiet: bool,
) -> (load::Told, bool) {
    let bar = bar(quiet, "{bar:30} {msg}");
    bar.set_length(scenario.duration_ns.max(1).unsigned_abs());
    let (trigger, stop) = shutdown::channel();
    let going = load.run(stop);
    tokio::pin!(going);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let mut is_cut_short = false;
    let told = loop {
        tokio::select! {
            told = &mut going => break told,
            _ = signals.next(), if !is_cut_short => {
                is_cut_short = true;
                trigger.stop();
            }
            _ = ticks.tick() => {
                let now = clock.now().0;
                bar.set_position(now.min(bar.length().unwrap_or(now)));
                bar.set_message(figures(now, scenario, &load.snapshot()));
            }
        }
    };
    bar.finish_and_clear();
    (told, is_cut_short)
}

/// `00:12 of 00:20  150 agents, 41 sockets, 1,234 requests, 5 refused`
fn figures(now: u64, scenario: &Scenario, at: &Snapshot) -> String {
    let clock = |ns: u64| format!("{:02}:{:02}", ns / 60_000_000_000, ns / 1_000_000_000 % 60);
    format!(
        "{} of {}  {} agents, {} sockets, {} requests, {} refused",
        clock(now),
        clock(scenario.duration_ns.unsigned_abs()),
        count(at.agents),
        count(at.sockets),
        count(at.requests),
        count(at.refused)
    )
}

/// A bar on standard error, where that is a terminal.
fn bar(quiet: bool, template: &str) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
    let bar = ProgressBar::with_draw_target(Some(1), target);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What was planted, held against what was said.
pub(in crate::cli) struct Comparison {
    /// By plant that can be found.
    pub(in crate::cli) plants: Vec<Held>,
    /// Limits that this load never reached: nothing was refused by them, and there was nothing to be found.
    pub(in crate::cli) out_of_reach: Vec<String>,
    /// Causes that were named and that nobody planted.
    pub(in crate::cli) beside: Vec<String>,
    /// Whether all plants were found, the first cause is one of them, and nothing else was named.
    pub(in crate::cli) matches: bool,
    /// Whether there is no verdict, since the observer was the bottleneck.
    is_withheld: bool,
}

/// One plant, held against the verdict.
pub(in crate::cli) struct Held {
    /// The plant, as it is said.
    pub(in crate::cli) planted: String,
    /// The hypotheses that are right for it.
    pub(in crate::cli) right: Vec<&'static str>,
    /// The one that was named, and its place in the ranking, from 1.
    pub(in crate::cli) found: Option<(String, usize)>,
    /// The true threshold, and what was said of it: value, low, high.
    pub(in crate::cli) threshold: Option<(f64, [f64; 3])>,
}

impl Comparison {
    /// Of a verdict on that scenario, in which the API refused what it told.
    pub(in crate::cli) fn of(scenario: &Scenario, verdict: &Verdict, server: &server::Told) -> Self {
        let planted = scenario.plants.iter().filter(|plant| !plant.is_harmless);
        let is_out_of_reach = |plant: &&Plant| {
            let has_limit = plant.info.parameters.iter().any(|parameter| parameter.name == "limit");
            has_limit && !server.refused_by.contains_key(&plant.to_string()) && plant.info.id != "socket-eviction"
        };
        let (out_of_reach, findable): (Vec<&Plant>, Vec<&Plant>) = planted.partition(is_out_of_reach);
        let out_of_reach = out_of_reach.iter().map(ToString::to_string).collect();
        let held: Vec<(Held, Vec<usize>)> = findable
            .into_iter()
            .filter(|plant| !(plant.info.right)(plant, scenario).is_empty())
            .map(|plant| held(plant, scenario, verdict))
            .collect();
        let explained: Vec<usize> = held.iter().flat_map(|(_, causes)| causes.iter().copied()).collect();
        let others = verdict.causes.iter().enumerate().filter(|(number, _)| !explained.contains(number));
        let beside: Vec<String> = others.map(|(_, cause)| cause.hypothesis.clone()).collect();
        let plants: Vec<Held> = held.into_iter().map(|(held, _)| held).collect();
        let silent = verdict.causes.is_empty()
            && matches!(verdict.result, Conclusion::NoCause | Conclusion::NoRefusals | Conclusion::NotEnoughData);
        let matches = match plants.is_empty() {
            true => silent,
            false => beside.is_empty() && plants.iter().all(|plant| plant.found.is_some()),
        };
        Self { plants, out_of_reach, beside, matches, is_withheld: verdict.result == Conclusion::Withheld }
    }

    /// For scripts.
    pub(in crate::cli) fn to_json(&self) -> Value {
        let plants: Vec<Value> = self
            .plants
            .iter()
            .map(|held| {
                json!({
                    "planted": held.planted,
                    "right": held.right,
                    "found": held.found.as_ref().map(|(hypothesis, _)| hypothesis),
                    "rank": held.found.as_ref().map(|(_, rank)| rank),
                    "true_threshold": held.threshold.map(|(truth, _)| truth),
                    "threshold": held.threshold.map(|(_, [value, low, high])| {
                        json!({"value": value, "low": low, "high": high})
                    }),
                })
            })
            .collect();
        json!({
            "matches": self.matches,
            "plants": plants,
            "beside": self.beside,
            "out_of_reach": self.out_of_reach,
        })
    }

    /// For people, a line for each plant.
    pub(in crate::cli) fn to_text(&self) -> String {
        let mut text = String::new();
        for held in &self.plants {
            let found = match &held.found {
                Some((hypothesis, 1)) => format!("found, ranked first, as {hypothesis}"),
                Some((hypothesis, rank)) => format!("found, ranked {rank}, as {hypothesis}"),
                None if self.is_withheld => "not judged".to_owned(),
                None => format!("NOT FOUND (right would be {})", held.right.join(" or ")),
            };
            text.push_str(&format!("  planted {}: {found}", held.planted));
            if let Some((truth, [value, low, high])) = held.threshold {
                let show = |value: f64| shown(held.found.as_ref().map_or("", |(hypothesis, _)| hypothesis), value);
                text.push_str(&format!(
                    "; at the API {}, seen from the proxy {} ({} to {})",
                    show(truth),
                    show(value),
                    show(low),
                    show(high)
                ));
            }
            text.push('\n');
        }
        for plant in &self.out_of_reach {
            text.push_str(&format!("  planted {plant}: this load never reached it, and nothing was refused by it\n"));
        }
        for hypothesis in &self.beside {
            text.push_str(&format!("  named beside it, and not planted: {hypothesis}\n"));
        }
        if self.is_withheld {
            text.push_str(
                "  there is no verdict to compare: this machine was too busy (hint: try again when it is not)\n",
            );
            return text;
        }
        text.push_str(match (self.matches, self.plants.is_empty()) {
            (true, true) => "  the verdict is right: there was nothing to be found, and no cause is named\n",
            (true, false) => "  the verdict matches what was planted\n",
            (false, _) => "  the verdict does NOT match what was planted\n",
        });
        text
    }
}

/// How a plant was found, and the numbers of the causes that are right for it.
fn held(plant: &Plant, scenario: &Scenario, verdict: &Verdict) -> (Held, Vec<usize>) {
    let right = (plant.info.right)(plant, scenario);
    let is_right = |hypothesis: &str| {
        right.iter().any(|right| match right.strip_suffix(':') {
            Some(prefix) => hypothesis.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(':')),
            None => hypothesis == *right,
        })
    };
    // What these data cannot tell apart from a right one is not wrong.
    let names_it = |cause: &Cause| {
        let group = verdict.confounded.iter().filter(|group| group.hypotheses.first() == Some(&cause.hypothesis));
        is_right(&cause.hypothesis) || group.flat_map(|group| &group.hypotheses).any(|other| is_right(other))
    };
    let causes: Vec<usize> =
        verdict.causes.iter().enumerate().filter(|(_, cause)| names_it(cause)).map(|(number, _)| number).collect();
    // One that is right by itself says more than one that only could not be told apart.
    let by_itself = verdict.causes.iter().position(|cause| is_right(&cause.hypothesis));
    let first = by_itself.or_else(|| causes.first().copied());
    let first = first.and_then(|number| Some((number + 1, verdict.causes.get(number)?)));
    let threshold = (plant.info.truth)(plant, scenario).and_then(|truth| {
        let cause = verdict.causes.iter().find(|cause| cause.hypothesis == truth.hypothesis)?;
        let said = cause.threshold.as_ref().filter(|said| said.direction == truth.direction)?;
        Some((truth.value, [said.value, said.low, said.high]))
    });
    let found = first.map(|(rank, cause)| (cause.hypothesis.clone(), rank));
    (Held { planted: plant.to_string(), right, found, threshold }, causes)
}

/// A dose in its unit.
pub(super) fn shown(hypothesis: &str, value: f64) -> String {
    match hypothesis {
        "since-open" | "connection-idle" => format!("{:.1} ms", value / 1e6),
        _ => format!("{value:.0}"),
    }
}

/// What ran, in a line.
pub(in crate::cli) fn about(scenario: &Scenario) -> String {
    let seconds = scenario.duration_ns as f64 / 1e9;
    let pace = match scenario.pace {
        Pace::Closed => format!("{} agents", count(scenario.agents.into())),
        Pace::Open(rate) => format!("{rate} users a second"),
    };
    format!("{pace} for {seconds} s against the simulated {} API", scenario.surface.name())
}

/// A run for scripts.
pub(in crate::cli) fn to_json(done: &Done) -> Value {
    json!({
        "capture": done.path,
        "surface": done.scenario.surface.name(),
        "seed": done.scenario.seed,
        "planted": done.scenario.plants.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "matches": done.comparison.matches,
        "comparison": done.comparison.to_json(),
        "verdict": done.verdict,
        "load": done.load,
        "server": done.server,
        "exchanges": done.summary.totals.exchanges,
        "refused": done.summary.totals.refused,
        "complete": done.summary.complete,
        "cut_short": done.is_cut_short,
    })
}

/// Says what the run was, before its verdict.
pub(in crate::cli) fn figures_of(done: &Done) -> String {
    let totals = &done.summary.totals;
    let mut text = format!(
        "recorded {} requests on {} connections and {} sockets, {} refused; capture {}\n",
        count(totals.exchanges),
        count(totals.connections),
        count(totals.sockets_opened),
        count(totals.refused),
        done.name
    );
    for (why, times) in &done.load.failures {
        text.push_str(&format!("  {} connections could not be made: {why}\n", count(*times)));
    }
    if done.is_cut_short {
        text.push_str("  it was cut short\n");
    }
    text
}

/// Says what begins.
pub(in crate::cli) fn announce(scenario: &Scenario, quiet: bool) {
    if quiet {
        return;
    }
    say(&about(scenario));
    for plant in &scenario.plants {
        let harmless = if plant.is_harmless { "harmless: " } else { "" };
        say(&format!("  planted {plant}: {harmless}{}", plant.info.summary));
    }
}
