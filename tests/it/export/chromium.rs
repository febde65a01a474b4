//! HAR: against the schema of its specification, and against what Chromium itself saw of the same requests.

use std::{collections::BTreeMap, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use firstframe::export::Options;
use serde_json::{Value, json};

use super::{capture, exported, play_whole, secrets};
use crate::support::{
    origin::{Behaviour, Origin},
    product::{Product, describe},
    repository, tool,
};

/// HAR 1.2 with nothing beside it but names that begin with `_`.
fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("har-1.2.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

pub(super) fn assert_valid(har: &Value) {
    let broken: Vec<String> =
        schema().iter_errors(har).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_har_is_as_its_specification_says() {
    let folder = tempfile::tempdir().unwrap();
    for (name, play) in [
        ("whole", play_whole as fn(&mut super::Script<'_>)),
        ("secrets", secrets::play_all as fn(&mut super::Script<'_>)),
    ] {
        let captures = folder.path().join(name);
        std::fs::create_dir(&captures).unwrap();
        let capture = capture(&captures, play);
        for keep_secrets in [false, true] {
            let options = Options { keep_secrets, ..Options::default() };
            let mut har: Value = serde_json::from_slice(&exported(&capture, "har", &options).0).unwrap();
            assert_valid(&har);
            // The schema would see it.
            har["log"]["entries"][0]["response"].as_object_mut().unwrap().remove("redirectURL");
            assert!(!schema().is_valid(&har));
        }
    }
}

fn headers(pairs: &Value) -> BTreeMap<String, String> {
    let pairs = pairs.as_array().unwrap();
    pairs
        .iter()
        .map(|pair| (pair["name"].as_str().unwrap().to_lowercase(), pair["value"].as_str().unwrap().to_owned()))
        .collect()
}

/// Chromium gives an object.
fn theirs(headers: &Value) -> BTreeMap<String, String> {
    let headers = headers.as_object().unwrap();
    headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn chromium_saw_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let recording = product.record(&[]);
    let page = format!("https://localhost:{}", origin.address.port());
    let mut node = Command::new("node");
    node.arg(repository().join("tests/it/support/node/chromium.cjs")).arg(recording.address.to_string()).arg(&page);
    node.arg(product.folder.path().join("profile")).env("NODE_PATH", tool("node/node_modules"));
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
    recording.stop();
    let chromium: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let har = product.output("export", &["--format", "har", "--keep-secrets", "-o", "-"]);
    let har: Value = serde_json::from_str(&har).unwrap();
    assert_valid(&har);
    let entries = har["log"]["entries"].as_array().unwrap();

    let (mut requests, mut sockets) = (0, 0);
    for seen in &chromium {
        // An icon may not be told of to its end.
        if seen["responseHeaders"].is_null() || (seen["finished"].is_null() && seen["socket"].is_null()) {
            continue;
        }
        let url = seen["socket"].as_str().or_else(|| seen["request"]["url"].as_str()).unwrap();
        let entry = entries.iter().find(|entry| entry["request"]["url"] == url);
        let entry = entry.unwrap_or_else(|| panic!("{url} is not in {har}"));
        let (request, response) = (&entry["request"], &entry["response"]);
        assert_eq!(headers(&request["headers"]), theirs(&seen["requestHeaders"]), "{url}");
        assert_eq!(headers(&response["headers"]), theirs(&seen["responseHeaders"]), "{url}");
        assert_eq!(response["status"], seen["response"]["status"], "{url}");
        assert_eq!(response["statusText"], seen["response"]["statusText"], "{url}");
        if seen["socket"].is_string() {
            sockets += 1;
            assert_eq!((&entry["_resourceType"], &request["method"]), (&json!("websocket"), &json!("GET")));
            let said = entry["_webSocketMessages"].as_array().unwrap();
            let said: Vec<Value> = said.iter().map(|m| json!([m["type"], m["opcode"], m["data"]])).collect();
            assert_eq!(json!(said), seen["messages"], "{url}");
            assert_eq!(entry["_webSocketClose"]["code"], 1000);
            continue;
        }
        requests += 1;
        assert_eq!(request["method"], seen["request"]["method"], "{url}");
        let version = |value: &Value| value.as_str().unwrap().to_lowercase();
        assert_eq!(version(&response["httpVersion"]), version(&seen["response"]["protocol"]), "{url}");
        let mime = response["content"]["mimeType"].as_str().unwrap();
        assert_eq!(mime.split(';').next(), seen["response"]["mimeType"].as_str(), "{url}");
        assert_eq!(request["postData"]["text"], seen["request"]["postData"], "{url}");
        let content = &response["content"];
        let text = content["text"].as_str().unwrap_or_default();
        let body = if content["encoding"] == "base64" { STANDARD.decode(text).unwrap() } else { text.into() };
        assert_eq!(String::from_utf8_lossy(&body), seen["body"].as_str().unwrap(), "{url}");
        assert_eq!(content["size"], body.len(), "{url}");
        // What went over the wire, heads and bodies.
        let wire = response["headersSize"].as_u64().unwrap() + response["bodySize"].as_u64().unwrap();
        assert_eq!(wire, seen["encoded"].as_f64().unwrap() as u64, "{url}");
    }
    assert!(requests >= 2 && sockets == 1, "{chromium:#?}");
}
