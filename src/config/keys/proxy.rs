//! The keys of the data path.

use serde_json::json;

use super::{Key, PLAIN, Refused};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "proxy.listen_host",
        meaning: "The address to listen on. Whoever can reach it can use the proxy: it asks for no password.",
        allowed: "an IP address of this machine, such as \"127.0.0.1\"",
        hint: "\"0.0.0.0\" listens on all of them",
        option: Some("--listen-host"),
        set: |s, v| {
            let text = v.text()?;
            let text = if text == "localhost" { "127.0.0.1" } else { &text };
            Ok(s.listen_host = text.parse().map_err(|_| Refused::NotAllowed)?)
        },
        show: |s| json!(s.listen_host),
        ..PLAIN
    },
    Key {
        name: "proxy.listen_port",
        meaning: "The port of the first mode; the others are given theirs with @PORT. 0 picks a free one.",
        allowed: "a number from 0 to 65535",
        hint: "0 picks a free port",
        option: Some("--listen-port"),
        set: |s, v| Ok(s.listen_port = v.number(0, 65535)?),
        show: |s| json!(s.listen_port),
        ..PLAIN
    },
];
