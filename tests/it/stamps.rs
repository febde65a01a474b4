//! Stamps: `arrived` is an upper bound of the arrival that is never before the write that caused it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

use firstframe::model::{
    Side, Timestamp,
    trace::{Chunk, Fact, Written},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::proxy_rig::*;

/// Both directions of each round trip are replies: to the request, and to the answer before.
const ROUND_TRIPS: usize = 50_000;
const CONNECTIONS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_never_arrives_before_the_write_that_caused_it_began() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let echo = tokio::spawn(async move {
        loop {
            let mut stream = accept_tls(&listener, &[]).await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 16];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..read]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = rig.tls().await;
        clients.push(tokio::spawn(async move {
            for _ in 0..ROUND_TRIPS / CONNECTIONS {
                client.write_all(b"x").await.unwrap();
                client.flush().await.unwrap();
                client.read_u8().await.unwrap();
            }
            client.shutdown().await.unwrap();
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    echo.abort();
    let mut replies = 0;
    let mut stamped = 0;
    let mut later_than_written = 0;
    for connection in 1..=CONNECTIONS as u64 {
        let facts = rig.closed(connection).await;
        let (client, server) = (side(&facts, Side::Client), side(&facts, Side::Server));
        let all = client.data.len().min(server.data.len());
        assert!(all >= ROUND_TRIPS / CONNECTIONS);
        for number in 0..all {
            // The server answers what was written to it; the client then sends because it got the answer.
            let mut check = |cause: &Written, reply: &Chunk<'_>| {
                assert!(cause.begun <= cause.written && reply.read >= cause.begun);
                replies += 1;
                if let Some(arrived) = reply.arrived {
                    assert!(arrived >= cause.begun, "{arrived:?} is before {cause:?}");
                    assert!(arrived <= reply.read);
                    stamped += 1;
                    later_than_written += usize::from(arrived >= cause.written);
                }
            };
            check(&client.written[number], &server.data[number]);
            if let Some(next) = client.data.get(number + 1) {
                check(&server.written[number], next);
            }
        }
    }
    assert!(replies > 99_900, "{replies}");
    if cfg!(target_os = "linux") {
        assert_eq!(stamped, replies, "Linux stamps every read");
    }
    // Why `written` proves nothing: a good part of the replies arrive before it is stamped.
    println!("{later_than_written} of {stamped} replies arrived after `written`");
}

struct Sent<'a> {
    data: Vec<Chunk<'a>>,
    written: Vec<Written>,
}

fn side<'a>(facts: &[Fact<'a>], from: Side) -> Sent<'a> {
    let data = facts.iter().filter_map(|f| if let Fact::Data(c) = f { (c.from == from).then_some(*c) } else { None });
    let written =
        facts.iter().filter_map(|f| if let Fact::Written(w) = f { (w.from == from).then_some(*w) } else { None });
    Sent { data: data.collect(), written: written.collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn bytes_that_waited_for_us_bear_the_time_of_their_arrival() {
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let mut client = rig.dial().await;
    // All in one segment: the rest is read with the CONNECT, or later, but it came with it.
    client.write_all(b"CONNECT api.test:80 HTTP/1.1\r\n\r\n\x00hello").await.unwrap();
    let mut server = accept(&listener).await;
    assert_eq!(read_exact(&mut server, 6).await, b"\x00hello");
    drop((client, server));
    let facts = rig.closed(1).await;
    let mut connected = Timestamp::default();
    for fact in &facts {
        match fact {
            Fact::Connect(connect, _) => connected = connect.answered.unwrap(),
            Fact::Data(chunk) => {
                assert!(chunk.arrived.unwrap() < connected, "it came before we answered");
                return;
            }
            _ => {}
        }
    }
    panic!("no data");
}

/// A body in many reads: what comes later on a leg did not arrive earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrivals_of_one_leg_never_go_back() {
    const BODIES: usize = 40;
    const BYTES: usize = 300_000;
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let mut client = rig.dial().await;
    client.write_all(b"CONNECT api.test:80 HTTP/1.1\r\n\r\n").await.unwrap();
    let mut server = accept(&listener).await;
    let mut established = Vec::new();
    while !established.ends_with(b"\r\n\r\n") {
        established.push(client.read_u8().await.unwrap());
    }
    let body = vec![0; BYTES];
    for _ in 0..BODIES {
        let (sent, read) = tokio::join!(client.write_all(&body), read_exact(&mut server, BYTES));
        sent.unwrap();
        assert_eq!(read.len(), BYTES);
    }
    drop((client, server));
    let facts = rig.closed(1).await;
    let data = side(&facts, Side::Client).data;
    assert!(data.len() > BODIES);
    for pair in data.windows(2) {
        assert!(pair[0].arrived <= pair[1].arrived, "{:?} before {:?}", pair[1].arrived, pair[0].arrived);
        assert!(pair[1].arrived <= Some(pair[1].read));
    }
}

/// The answer to CONNECT is stamped before it is written: no client begins TLS before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_begins_after_the_answer_to_connect_did() {
    const CONNECTIONS: u64 = 40;
    let (listener, address) = origin().await;
    let rig = Rig::start(options_for(address));
    let origin = tokio::spawn(async move {
        while let Ok(stream) = accept_tls(&listener, &[]).await {
            drop(stream);
        }
    });
    for id in 1..=CONNECTIONS {
        drop(rig.tls().await);
        let facts = rig.closed(id).await;
        let answered = facts.iter().find_map(|fact| if let Fact::Connect(c, _) = fact { c.answered } else { None });
        let begun = facts.iter().find_map(|fact| match fact {
            Fact::Tls(tls) if tls.side == Side::Client => Some(tls.begin),
            _ => None,
        });
        assert!(answered.unwrap() <= begun.unwrap(), "c{id}: {answered:?}, {begun:?}");
    }
    origin.abort();
}
