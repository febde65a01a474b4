//! Tests of the framer: under every cut, what goes out and what is told is the same.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, PartialEq, Eq)]
struct Result {
    out: Vec<u8>,
    told: Vec<String>,
    elsewhere: Option<HostPort>,
    nowhere: Option<&'static str>,
}

fn at(host: &str, port: u16) -> HostPort {
    HostPort { host: host.into(), port }
}

fn tunnel() -> Framer {
    Framer::new(Rules::tunnel(&Options::default()).into(), Place::Fixed(at("api.test", 443)))
}

fn forward(to: Option<HostPort>) -> Framer {
    Framer::new(Rules::forward(&Options::default()).into(), Place::Forward(to))
}

fn feed(framer: &mut Framer, offset: &mut u64, bytes: &[u8], result: &mut Result) {
    if result.elsewhere.is_some() || result.nowhere.is_some() {
        return;
    }
    let mut out = Vec::new();
    let told = &mut result.told;
    let passed = framer.client(*offset, bytes, &mut out, &mut |what| told.push(show(&what)));
    *offset += bytes.len() as u64;
    result.out.extend_from_slice(if passed == Passed::AsTheyAre { bytes } else { &out });
    match passed {
        Passed::AsTheyAre | Passed::Changed => {}
        Passed::Elsewhere(to) => result.elsewhere = Some(to),
        Passed::Nowhere(why) | Passed::Refused(why) => result.nowhere = Some(why),
    }
    if framer.is_over() {
        result.out.extend(framer.take_held());
    }
}

fn show(told: &Told<'_>) -> String {
    match told {
        Told::Rewritten(what, bytes) => {
            let (start, end) = (what.range.start, what.range.end);
            format!("{:?} {start}..{end} {:?}", what.kind, String::from_utf8_lossy(bytes))
        }
        Told::Aside(from, offset, why) => format!("aside {from} {offset} {why}"),
    }
}

/// The result for `input`, which is the same however it is cut.
fn client(make: impl Fn() -> Framer, input: &[u8]) -> Result {
    let whole = {
        let (mut framer, mut result) = (make(), Result::default());
        feed(&mut framer, &mut 0, input, &mut result);
        result
    };
    let mut cuts: Vec<Vec<&[u8]>> = (0..=input.len()).map(|cut| vec![&input[..cut], &input[cut..]]).collect();
    cuts.push(input.chunks(1).collect());
    cuts.push(input.chunks(3).collect());
    for pieces in cuts {
        let (mut framer, mut result, mut offset) = (make(), Result::default(), 0);
        for piece in &pieces {
            feed(&mut framer, &mut offset, piece, &mut result);
        }
        assert_eq!(result, whole, "cut into {:?}", pieces.iter().map(|p| p.len()).collect::<Vec<_>>());
    }
    whole
}

fn text(result: &Result) -> &str {
    std::str::from_utf8(&result.out).unwrap()
}

#[test]
fn our_authority_in_absolute_form_becomes_origin_form() {
    for (target, to, told) in [
        ("https://api.test:443/ws?sid=1", "/ws?sid=1", "4..24 \"\""),
        ("HTTPS://Api.Test/ws a b", "/ws a b", "4..20 \"\""),
        ("wss://api.test?x", "/?x", "4..18 \"/\""),
        ("https://api.test", "/", "4..20 \"/\""),
        ("http://api.test:443/", "/", "4..23 \"\""),
    ] {
        let result = client(tunnel, format!("GET {target} HTTP/1.1\r\nHost: api.test:443\r\n\r\n").as_bytes());
        assert_eq!(text(&result), format!("GET {to} HTTP/1.1\r\nHost: api.test:443\r\n\r\n"));
        assert_eq!(result.told, [format!("AbsoluteForm {told}")]);
    }
    let result = client(tunnel, b"OPTIONS https://api.test HTTP/1.1\r\n\r\n");
    assert_eq!(text(&result), "OPTIONS * HTTP/1.1\r\n\r\n");
}

#[test]
fn other_targets_stay_as_they_are() {
    for target in [
        "/",
        "*",
        "https://api.test.evil/x",
        "https://api.tes/x",
        "https://other.test/x",
        "https://api.test:8443/x",
        "http://api.test/x",
        "https://user@api.test/x",
        "ftp://api.test/x",
        "https:/api.test/",
        "httpsx",
    ] {
        let input = format!("GET {target} HTTP/1.1\r\n\r\n");
        let result = client(tunnel, input.as_bytes());
        assert_eq!((text(&result), result.told.len()), (input.as_str(), 0), "{target}");
    }
    let options = Options { rewrite_absolute_form: false, ..Options::default() };
    let off = || Framer::new(Rules::tunnel(&options).into(), Place::Fixed(at("api.test", 443)));
    let input = b"GET https://api.test/ HTTP/1.1\r\n\r\n";
    assert_eq!(client(off, input).out, input);
}

#[test]
fn identity_headers_are_taken_out_and_nothing_else() {
    let input = b"POST /m HTTP/1.1\r\nX Bad:: v\r\n: noname\r\nx-jm-thread: a/1\r\nX-JM-Threads: stays\r\nX-JM-Sampler:\tb\r\n \
        folded\r\nX-JM-Thread : stays\r\nContent-Length: 15\r\n\r\nX-JM-Thread: c\nGET / HTTP/1.1\nX-JM-Thread: d\n\n";
    let result = client(tunnel, input);
    assert_eq!(
        text(&result),
        "POST /m HTTP/1.1\r\nX Bad:: v\r\n: noname\r\nX-JM-Threads: stays\r\nX-JM-Thread : stays\r\nContent-Length: 15\r\n\r\n\
         X-JM-Thread: c\nGET / HTTP/1.1\n\n"
    );
    assert_eq!(
        result.told,
        [
            "IdentityHeader 39..57 \"\"",
            "IdentityHeader 78..95 \"\"",
            "IdentityHeader 95..104 \"\"",
            "IdentityHeader 177..192 \"\"",
        ]
    );
}

#[test]
fn chunked_bodies_are_left_alone() {
    let input =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nX-JM-Thread: a\r\n\r\n0\r\nX-JM-Thread: b\r\n\r\n\
        GET https://api.test/ HTTP/1.1\r\n\r\n";
    let result = client(tunnel, input);
    assert_eq!(result.told.len(), 1, "{:?}", result.told);
    assert!(text(&result).ends_with("X-JM-Thread: b\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
}

#[test]
fn doubtful_requests_end_the_following_and_go_on_as_they_are() {
    for (input, why) in [
        (&b"\x16\x03\x01 hello"[..], "no method"),
        (b"GET\r\n", "no method"),
        (b"PRI * HTTP/2.0\r\n\r\nSM", "HTTP/1"),
        (b"GET /\r\n\r\n", "HTTP/1"),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "differ"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz", "not chunked"),
        (b"GET / HTTP/1.1\r\n\r\n{\"json\": 1}", "no method"),
    ] {
        let mut input = input.to_vec();
        input.extend_from_slice(b"\r\nGET https://api.test/ HTTP/1.1\r\nX-JM-Thread: a\r\n\r\n");
        let result = client(tunnel, &input);
        assert_eq!(result.out, input);
        assert_eq!(result.told.len(), 1, "{:?}", result.told);
        assert!(result.told[0].starts_with("aside client") && result.told[0].contains(why), "{:?}", result.told);
    }
}

#[test]
fn a_huge_head_is_relayed_without_being_followed() {
    let options = Options { max_head_bytes: 100, ..Options::default() };
    let input = format!("GET / HTTP/1.1\r\nA: {}\r\nX-JM-Thread: a\r\n\r\n", "a".repeat(200));
    let mut framer = Framer::new(Rules::tunnel(&options).into(), Place::Fixed(at("api.test", 443)));
    let mut result = Result::default();
    feed(&mut framer, &mut 0, input.as_bytes(), &mut result);
    assert_eq!(text(&result), input);
    assert!(result.told[0].contains("max_head_bytes"), "{:?}", result.told);
}

#[test]
fn plain_requests_are_told_apart_by_authority() {
    let start = || forward(None);
    let result = client(start, b"GET http://API.test/x HTTP/1.1\r\n\r\n");
    assert_eq!((result.elsewhere, result.out.len()), (Some(at("api.test", 80)), 0));
    let result = client(start, b"\r\nGET ws://api.test:81?x HTTP/1.1\r\n\r\n");
    assert_eq!(result.elsewhere, Some(at("api.test", 81)));
    for (input, why) in [
        (&b"GET / HTTP/1.1\r\n"[..], "names no server"),
        (b"GET https://api.test/ HTTP/1.1\r\n", "CONNECT"),
        (b"\x16\x03\x01\x02\x00", "HTTP/1"),
        (b"GET http:// HTTP/1.1\r\n", "authority"),
        (b"GET http://a b/ HTTP/1.1\r\n", ""),
        (b"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee", "HTTP/1"),
    ] {
        let result = client(start, input);
        assert!(result.nowhere.is_none_or(|told| told.contains(why)), "{result:?}");
        assert!(result.nowhere.is_some() || result.elsewhere == Some(at("a", 80)), "{result:?}");
    }
}

#[test]
fn a_plain_request_becomes_origin_form_without_proxy_headers() {
    let input = b"POST http://api.test/x HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi\
        GET http://api.test:80/y HTTP/1.1\r\nproxy-authorization: Basic eA==\r\nHost: api.test\r\n\r\n\
        GET http://other.test/z HTTP/1.1\r\n\r\n";
    let result = client(|| forward(Some(at("api.test", 80))), input);
    assert_eq!(
        text(&result),
        "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /y HTTP/1.1\r\nHost: api.test\r\n\r\n"
    );
    assert_eq!(result.elsewhere, Some(at("other.test", 80)));
    assert_eq!(result.told.len(), 4, "{:?}", result.told);
}

#[test]
fn what_was_held_goes_to_the_next_server() {
    let mut framer = forward(Some(at("a.test", 80)));
    let (mut result, mut offset) = (Result::default(), 0);
    feed(
        &mut framer,
        &mut offset,
        b"GET http://a.test/ HTTP/1.1\r\n\r\nGET http://b.test/ HTTP/1.1\r\n\r\n",
        &mut result,
    );
    assert_eq!(result.elsewhere, Some(at("b.test", 80)));
    assert!(!framer.is_answered());
    let mut nothing = |told: Told<'_>| panic_on(&told);
    framer.server(0, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", &mut nothing);
    assert!(!framer.is_answered());
    framer.server(40, b"i", &mut nothing);
    assert!(framer.is_answered());
    framer.connected(at("b.test", 80));
    let mut out = Vec::new();
    assert_eq!(framer.resume(&mut out, &mut |_| {}), Passed::Changed);
    assert_eq!(out, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(framer.held(), 0);
}

fn panic_on(told: &Told<'_>) {
    panic!("{told:?}");
}

#[test]
fn the_host_is_replaced_in_front_of_a_server() {
    let rules = Arc::new(Rules::reverse(&Options::default(), &at("api.test", 443), true));
    let make = || Framer::new(Arc::clone(&rules), Place::Fixed(at("api.test", 443)));
    let result = client(make, b"GET / HTTP/1.1\r\nhost: localhost:8443\r\nHostess: x\r\n\r\nGET / HTTP/1.1\nHost:\n\n");
    assert_eq!(
        text(&result),
        "GET / HTTP/1.1\r\nHost: api.test\r\nHostess: x\r\n\r\nGET / HTTP/1.1\nHost: api.test\n\n"
    );
    assert_eq!(result.told, ["Host 16..38 \"Host: api.test\\r\\n\"", "Host 67..73 \"Host: api.test\\n\""]);
    let options = Options { keep_host: true, ..Options::default() };
    let make = || {
        let rules = Rules::reverse(&options, &at("api.test", 443), true);
        Framer::new(rules.into(), Place::Fixed(at("api.test", 443)))
    };
    let input = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(client(make, input).out, input);
}

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

#[test]
fn a_granted_upgrade_ends_the_work_and_early_bytes_pass() {
    for early in [&b""[..], b"\x81\x85GET https://api.test/ HTTP/1.1\r\n"] {
        let mut framer = tunnel();
        let (mut result, mut offset) = (Result::default(), 0);
        feed(&mut framer, &mut offset, UPGRADE, &mut result);
        feed(&mut framer, &mut offset, early, &mut result);
        assert_eq!(result.out, [UPGRADE, early].concat());
        assert!(!framer.is_over());
        for byte in
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".chunks(1)
        {
            framer.server(0, byte, &mut |told| panic_on(&told));
        }
        assert!(framer.is_over());
        feed(&mut framer, &mut offset, b"GET https://api.test/ HTTP/1.1\r\nX-JM-Thread: 1\r\n\r\n", &mut result);
        assert!(result.out.ends_with(b"\r\nX-JM-Thread: 1\r\n\r\n") && result.told.is_empty());
    }
}

#[test]
fn after_a_refused_upgrade_requests_are_followed_on() {
    let mut framer = tunnel();
    let (mut result, mut offset) = (Result::default(), 0);
    feed(&mut framer, &mut offset, UPGRADE, &mut result);
    framer.server(0, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nnope", &mut |told| panic_on(&told));
    assert!(framer.is_answered());
    feed(&mut framer, &mut offset, b"GET https://api.test/ HTTP/1.1\r\n\r\n", &mut result);
    assert!(result.out.ends_with(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "{result:?}");
}

#[test]
fn early_bytes_and_a_refusal_leave_nothing_to_follow() {
    let mut framer = tunnel();
    let (mut result, mut offset) = (Result::default(), 0);
    feed(&mut framer, &mut offset, UPGRADE, &mut result);
    feed(&mut framer, &mut offset, b"\x81\x00", &mut result);
    let mut told = Vec::new();
    framer.server(0, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", &mut |what| told.push(show(&what)));
    assert!(framer.is_over());
    assert!(told[0].contains("upgrade was refused"), "{told:?}");
}

#[test]
fn answers_are_paired_whatever_their_kind() {
    let requests = b"HEAD / HTTP/1.1\r\n\r\nGET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n";
    let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 304 Not Modified\r\n\
        Content-Length: 9\r\n\r\nHTTP/1.0 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end";
    for size in 1..answers.len() {
        let mut framer = tunnel();
        feed(&mut framer, &mut 0, requests, &mut Result::default());
        for piece in answers.chunks(size) {
            framer.server(0, piece, &mut |told| panic_on(&told));
        }
        assert!(!framer.is_answered());
        framer.server_ended();
        assert!(framer.is_answered());
    }
}

#[test]
fn what_is_no_answer_ends_the_following() {
    for (answers, why) in [
        (&b"\x00\x00\x12\n"[..], "no status line"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "unasked"),
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "no request asked"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no number"),
    ] {
        for size in 1..=answers.len() {
            let mut framer = tunnel();
            feed(&mut framer, &mut 0, b"GET / HTTP/1.1\r\n\r\n", &mut Result::default());
            let mut told = Vec::new();
            for piece in answers.chunks(size) {
                framer.server(0, piece, &mut |what| told.push(show(&what)));
            }
            assert!(framer.is_over() && told.len() == 1 && told[0].contains(why), "{told:?}");
        }
    }
}

proptest! {
    /// Arbitrary bytes, one at a time: at any moment all but an ambiguous rest has gone on, and that rest is short.
    #[test]
    fn arbitrary_bytes_trickle_through(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut framer = tunnel();
        let (mut result, mut offset) = (Result::default(), 0);
        for byte in &input {
            feed(&mut framer, &mut offset, &[*byte], &mut result);
            let held = usize::try_from(framer.held()).unwrap();
            prop_assert!(held <= 32);
            prop_assert_eq!(result.out.len() + held, usize::try_from(offset).unwrap());
        }
        result.out.extend(framer.take_held());
        prop_assert_eq!(result.out, input);
    }

    /// Bytes that look like HTTP: any cut gives the same.
    #[test]
    fn the_cut_does_not_matter(pieces in proptest::collection::vec(proptest::sample::select(vec![
        "GET ", "/ ", "https://api.test", ":443", "HTTP/1.1", "\r\n", "\n", "\r", "X-JM-Thread", "X-JM-", ":", " a", "Host: b\r\n",
        "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "\r\n\r\n", "3\r\nabc\r\n", "0\r\n", "Upgrade: x\r\n", "{}",
        "GET https://api.test/ HTTP/1.1\r\n", "GET / HTTP/1.1\r\n",
    ]), 0..14)) {
        client(tunnel, pieces.concat().as_bytes());
    }
}
