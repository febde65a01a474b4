//! The queue without a writer thread: the test takes, so that "blocked" and "slow" are states and not timings.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    task::Wake,
};

use super::*;
use crate::{
    model::{
        Timestamp,
        trace::{Closed, Closer, Ending},
    },
    store::format::decode,
};

const LIMIT: usize = 64 << 10;

fn queue(overflow: Overflow) -> Queue {
    Queue::new(LIMIT, Duration::from_millis(1), overflow)
}

fn data(connection: u64, offset: u64, bytes: &[u8]) -> TraceEvent<'_> {
    let chunk = Chunk { from: Side::Client, offset, arrived: None, read: Timestamp(offset), bytes };
    TraceEvent { connection: ConnectionId(connection), fact: Fact::Data(chunk) }
}

fn written(connection: u64, upto: u64) -> TraceEvent<'static> {
    let at = Timestamp(upto);
    let written = Written { from: Side::Client, upto, begun: at, written: at };
    TraceEvent { connection: ConnectionId(connection), fact: Fact::Written(written) }
}

fn closed(connection: u64) -> TraceEvent<'static> {
    let closed = Closed { at: Timestamp(0), by: Closer::Client, how: Ending::Fin, error: None };
    TraceEvent { connection: ConnectionId(connection), fact: Fact::Closed(closed) }
}

/// All records that the writer would get.
fn drain(queue: &Queue) -> Vec<u8> {
    let mut batch = Vec::new();
    assert!(queue.take(&mut batch));
    queue.done(batch.len());
    batch
}

fn events(mut bytes: &[u8]) -> Vec<TraceEvent<'_>> {
    let mut events = Vec::new();
    while let Some((event, len)) = decode(bytes).unwrap() {
        events.push(event);
        bytes = &bytes[len..];
    }
    assert!(bytes.is_empty());
    events
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn eight_threads_keep_each_its_order_and_nothing_is_lost() {
    const EACH: u64 = 5_000;
    let queue = Arc::new(queue(Overflow::Stall));
    let pushers: Vec<_> = (1..=8)
        .map(|connection| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (0..EACH).for_each(|n| queue.push(&data(connection, n * 3, b"abc"))))
        })
        .collect();
    let closer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
            queue.close();
        })
    };
    let mut next = [0; 9];
    let mut batch = Vec::new();
    while queue.take(&mut batch) {
        for event in events(&batch) {
            let Fact::Data(chunk) = event.fact else { panic!() };
            let expected = &mut next[event.connection.0 as usize];
            assert_eq!(chunk.offset, *expected, "{}", event.connection);
            *expected += 3;
        }
        queue.done(batch.len());
        batch.clear();
    }
    closer.join().unwrap();
    assert_eq!(next[1..], [EACH * 3; 8]);
    assert_eq!(queue.state().offered_bytes, 8 * EACH * 3);
    assert_eq!(queue.state().pending_bytes, 0);
}

#[test]
fn under_stall_a_blocked_writer_stops_the_readers_and_a_draining_one_wakes_them_once() {
    let queue = queue(Overflow::Stall);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let cx = Context::from_waker(&waker);
    let payload = [7; 1000];
    let mut sent = 0;
    while queue.poll_room(&cx).is_ready() {
        queue.push(&data(1, sent, &payload));
        sent += 1000;
    }
    assert!(queue.state().pending_bytes >= LIMIT as u64);
    assert!(queue.state().peak_bytes < LIMIT as u64 + 1100, "bounded, but for what was being read");
    assert!(queue.poll_room(&cx).is_pending(), "asking again does not store the task twice");
    queue.push(&closed(1));

    let mut batch = Vec::new();
    assert!(queue.take(&mut batch));
    assert!(queue.poll_room(&cx).is_pending(), "what the writer holds still counts");
    assert_eq!(count.0.load(Relaxed), 0);
    queue.done(batch.len());
    assert_eq!(count.0.load(Relaxed), 1);
    assert!(queue.poll_room(&cx).is_ready());
    let recorded = events(&batch);
    let bytes: u64 = recorded
        .iter()
        .filter_map(|e| if let Fact::Data(c) = &e.fact { Some(c.bytes.len() as u64) } else { None })
        .sum();
    assert_eq!(bytes, sent);
    assert!(matches!(recorded.last().unwrap().fact, Fact::Closed(_)), "facts are taken beyond the bound");
}

#[test]
fn under_gap_every_byte_is_recorded_or_in_a_gap() {
    let queue = queue(Overflow::Gap);
    let waker = Waker::noop();
    let payload = [7; 1000];
    let mut all = Vec::new();
    let mut sent = 0;
    // Two rounds of too much with a drain between, on two connections.
    for round in 0..2 {
        for _ in 0..100 {
            for connection in [1, 2] {
                assert!(queue.poll_room(&Context::from_waker(waker)).is_ready(), "traffic never waits");
                queue.push(&data(connection, sent, &payload));
                queue.push(&written(connection, sent + 1000));
            }
            sent += 1000;
        }
        assert!(queue.state().peak_bytes < LIMIT as u64 + 20_000, "writes within a gap do not pile up");
        if round == 1 {
            queue.push(&closed(1));
            queue.close();
        }
        all.extend(drain(&queue));
    }
    let recorded = events(&all);
    let mut upto = [0; 3];
    let mut gaps = [0; 3];
    let mut last_written = [0; 3];
    for event in &recorded {
        let connection = event.connection.0 as usize;
        match &event.fact {
            Fact::Data(chunk) => {
                assert_eq!(chunk.offset, upto[connection]);
                upto[connection] = chunk.range().end;
            }
            Fact::Gap(gap) => {
                assert_eq!(gap.range.start, upto[connection]);
                assert_eq!(gap.at, Timestamp(gap.range.start), "the first lost byte's instant");
                upto[connection] = gap.range.end;
                gaps[connection] += 1;
            }
            Fact::Written(written) => {
                assert!(written.upto <= upto[connection], "never before the bytes that it is about");
                last_written[connection] = written.upto;
            }
            Fact::Closed(_) => assert_eq!(upto[1], sent, "the gap stands before the end"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(upto[1..], [sent; 2]);
    assert_eq!(last_written[1..], [sent; 2]);
    assert_eq!(gaps[1..], [2; 2], "one for each time that it was full");
}

#[test]
fn under_gap_heads_are_let_in_and_bodies_lose_no_more_than_does_not_fit() {
    let queue = queue(Overflow::Gap);
    let say = |from: Side, offset: u64, bytes: &[u8]| {
        let chunk = Chunk { from, offset, arrived: None, read: Timestamp(offset), bytes };
        queue.push(&TraceEvent { connection: ConnectionId(1), fact: Fact::Data(chunk) });
    };
    let (large, small) = (vec![7; 64 << 10], [7; 100]);
    let (mut from_client, mut from_server) = (0, 0);
    for _ in 0..2 {
        // A request in four reads, the first of which bears its head, and a small answer.
        for _ in 0..4 {
            say(Side::Client, from_client, &large);
            from_client += large.len() as u64;
        }
        say(Side::Server, from_server, &small);
        from_server += small.len() as u64;
    }
    let batch = drain(&queue);
    let seen: Vec<(Side, u64, u64, bool)> = events(&batch)
        .iter()
        .map(|event| match &event.fact {
            Fact::Data(chunk) => (chunk.from, chunk.offset, chunk.range().end, true),
            Fact::Gap(gap) => (gap.range.from, gap.range.start, gap.range.end, false),
            other => panic!("{other:?}"),
        })
        .collect();
    let (all, part, client) = (64 << 10, BEGINNING as u64, Side::Client);
    assert_eq!(
        seen,
        [
            (client, 0, all, true),
            (client, all, 4 * all, false),
            (Side::Server, 0, 100, true),
            (client, 4 * all, 4 * all + part, true),
            (client, 4 * all + part, 8 * all, false),
            (Side::Server, 100, 200, true),
        ]
    );
    assert!(queue.state().peak_bytes <= (LIMIT + LIMIT / 4) as u64);
}

#[test]
fn after_a_failure_nothing_waits_and_everything_is_counted() {
    let queue = queue(Overflow::Stall);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let cx = Context::from_waker(&waker);
    while queue.poll_room(&cx).is_ready() {
        queue.push(&data(1, 0, &[7; 1000]));
    }
    let before = queue.state().offered_bytes;
    queue.fail();
    assert_eq!(count.0.load(Relaxed), 1);
    for _ in 0..1000 {
        assert!(queue.poll_room(&cx).is_ready());
        queue.push(&data(1, 0, &[7; 1000]));
    }
    let state = queue.state();
    assert_eq!((state.pending_bytes, state.discarded_records), (0, 1000));
    assert_eq!((state.discarded_bytes, state.offered_bytes), (1_000_000, before + 1_000_000));
    queue.close();
    assert!(!queue.take(&mut Vec::new()));
}

#[test]
fn the_writer_sleeps_until_there_is_something_and_gathers_what_comes_together() {
    let queue = Arc::new(Queue::new(LIMIT, Duration::from_secs(3600), Overflow::Stall));
    let writer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            let mut batch = Vec::new();
            queue.take(&mut batch).then_some(batch)
        })
    };
    // With a linger of an hour only the high-water mark can end the wait, and must.
    let mut pushed = 0;
    while !writer.is_finished() && pushed < 10 * LIMIT as u64 {
        queue.push(&data(1, pushed, &[7; 1000]));
        pushed += 1000;
    }
    let batch = writer.join().unwrap().unwrap();
    assert!(batch.len() >= LIMIT / 2, "{}", batch.len());
}
