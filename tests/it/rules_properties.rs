//! Rules over many sessions: what must never fire, what must never be one session, and when a flag is out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use firstframe::{
    model::{
        ConnectionId, Side, Timestamp,
        rows::Row,
        trace::{Closer, Ending, Fact, TraceEvent},
    },
    profile::Profile,
    rules,
};
use proptest::prelude::*;

use crate::support::{
    inspection::{Inspection, Outcome, inspect},
    trace_script::{TraceScript, ms, response},
};

type Events = Vec<TraceEvent<'static>>;

/// Sessions whose bytes differ; the others repeat them later, so that memory stays small.
const DISTINCT: usize = 2_000;
const SESSIONS: usize = 100_000;
/// Users at a time.
const BATCH: usize = 200;
/// A batch, and the time after which its sessions are over.
const PERIOD_MS: f64 = 40_000.0;

/// A user's trace in the making: facts with the instants at which they are recorded.
struct User {
    script: TraceScript,
    timed: Vec<(Timestamp, TraceEvent<'static>)>,
    headers: String,
}

impl User {
    fn new(headers: String) -> Self {
        Self { script: TraceScript::default(), timed: Vec::new(), headers }
    }

    fn done(&mut self, at: f64) {
        self.timed.extend(self.script.events.drain(..).map(|event| (ms(at), event)));
    }

    fn open(&mut self, c: u64, at: f64, authority: &str) {
        self.script.open(c, ms(at), "forward", ([10, 0, 0, 1], 1024 + (c % 60_000) as u16).into());
        let text = format!("c{c} {at}..{at}ms connect {authority}:443\nc{c} {at}..{at}ms tls http/1.1");
        self.script.events.extend(TraceScript::parse(&text).events);
        self.done(at);
    }

    fn request(&mut self, c: u64, at: f64, host: &str, line: &str, headers: &str, body: Option<&str>) {
        let length = body.map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{}{headers}{length}\r\n{}",
            self.headers,
            body.unwrap_or_default()
        );
        self.script.data(c, Side::Client, ms(at), text.into_bytes());
        self.script.written(c, Side::Client, ms(at), ms(at + 0.1));
        self.done(at);
    }

    fn answer(&mut self, c: u64, at: f64, status: &str, words: &[&str]) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.script.data(c, Side::Server, ms(at), response(status, &words));
        self.script.written(c, Side::Server, ms(at), ms(at + 0.1));
        self.done(at + 0.1);
    }

    fn socket(&mut self, c: u64, at: f64, host: &str, path: &str, protocol: Option<&str>) {
        let named = protocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        let headers = format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{named}"
        );
        self.request(c, at, host, &format!("GET {path}"), &headers, None);
        let agreed = protocol.map(|name| format!("Sec-WebSocket-Protocol:{name}"));
        let accept = "Sec-WebSocket-Accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let words = ["Upgrade:websocket", "Connection:Upgrade", accept].into_iter().chain(agreed.as_deref());
        self.answer(c, at + 10.0, "101", &words.collect::<Vec<_>>());
    }

    fn text(&mut self, c: u64, at: f64, from: Side, text: &str) {
        self.script.frame(c, from, ms(at), 1, text.as_bytes());
        self.script.written(c, from, ms(at), ms(at + 0.1));
        self.done(at + 0.1);
    }

    fn close(&mut self, c: u64, at: f64, by: Closer, frame: Option<u16>) {
        if let Some(code) = frame {
            self.script.frame(c, Side::Client, ms(at), 8, &code.to_be_bytes());
            self.script.written(c, Side::Client, ms(at), ms(at + 0.1));
        }
        self.script.closed(c, ms(at + 0.2), by, Ending::Fin);
        self.done(at + 0.2);
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

/// A login, a socket, metadata once it is open, frames, the end; by header, token or address.
fn generic(n: usize, c: u64, t: f64) -> User {
    let vary = |by: usize, of: usize| ((n * by) % of) as f64;
    let mut user = User::new(match n % 2 {
        0 => format!("X-JM-Thread: group/{n}@host\r\n"),
        _ => format!("Authorization: Bearer token-of-user-{n}\r\n"),
    });
    user.open(c, t, "api.test");
    user.request(c, t + 1.0, "api.test", "POST /login", JSON, Some("{\"user\":1}"));
    user.answer(c, t + 4.0, "200", &["body=ok"]);
    user.open(c + 1, t + 6.0, "api.test");
    user.socket(c + 1, t + 7.0, "api.test", "/ws", None);
    let open = t + 17.1;
    let metadata = open + vary(7, 20) / 10.0;
    user.request(c, metadata, "api.test", "POST /metadata", JSON, Some("{\"codec\":[1,2,{\"a\":null}]}"));
    user.answer(c, metadata + 5.0, if n.is_multiple_of(7) { "404" } else { "200" }, &["ETag:\"v1\"", "body=x"]);
    user.text(c + 1, metadata + 6.0, Side::Client, "{\"join\":1}");
    user.text(c + 1, metadata + 7.0 + vary(3, 40), Side::Server, "{\"joined\":1}");
    user.request(c, metadata + 50.0, "api.test", &format!("GET /rooms/{n}"), "", None);
    user.answer(c, metadata + 51.0, "200", &["body=ok"]);
    user.close(c + 1, metadata + 60.0, Closer::Client, n.is_multiple_of(3).then_some(1000));
    user.close(c, metadata + 62.0, Closer::Client, None);
    user
}

/// A channel, its socket, subscriptions, the metadata of a screen recording, a script.
fn genesys(n: usize, c: u64, t: f64) -> User {
    let vary = |by: usize, of: usize| ((n * by) % of) as f64;
    let thread = if n.is_multiple_of(2) { format!("X-JM-Thread: group/{n}@host\r\n") } else { String::new() };
    let mut user = User::new(thread.clone());
    let (api, login, streaming) = ("api.mypurecloud.com", "login.mypurecloud.com", "streaming.mypurecloud.com");
    let id = format!("ININ-Correlation-Id:{n:08x}-0000-4000-8000-000000000000");
    let ok = [
        id.as_str(),
        "Content-Type:application/json",
        "inin-ratelimit-count:17",
        "inin-ratelimit-allowed:300",
        "body={}",
    ];
    user.open(c + 2, t, login);
    let form = "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic aWQ6c2VjcmV0\r\n";
    user.request(c + 2, t + 1.0, login, "POST /oauth/token", form, Some("grant_type=client_credentials"));
    user.answer(c + 2, t + 4.0, "200", &ok);
    user.close(c + 2, t + 5.0, Closer::Client, None);
    user.headers = format!("{thread}Authorization: Bearer token-of-user-{n}\r\n");
    user.open(c, t + 6.0, api);
    user.request(c, t + 7.0, api, "POST /api/v2/notifications/channels", JSON, Some("{}"));
    user.answer(c, t + 12.0, "200", &ok);
    // The channel's id is the credential: no header on the socket.
    user.headers = thread.clone();
    user.open(c + 1, t + 14.0, streaming);
    // Its second key stands in its query, in a message, or nowhere.
    let query = if n.is_multiple_of(3) { format!("?sessionId=session-{n}") } else { String::new() };
    user.socket(c + 1, t + 15.0, streaming, &format!("/channels/streaming-{n}-abcdef{query}"), None);
    user.headers = format!("{thread}Authorization: Bearer token-of-user-{n}\r\n");
    let open = t + 25.1;
    let at = open + 1.0 + vary(7, 90);
    let path = format!("PUT /api/v2/notifications/channels/streaming-{n}-abcdef/subscriptions");
    user.request(c, at, api, &path, JSON, Some("[{\"id\":\"v2.users.me.presence\"}]"));
    user.answer(c, at + 5.0, "200", &ok);
    user.text(c + 1, at + 7.0, Side::Client, "{\"message\":\"ping\"}");
    user.text(
        c + 1,
        at + 9.0,
        Side::Server,
        "{\"topicName\":\"channel.metadata\",\"eventBody\":{\"message\":\"pong\"}}",
    );
    if n % 3 == 1 {
        let bind = format!("{{\"message\":\"bind\",\"sessionId\":\"session-{n}\"}}");
        user.text(c + 1, at + 9.5, Side::Client, &bind);
    }
    if n % 3 < 2 {
        let body = format!("{{\"sessionId\":\"session-{n}\",\"startTime\":\"2026-11-30T08:00:00Z\"}}");
        let in_time = (open + 55.0).max(at + 12.0);
        user.request(c, in_time, api, "POST /api/v2/recordings/screen", JSON, Some(&body));
        user.answer(c, in_time + 4.0, "200", &ok);
    }
    let at = at + 60.0;
    let body =
        "{\"participantJid\":\"p@x\",\"roomId\":\"r\",\"metaData\":[{\"trackId\":\"1\",\"originX\":0,\"main\":true}]}";
    user.request(c, at + 20.0, api, "POST /api/v2/recordings/screensessions/metadata", JSON, Some(body));
    user.answer(c, at + 24.0, "200", &ok);
    let script = format!("GET /api/v2/scripts/{n:08x}-1111-4222-8333-444444444444");
    user.request(c, at + 30.0, api, &script, "", None);
    user.answer(c, at + 33.0, "200", &ok);
    user.close(c + 1, at + 60.0, Closer::Client, Some(1000));
    user.close(c, at + 62.0, Closer::Client, None);
    user
}

/// `connection_init`, its acknowledgement, an operation, the end.
fn graphql(n: usize, c: u64, t: f64) -> User {
    let vary = |by: usize, of: usize| ((n * by) % of) as f64;
    let mut user =
        User::new(if n.is_multiple_of(2) { format!("X-JM-Thread: group/{n}@host\r\n") } else { String::new() });
    user.open(c, t, "graphql.test");
    user.socket(c, t + 1.0, "graphql.test", "/graphql", Some("graphql-transport-ws"));
    let open = t + 11.1;
    user.text(c, open + 1.0, Side::Client, "{\"type\":\"connection_init\"}");
    let ready = open + 2.0 + vary(7, 90);
    user.text(c, ready, Side::Server, "{\"type\":\"connection_ack\"}");
    let query = "{\"id\":\"1\",\"type\":\"subscribe\",\"payload\":{\"query\":\"{ a }\"}}";
    user.text(c, ready + 0.2 + vary(3, 10), Side::Client, query);
    user.text(c, ready + 20.0, Side::Server, "{\"id\":\"1\",\"type\":\"next\",\"payload\":{\"data\":{\"a\":1}}}");
    user.text(c, ready + 21.0, Side::Server, "{\"id\":\"1\",\"type\":\"complete\"}");
    user.close(c, ready + 30.0, Closer::Client, Some(1000));
    user
}

fn options(profile: &str) -> rules::Options {
    let profile = Profile::named(profile).unwrap();
    let metadata = profile.metadata_with(|filter| Err(filter.to_owned())).unwrap();
    rules::Options { metadata, profile: Some(Arc::new(profile)), ..rules::Options::default() }
}

fn in_time(users: Vec<User>) -> Events {
    let mut timed: Vec<_> = users.into_iter().flat_map(|user| user.timed).collect();
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, event)| event).collect()
}

/// The same, later, on other connections.
fn shifted(event: &TraceEvent<'static>, connections: u64, by: Timestamp) -> TraceEvent<'static> {
    let mut event = event.clone();
    event.connection = ConnectionId(event.connection.0 + connections);
    let shift = |at: &mut Timestamp| at.0 += by.0;
    match &mut event.fact {
        Fact::Opened(fact) => shift(&mut fact.at),
        Fact::Connect(fact, _) => {
            shift(&mut fact.begin);
            shift(&mut fact.end);
            fact.answered.iter_mut().for_each(shift);
        }
        Fact::Tls(fact) => {
            shift(&mut fact.begin);
            shift(&mut fact.end);
        }
        Fact::Data(chunk) => {
            shift(&mut chunk.read);
            chunk.arrived.iter_mut().for_each(shift);
        }
        Fact::Written(fact) => {
            shift(&mut fact.begun);
            shift(&mut fact.written);
        }
        Fact::Closed(fact) => shift(&mut fact.at),
        _ => {}
    }
    event
}

/// No rule has anything to say about a hundred thousand sessions in which everything is right.
fn silent(profile: &str, user: fn(usize, u64, f64) -> User) {
    let mut inspection = Inspection::new(&options(profile));
    let batches: Vec<Events> = (0..DISTINCT / BATCH)
        .map(|batch| {
            let users = (0..BATCH).map(|n| {
                let n = batch * BATCH + n;
                user(n, 1 + 3 * n as u64, batch as f64 * PERIOD_MS + ((n * 53) % 2_000) as f64)
            });
            in_time(users.collect())
        })
        .collect();
    for round in 0..SESSIONS / DISTINCT {
        let by = ms(round as f64 * PERIOD_MS * (DISTINCT / BATCH) as f64);
        let connections = (round * DISTINCT * 3) as u64;
        for event in batches.iter().flatten() {
            inspection.push(&shifted(event, connections, by));
        }
        assert_eq!(inspection.outcome.flags, [], "{profile}, round {round}");
        inspection.outcome.rows.clear();
    }
    let ended = ms((SESSIONS / BATCH + 2) as f64 * PERIOD_MS).0 / 1_000_000_000;
    inspection.push(&TraceScript::parse(&format!("* {ended}s pass")).events[0]);
    assert_eq!(inspection.inspector.open_rows(), [], "nothing is held of what is over");
    inspection.finish();
    assert_eq!(inspection.outcome.flags, [], "{profile}");
}

#[test]
fn a_hundred_thousand_correct_sessions_of_any_api_raise_no_flag() {
    silent("generic", generic);
}

#[test]
fn a_hundred_thousand_correct_sessions_of_genesys_cloud_raise_no_flag() {
    silent("genesys-cloud", genesys);
}

#[test]
fn a_hundred_thousand_correct_sessions_of_graphql_raise_no_flag() {
    silent("graphql-transport-ws", graphql);
}

/// Sockets with a key in their path, metadata with it in the body.
const KEYED: &str = r#"
name = "keyed"
summary = "a key in path and body"
[metadata]
match = "routes"
[[routes]]
id = "meta"
method = "POST"
path = "/meta"
metadata = true
[[sockets]]
id = "s"
path = "/ws/{sessionId}"
[[session.keys]]
name = "sessionId"
request = [{ body = "/sessionId" }]
socket = [{ path = "sessionId" }]
"#;

fn keyed() -> rules::Options {
    let profile = Profile::parse("keyed", KEYED).unwrap();
    let metadata = profile.metadata_with(|filter| Err(filter.to_owned())).unwrap();
    rules::Options { metadata, profile: Some(Arc::new(profile)), ..rules::Options::default() }
}

/// Users with a socket and one piece of metadata each, which bears the key of `names[n]`, at `after[n]` ms after OPEN.
fn keyed_users(names: &[usize], after: &[f64], headers: bool) -> Events {
    let users = names.iter().zip(after).enumerate().map(|(n, (name, after))| {
        let (c, t) = (1 + 2 * n as u64, n as f64 * 0.01);
        let who = if headers {
            format!("X-JM-Thread: {n}\r\n")
        } else {
            format!("Authorization: Bearer token-of-user-{n}\r\n")
        };
        let mut user = User::new(who);
        user.open(c, t, "api.test");
        user.open(c + 1, t, "api.test");
        user.socket(c + 1, t + 20.0, "api.test", &format!("/ws/key-{n}"), None);
        let at = t + 30.1 + after;
        user.request(c, at, "api.test", "POST /meta", JSON, Some(&format!("{{\"sessionId\":\"key-{name}\"}}")));
        user.answer(c, at + 3.0, "200", &[]);
        user.close(c, 200.0, Closer::Client, None);
        user.close(c + 1, 200.0, Closer::Client, None);
        user
    });
    in_time(users.collect())
}

/// Sockets with two keys, metadata with the second one in its body.
fn keyed_twice(channel_first: bool) -> rules::Options {
    let channel = "[[session.keys]]\nname = \"channelId\"\nrequest = [{ query = \"channelId\" }]\nsocket = [{ path = \"channelId\" }]\n";
    let (before, session) = KEYED.split_at(KEYED.find("[[session.keys]]").unwrap());
    let session = session.replace("path = \"sessionId\"", "query = \"sessionId\"");
    let keys = if channel_first { [channel, &session] } else { [&session, channel] };
    let text = format!("{}{}", before.replace("{sessionId}", "{channelId}"), keys.concat());
    let profile = Profile::parse("keyed twice", &text).unwrap();
    let metadata = profile.metadata_with(|filter| Err(filter.to_owned())).unwrap();
    rules::Options { metadata, profile: Some(Arc::new(profile)), ..rules::Options::default() }
}

/// Users with a token each and no header, who go round three times: a socket with two keys, then metadata. In the last
/// round it bears the id of `names[n]`.
fn rounds(names: &[usize], after: &[f64], headers: bool) -> Events {
    let users = names.iter().enumerate().map(|(n, name)| {
        let who =
            if headers { format!("X-JM-Thread: {n}\r\n") } else { format!("Authorization: Bearer token-of-{n}\r\n") };
        let mut user = User::new(who);
        for round in 0..3 {
            let (c, t) = (1 + 2 * (3 * n + round) as u64, 1000.0 * round as f64 + n as f64 * 0.01);
            user.open(c, t, "api.test");
            user.open(c + 1, t, "api.test");
            user.request(c, t + 5.0, "api.test", "GET /home", "", None);
            user.answer(c, t + 6.0, "200", &["body=ok"]);
            user.socket(c + 1, t + 20.0, "api.test", &format!("/ws/c-{n}-{round}?sessionId=s-{n}-{round}"), None);
            let at = t + 30.2 + after[3 * n + round];
            let whose = if round == 2 { *name } else { n };
            let body = format!("{{\"sessionId\":\"s-{whose}-{round}\"}}");
            user.request(c, at, "api.test", "POST /meta", JSON, Some(&body));
            user.answer(c, at + 3.0, "200", &[]);
            user.close(c, t + 200.0, Closer::Client, None);
            user.close(c + 1, t + 200.0, Closer::Client, None);
        }
        user
    });
    in_time(users.collect())
}

fn flagged(outcome: &Outcome) -> Vec<&str> {
    outcome.flags.iter().map(|flag| flag.rule.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn swapped_ids_are_a_mismatch_and_nothing_else(
        users in 2_usize..12, turn in 1_usize..11, after in prop::collection::vec(-9.9..40.0, 12), headers: bool,
    ) {
        prop_assume!(turn % users != 0);
        let names: Vec<usize> = (0..users).map(|n| (n + turn) % users).collect();
        let outcome = inspect(&keyed_users(&names, &after, headers), &keyed());
        prop_assert_eq!(flagged(&outcome), vec!["id-mismatch"; users], "{:?}", outcome.flags);
    }

    #[test]
    fn an_id_is_told_by_any_of_a_sockets_keys(
        users in 2_usize..8, turn in 0_usize..7, after in prop::collection::vec(0.0..100.0, 24), headers: bool,
    ) {
        let turn = turn % users;
        let names: Vec<usize> = (0..users).map(|n| (n + turn) % users).collect();
        let events = rounds(&names, &after, headers);
        let outcomes = [true, false].map(|channel_first| inspect(&events, &keyed_twice(channel_first)));
        let swapped = if turn == 0 { 0 } else { users };
        prop_assert_eq!(flagged(&outcomes[0]), vec!["id-mismatch"; swapped], "{:?}", outcomes[0].flags);
        prop_assert_eq!(&outcomes[0].flags, &outcomes[1].flags);
    }

    #[test]
    fn one_token_of_ten_clients_with_ids_is_never_one_session(begins in prop::collection::vec(0.0..20.0, 10)) {
        let users = begins.iter().enumerate().map(|(n, begin)| {
            let mut user = User::new("Authorization: Bearer everyones\r\n".to_owned());
            let c = 1 + 2 * n as u64;
            user.open(c, *begin, "api.test");
            user.open(c + 1, *begin, "api.test");
            user.socket(c, begin + 1.0, "api.test", &format!("/ws/c-{n}?sessionId=s-{n}"), None);
            let body = format!("{{\"sessionId\":\"s-{n}\"}}");
            user.request(c + 1, begin + 12.0, "api.test", "POST /meta", JSON, Some(&body));
            user.answer(c + 1, begin + 30.0, "200", &[]);
            user.close(c, 100.0, Closer::Client, None);
            user.close(c + 1, 100.0, Closer::Client, None);
            user
        });
        let outcome = inspect(&in_time(users.collect()), &keyed_twice(true));
        for row in &outcome.rows {
            if let Row::Session(session) = row {
                prop_assert_eq!((session.sockets.len(), session.exchanges.len()), (1, 1), "{:?}", session);
            }
        }
        prop_assert!(flagged(&outcome).iter().all(|rule| *rule == "shared-token"), "{:?}", outcome.flags);
    }

    #[test]
    fn a_key_proves_what_is_early_whatever_else_is_known(
        users in 1_usize..12, after in prop::collection::vec(prop_oneof![-9.9..-0.2, 0.1..40.0], 12), headers: bool,
    ) {
        let names: Vec<usize> = (0..users).collect();
        let outcome = inspect(&keyed_users(&names, &after, headers), &keyed());
        let early = after[..users].iter().filter(|after| **after < 0.0).count();
        prop_assert_eq!(flagged(&outcome), vec!["metadata-before-open"; early]);
        prop_assert!(outcome.flags.iter().all(|flag| flag.severity == "error"), "{:?}", outcome.flags);
    }

    #[test]
    fn one_token_of_ten_clients_is_never_one_session(
        begins in prop::collection::vec(0.0..20.0, 10), addresses in 1_usize..10,
    ) {
        let mut users = Vec::new();
        for (n, begin) in begins.iter().enumerate() {
            let mut user = User::new("Authorization: Bearer everyones\r\n".to_owned());
            let c = 1 + 2 * n as u64;
            for c in [c, c + 1] {
                let client = ([10, 0, 0, (n % addresses) as u8], 1000 + c as u16).into();
                user.script.open(c, ms(*begin), "forward", client);
                user.done(*begin);
            }
            user.socket(c, begin + 1.0, "api.test", "/ws", None);
            user.request(c + 1, begin + 5.0, "api.test", "POST /meta", JSON, Some("{}"));
            user.answer(c + 1, begin + 30.0, "200", &[]);
            user.close(c, 100.0, Closer::Client, None);
            user.close(c + 1, 100.0, Closer::Client, None);
            users.push(user);
        }
        let outcome = inspect(&in_time(users), &rules::Options::default());
        for row in &outcome.rows {
            if let Row::Session(session) = row {
                prop_assert!(session.sockets.len() + session.exchanges.len() <= 2, "{session:?}");
            }
        }
        prop_assert!(outcome.flags.iter().all(|flag| flag.rule != "metadata-before-open" || flag.severity == "hint"));
        prop_assert!(flagged(&outcome).contains(&"shared-token"));
    }
}

#[test]
fn a_flag_is_out_with_the_fact_that_decides_it() {
    let opening = "c1 0ms open\nc2 0ms open\nc1 10ms upgrade /ws X-JM-Thread:t1\n";
    let post = "c2 12ms request POST /meta X-JM-Thread:t1 Content-Type:application/json body={}\n";
    for (trace, what) in [
        (format!("{opening}{post}c1 49ms granted\nc1 50..51ms written <"), "the 101 was written"),
        (format!("{opening}c1 49ms granted\nc1 50..51ms written <\n{post}"), "the request, recorded late"),
        (format!("{opening}{post}c1 49ms response 403 body=no"), "the refusal"),
        (format!("{opening}{post}c1 49ms closed server rst"), "the end of the connection"),
    ] {
        let events = TraceScript::parse(&trace).events;
        let mut inspection = Inspection::new(&rules::Options::default());
        for (n, event) in events.iter().enumerate() {
            let early: Vec<&str> = flagged(&inspection.outcome);
            assert!(!early.contains(&"metadata-before-open"), "{what}: out before record {n}");
            inspection.push(event);
        }
        assert!(flagged(&inspection.outcome).contains(&"metadata-before-open"), "{what}: not out");
    }
}

#[test]
fn ten_thousand_sessions_at_once_are_held_and_let_go() {
    let profile = keyed();
    let mut inspection = Inspection::new(&profile);
    let idle = inspection.inspector.save().to_string().len();
    let mut script = TraceScript::default();
    for n in 0..10_000_u64 {
        let text = format!(
            "c{c} {n}ms open from=10.0.0.1:{port}\nc{c} {n}ms upgrade /ws/key-{n} X-JM-Thread:thread-{n}\nc{c} {n}ms granted\nc{c} {n}..{n}ms written <",
            c = n + 1,
            port = 1024 + n
        );
        script.events.extend(TraceScript::parse(&text).events);
    }
    script.events.iter().for_each(|event| inspection.push(event));
    let held = (inspection.inspector.save().to_string().len() - idle) / 10_000;
    assert!(held < 6_000, "{held} bytes of state, as text, for a session with an idle socket");
    for n in 0..10_000_u64 {
        inspection.push(&TraceScript::parse(&format!("c{} {}ms closed client fin", n + 1, 20_000 + n)).events[0]);
    }
    inspection.push(&TraceScript::parse("* 120s pass").events[0]);
    assert_eq!(inspection.inspector.open_rows(), []);
    let after = inspection.inspector.save().to_string().len();
    assert!(after < idle + 200, "{after} bytes are held of sessions that are over, {idle} at the start");
    assert_eq!(inspection.outcome.flags, []);
}
