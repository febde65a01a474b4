//! What is correct raises no flag, and what is garbage raises no panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc};

use firstframe::{
    model::{
        Side, Timestamp,
        trace::{Chunk, Closer, Ending, Fact, TraceEvent},
    },
    profile::Profile,
    rules,
};
use proptest::prelude::*;

use crate::support::{
    correct::{Api, Numbers, session},
    inspection::{Inspection, Outcome, inspect},
    trace_script::TraceScript,
};

fn options(profile: &str) -> rules::Options {
    rules::Options { profile: Some(Arc::new(Profile::named(profile).unwrap())), ..rules::Options::default() }
}

/// Runs correct sessions and counts the flags by rule, with an example each.
fn flags(profile: &str, api: Api, sessions: u64) -> BTreeMap<String, (u64, String)> {
    let mut inspection = Inspection::new(&options(profile));
    let mut flags = BTreeMap::new();
    for number in 0..sessions {
        let mut script = TraceScript::default();
        session(&mut script, api, number, 1 + 2 * number, number * 1_000_000);
        script.events.iter().for_each(|event| inspection.push(event));
        let Outcome { flags: raised, .. } = std::mem::take(&mut inspection.outcome);
        for flag in raised {
            flags.entry(flag.rule).or_insert((0, flag.message)).0 += 1;
        }
    }
    inspection.finish();
    for flag in inspection.outcome.flags {
        flags.entry(flag.rule).or_insert((0, flag.message)).0 += 1;
    }
    flags
}

#[test]
fn a_hundred_thousand_correct_sessions_raise_no_flag() {
    assert_eq!(flags("generic", Api::Generic, 60_000), BTreeMap::new());
}

#[test]
fn nor_do_those_of_an_api_that_the_profile_knows() {
    assert_eq!(flags("genesys-cloud", Api::Genesys, 30_000), BTreeMap::new());
}

#[test]
fn nor_do_those_of_an_api_that_the_profile_does_not_know() {
    assert_eq!(flags("graphql-transport-ws", Api::Generic, 10_000), BTreeMap::new());
}

/// A text of the corpus in which every rule of a kind fires, as bytes of both sides.
fn corpus() -> Vec<Vec<TraceEvent<'static>>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/rules");
    let rules = rules::RULES.iter().map(|rule| folder.join(rule.id));
    let files = rules.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|ending| ending == "txt")).collect();
    files.sort();
    let text = |file: &std::path::PathBuf| std::fs::read_to_string(file).unwrap();
    files.iter().map(|file| TraceScript::parse(text(file).split("=====\n").next().unwrap()).events).collect()
}

/// The same trace with every chunk cut into pieces.
fn cut(events: &[TraceEvent<'static>], numbers: &mut Numbers) -> Vec<TraceEvent<'static>> {
    let mut pieces = Vec::new();
    for event in events {
        let Fact::Data(chunk) = event.fact else {
            pieces.push(event.clone());
            continue;
        };
        let mut at = 0;
        while at < chunk.bytes.len() {
            let end = (at + 1 + numbers.below(40) as usize).min(chunk.bytes.len());
            let part = Chunk { offset: chunk.offset + at as u64, bytes: &chunk.bytes[at..end], ..chunk };
            pieces.push(TraceEvent { connection: event.connection, fact: Fact::Data(part) });
            at = end;
        }
    }
    pieces
}

#[test]
fn the_corpus_raises_the_same_flags_however_it_is_cut() {
    let options = options("generic");
    for (number, events) in corpus().iter().enumerate() {
        let mut numbers = Numbers::new(number as u64);
        let flags = |outcome: Outcome| {
            let mut flags: Vec<_> = outcome.flags.iter().map(|flag| serde_json::to_string(flag).unwrap()).collect();
            flags.sort();
            flags
        };
        let whole = flags(inspect(events, &options));
        for _ in 0..3 {
            assert_eq!(whole, flags(inspect(&cut(events, &mut numbers), &options)));
        }
    }
}

/// Pieces of requests, sound and not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(&b"POST /a//${x}/%2g?id= HTTP/1.1\r\n"[..]),
        Just(&b"GET / HTTP/1.1\r\n"[..]),
        Just(&b"Host: a b\r\n"[..]),
        Just(&b"Host: [::\r\n"[..]),
        Just(&b"Authorization: Bearer ${\r\n"[..]),
        Just(&b"Authorization: Basic \xff\r\n"[..]),
        Just(&b"Content-Type: application/json; charset=\"\r\n"[..]),
        Just(&b"Content-Length: 20\r\n"[..]),
        Just(&b"Transfer-Encoding: chunked\r\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"{\"a\":\"${"[..]),
        Just(&b"{{\xc3\x83\xc2"[..]),
        Just(&b"\"undefined\":[object Object]<EOF>"[..]),
    ];
    prop_oneof![known.prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 0..30)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn garbage_raises_no_panic(pieces in prop::collection::vec((any::<bool>(), piece()), 0..40)) {
        let mut script = TraceScript::default();
        script.open(1, Timestamp(0), "forward", ([10, 0, 0, 1], 1).into());
        for (n, (server, bytes)) in pieces.into_iter().enumerate() {
            let from = if server && n % 4 == 0 { Side::Server } else { Side::Client };
            script.data(1, from, Timestamp(1 + n as u64), bytes);
        }
        script.closed(1, Timestamp(1000), Closer::Client, Ending::Rst);
        for profile in ["generic", "genesys-cloud"] {
            let outcome = inspect(&script.events, &options(profile));
            prop_assert!(outcome.flags.iter().all(|flag| !flag.message.contains(char::is_control)));
        }
    }
}
