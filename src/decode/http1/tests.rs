//! The corpus under every split and every truncation, and what the decoder keeps in memory.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::PathBuf};

use crate::model::{Side, Timestamp};

use super::{
    Http1, Options,
    script::{Log, Player, Script, Step},
};

fn corpus() -> Vec<(String, PathBuf, Script)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/http1");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "txt"));
    paths.sort();
    assert!(paths.len() > 30, "the corpus is there");
    let case = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), path, Script::parse(&text))
    };
    paths.into_iter().map(case).collect()
}

/// `UPDATE=1` rewrites what is expected.
#[test]
fn corpus_cases_give_their_events() {
    let mut wrong = Vec::new();
    for (name, path, script) in corpus() {
        let found = script.run(false, |_, _| vec![]).text();
        if found == script.expected {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, format!("{}{found}", script.source)).unwrap();
        } else {
            wrong.push(format!("{name}:\nfound\n{found}\nexpected\n{}", script.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_split_gives_the_same_events() {
    for (name, _, script) in corpus() {
        let whole = script.run(false, |_, _| vec![]).text();
        for (number, step) in script.steps.iter().enumerate() {
            let Step::Send(_, bytes) = step else { continue };
            for at in 1..bytes.len() {
                let split = script.run(false, |n, _| if n == number { vec![at] } else { vec![] }).text();
                assert_eq!(split, whole, "{name}: step {} cut at {at}", number + 1);
            }
        }
        let bytewise = script.run(false, |_, bytes| vec![1; bytes.len()]).text();
        assert_eq!(bytewise, whole, "{name}: byte by byte");
    }
}

#[test]
fn saved_and_restored_at_every_byte_gives_the_same_events() {
    for (name, _, script) in corpus() {
        let whole = script.run(false, |_, _| vec![]).text();
        let restored =
            script.run(true, |_, bytes| if bytes.len() > 2000 { vec![] } else { vec![1; bytes.len()] }).text();
        assert_eq!(restored, whole, "{name}");
    }
}

/// The beginning of a script, up to that byte of that step.
fn beginning(script: &Script, steps: usize, bytes: usize) -> Player {
    let mut player = Player::new(script.options);
    for (number, step) in script.steps.iter().enumerate().take(steps + 1) {
        let at = Timestamp(number as u64 + 1);
        match step {
            Step::Send(from, sent) if number == steps => player.send(*from, &sent[..bytes], at),
            _ if number == steps => {}
            step => player.step(step, at),
        }
    }
    player
}

fn end(mut player: Player, sides: [Side; 2]) -> Log {
    for side in sides {
        player.step(&Step::End(side), Timestamp(1000));
    }
    player.log
}

#[test]
fn every_truncation_ends_every_message_once() {
    use Side::{Client, Server};
    for (name, _, script) in corpus() {
        for (number, step) in script.steps.iter().enumerate() {
            let length = if let Step::Send(_, bytes) = step { bytes.len() } else { 0 };
            for at in 0..=length {
                for sides in [[Client, Server], [Server, Client]] {
                    let log = end(beginning(&script, number, at), sides);
                    assert!(log.all_ended(), "{name}: cut at {at} of step {}:\n{}", number + 1, log.text());
                    for lost in Side::BOTH {
                        let mut player = beginning(&script, number, at);
                        player.step(&Step::Lose(lost, 3), Timestamp(900));
                        let rest: &[u8] = if let Step::Send(_, bytes) = step { &bytes[at..] } else { b"" };
                        player.send(if let Step::Send(from, _) = step { *from } else { lost }, rest, Timestamp(901));
                        let log = end(player, sides);
                        assert!(log.all_ended(), "{name}: {lost} lost at {at} of step {}:\n{}", number + 1, log.text());
                    }
                }
            }
        }
    }
}

#[test]
fn instants_are_those_of_the_bytes() {
    let script = Script::parse(
        "C: POST / HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nab\\r\\n0\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n\n---\n",
    );
    let Step::Send(_, bytes) = &script.steps[0] else { panic!("bytes") };
    let mut player = Player::new(Options::default());
    for (at, byte) in bytes.iter().enumerate() {
        player.send(Side::Client, &[*byte], Timestamp(at as u64));
    }
    assert_eq!(
        player.log.text(),
        "request 1 C0..47 @0..46 POST | / | HTTP/1.1\n    Transfer-Encoding: chunked\n\
         request 1 body @50 a\nrequest 1 body @51 b\n\
         request 1 ended @58 Chunked 2 bytes C47..59 chunks [2]\n\
         request 2 C59..77 @59..76 GET | / | HTTP/1.1\nrequest 2 ended @76 None 0 bytes -\n"
    );
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_idle_decoder_holds_next_to_nothing() {
    let mut player = Player::new(Options::default());
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for piece in large.as_bytes().chunks(1000) {
        player.send(Side::Client, piece, Timestamp(1));
    }
    player.send(Side::Server, OK, Timestamp(2));
    for _ in 0..1000 {
        player.send(Side::Client, GET, Timestamp(1));
    }
    for _ in 0..1000 {
        player.send(Side::Server, OK, Timestamp(1));
    }
    assert_eq!(player.log.heads, 2002);
    assert!(player.decoder.heap() < 1024, "{} bytes", player.decoder.heap());
    assert!(size_of::<Http1>() < 768, "{} bytes", size_of::<Http1>());
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let options = Options::default();
    let upgrade = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let head = b"GET / HTTP/1.1\r\n";
    for (first, then) in
        [(&upgrade[..], &b"\x81\x00"[..]), (head, b"A: b\r\n"), (GET, GET), (GET, b"}\r"), (head, b"\n")]
    {
        let mut player = Player::new(options);
        player.send(Side::Client, first, Timestamp(1));
        let mut most = 0;
        for n in 0..400_000 / then.len() {
            player.send(Side::Client, then, Timestamp(n as u64 * 7));
            most = most.max(player.decoder.heap());
        }
        assert!(most < 3 * options.max_head_bytes, "{most} bytes for {:?}", then.escape_ascii().to_string());
    }
}

#[test]
fn overlapping_and_unannounced_offsets_are_taken() {
    use crate::{decode::Decoder as _, model::trace::Chunk};
    let mut decoder = Http1::default();
    let mut log = Log::default();
    let mut push = |offset: u64, bytes: &[u8]| {
        let read = Timestamp(1_000_001);
        let chunk = Chunk { from: Side::Client, offset, arrived: Some(Timestamp(1)), read, bytes };
        decoder.push(&chunk, &mut |event| log.take(&event));
    };
    push(0, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    push(0, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
    push(45, b"hij");
    assert_eq!(
        log.text().lines().skip(2).collect::<Vec<_>>(),
        ["request 1 body @1 ab", "! gap C41..45 @1", "request 1 body @1 hij"]
    );
}

/// The events' first words, without fields.
fn gist(script: &str) -> Vec<String> {
    let log = Script::parse(&format!("{script}---\n")).run(true, |_, _| vec![]).text();
    let words = |line: &str| line.split(" @").next().unwrap_or_default().to_owned();
    log.lines().filter(|line| !line.starts_with(' ')).map(words).collect()
}

#[test]
fn after_a_gap_the_next_request_and_its_answer_are_decoded() {
    let whole = |n: u32| {
        format!("C: GET /{n} HTTP/1.1\\r\\n\\r\\n\nS: HTTP/1.1 20{n} OK\\r\\nContent-Length: 1\\r\\n\\r\\nx\n")
    };
    // The first request's answer is lost, then a whole exchange and a part of the next request's body.
    let log =
        gist(&format!("C: GET /0 HTTP/1.1\\r\\n\\r\\n\nL: S 500\nS: tail\nL: C 70\nC: GET-ting on\n{}", whole(1)));
    assert_eq!(
        log,
        [
            "request 1 C0..19",
            "request 1 ended",
            "! gap S0..500",
            "! gap C19..89",
            "response 1 lost",
            "request 2 C100..119",
            "request 2 ended",
            "response 2 S504..542",
            "response 2 body",
            "response 2 ended"
        ]
    );
    // A gap in the answer's chunked body: what the client goes on to send is still its request's.
    let log = gist(&format!(
        "C: POST /0 HTTP/1.1\\r\\nContent-Length: 4\\r\\n\\r\\nab\n\
         S: HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nok\nL: S 9\nS: \\r\\n0\\r\\n\\r\\n\nC: cd\n{}",
        whole(1)
    ));
    assert!(log.contains(&"response 1 ended".to_owned()) && log.contains(&"request 1 ended".to_owned()), "{log:?}");
    assert!(log.contains(&"response 2 ended".to_owned()), "{log:?}");
}

#[test]
fn after_a_gap_answers_are_not_given_to_the_wrong_requests() {
    let two = "C: GET /1 HTTP/1.1\\r\\n\\r\\nGET /2 HTTP/1.1\\r\\n\\r\\n\nL: S 10\n";
    let more = "C: GET /3 HTTP/1.1\\r\\n\\r\\n\nS: HTTP/1.1 202 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\n";
    let log = gist(&format!("{two}{more}"));
    assert!(!log.iter().any(|line| line.starts_with("response")), "a client that does not wait: {log:?}");
    let upgrade = "C: GET /1 HTTP/1.1\\r\\nUpgrade: x\\r\\n\\r\\n\nL: S 10\n";
    let log = gist(&format!("{upgrade}{more}"));
    assert!(!log.iter().any(|line| line.starts_with("response")), "another protocol may have begun: {log:?}");
}
