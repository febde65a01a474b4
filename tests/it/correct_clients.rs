//! Correct traffic of common clients, through CONNECT: no rule may say that something is wrong with it. What is doubtful may
//! be a hint.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    origin::{Behaviour, Origin},
    product::{Product, describe},
    repository, tool,
};

/// Runs clients one after the other; the exchanges that they made.
fn correct(clients: impl FnOnce(&Product, &str) -> Vec<Command>) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour::default())).unwrap();
    let product = Product::new(Some(&origin.ca_pem));
    let to_origin = format!("api.test:443:127.0.0.1:{}", origin.address.port());
    let recording = product.record(&["--no-http2", "--connect-to", &to_origin]);
    for mut command in clients(&product, &recording.address.to_string()) {
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", describe(&output));
    }
    recording.stop();
    let flags = product.json("ls", &["flags"]);
    let wrong: Vec<&Value> = flags.iter().filter(|flag| flag["severity"] != "hint").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    product.json("ls", &["exchanges"])
}

#[test]
fn curl_is_correct() {
    const JSON: &str = "Content-Type: application/json";
    const BYTES: &str = "Content-Type: application/octet-stream";
    let calls: &[&[&str]] = &[
        &["/items"],
        &["-I", "/items"],
        &["-X", "OPTIONS", "-H", "Origin: https://a.test", "-H", "Access-Control-Request-Method: POST", "/items"],
        &["-F", "a=b", "-F", "file=@FILE", "/files"],
        &["-T", "FILE", "/files/a.bin"],
        &["-H", BYTES, "-H", "Expect: 100-continue", "--data-binary", "@FILE", "/files"],
        &["-H", BYTES, "-H", "Transfer-Encoding: chunked", "--data-binary", "@FILE", "/files"],
        &["-r", "0-9,20-29", "/files/a.bin"],
        &["--compressed", "-H", "If-None-Match: \"v1\"", "/items"],
        &["-H", JSON, "-d", "{\"a\":[1,{\"b\":null}],\"name\":\"h\\u00e9\"}", "/items"],
        &["-H", JSON, "--data-binary", "{\"index\":{}}\n{\"a\":1}\n", "/_bulk"],
        &["-H", "Content-Type: application/x-ndjson", "--data-binary", "{\"index\":{}}\n{\"a\":1}\n", "/_bulk"],
        &["-X", "POST", "-H", JSON, "/items"],
        &["-X", "DELETE", "/items/1"],
        &["-d", "a=1&b=%7B%22c%22%3A1%7D", "/form"],
        &["-G", "--data-urlencode", "q=a b&c", "/items"],
        &["-u", "user:password", "/items"],
        &["-b", "a=1; b=2", "/items"],
        &["/proxy/https://example.test/a"],
        &["/projects/1/files/a%252Fb"],
        &["/a|b?q={%22a%22:1}"],
        &["-H", "X-JM-Thread: one", "-u", "application:secret", "-d", "grant_type=client_credentials", "/oauth/token"],
    ];
    let exchanges = correct(|product, proxy| {
        let file: PathBuf = product.folder.path().join("a.bin");
        std::fs::write(&file, [0xff; 100_000]).unwrap();
        let call = |arguments: &&[&str]| {
            let mut command = Command::new("curl");
            command.args(["-sgo", "/dev/null", "--http1.1", "--max-time", "60", "-x", proxy, "--cacert"]);
            command.arg(product.ca());
            for argument in *arguments {
                let url = argument.strip_prefix('/').map(|path| format!("https://api.test/{path}"));
                command.arg(url.unwrap_or_else(|| argument.replace("FILE", file.to_str().unwrap())));
            }
            command
        };
        let mut all: Vec<Command> = calls.iter().map(call).collect();
        // Several on one connection.
        let mut several = call(&calls[0]);
        several.args(["-o", "/dev/null", "https://api.test/again", "-o", "/dev/null", "https://api.test/once-more"]);
        all.push(several);
        all
    });
    assert_eq!(exchanges.len(), calls.len() + 3);
}

#[test]
fn requests_and_websockets_are_correct() {
    let exchanges = correct(|product, proxy| {
        let mut command = Command::new(tool("python/bin/python"));
        command.arg(repository().join("tests/it/support/python/correct_client.py")).arg(proxy).arg(product.ca());
        vec![command]
    });
    assert_eq!(exchanges.len(), 11);
    // A text, a message of bytes, one in two parts and an empty last one, a ping, the close.
    assert_eq!(exchanges[10]["websocket"]["frames_from_client"].as_u64(), Some(7), "{}", exchanges[10]);
}
