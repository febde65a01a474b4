//! Genesys Cloud's own SDKs for Node and Python, through CONNECT and in front of a gateway: what they sent is in the
//! capture as they sent it, and correct clients raise no flag, with and without knowledge of the API.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    origin::{Behaviour, Origin},
    product::{Product, describe},
    repository, tool,
};

const API: &str = "api.mypurecloud.com";
const SCRIPT: &str = "/api/v2/scripts/6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Connect,
    Gateway,
}

/// Runs a client and gives the exchanges; `client` makes its command line.
fn exchanges(way: Way, client: impl FnOnce(&Product) -> Command) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let port = origin.address.port();
    let to_origin = format!("{API}:443:127.0.0.1:{port}");
    let mode = match way {
        Way::Connect => "forward".to_owned(),
        Way::Gateway => format!("reverse:https://{API}"),
    };
    let recording = product.record(&["--mode", &mode, "--connect-to", &to_origin]);
    let mut command = client(&product);
    command
        .arg(if way == Way::Connect { "connect" } else { "gateway" })
        .arg(recording.address.to_string())
        .arg(product.ca())
        .env("NODE_EXTRA_CA_CERTS", product.ca())
        // The SDKs read a settings file of their own in the home folder.
        .env("HOME", product.folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("channel-00000001"), "{}", describe(&output));
    recording.stop();

    let exchanges = product.json("ls", &["exchanges"]);
    let short = |x: &Value| (x["method"].clone(), x["path"].clone(), x["status"].clone(), x["authority"].clone());
    let expected = |method: &str, path: &str| (method.into(), path.into(), 200.into(), format!("{API}:443").into());
    assert_eq!(
        exchanges.iter().map(short).collect::<Vec<_>>(),
        [expected("POST", "/api/v2/notifications/channels"), expected("GET", SCRIPT)]
    );
    // The origin saw the same heads but for the host, and that is said.
    let seen = origin.log.lock().unwrap().requests.clone();
    for (exchange, seen) in exchanges.iter().zip(&seen) {
        let host = |value: &str| value.to_owned();
        let sent: Vec<(String, String)> = exchange["request_headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| (h[0].as_str().unwrap().to_lowercase(), host(h[1].as_str().unwrap())))
            .collect();
        let differ = sent.iter().zip(&seen.headers).filter(|(a, b)| a != b).map(|(a, _)| a.0.clone());
        let differ: Vec<String> = differ.filter(|name| name != "authorization").collect();
        let rewritten: Vec<&str> =
            exchange["rewritten"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
        assert_eq!(sent.len(), seen.headers.len());
        match way {
            Way::Connect => assert_eq!((differ, rewritten), (vec![], vec![])),
            Way::Gateway => assert_eq!((differ, rewritten), (vec!["host".to_owned()], vec!["host"])),
        }
    }
    for profile in ["generic", "genesys-cloud"] {
        product.output("reindex", &["--profile", profile]);
        assert_eq!(product.json("ls", &["flags"]), Vec::<Value>::new(), "with the profile {profile}");
    }
    exchanges
}

fn header<'x>(exchange: &'x Value, name: &str) -> Option<&'x str> {
    let headers = exchange["request_headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap())
}

fn node(way: Way) {
    let exchanges = exchanges(way, |_| {
        let mut command = Command::new("node");
        command.arg(repository().join("tests/it/support/node/platform_sdk.cjs"));
        command.env("NODE_PATH", tool("node/node_modules"));
        command
    });
    for exchange in &exchanges {
        assert!(header(exchange, "User-Agent").unwrap().starts_with("axios/"), "{exchange}");
        assert_eq!(header(exchange, "Content-Type"), Some("application/json"), "a GET has it, too: {exchange}");
    }
}

fn python(way: Way) {
    let exchanges = exchanges(way, |_| {
        let mut command = Command::new(tool("python/bin/python"));
        command.arg(repository().join("tests/it/support/python/platform_sdk.py"));
        command
    });
    for exchange in &exchanges {
        assert_eq!(header(exchange, "User-Agent"), Some("PureCloud SDK/python"), "{exchange}");
        assert!(header(exchange, "purecloud-sdk").is_some(), "{exchange}");
    }
    let connections: Vec<&Value> = exchanges.iter().map(|exchange| &exchange["connection"]).collect();
    assert_eq!(connections[0], connections[1], "it keeps its connection");
}

#[test]
fn the_node_sdk_through_connect() {
    node(Way::Connect);
}

#[test]
fn the_node_sdk_with_a_gateway() {
    node(Way::Gateway);
}

#[test]
fn the_python_sdk_through_connect() {
    python(Way::Connect);
}

#[test]
fn the_python_sdk_with_a_gateway() {
    python(Way::Gateway);
}
