//! What the proxy costs: the product beside a bare byte relay (TLS on both sides, no parsing, no recording), in one
//! interleaved run, so that a noisy machine slows both alike. Ratios are taken within each pass and given as their median
//! and range, all else as medians. CPU is the proxy's own, of all its threads, in seconds per 10,000 operations, from the
//! window's begin until it has done all that the window left it to do.
//!
//! `cargo bench --bench bench -- [--only get:100,post:100,…] [--passes 5] [--seconds 3]`
//!
//! Origin, relay, product and load are four processes on loopback; this file starts them and counts.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark"
)]

mod load;
mod origin;
mod process;
mod relay;
mod tls;

use std::{collections::BTreeMap, time::Duration};

use load::{Outcome, Scenario};
use process::{Child, Peer};

/// Every throughput and latency scenario, by name: kind and connections.
const SCENARIOS: &[&str] = &[
    "get:1",
    "get:20",
    "get:100",
    "get:150",
    "post:1",
    "post:20",
    "post:100",
    "post:150",
    "b64k:20",
    "b1m:8",
    "newc:20",
    "wsopen:20",
    "wsping:150",
    "wspipe:50",
    "low:10",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    match arguments.first().map(String::as_str) {
        Some("role-origin") => return origin::run(),
        Some("role-relay") => return relay::run(),
        Some("role-load") => return load::run(&arguments[1..]),
        _ => {}
    }
    let passes: usize = option("--passes").map_or(3, |n| n.parse().unwrap());
    let seconds: f64 = option("--seconds").map_or(3.0, |n| n.parse().unwrap());
    let only = option("--only");
    let wanted = |name: &str| {
        only.as_ref().is_none_or(|only| only.split(',').any(|o| name == o || name.split(':').next() == Some(o)))
    };

    let folder = tempfile::tempdir().unwrap();
    tls::write_certificates(folder.path());
    let origin = Child::origin(folder.path());
    println!("{}", process::machine());
    println!(
        "{:<11} {:>9} {:>9} {:>6} {:^10}   {:>9} {:>9} {:>6} {:^10}   {:>7} {:>7} {:>7} {:>7}",
        "scenario",
        "relay/s",
        "ours/s",
        "rate",
        "range",
        "relay CPU",
        "ours CPU",
        "CPU",
        "range",
        "p50 µs",
        "ours",
        "p99 µs",
        "ours"
    );
    let mut failed = false;
    for name in SCENARIOS.iter().filter(|name| wanted(name)) {
        let scenario = Scenario::parse(name);
        let mut results: BTreeMap<Peer, Vec<(Outcome, f64)>> = BTreeMap::new();
        for pass in 0..passes {
            // Fresh processes in each pass, and the order turned round every other time.
            let mut peers = [Peer::Relay, Peer::Ours];
            if pass % 2 == 1 {
                peers.reverse();
            }
            for peer in peers {
                let proxy = Child::proxy(peer, folder.path(), origin.port);
                let outcome = measure(&scenario, &proxy, origin.port, folder.path(), seconds);
                results.entry(peer).or_default().push(outcome);
            }
        }
        failed |= results.values().flatten().any(|(outcome, _)| outcome.errors > 0);
        print_row(name, &results);
    }
    if wanted("memory") {
        memory(folder.path(), &origin);
    }
    if failed {
        eprintln!("some operations failed: the figures do not count");
        std::process::exit(1);
    }
}

/// One window: the outcome and the proxy's CPU seconds per 10,000 operations.
fn measure(scenario: &Scenario, proxy: &Child, origin: u16, folder: &std::path::Path, seconds: f64) -> (Outcome, f64) {
    let mut load = load::Remote::start(scenario, proxy.port, origin, folder, seconds);
    load.wait_for("begin");
    let before = proxy.cpu_seconds();
    load.wait_for("end");
    let outcome = load.outcome();
    // What the indexer has put off counts too.
    proxy.wait_until_idle(Duration::from_secs(60));
    let cpu = proxy.cpu_seconds() - before;
    let per_10k = cpu / outcome.operations.max(1) as f64 * 10_000.0;
    (outcome, per_10k)
}

fn print_row(name: &str, results: &BTreeMap<Peer, Vec<(Outcome, f64)>>) {
    let of =
        |peer: Peer, figure: fn(&(Outcome, f64)) -> f64| -> Vec<f64> { results[&peer].iter().map(figure).collect() };
    let median_of = |peer: Peer, figure: fn(&(Outcome, f64)) -> f64| sorted(&of(peer, figure)).1;
    // What a pass measured one behind the other: the machine's speed changes within minutes.
    let ratios = |figure: fn(&(Outcome, f64)) -> f64| {
        let pairs = of(Peer::Ours, figure).into_iter().zip(of(Peer::Relay, figure));
        sorted(&pairs.map(|(ours, relay)| ours / relay).collect::<Vec<_>>())
    };
    let (rate_low, rate, rate_high) = ratios(|r| r.0.rate());
    let (cpu_low, cpu, cpu_high) = ratios(|r| r.1);
    println!(
        "{name:<11} {:>9.0} {:>9.0} {rate:>6.2} {rate_low:>4.2}..{rate_high:<4.2}   {:>9.3} {:>9.3} {cpu:>6.2} {cpu_low:>4.2}..{cpu_high:<4.2}   {:>7.0} {:>7.0} {:>7.0} {:>7.0}",
        median_of(Peer::Relay, |r| r.0.rate()),
        median_of(Peer::Ours, |r| r.0.rate()),
        median_of(Peer::Relay, |r| r.1),
        median_of(Peer::Ours, |r| r.1),
        median_of(Peer::Relay, |r| r.0.p50_us),
        median_of(Peer::Ours, |r| r.0.p50_us),
        median_of(Peer::Relay, |r| r.0.p99_us),
        median_of(Peer::Ours, |r| r.0.p99_us),
    );
}

/// The least, the median (of an even number the mean of both in the middle) and the greatest.
fn sorted(values: &[f64]) -> (f64, f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    (values[0], median, values[values.len() - 1])
}

/// KiB per idle WebSocket, and the resident size after 10,000, 100,000 and 1,000,000 exchanges.
fn memory(folder: &std::path::Path, origin: &Child) {
    for peer in [Peer::Relay, Peer::Ours] {
        let proxy = Child::proxy(peer, folder, origin.port);
        let empty = proxy.rss_kib();
        let mut at = Vec::new();
        for sockets in [1_000, 5_000] {
            let idle = Scenario::parse(&format!("wsidle:{sockets}"));
            let mut load = load::Remote::start(&idle, proxy.port, origin.port, folder, 2.0);
            load.wait_for("begin");
            load.wait_for("end");
            at.push(proxy.rss_kib());
            load.outcome();
        }
        println!(
            "{peer:?}: {empty} KiB empty, {} at 1,000 idle WebSockets, {} at 5,000: {:.1} KiB each",
            at[0],
            at[1],
            (at[1] - at[0]) as f64 / 4_000.0
        );
    }
    let proxy = Child::proxy(Peer::Ours, folder, origin.port);
    let (mut total, mut sizes) = (0, Vec::new());
    for exchanges in [10_000u64, 90_000, 900_000] {
        let mut load = load::Remote::counted(&Scenario::parse("get:50"), proxy.port, origin.port, folder, exchanges);
        load.wait_for("end");
        load.outcome();
        // Until the recorder has written its last batch and the indexer has caught up, its size says little.
        proxy.wait_until_idle(Duration::from_secs(60));
        total += exchanges;
        sizes.push(proxy.rss_kib());
        println!("Ours: {} KiB after {total} exchanges", sizes[sizes.len() - 1]);
    }
    println!(
        "Ours: {:+.1} % from the first to the last",
        (sizes[sizes.len() - 1] as f64 / sizes[0] as f64 - 1.0) * 100.0
    );
}
