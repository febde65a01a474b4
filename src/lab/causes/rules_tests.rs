//! What a cause says of flags is what the rules say of its bytes: virtual time must not know better than a capture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, sync::Arc};

use super::{CAUSES, Client, Plant};
use crate::{
    inspect::{self, Inspector, Output},
    lab::{
        random::Random,
        request::{Ending, Kind, Request},
        scenario::Scenario,
        surface::{Round, Surface, Who},
    },
    model::{
        ConnectionId, Side, Timestamp,
        rows::Position,
        trace::{Chunk, Closed, Closer, Ending as End, Fact, Opened, TraceEvent},
    },
    profile::Profile,
    rules::{self, Known, RuleSet},
};

/// Flags that the rules raise before the answer, on requests that come one after the other on one connection.
fn flags_of(surface: Surface, requests: &[Request]) -> BTreeSet<&'static str> {
    let profile = Arc::new(Profile::named(surface.profile()).unwrap());
    let mut inspector =
        Inspector::new(inspect::Options { profile: Some(Arc::clone(&profile)), ..inspect::Options::default() });
    let mut rules = RuleSet::new(&rules::Options { profile: Some(profile), ..rules::Options::default() }).unwrap();
    let mut flags = BTreeSet::new();
    let mut now = 0;
    let (mut sent, mut received) = (0, 0);
    let mut push = |fact: Fact<'_>| {
        let event = TraceEvent { connection: ConnectionId(1), fact };
        inspector.push(&event, Position::default(), &mut |output| {
            if let Output::Observation(observation) = output {
                rules.observe(observation, &mut |flag| {
                    flags.insert(flag.rule);
                });
            }
        });
    };
    let address = "127.0.0.1:5000".parse().unwrap();
    push(Fact::Opened(Opened {
        at: Timestamp(0),
        mode: format!("reverse:https://{}:443", surface.host()),
        client: address,
        listener: address,
    }));
    let mut answered = true;
    for request in requests {
        now += 10_000_000;
        let bytes = request.bytes();
        let chunk = |from, offset, at, bytes| Chunk { from, offset, arrived: None, read: Timestamp(at), bytes };
        push(Fact::Data(chunk(Side::Client, sent, now, &bytes)));
        sent += bytes.len() as u64;
        if matches!(request.ending, Ending::Abort(_)) {
            answered = false;
            break;
        }
        now += 10_000_000;
        let answer: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"v1\"\r\n\r\n";
        push(Fact::Data(chunk(Side::Server, received, now, answer)));
        received += answer.len() as u64;
    }
    let how = if answered { End::CloseNotify } else { End::Rst };
    push(Fact::Closed(Closed { at: Timestamp(now + 1), by: Closer::Client, how, error: None }));
    flags.retain(|rule| rules::find(rule).unwrap().known == Known::Before);
    // Of order and of time: a request alone has none.
    flags.retain(|rule| !rule.starts_with("metadata-"));
    flags
}

#[test]
fn clean_requests_raise_no_flag() {
    for surface in [Surface::Neutral, Surface::GenesysCloud] {
        for kind in Kind::ALL.into_iter().filter(|kind| surface.has(*kind) && !surface.is_message(*kind)) {
            let round = Round { session: "s".to_owned(), channel: "c".to_owned(), ..Round::default() };
            let mut random = Random::new(1, 1);
            let request = surface.request(kind, &Who::default(), &round, &mut random);
            // Without an answer of the API's there is no version to name.
            if !matches!(kind, Kind::Write | Kind::Socket | Kind::Publish) {
                assert_eq!(flags_of(surface, &[request]), BTreeSet::new(), "{surface:?} {kind:?}");
            }
        }
    }
}

#[test]
fn spoilt_requests_raise_the_flags_that_their_cause_says() {
    let mut tried = BTreeSet::new();
    for info in CAUSES {
        let surface = Surface::GenesysCloud;
        let mut plant = Plant::new(info);
        plant.set("share", 1.0);
        for variant in 0..3 {
            let choice = info.parameters.iter().find(|parameter| matches!(parameter.name, "kind" | "place"));
            if let Some(parameter) = choice {
                plant.set(parameter.name, f64::from(variant));
            }
            let scenario = Scenario { surface, plants: vec![plant.clone()], ..Scenario::default() };
            let mut cause = (info.build)(&plant, &scenario);
            for kind in [Kind::Metadata, Kind::Details, Kind::Read, Kind::Channel] {
                let mut random = Random::new(1, 1);
                let round = Round { session: "s".to_owned(), channel: "c".to_owned(), ..Round::default() };
                let who = Who::default();
                let mut requests = Vec::new();
                for ordinal in 0..2 {
                    let mut request = surface.request(kind, &who, &round, &mut random);
                    let mut client =
                        Client { who: &who, now: 0, seed: 1, round: 0, ordinal, surface, random: &mut random };
                    cause.write(&mut client, &mut request);
                    requests.push(request);
                }
                let said: BTreeSet<&str> = requests.iter().flat_map(|request| request.flags.iter().copied()).collect();
                if said.is_empty() {
                    continue;
                }
                // Two of the same are retries of nothing, and an aborted one ends the connection.
                let found = flags_of(surface, &requests);
                assert_eq!(found, said, "{plant} on {kind:?}:\n{}", String::from_utf8_lossy(&requests[0].bytes()));
                tried.insert(info.id);
            }
        }
    }
    assert!(tried.len() >= 12, "{tried:?}");
}
