//! Profiles as people write them: the shipped ones are sound, every mistake is told in one line, and the subcommand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, fs, process::Command};

use firstframe::{
    profile::{Confidence, Gate, MetadataSpec, Profile, is_hypothesis},
    rules::RULES,
};
use proptest::prelude::*;

const EVERY_KEY: &str = "`firstframe profiles new NAME` writes an example of every key";

fn parse(text: &str) -> Result<Profile, String> {
    Profile::parse("p.toml", text).map_err(|error| error.to_string())
}

/// A profile that is sound but for `body`, which begins in line 3.
fn wrong(body: &str) -> String {
    parse(&format!("name = \"p\"\nsummary = \"s\"\n{body}")).expect_err(body)
}

/// All of `generic`'s examples, made valid.
fn every_key() -> String {
    let generic = Profile::text_of("generic").unwrap();
    let example = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    generic.lines().map(example).collect()
}

#[test]
fn every_mistake_is_one_line_with_its_place_what_is_allowed_and_a_hint() {
    let routes = |rest: &str| format!("[[routes]]\nid = \"r\"\nmethod = \"GET\"\n{rest}");
    let condition = |rest: &str| format!("[metadata]\nmatch = \"frames\"\nframe = [{rest}]");
    let claim = |rest: &str| format!("[[claims]]\nid = \"C1\"\ntext = \"t\"\n{rest}");
    let limit = |rest: &str| {
        format!(
            "[[limits]]\nkey = \"k\"\nvalue = 1\nper = \"token\"\nconfidence = \"reported\"\nsource = \"s\"\n{rest}"
        )
    };
    let key = |rest: &str| format!("[[session.keys]]\nname = \"k\"\n{rest}");
    let table: &[(String, String)] = &[
        (
            "[refused".to_owned(),
            "3: not TOML: unclosed table, expected `]` (hint: strings stand in quotes, lists in `[ ]`; a key is given once)"
                .to_owned(),
        ),
        (
            "name = \"q\"".to_owned(),
            "3: not TOML: duplicate key (hint: strings stand in quotes, lists in `[ ]`; a key is given once)".to_owned(),
        ),
        (
            "[refused]\nstatus = []".to_owned(),
            "4: unknown key `refused.status`: expected one of `statuses`, `except` (hint: did you mean `statuses`?)"
                .to_owned(),
        ),
        (
            "[gate]\ncolour = 1".to_owned(),
            format!("4: unknown key `gate.colour`: expected one of `kind`, `frame`, `reason` (hint: {EVERY_KEY})"),
        ),
        (
            "[refused]\nstatuses = [\"4xx\"]".to_owned(),
            format!(
                "4: `refused.statuses` is \"4xx\": expected a list of statuses or ranges between 100 and 599, such as \
                 [\"429\", \"400-499\"] (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[refused]\nexcept = [\n  401,\n  4010,\n]".to_owned(),
            format!(
                "6: `refused.except` is 4010: expected a list of statuses between 100 and 599, such as [401, 404] \
                 (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[session]\nidentity_headers = [\"X JM\"]".to_owned(),
            format!(
                "4: `session.identity_headers` is \"X JM\": expected a list of header names, such as [\"X-Request-Id\"] \
                 (hint: {EVERY_KEY})"
            ),
        ),
        (
            key("request = [{ body = \"sessionId\" }]\nsocket = [{ query = \"s\" }]"),
            format!(
                "5: `session.keys.request.body` is \"sessionId\": expected a JSON pointer (RFC 6901), such as \
                 \"/error/code\" (hint: {EVERY_KEY})"
            ),
        ),
        (
            key("request = [{ body = \"/s\", query = \"s\" }]\nsocket = [{ query = \"s\" }]"),
            format!(
                "5: `session.keys.request` is {{ body = \"/s\", query = \"s\" }}: expected a table with one of `body`, \
                 `header`, `path`, `query` (hint: {EVERY_KEY})"
            ),
        ),
        (
            key("request = [{ query = \"s\" }]\nsocket = [{ path = \"chanelId\" }]\n\
                 [[sockets]]\nid = \"s\"\npath = \"/c/{channelId}\""),
            "6: `session.keys.socket.path` is \"chanelId\": expected a parameter of a path in [[sockets]] (hint: did you \
             mean `channelId`?)"
                .to_owned(),
        ),
        (
            key("request = [{ query = \"s\" }]"),
            format!(
                "3: `session.keys.socket` is missing: expected a list of places, such as [{{ path = \"sessionId\" }}] \
                 (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[metadata]".to_owned(),
            format!(
                "3: `metadata.match` is missing: expected \"first-after-upgrade\", \"routes\", \"frames\", or `filter = \
                 \"…\"` in its place (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[metadata]\nmatch = \"first\"".to_owned(),
            format!(
                "4: `metadata.match` is \"first\": expected \"first-after-upgrade\", \"routes\", \"frames\", or `filter \
                 = \"…\"` in its place (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[metadata]\nmatch = \"routes\"".to_owned(),
            "4: `metadata.match` is \"routes\": expected \"first-after-upgrade\", \"routes\", \"frames\", or `filter = \
             \"…\"` in its place (hint: give one of [[routes]] `metadata = true`)"
                .to_owned(),
        ),
        (
            "[metadata]\nmatch = \"routes\"\nfilter = \"x\"".to_owned(),
            format!("4: `metadata.match` is \"routes\": expected either `match` or `filter`, not both (hint: {EVERY_KEY})"),
        ),
        (
            "[metadata]\nfilter = \" \"".to_owned(),
            format!(
                "4: `metadata.filter` is \" \": expected a filter, such as \"method=POST path~/metadata\" (hint: \
                 {EVERY_KEY})"
            ),
        ),
        (
            condition("{ pointer = \"/a\", matches = \"a(\" }"),
            "5: `metadata.frame.matches` is \"a(\": expected a regular expression (hint: unclosed group)".to_owned(),
        ),
        (
            condition("{ pointer = \"/a\" }"),
            format!(
                "5: `metadata.frame` is {{ pointer = \"/a\" }}: expected one of `equals`, `matches`, `exists` (hint: \
                 {EVERY_KEY})"
            ),
        ),
        (
            "[gate]\nkind = \"opened\"".to_owned(),
            "4: `gate.kind` is \"opened\": expected one of \"open\", \"first-server-frame\", \"frame\", \
             \"not-observable\" (hint: did you mean `open`?)"
                .to_owned(),
        ),
        (
            "[gate]\nkind = \"open\"\nreason = \"x\"".to_owned(),
            "5: `gate.reason` is \"x\": expected nothing here (hint: `reason` goes with `kind = \"not-observable\"`)"
                .to_owned(),
        ),
        (
            "[window]\nmin = \"50\"\nconfidence = \"reported\"".to_owned(),
            format!(
                "4: `window.min` is \"50\": expected a whole number with a unit of us, ms, s, m, h, such as \"150ms\" \
                 (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[window]\nmin = \"2s\"\nmax = \"1s\"\nconfidence = \"reported\"".to_owned(),
            format!("5: `window.max` is \"1s\": expected no less than `min` (hint: {EVERY_KEY})"),
        ),
        (
            "[hosts]\npatterns = [\"api.{r}\"]".to_owned(),
            "4: `hosts.patterns` is \"api.{r}\": expected a list of host names, such as [\"api.example.com\", \
             \"*.example.org\", \"api.{h}\"] (hint: `{r}` names no list: give one beside `patterns`, r = [\"…\"])"
                .to_owned(),
        ),
        (
            "[hosts]\npatterns = [\"api.{h}\"]\nh = [\"a.test\"]\ng = []".to_owned(),
            format!("6: unknown key `hosts.g`: expected one of `patterns`, `h` (hint: {EVERY_KEY})"),
        ),
        (
            "[hosts]\npatterns = [\"ok.test\", \"https://x\"]".to_owned(),
            "4: `hosts.patterns` is \"https://x\": expected a list of host names, such as [\"api.example.com\", \
             \"*.example.org\", \"api.{h}\"] (hint: `https://x` has a port that is none)"
                .to_owned(),
        ),
        (
            routes("path = \"/a/{b\""),
            "6: `routes.path` is \"/a/{b\": expected a path template, such as \"/api/v2/scripts/{scriptId}\" (hint: `{` \
             has no partner)"
                .to_owned(),
        ),
        (
            routes(""),
            format!(
                "3: `routes.path` is missing: expected a path template, such as \"/api/v2/scripts/{{scriptId}}\" (hint: \
                 {EVERY_KEY})"
            ),
        ),
        (
            routes("path = \"/a/{b}\"\n[[routes]]\nid = \"q\"\nmethod = [\"POST\", \"GET\"]\npath = \"/a/{c}\""),
            "10: `routes.path` is \"/a/{c}\": expected a path and a method that no other one takes (hint: `r` takes the \
             same requests)"
                .to_owned(),
        ),
        (
            routes("path = \"/a\"\n[[routes]]\nid = \"r\"\nmethod = \"GET\"\npath = \"/b\""),
            "8: `routes.id` is \"r\": expected an id that is not taken (hint: another one has this id)".to_owned(),
        ),
        (
            routes("path = \"/a/{bid}\"\nparams = { Bidd = \"uuid\" }"),
            "7: unknown key `routes.params.Bidd`: expected one of `bid` (hint: did you mean `bid`?)".to_owned(),
        ),
        (
            routes("path = \"/a/{b}\"\nparams = { b = \"guid\" }"),
            format!(
                "7: `routes.params.b` is \"guid\": expected \"any\", \"number\", \"uuid\", or a list of the values it \
                 may have (hint: {EVERY_KEY})"
            ),
        ),
        (
            routes("path = \"/a\"\nmetadata = \"yes\""),
            format!("7: `routes.metadata` is \"yes\": expected true or false (hint: {EVERY_KEY})"),
        ),
        (
            routes("path = \"/a\"\nschema = '''\n{\n  \"type\": }'''"),
            "9: `routes.schema` is ''' { \"type\": }''': expected a JSON Schema, draft 2020-12, as text: '''{\"type\": \
             \"object\", …}''' (hint: not JSON: expected value at line 2 column 11)"
                .to_owned(),
        ),
        (
            routes("path = \"/a\"\nschema = '{\"type\": \"strnig\"}'"),
            "7: `routes.schema` is '{\"type\": \"strnig\"}': expected a JSON Schema, draft 2020-12, as text: \
             '''{\"type\": \"object\", …}''' (hint: at /type: \"strnig\" is not valid under any of the schemas listed in \
             the 'anyOf' keyword)"
                .to_owned(),
        ),
        (
            routes("path = \"/a\"\nschema_file = \"a.json\""),
            "7: `routes.schema_file` is \"a.json\": expected the name of a file with a JSON Schema, draft 2020-12, \
             beside the profile (hint: it cannot be read: this profile stands in no folder: give the schema itself)"
                .to_owned(),
        ),
        (
            routes("path = \"/a\"\ncontent_types = [\"json\"]"),
            format!(
                "7: `routes.content_types` is \"json\": expected a list of media types, such as [\"application/json\"] \
                 (hint: {EVERY_KEY})"
            ),
        ),
        (
            "[error]\nquota_400 = [\"a\"]".to_owned(),
            format!(
                "3: `error.code` is missing: expected a JSON pointer to the code, since `quota_400` lists codes (hint: \
                 {EVERY_KEY})"
            ),
        ),
        (
            "[[close_codes]]\ncode = 99\nmeaning = \"m\"".to_owned(),
            format!("4: `close_codes.code` is 99: expected a close code between 1000 and 4999 (hint: {EVERY_KEY})"),
        ),
        (
            "[expected_status]\nratelimit = 429".to_owned(),
            "4: unknown key `expected_status.ratelimit`: expected one of `auth`, `conflict`, `forbidden`, `media_type`, \
             `not_acceptable`, `not_found`, `overload`, `precondition`, `rate_limit`, `size`, `timeout` (hint: did you \
             mean `rate_limit`?)"
                .to_owned(),
        ),
        (
            limit("counts = \"request\""),
            "9: `limits.counts` is \"request\": expected one of \"requests\", \"frames\", \"open-sockets\", \
             \"new-sockets\", \"entities\", \"bytes\" (hint: did you mean `requests`?)"
                .to_owned(),
        ),
        (
            "[[limits]]\nkey = \"k\"\nvalue = 0".to_owned(),
            format!("5: `limits.value` is 0: expected a whole number of at least 1 (hint: {EVERY_KEY})"),
        ),
        (
            "[secrets]\npaths = [\"/stream\"]".to_owned(),
            "4: `secrets.paths` is \"/stream\": expected a list of path templates whose `{…}` are secret, such as \
             [\"/stream/jwt/{jwt}\"] (hint: nothing in it is marked as secret)"
                .to_owned(),
        ),
        (
            "[secrets]\nframes = [\"sasl\"]".to_owned(),
            format!("4: `secrets.frames` is \"sasl\": expected one of \"sasl-plain\" (hint: {EVERY_KEY})"),
        ),
        (
            "[templates]\nunresolved = [\"1\"]".to_owned(),
            format!(
                "4: `templates.unresolved` is \"1\": expected a list of texts of at least 3 characters, such as \
                 [\"NOT_FOUND\"] (hint: {EVERY_KEY})"
            ),
        ),
        (
            claim("hypothesis = \"metadata-befor-open\""),
            "6: `claims.hypothesis` is \"metadata-befor-open\": expected a rule's id or a candidate of the diagnosis, or \
             a list of them (hint: did you mean `metadata-before-open`?)"
                .to_owned(),
        ),
        (
            claim("hypothesis = [\"inflight\", \"contrast:header:\"]"),
            "6: `claims.hypothesis` is \"contrast:header:\": expected a rule's id or a candidate of the diagnosis, or a \
             list of them (hint: a name follows `contrast:header:`)"
                .to_owned(),
        ),
        (
            claim(""),
            format!(
                "3: `claims.hypothesis` is missing: expected a hypothesis, or `observable = false` with a note (hint: \
                 {EVERY_KEY})"
            ),
        ),
        (
            claim("observable = false"),
            format!("3: `claims.note` is missing: expected why it cannot be observed (hint: {EVERY_KEY})"),
        ),
        (
            claim("observable = false\nnote = \"n\"\nhypothesis = \"inflight\""),
            "8: `claims.hypothesis` is \"inflight\": expected nothing here (hint: what is not observable has no \
             hypothesis)"
                .to_owned(),
        ),
    ];
    let differing: Vec<String> = table
        .iter()
        .map(|(body, expected)| (body, wrong(body), format!("p.toml:{expected}")))
        .filter(|(_, found, expected)| found != expected)
        .map(|(body, found, expected)| format!("{body}\n  found    {found}\n  expected {expected}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    assert_eq!(
        parse("summary = \"s\"").unwrap_err(),
        format!(
            "p.toml:1: `name` is missing: expected lower-case letters, digits and `-`, such as \"my-api\" (hint: \
             {EVERY_KEY})"
        )
    );
    assert_eq!(
        parse("sumary = \"s\"\nname = \"My API\"").unwrap_err().split(": expected").next().unwrap(),
        "p.toml:1: unknown key `sumary`"
    );
    assert_eq!(
        Profile::named("genric").unwrap_err().to_string(),
        "profile \"genric\" is unknown: expected one of generic, genesys-cloud, graphql-transport-ws, or a path to a \
         TOML file (hint: did you mean `generic`?)"
    );
}

#[test]
fn the_shipped_profiles_are_sound_and_survive_being_written() {
    for name in Profile::names() {
        let profile = Profile::named(name).unwrap();
        assert_eq!(profile.name, name);
        assert_eq!(parse(&profile.to_toml().unwrap()).unwrap(), profile, "{name}");
        for claim in &profile.claims {
            assert_eq!(claim.observable, !claim.hypotheses.is_empty(), "{name} {}", claim.id);
            assert!(claim.observable || claim.note.is_some(), "{name} {}", claim.id);
            assert!(claim.hypotheses.iter().all(|id| is_hypothesis(id)), "{name} {}", claim.id);
        }
    }
}

#[test]
fn every_rule_is_a_hypothesis() {
    for rule in RULES {
        assert!(is_hypothesis(rule.id), "{} is missing in profile::HYPOTHESES", rule.id);
    }
}

#[test]
fn every_key_stands_in_generic_as_an_example_that_is_valid() {
    let text = every_key();
    let profile = parse(&text).unwrap();
    // What is there after a round trip was there; what the loader knows and no example shows would be lost.
    assert_eq!(parse(&profile.to_toml().unwrap()).unwrap(), profile);
    // An unknown key in each table brings out the keys that are known there: all are shown, or named in backticks.
    let lines: Vec<&str> = text.lines().collect();
    let tables: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with('[')).collect();
    assert!(tables.len() > 15, "{tables:?}");
    for at in tables {
        let mut with = lines.clone();
        with.insert(at + 1, "zzzz = 1");
        let message = parse(&with.join("\n")).unwrap_err();
        assert!(message.contains(".zzzz`: expected one of "), "{message}");
        let known = message.split("expected one of ").nth(1).unwrap().split(" (hint").next().unwrap();
        for key in known.split(", ").map(|word| word.trim_matches('`')) {
            let shown = [format!("\n{key} = "), format!("`{key}"), format!(".{key}]]")];
            let shown = shown.iter().any(|place| text.contains(place));
            assert!(shown, "{} shows no `{key}`", lines[at]);
        }
    }
    let value: toml::Value = toml::from_str(&text).unwrap();
    let sections: Vec<&str> = value.as_table().unwrap().keys().map(String::as_str).collect();
    let all = parse("name = \"p\"\nsummary = \"s\"\nx = 1").unwrap_err();
    for section in sections {
        assert!(all.contains(&format!("`{section}`")), "{section}");
    }
    let known = all.split("expected one of ").nth(1).unwrap().split(" (hint").next().unwrap();
    for section in known.split(", ").map(|word| word.trim_matches('`')) {
        assert!(value.get(section).is_some(), "no example of {section}");
    }
}

#[test]
fn genesys_cloud_says_what_is_known() {
    let genesys = Profile::named("genesys-cloud").unwrap();
    for host in ["api.mypurecloud.com:443", "streaming.apse1.pure.cloud", "login.use2.us-gov-pure.cloud"] {
        assert!(genesys.host_matches(host), "{host}");
    }
    assert!(!genesys.host_matches("api.example.com") && !genesys.host_matches("forum.mypurecloud.com"));
    let ids: BTreeSet<&str> = genesys.claims.iter().map(|claim| claim.id.as_str()).collect();
    let expected = [("A", 25), ("B", 26), ("E", 14)];
    let expected = expected.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    let expected: BTreeSet<String> = expected.collect();
    assert_eq!(ids, expected.iter().map(String::as_str).collect());
    assert_eq!(genesys.metadata, MetadataSpec::Routes);
    assert!(matches!(genesys.gate, Gate::NotObservable { .. }));
    let reported = genesys.route(b"POST", b"/api/v2/recordings/screen").unwrap();
    assert!(reported.metadata && reported.confidence == Confidence::Reported);
    let id = b"/api/v2/scripts/3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c3";
    assert!(genesys.route(b"GET", id).unwrap().read_only);
    assert_eq!(genesys.routes.lacking(b"GET", b"/api/v2/scripts/").unwrap().0.id, "script");
    assert_eq!(genesys.socket(b"/channels/streaming-5-abc").unwrap().id, "notifications");
    let schema =
        genesys.route(b"POST", b"/api/v2/recordings/screensessions/metadata").unwrap().schema.as_ref().unwrap();
    assert!(schema.accepts(&serde_json::json!({"roomId": "r", "metaData": [{"originX": 0, "main": true}]})));
    assert!(!schema.accepts(&serde_json::json!({"metaData": [{"originX": "0"}]})));
    let frame = |text: &str| genesys.error_frames.iter().find(|one| one.when.matches(text)).map(|one| one.id.as_str());
    assert_eq!(frame(r#"{"result":"400","status":"failure"}"#), Some("notification-refused"));
    assert_eq!(frame(r#"{"type":"response","class":"string","code":400,"body":"x"}"#), Some("web-messaging-refused"));
    assert_eq!(frame(r#"{"type":"response","class":"SessionResponse","code":200,"body":{}}"#), None);
    assert_eq!(frame(r#"{"result":"200","status":"subscribed"}"#), None);
    assert_eq!(genesys.secrets.in_path(b"/stream/jwt/abc").first(), Some(&(12..15)));
    let codes = genesys.error.code_pattern.as_ref().unwrap();
    assert!(codes.is_in("bad.request") && codes.is_in("not.a.user") && !codes.is_in("bad_request"));
    assert!(genesys.error.is_quota("max.entity.count.reached"));
}

#[test]
fn graphql_waits_for_the_acknowledgement() {
    let graphql = Profile::named("graphql-transport-ws").unwrap();
    let Gate::Frame(gate) = &graphql.gate else { panic!("{:?}", graphql.gate) };
    assert!(gate.matches(r#"{"type":"connection_ack","payload":{}}"#) && !gate.matches(r#"{"type":"ping"}"#));
    let metadata = graphql.metadata_frame.as_ref().unwrap();
    assert!(metadata.matches(r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#));
    assert!(!metadata.matches(r#"{"type":"connection_init"}"#));
    assert_eq!(graphql.close_code(4401).unwrap().hypothesis.as_deref(), Some("metadata-before-ready"));
    let failed = &graphql.error_frames[1].when;
    assert!(failed.matches(r#"{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"m"}]}}"#));
    assert!(!failed.matches(r#"{"id":"1","type":"next","payload":{"data":{"a":1},"errors":[{"message":"m"}]}}"#));
}

fn firstframe(args: &[&str], dir: &std::path::Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_firstframe")).args(args).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_subcommand_lists_shows_checks_and_begins() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| firstframe(args, dir.path());

    let (code, out, _) = run(&["profiles", "list"]);
    assert_eq!(code, 0);
    assert_eq!(
        out.lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        Profile::names().collect::<Vec<_>>()
    );
    let (_, out, _) = run(&["profiles", "list", "--json"]);
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["name"], "generic");

    let (code, out, _) = run(&["profiles", "show", "genesys-cloud"]);
    assert_eq!((code, parse(&out).unwrap()), (0, Profile::named("genesys-cloud").unwrap()));
    let (_, out, _) = run(&["profiles", "show", "genesys-cloud", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["gate"]["kind"], &json["metadata"]["match"]), (&"not-observable".into(), &"routes".into()));
    let (code, out, error) = run(&["profiles", "show", "genric"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("did you mean `generic`?"), "{error}");

    let (code, out, _) = run(&["profiles", "new", "my-api"]);
    assert_eq!((code, parse(&out).unwrap().name), (0, "my-api".to_owned()));
    assert!(out.contains("#[[claims]]") && out.contains("[refused]\n# \"Client errors\""), "comments stay: {out}");
    let (code, out, error) = run(&["profiles", "new", "my-api", "--from", "graphql-transport-ws", "-o", "my.toml"]);
    assert_eq!((code, out.as_str()), (0, ""), "{error}");
    let written = fs::read_to_string(dir.path().join("my.toml")).unwrap();
    assert_eq!(parse(&written).unwrap().close_codes, Profile::named("graphql-transport-ws").unwrap().close_codes);
    let (code, _, error) = run(&["profiles", "new", "other", "-o", "my.toml"]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("my.toml")).unwrap(), written, "an existing file is left alone");
    for bad in
        [&["profiles", "new", "My API"][..], &["profiles", "new", "generic"], &["profiles", "new", "x", "--from", "y"]]
    {
        let (code, out, error) = run(bad);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{bad:?}: {error}");
    }

    let (code, out, error) = run(&["profiles", "check", "my.toml"]);
    assert_eq!((code, out.as_str()), (0, "my.toml: ok: my-api, 1 socket, 5 claims\n"), "{error}");
    fs::write(dir.path().join("bad.toml"), "name = \"x\"\nsummary = \"s\"\n[gate]\nkid = 1\n").unwrap();
    let (code, out, error) = run(&["profiles", "check", "bad.toml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        error,
        "error: bad.toml:4: unknown key `gate.kid`: expected one of `kind`, `frame`, `reason` (hint: did you mean \
         `kind`?)\n"
    );
    for (filter, expected) in [("method=POST path~/metadata", 0), ("path~", 2), ("reqbody~x", 2)] {
        let text = format!("name = \"x\"\nsummary = \"s\"\n[metadata]\nfilter = '{filter}'\n");
        fs::write(dir.path().join("filter.toml"), text).unwrap();
        let (code, _, error) = run(&["profiles", "check", "filter.toml"]);
        // Of a wrong filter the spot is shown, under a caret.
        assert_eq!((code, error.contains('^')), (expected, expected == 2), "{filter}: {error}");
        assert!(code == 0 || error.starts_with("error: filter.toml: `metadata.filter` is no filter"), "{error}");
    }
    let (code, out, error) = run(&["profiles", "check", "generic"]);
    assert_eq!((code, out.starts_with("generic: ok: ")), (0, true), "{out}{error}");
    let (code, _, error) = run(&["profiles", "check", "genric"]);
    assert_eq!((code, error.contains("generic")), (2, true), "{error}");
    let (code, _, error) = run(&["profiles", "check", "none.toml"]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
}

#[test]
fn schemas_are_read_from_files_beside_the_profile() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let text = "name = \"x\"\nsummary = \"s\"\n[[routes]]\nid = \"r\"\nmethod = \"POST\"\npath = \"/r\"\n\
                schema_file = \"r.json\"\n";
    fs::write(dir.path().join("sub/x.toml"), text).unwrap();
    let (code, _, error) = firstframe(&["profiles", "check", "sub/x.toml"], dir.path());
    assert_eq!(code, 2);
    assert!(error.starts_with("error: sub/x.toml:7: `routes.schema_file` is \"r.json\""), "{error}");
    fs::write(dir.path().join("sub/r.json"), "{\"type\": \"object\", \"required\": [\"a\"]}").unwrap();
    let (code, _, error) = firstframe(&["profiles", "check", "sub/x.toml"], dir.path());
    assert_eq!(code, 0, "{error}");
    // What is shown is complete in itself.
    let (_, out, _) = firstframe(&["profiles", "show", "sub/x.toml"], dir.path());
    let shown = parse(&out).unwrap();
    let schema = shown.route(b"POST", b"/r").unwrap().schema.as_ref().unwrap();
    assert!(!schema.accepts(&serde_json::json!({})) && schema.accepts(&serde_json::json!({"a": 1})));
    // A settings check reads it as a recording would.
    let (code, _, error) = firstframe(&["config", "check", "--profile", "sub/x.toml"], dir.path());
    assert_eq!(code, 0, "{error}");
}

/// A text with some stretches replaced by others.
fn mutated() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}=\"'#,.\\n a-z0-9-]{0,6}",
        Just("\u{0}".to_owned()),
        Just("[[routes]]\n".to_owned()),
        Just("= [".to_owned()),
        Just("'''".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("{ x = 1 }".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..20_usize, pieces), 1..6);
    (0..4_usize, edits).prop_map(|(which, edits)| {
        let mut text: Vec<char> = match Profile::names().nth(which) {
            Some(name) => Profile::text_of(name).unwrap().chars().collect(),
            None => every_key().chars().collect(),
        };
        for (at, length, piece) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in mutated()) {
        match Profile::parse("p.toml", &text) {
            Ok(profile) => prop_assert_eq!(parse(&profile.to_toml().unwrap()), Ok(profile)),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.starts_with("p.toml:") && message.contains("(hint: "), "{}", message);
                prop_assert!(!message.contains('\n') && message.chars().count() < 1000, "{}", message);
            }
        }
    }
}
