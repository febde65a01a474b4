//! Generated exchanges, re-chunked at random, and garbage.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::{prelude::*, sample::Index};

use crate::model::{Side, Timestamp};

use super::{
    Options,
    script::{Player, Script, Step},
};

/// How a message's body is framed.
#[derive(Clone, Debug)]
enum Coded {
    Nothing,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Coded {
    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Nothing => vec![],
            Self::Length(bytes) => bytes.clone(),
            Self::Chunked(chunks) => chunks.concat(),
        }
    }

    fn append_to(&self, message: &mut Vec<u8>) {
        match self {
            Self::Nothing => message.extend_from_slice(b"\r\n"),
            Self::Length(bytes) => {
                message.extend_from_slice(format!("Content-Length: {}\r\n\r\n", bytes.len()).as_bytes());
                message.extend_from_slice(bytes);
            }
            Self::Chunked(chunks) => {
                message.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    message.extend_from_slice(format!("{:x};e=1\r\n", chunk.len()).as_bytes());
                    message.extend_from_slice(chunk);
                    message.extend_from_slice(b"\r\n");
                }
                message.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Exchange {
    head: bool,
    request: Coded,
    interim: bool,
    status: u16,
    response: Coded,
}

fn coded() -> impl Strategy<Value = Coded> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..60);
    prop_oneof![
        Just(Coded::Nothing),
        bytes().prop_map(Coded::Length),
        prop::collection::vec(bytes(), 0..5).prop_map(Coded::Chunked),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let response = coded().prop_map(|coded| if let Coded::Nothing = coded { Coded::Length(vec![]) } else { coded });
    (any::<bool>(), coded(), any::<bool>(), prop::sample::select(vec![200u16, 204, 304, 400, 500]), response)
        .prop_map(|(head, request, interim, status, response)| Exchange { head, request, interim, status, response })
}

/// The payloads of an exchange.
struct Bodies {
    request: Vec<u8>,
    response: Vec<u8>,
}

/// A script of pipelined groups, and the bodies that it must give.
fn script(groups: &[Vec<Exchange>]) -> (Script, Vec<Bodies>) {
    let mut script = Script::parse("---\n");
    let mut bodies = Vec::new();
    for group in groups {
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        for exchange in group {
            let method = if exchange.head { "HEAD" } else { "POST" };
            sent.extend_from_slice(format!("{method} /{} HTTP/1.1\r\nHost: h\r\n", bodies.len()).as_bytes());
            exchange.request.append_to(&mut sent);
            if exchange.interim {
                answered.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n\r\n");
            }
            answered.extend_from_slice(format!("HTTP/1.1 {} x\r\n", exchange.status).as_bytes());
            let bodiless = exchange.head || matches!(exchange.status, 204 | 304);
            let mut response = Vec::new();
            exchange.response.append_to(&mut response);
            if bodiless {
                let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
                response.truncate(end + 4);
            }
            answered.extend_from_slice(&response);
            bodies.push(Bodies {
                request: exchange.request.payload(),
                response: if bodiless { vec![] } else { exchange.response.payload() },
            });
        }
        script.steps.push(Step::Send(Side::Client, sent));
        script.steps.push(Step::Send(Side::Server, answered));
    }
    script.steps.push(Step::End(Side::Client));
    script.steps.push(Step::End(Side::Server));
    (script, bodies)
}

fn pieces(cuts: &[Index], bytes: &[u8]) -> Vec<usize> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let starts = std::iter::once(0).chain(at.iter().copied());
    starts.zip(&at).map(|(from, to)| to - from).collect()
}

/// Bytes that are often nearly HTTP.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "CONNECT ",
        "HEAD ",
        "/ HTTP/1.1\r\n",
        "HTTP/1.1 ",
        "200 OK\r\n",
        "101 x\r\n",
        "100 x\r\n",
        "204 x\r\n",
        "\r\n",
        "\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Upgrade: websocket\r\n",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "abcde",
        "}",
        " ",
        ": \r\n",
    ]);
    let word =
        prop_oneof![8 => words.prop_map(|w| w.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

fn any_step() -> impl Strategy<Value = Step> {
    let side = prop::sample::select(Side::BOTH.to_vec());
    prop_oneof![
        20 => (side.clone(), garbage()).prop_map(|(side, bytes)| Step::Send(side, bytes)),
        1 => garbage().prop_map(Step::Inject),
        1 => (side.clone(), 1u64..20).prop_map(|(side, n)| Step::Lose(side, n)),
        1 => side.prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn exchanges_survive_any_chunking(
        groups in prop::collection::vec(prop::collection::vec(exchange(), 1..4), 1..4),
        cuts in prop::collection::vec(prop::collection::vec(any::<Index>(), 0..8), 8),
    ) {
        let (script, bodies) = script(&groups);
        let whole = script.run(false, |_, _| vec![]);
        prop_assert!(whole.all_ended());
        let text = whole.text();
        prop_assert_eq!(whole.heads, bodies.len() * 2);
        prop_assert!(!text.lines().any(|line| line.starts_with('!')), "{}", text);
        for (number, Bodies { request, response }) in bodies.iter().enumerate() {
            for (name, body) in [("request", request), ("response", response)] {
                let line = format!("{name} {} body @", number + 1);
                let found = text.lines().find(|l| l.starts_with(&line)).map(|l| l.splitn(5, ' ').nth(4).unwrap().to_owned());
                let expected = (!body.is_empty()).then(|| body.escape_ascii().to_string());
                prop_assert_eq!(found, expected, "{}", line);
            }
        }
        let cut = script.run(false, |number, bytes| pieces(&cuts[number % cuts.len()], bytes));
        prop_assert_eq!(cut.text(), text);
    }

    #[test]
    fn garbage_gives_the_same_under_any_chunking_and_ends_once(
        steps in prop::collection::vec(any_step(), 0..12),
        cuts in prop::collection::vec(prop::collection::vec(any::<Index>(), 0..8), 12),
    ) {
        let mut script = Script::parse("max_head_bytes: 100\nmax_held_bytes: 40\nmax_waiting: 3\n---\n");
        script.steps = steps;
        script.steps.push(Step::End(Side::Client));
        script.steps.push(Step::End(Side::Server));
        let whole = script.run(false, |_, _| vec![]);
        prop_assert!(whole.all_ended());
        // Behind a loss the reads' own ends are what tells where a request begins: they are facts, and are not moved.
        let lost = script.steps.iter().position(|step| matches!(step, Step::Lose(..))).unwrap_or(usize::MAX);
        let cut = |number: usize, bytes: &[u8]| match number < lost {
            true => pieces(&cuts[number % cuts.len()], bytes),
            false => vec![],
        };
        prop_assert_eq!(script.run(false, cut).text(), whole.text());
        prop_assert_eq!(script.run(true, cut).text(), whole.text());
    }

    #[test]
    fn any_bytes_from_any_side(sent in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20)) {
        let mut player = Player::new(Options::default());
        for (client, bytes) in sent {
            player.send(if client { Side::Client } else { Side::Server }, &bytes, Timestamp(1));
        }
        player.step(&Step::End(Side::Server), Timestamp(2));
        player.step(&Step::End(Side::Client), Timestamp(2));
        prop_assert!(player.log.all_ended());
    }
}
