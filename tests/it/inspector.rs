//! The inspector with its rules as a whole: what must not depend on chunks, on the order of connections, on pauses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use firstframe::{
    inspect::{Inspector, Options},
    model::{
        ConnectionId, Side, Timestamp,
        rows::Row,
        trace::{ByteRange, Chunk, Closer, Ending, Fact, Gap, TraceEvent, Written},
    },
    rules,
};
use proptest::prelude::*;

use crate::support::{
    inspection::{Inspection, Outcome, inspect, line},
    trace_script::{TraceScript, ms, request, response},
};

type Events = Vec<TraceEvent<'static>>;

/// What one virtual user does, in milliseconds.
#[derive(Clone, Debug)]
struct User {
    begins: f64,
    rounds: Vec<Round>,
    bears: Bears,
}

/// A login, a socket, its metadata, a frame each way, and the end.
#[derive(Clone, Debug)]
struct Round {
    /// From the upgrade to the 101, and how long its write took.
    opens_after: f64,
    writes_for: f64,
    /// The metadata's first byte after the write returned; negative is early.
    metadata_after: f64,
    body: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bears {
    Header,
    Token,
}

/// The user's trace, in the order of time. Its connections are numbered from `c`.
fn trace(user: &User, name: usize, c: u64) -> Events {
    let mut timed: Vec<(Timestamp, Events)> = Vec::new();
    let mut script = TraceScript::default();
    let mut at = |time: f64, script: &mut TraceScript| timed.push((ms(time), std::mem::take(&mut script.events)));
    let who = match user.bears {
        Bears::Header => format!("X-JM-Thread:group/{name}@host"),
        Bears::Token => format!("Authorization:Bearer token-of-user-{name}"),
    };
    let client = |port: u64| ([10, 0, 0, 1], 1024 + (port % 60_000) as u16).into();
    let words =
        |more: &[&str]| [&[who.as_str()], more].concat().iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
    let json = |body: &str| words(&["Content-Type:application/json", &format!("body={body}")]);

    let mut time = user.begins;
    script.open(c, ms(time), "forward", client(c));
    at(time, &mut script);
    script.data(c, Side::Client, ms(time + 1.0), request("POST", "/login", &json("{\"user\":1}")));
    at(time + 1.0, &mut script);
    script.data(c, Side::Server, ms(time + 5.0), response("200", &[b"body=ok".to_vec()]));
    at(time + 5.0, &mut script);
    time += 6.0;
    for (n, round) in user.rounds.iter().enumerate() {
        let socket = c + 1 + n as u64;
        let (asked, granted) = (time + 2.0, time + 2.0 + round.opens_after);
        let opened = granted + 0.1 + round.writes_for;
        let metadata = (opened + round.metadata_after).max(asked + 0.01);
        script.open(socket, ms(time), "forward", client(socket));
        at(time, &mut script);
        script.data(
            socket,
            Side::Client,
            ms(asked),
            request("GET", "/ws", &words(&["Upgrade:websocket", "Connection:Upgrade"])),
        );
        at(asked, &mut script);
        let granting: Vec<Vec<u8>> = vec![b"Upgrade:websocket".to_vec(), b"Connection:Upgrade".to_vec()];
        script.data(socket, Side::Server, ms(granted), response("101", &granting));
        at(granted, &mut script);
        script.written(socket, Side::Server, ms(granted + 0.1), ms(opened));
        at(opened, &mut script);
        script.data(c, Side::Client, ms(metadata), request("POST", "/metadata", &json(round.body)));
        at(metadata, &mut script);
        let answered = metadata.max(opened) + 3.0;
        script.data(c, Side::Server, ms(answered), response("200", &[]));
        at(answered, &mut script);
        script.frame(socket, Side::Server, ms(opened + 1.0), 1, b"ready");
        at(opened + 1.0, &mut script);
        script.frame(socket, Side::Client, ms(answered + 1.0), 2, &[7; 40]);
        script.written(socket, Side::Client, ms(answered + 1.0), ms(answered + 1.1));
        at(answered + 1.0, &mut script);
        script.closed(socket, ms(answered + 2.0), Closer::Client, Ending::Fin);
        at(answered + 2.0, &mut script);
        time = answered + 3.0;
    }
    script.closed(c, ms(time), Closer::Client, Ending::Fin);
    at(time, &mut script);
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().flat_map(|(_, events)| events).collect()
}

fn round() -> impl Strategy<Value = Round> {
    let body = prop_oneof![Just("{\"codec\":1}"), Just("{\"codec\":01}"), Just("{\"codec\":")];
    (1.0..80.0, 0.05..15.0, prop_oneof![-60.0..-0.01, 0.0..40.0], body).prop_map(
        |(opens_after, writes_for, metadata_after, body)| Round { opens_after, writes_for, metadata_after, body },
    )
}

fn user() -> impl Strategy<Value = User> {
    (0.0..300.0, prop::collection::vec(round(), 1..3), prop_oneof![Just(Bears::Header), Just(Bears::Token)])
        .prop_map(|(begins, rounds, bears)| User { begins, rounds, bears })
}

fn run(events: &Events) -> Outcome {
    inspect(events, &rules::Options::default())
}

/// All rows, and flags but for what the order of flags of different subjects is.
fn lines(outcome: &Outcome) -> (Vec<String>, BTreeSet<String>) {
    let flags = outcome.flags.iter().map(|flag| serde_json::to_string(flag).unwrap()).collect();
    (outcome.rows.iter().map(line).collect(), flags)
}

/// Flags without ids, which are counted in record order.
fn anonymous(outcome: &Outcome) -> Vec<String> {
    let mut flags: Vec<String> = outcome
        .flags
        .iter()
        .map(|flag| {
            let without_ids: String = flag.message.split(' ').filter(|word| !word.starts_with('x')).collect();
            format!("{} {} {without_ids} {:?}", flag.rule, flag.severity, flag.at_ns)
        })
        .collect();
    flags.sort();
    flags
}

/// Merges lists in the order that `picks` gives, each list's own order kept.
fn interleaved(lists: Vec<Events>, picks: &[prop::sample::Index]) -> Events {
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut picks = picks.iter().cycle();
    let mut merged = Vec::new();
    while !lists.is_empty() {
        let at = picks.next().unwrap().index(lists.len());
        match lists[at].next() {
            Some(event) => merged.push(event),
            None => drop(lists.remove(at)),
        }
    }
    merged
}

/// The same facts, each recorded up to that many milliseconds late; those of one connection stay in their order. What a
/// client does is an answer to what it saw, so that nothing is later than what came of it a round later.
fn delayed(events: &Events, delays: &[f64]) -> Events {
    let mut latest = std::collections::BTreeMap::new();
    let mut timed: Vec<(u64, TraceEvent<'static>)> = events
        .iter()
        .zip(delays.iter().cycle())
        .map(|(event, delay)| {
            let recorded: &mut u64 = latest.entry(event.connection).or_default();
            *recorded = (*recorded).max(time(&event.fact) + (delay * 1e6) as u64);
            (*recorded, event.clone())
        })
        .collect();
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, event)| event).collect()
}

fn users(users: &[User]) -> Vec<Events> {
    users.iter().enumerate().map(|(n, user)| trace(user, n, 1 + 10 * n as u64)).collect()
}

fn in_time(lists: Vec<Events>) -> Events {
    let mut timed: Vec<(u64, TraceEvent<'static>)> =
        lists.into_iter().flatten().map(|event| (time(&event.fact), event)).collect();
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, event)| event).collect()
}

fn time(fact: &Fact<'_>) -> u64 {
    match fact {
        Fact::Opened(fact) => fact.at.0,
        Fact::Data(chunk) => chunk.read.0,
        Fact::Written(fact) => fact.written.0,
        Fact::Closed(fact) => fact.at.0,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_flags_do_not_depend_on_chunks(all in prop::collection::vec(user(), 1..4), cuts in prop::collection::vec(1_usize..60, 1..20)) {
        let events = in_time(users(&all));
        let mut cuts = cuts.iter().cycle();
        let mut pieces = Vec::new();
        for event in &events {
            let Fact::Data(chunk) = event.fact else {
                pieces.push(event.clone());
                continue;
            };
            let mut at = 0;
            while at < chunk.bytes.len() {
                let end = (at + cuts.next().unwrap()).min(chunk.bytes.len());
                let part = Chunk { offset: chunk.offset + at as u64, bytes: &chunk.bytes[at..end], ..chunk };
                pieces.push(TraceEvent { connection: event.connection, fact: Fact::Data(part) });
                at = end;
            }
        }
        prop_assert_eq!(lines(&run(&events)), lines(&run(&pieces)));
    }

    #[test]
    fn flags_do_not_depend_on_how_users_are_interleaved(all in prop::collection::vec(user(), 1..5), picks: Vec<prop::sample::Index>) {
        prop_assume!(!picks.is_empty());
        let ordered = run(&in_time(users(&all)));
        prop_assert_eq!(anonymous(&ordered), anonymous(&run(&interleaved(users(&all), &picks))));
    }

    #[test]
    fn flags_do_not_depend_on_when_facts_are_recorded(mut one in user(), delays in prop::collection::vec(0.0..4.0, 1..40)) {
        one.bears = Bears::Header;
        one.rounds.truncate(2);
        let ordered = trace(&one, 0, 1);
        prop_assert_eq!(anonymous(&run(&ordered)), anonymous(&run(&delayed(&ordered, &delays))));
    }

    #[test]
    fn early_metadata_is_proven_and_prompt_metadata_is_not(mut one in user(), bears_header: bool) {
        one.bears = if bears_header { Bears::Header } else { Bears::Token };
        one.rounds.truncate(1);
        let round = one.rounds[0].clone();
        let outcome = run(&trace(&one, 0, 1));
        let flag = outcome.flags.iter().find(|flag| flag.rule == "metadata-before-open").map(|flag| flag.severity.as_str());
        // Nanoseconds decide at the very edge.
        prop_assume!((round.metadata_after + round.writes_for).abs() > 0.001 && round.metadata_after.abs() > 0.001);
        let expected = match round.metadata_after {
            after if after >= 0.0 => None,
            after if after < -round.writes_for && bears_header => Some("error"),
            _ => Some("hint"),
        };
        prop_assert_eq!(flag, expected);
    }

    #[test]
    fn a_restored_inspector_goes_on_as_if_nothing_had_been(all in prop::collection::vec(user(), 1..4), at: prop::sample::Index) {
        let events = in_time(users(&all));
        let at = at.index(events.len());
        let options = rules::Options::default();
        let mut whole = Inspection::new(&options);
        events[..at].iter().for_each(|event| whole.push(event));
        let state = whole.inspector.save();
        whole.outcome = Outcome::default();

        let text = state.to_string();
        let inspector_options = Options { redaction_key: [7; 32], ..Options::default() };
        let inspector = Inspector::restore(inspector_options, serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(inspector.save().to_string(), text, "a state survives");
        let mut restored = Inspection::with(inspector, &options);
        for inspection in [&mut whole, &mut restored] {
            events[at..].iter().for_each(|event| inspection.push(event));
            inspection.finish();
        }
        let rows = |of: &Inspection| of.outcome.rows.iter().map(line).collect::<Vec<_>>();
        prop_assert_eq!(rows(&whole), rows(&restored), "also of what began before");
    }

    #[test]
    fn no_facts_are_too_odd(facts in prop::collection::vec(odd_event(), 0..60)) {
        let outcome = run(&facts);
        prop_assert!(outcome.rows.len() < 1000);
    }
}

fn id(row: &Row) -> String {
    match row {
        Row::Connection(row) => row.id.to_string(),
        Row::Exchange(row) => row.id.to_string(),
        Row::Frame(row) => row.id.to_string(),
        Row::Session(row) => row.id.to_string(),
        Row::Flag(row) => row.subject.clone(),
    }
}

/// Facts that no relay would record in that order.
fn odd_event() -> impl Strategy<Value = TraceEvent<'static>> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let bytes = prop_oneof![
        Just(&b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nX-JM-Thread: t\r\n\r\n"[..]),
        Just(&b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"[..]),
        Just(&b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"[..]),
        Just(&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..]),
        Just(&b"\x81\x02hi"[..]),
        Just(&b"\x88\x80\x01\x02\x03\x04"[..]),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| &*Vec::leak(bytes)),
    ];
    (1_u64..4, 0_usize..9, side, bytes, 0_u64..400, 0_u64..3_000_000_000).prop_map(
        |(c, kind, from, bytes, offset, at)| {
            let mut script = TraceScript::default();
            let at = Timestamp(at);
            let range = ByteRange { from, start: offset, end: offset + 10 };
            match kind {
                0 => script.open(c, at, "reverse:", ([127, 0, 0, 1], 1).into()),
                1 => script.closed(c, at, Closer::Proxy, Ending::Error),
                2 => {
                    return TraceEvent {
                        connection: ConnectionId(c),
                        fact: Fact::Gap(Gap { at, range, why: String::new() }),
                    };
                }
                3 => {
                    let written = Written { from, upto: offset, begun: at, written: at };
                    return TraceEvent { connection: ConnectionId(c), fact: Fact::Written(written) };
                }
                4 => return TraceScript::parse(&format!("c{c} 1ms proxy-made 502 x")).events.remove(0),
                5 => {
                    return TraceScript::parse(&format!("c{c} 1ms rewritten > {offset} {} host y", offset + 5))
                        .events
                        .remove(0);
                }
                6 => {
                    return TraceScript::parse(&format!(
                        "c{c} 1ms end {} fin",
                        if from == Side::Client { ">" } else { "<" }
                    ))
                    .events
                    .remove(0);
                }
                _ => {
                    let chunk = Chunk { from, offset, arrived: Some(at), read: at, bytes };
                    return TraceEvent { connection: ConnectionId(c), fact: Fact::Data(chunk) };
                }
            }
            script.events.remove(0)
        },
    )
}

#[test]
fn ten_thousand_correct_users_raise_no_flag() {
    let mut inspection = Inspection::new(&rules::Options::default());
    // A hundred at a time, in the order of time, with all that can vary varied by their number.
    for batch in 0..100_usize {
        let batch: Vec<Events> = (0..100)
            .map(|n| {
                let n = batch * 100 + n;
                let vary = |by: usize, of: usize| ((n * by) % of) as f64;
                let round = Round {
                    opens_after: 1.0 + vary(37, 90),
                    writes_for: 0.05 + vary(11, 10),
                    metadata_after: vary(7, 20) / 10.0,
                    body: "{\"codec\":[1,2,{\"a\":null}]}",
                };
                let bears = if n % 3 == 0 { Bears::Token } else { Bears::Header };
                let begins = (n / 100) as f64 * 400.0 + vary(53, 300);
                let user = User { begins, rounds: vec![round; 1 + n % 3], bears };
                trace(&user, n, 1 + 10 * n as u64)
            })
            .collect();
        in_time(batch).iter().for_each(|event| inspection.push(event));
    }
    let late = TraceScript::parse("* 120s pass").events;
    inspection.push(&late[0]);
    assert_eq!(inspection.inspector.open_rows(), [], "nothing is held of what is over");
    inspection.finish();
    let Outcome { rows, flags } = inspection.outcome;
    assert_eq!(flags, []);
    let sessions =
        rows.iter().filter(|row| matches!(row, Row::Session(row) if row.sockets.len() == row.exchanges.len() - 1));
    assert_eq!(sessions.count(), 10_000, "a login and one request for each socket");
}

#[test]
fn extents_and_offsets_lead_to_the_bytes() {
    let script = TraceScript::parse(
        "c1 0ms open\nc1 1ms > \"POST /a HT\"\nc1 2ms > \"TP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\nabcGET /b HTTP/1.1\\r\\n\"\n\
         c1 3ms > \"\\r\\n\"\nc1 4ms response 200 body=ok\nc1 5ms response 200\nc1 6ms closed client fin",
    );
    let outcome = run(&script.events);
    let exchanges: Vec<_> = outcome
        .rows
        .iter()
        .filter_map(|row| match row {
            Row::Exchange(row) => Some((row.extent.first.offset, row.extent.last.offset, row.offsets)),
            _ => None,
        })
        .collect();
    let [(first_a, last_a, a), (first_b, last_b, b)] = exchanges[..] else { panic!("{exchanges:?}") };
    assert_eq!((first_a, last_a, first_b, last_b), (2, 5, 3, 6), "records are numbered from 1");
    assert_eq!((a.request_start, a.request_head_end, a.request_end), (0, 39, 42));
    assert_eq!((b.request_start, b.request_head_end, b.request_end), (42, 61, 61));
    assert_eq!((a.response_start, a.response_end, b.response_start), (0, 44, 44));
}

#[test]
fn frames_that_were_held_lead_to_the_record_in_which_they_came() {
    let script = TraceScript::parse(
        "c1 0ms open\nc1 1ms upgrade /ws\nc1 2ms > \"\\x81\\x81\\x00\\x00\\x00\\x00a\\x81\\x81\\x00\\x00\\x00\\x00b\"\nc1 3ms granted\nc1 4ms written >",
    );
    let outcome = run(&script.events);
    let firsts = outcome.rows.iter().filter_map(|row| match row {
        Row::Frame(row) => Some(row.extent.first.offset),
        _ => None,
    });
    assert_eq!(firsts.collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn open_rows_show_what_is_not_final() {
    let script = TraceScript::parse(
        "c1 0ms open\nc1 1ms upgrade /ws X-JM-Thread:t1\nc1 2ms granted\nc2 3ms open\nc2 4ms request POST /a X-JM-Thread:t1 body=x=1",
    );
    let mut inspection = Inspection::new(&rules::Options::default());
    script.events.iter().for_each(|event| inspection.push(event));
    let open: Vec<String> = inspection.inspector.open_rows().iter().map(id).collect();
    assert_eq!(open, ["c1", "c2", "x1", "x2", "s1"]);
    assert_eq!(inspection.outcome.rows, []);
}

#[test]
fn what_is_too_large_is_said_to_be() {
    let body = format!("body=[{}]", "1,".repeat(700_000));
    let mut script = TraceScript::default();
    script.open(1, ms(0.0), "forward", ([10, 0, 0, 1], 5).into());
    let words = [b"Content-Type:application/json".to_vec(), body.into_bytes()];
    script.data(1, Side::Client, ms(1.0), request("POST", "/big", &words));
    let outcome = run(&script.events);
    assert_eq!(outcome.flags.len(), 1, "{:?}", outcome.flags);
    assert_eq!(outcome.flags[0].severity, "hint");
    assert!(outcome.flags[0].message.contains("too large to be judged (1048576 were read)"), "{:?}", outcome.flags[0]);
}
