//! The shapes and exit codes that scripts rely on, through the program, whoever holds the capture. Keys may be added; one
//! that is missing or renamed breaks somebody's script.

use super::*;

const CONNECTION: &str = "id mode client server authority sni alpn client_tls server_tls opened_ns phases closed_ns closed_by how \
                          bytes_from_client bytes_from_server exchanges frames gaps proxy_error server_rtt_ns opaque";
const EXCHANGE: &str = "id connection session server index method target scheme authority path http request_headers \
                        request_body_bytes status reason response_headers response_body_bytes request_first_byte_ns \
                        request_last_byte_ns response_first_byte_ns response_last_byte_ns proxy_made rewritten websocket flags";
const WEBSOCKET: &str = "server_open_ns open_write_begun_ns client_open_written_ns first_frame_from_client_ns \
                         first_frame_from_server_ns closed_by close_code frames_from_client frames_from_server";
const FRAME: &str = "id connection exchange from opcode fin compressed bytes arrived_ns written_ns text";
const FLAG: &str = "rule severity subject session message evidence at_ns";
const SESSION: &str = "id correlated_by sure sockets exchanges flags";

/// All keys are there, and what is named as an instant is a whole number or unknown.
fn has(value: &Value, keys: &str, whose: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{whose}: no object: {value}"));
    for key in keys.split_whitespace() {
        let found = object.get(key).unwrap_or_else(|| panic!("{whose} has no {key:?}: {value}"));
        if key.ends_with("_ns") {
            assert!(found.is_u64() || found.is_null(), "{whose}: {key} is {found}");
        }
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn shapes(captures: &Path, standing: &str) {
    let run = |arguments: &[&str]| {
        let (code, out, err) = firstframe(captures, arguments);
        assert_eq!(code, 0, "{standing}: {arguments:?}: {err}");
        lines(&out)
    };
    for (kind, id, keys) in [
        ("connections", Some("c1"), CONNECTION),
        ("exchanges", Some("x1"), EXCHANGE),
        ("frames", Some("f1"), FRAME),
        ("sessions", Some("s1"), SESSION),
        ("flags", None, FLAG),
    ] {
        let rows = run(&["ls", kind, "--json"]);
        assert!(!rows.is_empty(), "{standing}: no {kind}");
        rows.iter().for_each(|row| has(row, keys, kind));
        if let Some(id) = id {
            let shown = run(&["show", id, "--json"]);
            assert_eq!(shown.len(), 1, "{standing}: one object for {id}");
            has(&shown[0], keys, id);
            assert_eq!(shown[0]["id"], id);
        }
    }
    let connections = run(&["ls", "--json"]);
    assert_eq!(connections, run(&["ls", "connections", "--json"]), "the default");
    for phase in ["accept", "connect", "dial", "server_tls", "client_tls"] {
        let found = &connections[0]["phases"][phase];
        has(found, "begin_ns end_ns", phase);
    }
    assert!(connections[2]["phases"]["server_tls"].is_null(), "{standing}: {}", connections[2]);
    let exchanges = run(&["ls", "exchanges", "--json"]);
    has(&exchanges[0]["websocket"], WEBSOCKET, "websocket");
    assert!(exchanges.iter().any(|row| row["websocket"].is_null()), "{standing}: null where there is none");
    assert!(exchanges.iter().all(|row| row["rewritten"].is_array() && row["flags"].is_array()), "{standing}");
    let rewritten = exchanges.iter().flat_map(|row| row["rewritten"].as_array().unwrap());
    rewritten.for_each(|rewritten| has(rewritten, "kind from to", "rewritten"));
    for pair in exchanges[0]["request_headers"].as_array().unwrap() {
        assert!(matches!(&pair.as_array().unwrap()[..], [Value::String(_), Value::String(_)]), "{standing}: {pair}");
    }
    for flag in run(&["ls", "flags", "--json"]) {
        assert!(["error", "warning", "hint"].contains(&flag["severity"].as_str().unwrap()), "{standing}: {flag}");
        flag["evidence"].as_array().unwrap().iter().for_each(|it| has(it, "id side offset length at_ns", "evidence"));
    }
    // Exit codes: what there is not has failed, what means nothing is usage.
    for (arguments, expected) in [
        (&["show", "x999", "--json"][..], 1),
        (&["ls", "-c", "none"], 1),
        (&["ls", "--filter", "status>"], 2),
        (&["show", "y1"], 2),
        (&["ls", "--nonsense"], 2),
    ] {
        let (code, out, err) = firstframe(captures, arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{standing}: {arguments:?}: {err}");
        assert!(!err.is_empty(), "{standing}: {arguments:?} says nothing");
    }
}

#[test]
fn shapes_and_exit_codes_of_a_finished_capture() {
    let captures = tempfile::tempdir().unwrap();
    finished(captures.path(), 700);
    shapes(captures.path(), "finished");
}

#[test]
fn shapes_and_exit_codes_of_a_killed_capture() {
    let captures = tempfile::tempdir().unwrap();
    write(captures.path(), 700, false);
    shapes(captures.path(), "killed");
}

#[test]
fn shapes_and_exit_codes_of_a_running_capture() {
    let captures = tempfile::tempdir().unwrap();
    let (runtime, tap, recorder, server) = start(captures.path());
    let mut put = |connection, fact: Fact<'_>| tap.record(connection, fact);
    scenario::play(&mut Script::new(&mut put));
    // The rows are behind the facts by what the writer and the indexer take.
    let closed = |line: &Value| line["id"] == "c4" && !line["closed_ns"].is_null();
    while !lines(&firstframe(captures.path(), &["ls", "--json"]).1).iter().any(closed) {}
    shapes(captures.path(), "running");
    recorder.stop().unwrap();
    runtime.block_on(server.stop());
}
