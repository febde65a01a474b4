//! `lab serve`: the simulated API alone, for a plan of one's own.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use serde_json::json;

use super::{rig::HTTPS, scenario::ScenarioArgs};
use crate::{
    app,
    ca::Authority,
    cli::{Globals, Output, exit_code, output::say, reading::quoted, signals::Signals},
    clock::Clock,
    lab::{
        request::Kind,
        scenario::Scenario,
        server::{Server, Told},
        surface::Surface,
    },
    report::count,
};

/// Options of `lab serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The port to listen on; 0 picks a free one
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 8443)]
    listen_port: u16,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen_host: IpAddr,
    /// Prints events as JSON, a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scenario: ScenarioArgs,
}

/// Runs it.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let scenario = Arc::new(args.scenario.scenario()?);
    let authority = Arc::new(Authority::open_or_create(&globals.settings()?.ca_dir())?);
    let at = SocketAddr::new(args.listen_host, args.listen_port);
    app::runtime()?.block_on(serve(&scenario, &authority, at, args.json, globals.quiet))
}

async fn serve(
    scenario: &Arc<Scenario>,
    authority: &Arc<Authority>,
    at: SocketAddr,
    events: bool,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let server = Server::start(scenario, authority, at, Clock::start()).await?;
    let root = std::path::absolute(authority.certificate_path())?;
    let address = server.address();
    let mut out = Output::stdout();
    if events {
        out.json_line(&json!({
            "event": "listening",
            "address": address.to_string(),
            "url": format!("https://{address}"),
            "ca": root,
            "surface": scenario.surface.name(),
            "host": scenario.surface.host(),
            "planted": planted(scenario),
            "routes": routes(scenario.surface),
        }))?;
    } else {
        out.write_all(how_to(scenario, address, &quoted(&root.to_string_lossy())).as_bytes())?;
        out.flush()?;
        if !quiet {
            say("Ctrl-C ends it");
        }
    }
    signals.next().await;
    let told = server.stop().await;
    if events {
        out.json_line(&json!({"event": "stopped", "told": told}))?;
    } else {
        out.write_all(summary(&told).as_bytes())?;
        out.flush()?;
    }
    Ok(ExitCode::from(exit_code::DONE))
}

fn planted(scenario: &Scenario) -> Vec<String> {
    scenario.plants.iter().map(ToString::to_string).collect()
}

fn routes(surface: Surface) -> Vec<String> {
    let mut routes: Vec<String> =
        Kind::ALL.into_iter().filter(|kind| surface.has(*kind)).map(|kind| surface.route(kind)).collect();
    routes.sort_unstable();
    routes.dedup();
    routes
}

/// How a plan is pointed at it.
fn how_to(scenario: &Scenario, address: SocketAddr, root: &str) -> String {
    let surface = scenario.surface;
    let host = surface.host();
    let mut text =
        format!("a simulated {} API on https://{address} (and http://, and WebSocket on both)\n", surface.name());
    text.push_str(&format!("its root: {root}\n"));
    for plant in &scenario.plants {
        text.push_str(&format!("planted {plant}: {}\n", plant.info.summary));
    }
    text.push_str("routes:\n");
    for route in routes(surface) {
        text.push_str(&format!("  {route}\n"));
    }
    if surface == Surface::Neutral {
        text.push_str("  and every other: GET is a read, POST and PUT describe a session, an upgrade is a socket\n");
    }
    let profile = match surface {
        Surface::Neutral => String::new(),
        other => format!(" --profile {}", other.profile()),
    };
    // A real host's name: that it is not the real one is for the person to say.
    let allowed = if host.ends_with(".test") { String::new() } else { format!(" --i-may-load-this-host {host}") };
    text.push_str(&format!(
        "a JMeter plan that asks for {host} reaches it, and is recorded, by\n  firstframe run{profile} --connect-to \
         {host}:{HTTPS}:{address} --server-ca {root} -- jmeter -n -t plan.jmx -l out.jtl\n\
         a plan of which host and port can be given, without recording (JMeter takes every certificate):\n  \
         jmeter -n -t plan.jmx -l out.jtl -Jhost={} -Jport={}\n\
         the lab's own agents, through `firstframe record{profile} --connect-to {host}:{HTTPS}:{address} --server-ca \
         {root}`:\n  firstframe lab load --surface {} --proxy 127.0.0.1:8080 --to {host}:{HTTPS}{allowed}\n",
        address.ip(),
        address.port(),
        surface.name(),
    ));
    text
}

fn summary(told: &Told) -> String {
    let mut text = format!(
        "{} requests on {} connections, {} sockets, {} messages\n",
        count(told.requests),
        count(told.connections),
        count(told.sockets),
        count(told.messages)
    );
    for (status, times) in &told.statuses {
        let status = if *status == 0 { "not answered".to_owned() } else { status.to_string() };
        text.push_str(&format!("  {:>9}  {status}\n", count(*times)));
    }
    for (plant, times) in &told.refused_by {
        text.push_str(&format!("  {:>9}  refused by {plant}\n", count(*times)));
    }
    if told.strange > 0 {
        text.push_str(&format!("  {:>9}  no request, or on no route of this API\n", count(told.strange)));
    }
    text
}
