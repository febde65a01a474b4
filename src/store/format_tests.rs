//! Tests of the bytes of records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::model::trace::{
    ByteRange, ClockStep, Closed, Closer, Connect, Cpu, Dialed, Dropped, Ended, Ending, Gap, Opened, ProxyMade,
    RewriteKind, Rewritten, ServerRtt, Stalled, SteppedAside, Tls,
};

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

/// Stamps near each other, as they are, and any others, as they might be.
fn stamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0..10_000_000_000_u64, any::<u64>()].prop_map(Timestamp)
}

fn range() -> impl Strategy<Value = ByteRange> {
    (side(), any::<u64>(), any::<u64>()).prop_map(|(from, start, end)| ByteRange { from, start, end })
}

fn ending() -> impl Strategy<Value = Ending> {
    use Ending::*;
    prop_oneof![Just(Fin), Just(CloseNotify), Just(Rst), Just(Timeout), Just(Error)]
}

fn address() -> impl Strategy<Value = std::net::SocketAddr> {
    any::<(std::net::IpAddr, u16)>().prop_map(std::net::SocketAddr::from)
}

fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn maybe(text: impl Strategy<Value = String>) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text)
}

/// A fact without its bytes, which [`Fact`] borrows.
fn fact() -> impl Strategy<Value = Fact<'static>> {
    use proptest::option::of;
    prop_oneof![
        (side(), any::<u64>(), of(stamp()), stamp()).prop_map(|(from, offset, arrived, read)| {
            Fact::Data(Chunk { from, offset: offset >> 1, arrived, read, bytes: &[] })
        }),
        (side(), any::<u64>(), stamp(), stamp()).prop_map(|(from, upto, begun, written)| Fact::Written(Written {
            from,
            upto,
            begun,
            written
        })),
        (stamp(), text(), address(), address()).prop_map(|(at, mode, client, listener)| Fact::Opened(Opened {
            at,
            mode,
            client,
            listener
        })),
        (stamp(), stamp(), text(), of(stamp())).prop_map(|(begin, end, authority, answered)| {
            Fact::Connect(Connect { begin, end, authority, answered }, &[])
        }),
        (stamp(), stamp(), text(), of(address()), of(address()), maybe(text())).prop_map(
            |(begin, end, authority, address, local, error)| {
                Fact::Dialed(Dialed { begin, end, authority, address, local, error })
            }
        ),
        (side(), stamp(), stamp(), maybe(text()), proptest::collection::vec(text(), 0..4), maybe(text())).prop_map(
            |(side, begin, end, sni, offered, error)| {
                let (alpn, version, cipher) = (offered.first().cloned(), sni.clone(), error.clone());
                Fact::Tls(Tls { side, begin, end, sni, offered, alpn, version, cipher, error })
            }
        ),
        (
            range(),
            prop_oneof![
                Just(RewriteKind::AbsoluteForm),
                Just(RewriteKind::Host),
                Just(RewriteKind::IdentityHeader),
                Just(RewriteKind::ProxyHeader)
            ]
        )
            .prop_map(|(range, kind)| Fact::Rewritten(Rewritten { range, kind }, &[])),
        (stamp(), any::<u16>(), any::<bool>(), text()).prop_map(|(at, status, to_connect, cause)| {
            Fact::ProxyMade(ProxyMade { at, status, to_connect, cause }, &[])
        }),
        (stamp(), side(), any::<u64>(), text()).prop_map(|(at, from, offset, why)| Fact::SteppedAside(SteppedAside {
            at,
            from,
            offset,
            why
        })),
        (stamp(), side(), ending()).prop_map(|(at, from, how)| Fact::Ended(Ended { at, from, how })),
        (
            stamp(),
            prop_oneof![Just(Closer::Client), Just(Closer::Server), Just(Closer::Proxy)],
            ending(),
            maybe(text())
        )
            .prop_map(|(at, by, how, error)| Fact::Closed(Closed { at, by, how, error })),
        (stamp(), any::<u64>()).prop_map(|(at, rtt_ns)| Fact::ServerRtt(ServerRtt { at, rtt_ns })),
        (stamp(), side(), any::<u64>()).prop_map(|(at, from, waited_ns)| Fact::Stalled(Stalled {
            at,
            from,
            waited_ns
        })),
        (stamp(), range(), text()).prop_map(|(at, range, why)| Fact::Gap(Gap { at, range, why })),
        (stamp(), any::<i64>()).prop_map(|(at, by_ns)| Fact::ClockStep(ClockStep { at, by_ns })),
        (stamp(), any::<u64>(), any::<u32>()).prop_map(|(at, used_ns, cores)| Fact::Cpu(Cpu { at, used_ns, cores })),
        (stamp(), any::<u64>(), any::<u64>()).prop_map(|(at, upto_segment, bytes)| Fact::Dropped(Dropped {
            at,
            upto_segment,
            bytes
        })),
    ]
}

fn with_bytes<'a>(fact: Fact<'static>, bytes: &'a [u8]) -> Fact<'a> {
    match fact {
        Fact::Data(chunk) => Fact::Data(Chunk { bytes, ..chunk }),
        Fact::Connect(meta, _) => Fact::Connect(meta, bytes),
        Fact::Rewritten(meta, _) => Fact::Rewritten(meta, bytes),
        Fact::ProxyMade(meta, _) => Fact::ProxyMade(meta, bytes),
        other => other,
    }
}

fn data(bytes: &[u8]) -> TraceEvent<'_> {
    let chunk = Chunk { from: Side::Client, offset: 7, arrived: Some(Timestamp(900)), read: Timestamp(1_000), bytes };
    TraceEvent { connection: ConnectionId(3), fact: Fact::Data(chunk) }
}

proptest! {
    #[test]
    fn every_fact_comes_back_as_it_was(
        facts in proptest::collection::vec((any::<u64>(), fact(), proptest::collection::vec(any::<u8>(), 0..300)), 1..6),
        before in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let events: Vec<_> = facts
            .iter()
            .map(|(id, fact, bytes)| TraceEvent { connection: ConnectionId(*id), fact: with_bytes(fact.clone(), bytes) })
            .collect();
        // What stands in the buffer already stays as it is.
        let mut out = before.clone();
        for event in &events {
            encode(event, &mut out);
        }
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let mut rest = &out[before.len()..];
        for event in &events {
            prop_assert_eq!(record_len(rest).unwrap(), frame(rest).unwrap().map(|frame| frame.len));
            let (decoded, consumed) = decode(rest).unwrap().unwrap();
            prop_assert_eq!(&decoded, event);
            rest = &rest[consumed..];
        }
        prop_assert_eq!(decode(rest), Ok(None));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = Header::decode(&bytes);
        for kind in 0..=255 {
            let frame = Frame { len: bytes.len(), kind, flags: bytes.first().copied().unwrap_or(0) };
            let _ = parse(frame, &bytes);
        }
    }
}

#[test]
fn a_truncated_record_needs_more_and_is_never_damage() {
    let mut out = Vec::new();
    encode(&data(b"hello"), &mut out);
    let gap = Gap {
        at: Timestamp(5),
        range: ByteRange { from: Side::Server, start: 0, end: 9 },
        why: "the queue was full".into(),
    };
    encode(&TraceEvent { connection: ConnectionId(4), fact: Fact::Gap(gap) }, &mut out);
    let first = frame(&out).unwrap().unwrap().len;
    for len in 0..out.len() {
        let decoded = decode(&out[..len]).unwrap();
        assert_eq!(decoded.map(|(_, consumed)| consumed), (len >= first).then_some(first), "{len}");
    }
}

#[test]
fn any_changed_byte_is_damage_and_never_a_longer_record() {
    let mut out = Vec::new();
    encode(&data(b"hello"), &mut out);
    for at in 0..out.len() {
        for change in 1..=255_u8 {
            let mut damaged = out.clone();
            damaged[at] ^= change;
            assert!(decode(&damaged).is_err(), "byte {at} changed by {change:#x}");
        }
    }
}

#[test]
fn zeros_are_damage() {
    // A file system may leave a run of them at a file's end after a loss of power.
    assert_eq!(decode(&[0; 64]), Err(Damage::Prefix));
}

#[test]
fn a_large_chunk_becomes_several_records() {
    let bytes: Vec<u8> = (0..2 * MAX_BODY + 5).map(|n| (n % 251) as u8).collect();
    let mut out = Vec::new();
    encode(&data(&bytes), &mut out);
    let (mut rest, mut joined, mut pieces) = (&out[..], Vec::new(), 0);
    while let Some((event, consumed)) = decode(rest).unwrap() {
        let Fact::Data(chunk) = event.fact else { panic!("only data was written") };
        assert_eq!(chunk.offset, 7 + joined.len() as u64);
        joined.extend_from_slice(chunk.bytes);
        rest = &rest[consumed..];
        pieces += 1;
    }
    assert_eq!((pieces, joined == bytes), (3, true));
}

#[test]
fn kinds_of_newer_minor_versions_are_passed_over() {
    let mut out = Vec::new();
    let start = begin(&mut out, 77, 0xff, 3);
    out.extend_from_slice(b"new");
    finish(&mut out, start);
    encode(&data(b"hello"), &mut out);
    let (event, consumed) = decode(&out).unwrap().unwrap();
    assert_eq!((event, consumed), (data(b"hello"), out.len()));
}

#[test]
fn json_that_is_not_understood_is_damage_of_that_record_alone() {
    let mut out = Vec::new();
    encode_json(kind::CLOSED, ConnectionId(1), &"not an object", &[], &mut out);
    assert!(matches!(decode(&out), Err(Damage::Shape { kind: kind::CLOSED, .. })));
    assert_eq!(frame(&out).unwrap().unwrap().len, out.len());
}

#[test]
fn headers_round_trip_and_show_damage() {
    let header = Header { version: Version::CURRENT, capture: u128::MAX / 3, number: 9, previous: [7; 32] };
    let bytes = header.encode();
    assert_eq!(bytes.len(), HEADER_LEN);
    assert_eq!(Header::decode(&bytes), Ok(Some((header.clone(), HEADER_LEN as u64))));
    for len in 0..bytes.len() {
        assert_eq!(Header::decode(&bytes[..len]), Ok(None), "{len}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        match Header::decode(&damaged) {
            Err(_) => {}
            // A length that is longer by 16 bytes than what is there.
            Ok(found) => assert_eq!((found, at), (None, 12)),
        }
    }
    let newer = Header { version: Version { major: 2, minor: 7 }, ..header };
    let (found, _) = Header::decode(&newer.encode()).unwrap().unwrap();
    assert_eq!((found.version, found.version.is_readable()), (newer.version, false));
}

#[test]
fn a_chunk_costs_forty_bytes() {
    let mut out = Vec::new();
    encode(&data(&[]), &mut out);
    assert_eq!(out.len(), 40);
}
