//! Where metadata are messages on a socket: they are held and wait for the gate, and what the API refuses of them counts.

use serde_json::Value;

use crate::support::{
    lab::{Lab, lab},
    product::{Product, describe},
};

/// A capture of agents who subscribe without waiting for `connection_ack`, and the API that they spoke to. It works on each
/// message for far longer than they wait, so that they are early at replay, too.
fn early() -> (Product, Lab) {
    let product = Product::new(None);
    let api = "graphql-transport-ws";
    let served = Lab::serve(
        &product,
        &["--api", api, "--cause", "metadata-before-ready:delay=50ms,spread=1", "--service", "400ms"],
    );
    let to = format!("api.lab.test:443:127.0.0.1:{}", served.port);
    let recording =
        product.record(&["--name", "early", "--profile", api, "--connect-to", &to, "--server-ca", &served.ca]);
    let mut load = lab(&product, "load");
    load.args(["--api", api, "--cause", "metadata-before-ready:delay=50ms,spread=1", "--service", "400ms"]);
    load.args(["--proxy", &recording.address.to_string(), "--agents", "12", "--ramp", "1s", "--duration", "3s"]);
    let output = load.args(["--rounds", "1", "--reads", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    recording.stop();
    (product, served)
}

#[test]
fn messages_wait_for_the_gate_and_their_refusals_count() {
    let (product, _served) = early();
    let errors = product.json("ls", &["flags", "-c", "early", "--filter", "rule=error-frame"]).len();
    assert!(errors > 2, "{errors} messages were refused");

    let schedule = product.json("replay", &["-c", "early", "--wait-for", "ready", "--dry-run"]);
    let held: Vec<&Value> = schedule.iter().filter(|step| step["metadata"] == true).collect();
    assert!(!held.is_empty() && held.iter().all(|step| step["kind"] == "frame"), "{held:?}");
    assert!(held.iter().all(|step| step["waits"].to_string().contains("ready")), "{held:?}");

    let arms = ["none", "wait-for=ready", "hold=metadata:2s"];
    let arguments =
        ["-c", "early", "--rounds", "2", "--pause", "0s", "--seed", "1", "--arms", arms[0], arms[1], arms[2]];
    let found = product.json("experiment", &arguments).remove(0);
    let counts: Vec<(u64, u64)> = (0..3)
        .map(|at| {
            let arm = &found["arms"][at];
            assert_eq!(arm["arm"], arms[at]);
            (arm["refused"].as_u64().unwrap(), arm["sent"].as_u64().unwrap())
        })
        .collect();
    assert!(counts[0].0 > held.len() as u64, "most, in each of two rounds: {found:#}");
    assert!(counts.iter().all(|(_, sent)| *sent == 2 * held.len() as u64), "all metadata, and that alone: {found:#}");
    assert_eq!((counts[1].0, counts[2].0), (0, 0), "{found:#}");
    for contrast in found["comparisons"].as_array().unwrap() {
        assert_eq!(contrast["result"], "removes", "{found:#}");
    }
    assert!(found["answer"].as_str().unwrap().contains("pieces of metadata were refused"), "{found:#}");
}
