//! The API that the integration tests use, to try a JMeter plan against:
//! `cargo run --example origin -- [--port 8443] [--open-after MS] [--registered-after MS] [--ca FILE]`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub, reason = "an example")]

#[path = "../tests/it/support/origin.rs"]
mod origin;

use std::time::Duration;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let milliseconds = |name| option(name).map_or(Duration::ZERO, |ms| Duration::from_millis(ms.parse().unwrap()));
    let behaviour = origin::Behaviour {
        open_after: milliseconds("--open-after"),
        registered_after: milliseconds("--registered-after"),
        ..origin::Behaviour::default()
    };
    let port = option("--port").map_or(8443, |port| port.parse().unwrap());
    let origin = origin::Origin::start(port, behaviour).await.unwrap();
    let ca = option("--ca").unwrap_or_else(|| "origin-ca.pem".to_owned());
    std::fs::write(&ca, &origin.ca_pem).unwrap();
    println!("https://{} (its root: {ca}); end with Ctrl-C", origin.address);
    tokio::signal::ctrl_c().await.unwrap();
    let log = origin.log.lock().unwrap();
    println!("{} requests, {} frames from clients", log.requests.len(), log.from_clients.len());
}
