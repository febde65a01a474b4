//! Tests of reading segments: while they grow, across them, damaged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::single_range_in_vec_init, reason = "what is missing is a list of ranges, here of one")]

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        ConnectionId, Side, Timestamp, WallAnchor,
        rows::Extent,
        trace::{Chunk, Ended, Ending, Fact},
    },
    store::{
        CaptureMeta, SegmentWriter, files,
        ranges::{Found, read_range},
        recovery::{self, verify},
        segment_writer::Options,
    },
};

fn dir() -> (tempfile::TempDir, CaptureDir) {
    let captures = tempfile::tempdir().unwrap();
    let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
    let dir = CaptureDir::create(captures.path(), None, meta).unwrap();
    (captures, dir)
}

fn small(segment_bytes: u64) -> Options {
    Options { segment_bytes, ..Options::default() }
}

fn data(connection: u64, from: Side, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let chunk = Chunk { from, offset, arrived: None, read: Timestamp(offset), bytes };
    let mut out = Vec::new();
    format::encode(&TraceEvent { connection: ConnectionId(connection), fact: Fact::Data(chunk) }, &mut out);
    out
}

/// The nth of a row of records of growing size; offsets number them.
fn numbered(n: u64) -> Vec<u8> {
    data(1, Side::Client, n, &vec![n as u8; n as usize % 40])
}

/// The numbers of the records that the reader finds up to the present end.
fn numbers(reader: &mut SegmentReader) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some((_, event)) = reader.next().unwrap() {
        let Fact::Data(chunk) = event.fact else { panic!("only data was written") };
        assert_eq!(chunk.bytes, vec![chunk.offset as u8; chunk.offset as usize % 40]);
        numbers.push(chunk.offset);
    }
    numbers
}

fn from_begin(dir: &CaptureDir) -> SegmentReader {
    SegmentReader::open(dir, Position::default()).unwrap()
}

#[test]
fn a_reader_follows_a_growing_capture_through_its_segments() {
    let (_captures, dir) = dir();
    let mut reader = from_begin(&dir);
    assert_eq!(numbers(&mut reader), [] as [u64; 0], "nothing was begun yet");
    let mut writer = SegmentWriter::create(&dir, &small(300)).unwrap();
    let mut late = SegmentReader::open(&dir, Position { segment: 3, offset: 0 }).unwrap();
    for n in 0..100 {
        let batch = [numbered(2 * n), numbered(2 * n + 1)].concat();
        writer.append(&batch).unwrap();
        assert_eq!(numbers(&mut reader), [2 * n, 2 * n + 1]);
        assert_eq!(reader.position(), writer.position(), "they stand at the same place");
        assert_eq!(reader.tail().unwrap(), 0);
    }
    let segments = dir.segments().unwrap();
    assert!(segments.len() > 10);
    assert_eq!(segments, (1..=segments.len() as u64).collect::<Vec<_>>());
    assert_eq!(reader.sealed_upto(), segments.len() as u64 - 1);
    for number in &segments[..segments.len() - 1] {
        let bytes = fs::metadata(dir.segment_path(*number)).unwrap().len();
        assert!(bytes <= 300 + 12 + 40, "segment {number} of {bytes} bytes");
    }
    let first = numbers(&mut late)[0];
    assert!(first > 0, "the late one began later");
    writer.seal().unwrap();
    assert_eq!(numbers(&mut reader), [] as [u64; 0]);
    assert_eq!(reader.sealed_upto(), segments.len() as u64);
    assert!(verify(&dir).unwrap().is_whole());
}

#[test]
fn every_position_that_was_given_can_be_gone_to() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(400)).unwrap();
    (0..60).for_each(|n| writer.append(&numbered(n)).unwrap());
    let mut reader = from_begin(&dir);
    let mut positions = Vec::new();
    while let Some((position, _)) = reader.next().unwrap() {
        positions.push(position);
    }
    for (n, position) in positions.into_iter().enumerate() {
        let mut reader = SegmentReader::open(&dir, position).unwrap();
        assert_eq!(numbers(&mut reader), (n as u64..60).collect::<Vec<_>>());
    }
}

#[test]
fn a_capture_cut_anywhere_yields_the_whole_records_before() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    let mut ends = vec![writer.position().offset];
    for n in 0..12 {
        writer.append(&numbered(n)).unwrap();
        ends.push(writer.position().offset);
    }
    drop(writer);
    let path = dir.segment_path(1);
    let bytes = fs::read(&path).unwrap();
    for len in format::HEADER_LEN..=bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let whole = ends.iter().rposition(|end| *end <= len as u64).unwrap();
        let mut reader = from_begin(&dir);
        assert_eq!(numbers(&mut reader), (0..whole as u64).collect::<Vec<_>>(), "cut at {len}");
        assert_eq!(reader.tail().unwrap(), len as u64 - ends[whole]);
        let report = verify(&dir).unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.segments[0].torn_tail_bytes, len as u64 - ends[whole]);
        // The rest comes; the reader that stood at the torn tail goes on.
        fs::write(&path, &bytes).unwrap();
        assert_eq!(numbers(&mut reader), (whole as u64..12).collect::<Vec<_>>());
    }
    for len in 0..format::HEADER_LEN {
        fs::write(&path, &bytes[..len]).unwrap();
        let refused = SegmentReader::open(&dir, Position::default()).unwrap_err();
        assert!(refused.is_damage(), "{refused}");
        assert!(!verify(&dir).unwrap().is_whole());
    }
}

#[test]
fn any_damaged_byte_is_found_and_the_records_behind_it_are_read() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    let mut starts = Vec::new();
    for n in 0..8 {
        starts.push(writer.position().offset);
        writer.append(&numbered(n)).unwrap();
    }
    writer.seal().unwrap();
    let path = dir.segment_path(1);
    let bytes = fs::read(&path).unwrap();
    for at in starts[0]..starts[7] {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= change;
            fs::write(&path, &damaged).unwrap();
            let hit = starts.iter().rposition(|start| *start <= at).unwrap();
            let others: Vec<u64> = (0..8).filter(|n| *n != hit as u64).collect();

            let mut reader = from_begin(&dir);
            let mut found = Vec::new();
            let mut errors = 0;
            loop {
                match reader.next() {
                    Ok(Some((_, TraceEvent { fact: Fact::Data(chunk), .. }))) => found.push(chunk.offset),
                    Ok(Some(other)) => panic!("{other:?}"),
                    Ok(None) => break,
                    Err(error) => {
                        assert!(error.is_damage(), "{error}");
                        assert!(reader.next().is_err(), "it says so until it is told to go on");
                        errors += 1;
                        let range = reader.resync().unwrap().unwrap();
                        assert_eq!((range.start, range.end), (starts[hit], starts[hit + 1]));
                    }
                }
            }
            assert_eq!((found, errors), (others.clone(), 1), "byte {at} changed by {change:#x}");

            let mut reader = SegmentReader::open_with(&dir, Position::default(), OnDamage::Skip).unwrap();
            assert_eq!(numbers(&mut reader), others);
            assert_eq!(reader.take_damage().len(), 1);
            assert_eq!(reader.sealed_upto(), 1);

            let report = verify(&dir).unwrap();
            assert_eq!(report.segments[0].damaged.len(), 1);
            assert_eq!(report.segments[0].hash_ok, Some(false));
        }
    }
}

#[test]
fn a_whole_but_changed_record_fails_the_seal() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(250)).unwrap();
    (0..20).for_each(|n| writer.append(&numbered(n)).unwrap());
    writer.seal().unwrap();
    let path = dir.segment_path(2);
    let bytes = fs::read(&path).unwrap();
    // Somebody who knows the format exchanges the first record for another one of the same length.
    let len = format::frame(&bytes[format::HEADER_LEN..]).unwrap().unwrap().len;
    let forged = data(2, Side::Server, 9, &vec![0; len - 36]);
    assert_eq!(forged.len(), len);
    let mut changed = bytes.clone();
    changed[format::HEADER_LEN..format::HEADER_LEN + len].copy_from_slice(&forged);
    fs::write(&path, &changed).unwrap();
    let report = verify(&dir).unwrap();
    assert_eq!(report.segments.iter().filter(|segment| segment.hash_ok == Some(false)).count(), 1);
    assert!(!report.is_whole());

    // Where they make the seal anew as well, the chain breaks.
    let seal_len = 12 + 40;
    let body = &changed[..changed.len() - seal_len];
    let records = report.segments[1].records;
    let mut resealed = body.to_vec();
    format::encode_seal(&Seal { hash: *blake3::hash(body).as_bytes(), records }, &mut resealed);
    fs::write(&path, &resealed).unwrap();
    let report = verify(&dir).unwrap();
    assert_eq!(report.segments[1].hash_ok, Some(true));
    assert_eq!(report.segments[2].chain_ok, Some(false));

    fs::write(&path, &bytes).unwrap();
    assert!(verify(&dir).unwrap().is_whole());
    fs::remove_file(&path).unwrap();
    assert_eq!(verify(&dir).unwrap().missing, [2]);
}

#[test]
fn garbage_at_the_end_is_a_torn_tail_however_often() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    (0..9).for_each(|n| writer.append(&numbered(n)).unwrap());
    drop(writer);
    let mut bytes = fs::read(dir.segment_path(1)).unwrap();
    let whole = bytes.len() as u64;
    for round in 0..10_u8 {
        bytes.extend((0..97).map(|n: u8| n.wrapping_mul(31) ^ round));
        fs::write(dir.segment_path(1), &bytes).unwrap();
        let mut reader = from_begin(&dir);
        for _ in 0..2 {
            assert!(numbers(&mut reader).len() == 9 || reader.position().offset == whole);
            assert_eq!(reader.tail().unwrap(), bytes.len() as u64 - whole);
        }
        assert!(verify(&dir).unwrap().is_whole(), "nothing that was acknowledged is missing");
    }
}

#[test]
fn a_segment_that_lost_its_end_is_damage_once_another_follows() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(300)).unwrap();
    (0..20).for_each(|n| writer.append(&numbered(n)).unwrap());
    let all = numbers(&mut from_begin(&dir));
    assert_eq!(all.len(), 20);
    // The seal and the last seven bytes of the last record go.
    let path = dir.segment_path(1);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 52 - 7]).unwrap();
    let mut reader = from_begin(&dir);
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was passed over"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Damaged { damage: Damage::CutShort, .. }), "{error}");
    assert!(reader.resync().unwrap().is_some());
    let rest = numbers(&mut reader);
    let mut skipping = SegmentReader::open_with(&dir, Position::default(), OnDamage::Skip).unwrap();
    let read = numbers(&mut skipping);
    assert_eq!(read.len(), 19);
    assert_eq!(read[read.len() - rest.len()..], rest);
    assert_eq!(skipping.take_damage().len(), 1);
    assert!(!verify(&dir).unwrap().is_whole());

    // Without any trace of a cut: it ends with a whole record, but bears no seal.
    fs::write(&path, &bytes[..bytes.len() - 52]).unwrap();
    assert_eq!(numbers(&mut from_begin(&dir)), all, "nothing is missing");
}

#[test]
fn a_writer_takes_back_what_a_reader_may_have_seen_of_a_failed_write() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    writer.append(&numbered(0)).unwrap();
    let path = dir.segment_path(1);
    let good = fs::read(&path).unwrap();
    let mut reader = from_begin(&dir);
    assert_eq!(numbers(&mut reader), [0]);
    let torn = [&good[..], &numbered(39)[..30]].concat();
    fs::write(&path, &torn).unwrap();
    assert_eq!(numbers(&mut reader), [] as [u64; 0]);
    assert_eq!(reader.tail().unwrap(), 30);
    fs::write(&path, &good).unwrap();
    let mut writer = files::private_file().append(true).open(&path).unwrap();
    // Shorter than what the other one claimed to be.
    io::Write::write_all(&mut writer, &numbered(1)).unwrap();
    assert_eq!(numbers(&mut reader), [1]);
    io::Write::write_all(&mut writer, &numbered(38)).unwrap();
    assert_eq!(numbers(&mut reader), [38]);
}

#[test]
fn memory_is_bounded_and_given_back_after_a_big_record() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &Options::default()).unwrap();
    writer.append(&data(1, Side::Client, 0, &vec![7; 3 << 20])).unwrap();
    for n in 0..30_000 {
        writer.append(&numbered(n)).unwrap();
    }
    let mut reader = from_begin(&dir);
    let (_, event) = reader.next().unwrap().unwrap();
    assert!(matches!(event.fact, Fact::Data(chunk) if chunk.bytes == vec![7; 3 << 20]));
    assert_eq!(numbers(&mut reader).len(), 30_000);
    assert!(reader.segment.as_ref().unwrap().blocks.capacity() <= 600 << 10);
}

#[test]
fn records_behind_a_damaged_header_are_read() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(300)).unwrap();
    (0..20).for_each(|n| writer.append(&numbered(n)).unwrap());
    let path = dir.segment_path(2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut skipping = SegmentReader::open_with(&dir, Position::default(), OnDamage::Skip).unwrap();
    assert_eq!(numbers(&mut skipping), (0..20).collect::<Vec<_>>());
    assert_eq!(skipping.take_damage().len(), 1);
    let mut stopping = from_begin(&dir);
    let mut read = 0;
    loop {
        match stopping.next() {
            Ok(Some(_)) => read += 1,
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_damage());
                assert_eq!(stopping.resync().unwrap().unwrap().start, 0);
            }
        }
    }
    assert_eq!(read, 20);
    assert!(!verify(&dir).unwrap().segments[1].header_ok);
}

#[test]
fn newer_versions_and_foreign_files_are_refused() {
    let (_captures, dir) = dir();
    SegmentWriter::create(&dir, &Options::default()).unwrap();
    let path = dir.segment_path(1);
    let version = format::Version { major: 2, minor: 0 };
    fs::write(&path, Header { version, capture: 1, number: 1, previous: [0; 32] }.encode()).unwrap();
    let refused = SegmentReader::open(&dir, Position::default()).unwrap_err();
    assert!(matches!(refused, Error::TooNew { .. }), "{refused}");
    fs::write(&path, [b"PK\x03\x04".as_slice(), &[0; 200]].concat()).unwrap();
    let refused = SegmentReader::open(&dir, Position::default()).unwrap_err();
    assert!(matches!(refused, Error::Damaged { damage: Damage::Magic, .. }), "{refused}");
}

#[test]
fn segments_that_retention_took_are_passed_over() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(300)).unwrap();
    (0..40).for_each(|n| writer.append(&numbered(n)).unwrap());
    let mut reader = from_begin(&dir);
    assert!(reader.next().unwrap().is_some());
    for number in 1..=3 {
        fs::remove_file(dir.segment_path(number)).unwrap();
    }
    // It reads the one that it has open to its end, and goes on at the first that is there.
    let mut read = Vec::new();
    while let Some((position, event)) = reader.next().unwrap() {
        assert!(position.segment == 1 || position.segment >= 4);
        let Fact::Data(chunk) = event.fact else { panic!("only data was written") };
        read.push(chunk.offset);
    }
    assert_eq!(read.last(), Some(&39));
    let fresh = numbers(&mut from_begin(&dir));
    assert_eq!(fresh.last(), Some(&39));
    assert!(fresh[0] > 0);
}

#[test]
fn ranges_are_found_in_pieces_and_what_is_missing_is_told() {
    let (_captures, dir) = dir();
    let mut writer = SegmentWriter::create(&dir, &small(200)).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    for start in (0..256).step_by(10) {
        let end = (start + 10).min(256);
        // Bytes 100 to 110 were never recorded.
        if start != 100 {
            writer.append(&data(1, Side::Client, start as u64, &bytes[start..end])).unwrap();
        }
        writer.append(&data(1, Side::Server, start as u64, &[0; 10])).unwrap();
        writer.append(&data(2, Side::Client, start as u64, &[1; 10])).unwrap();
    }
    let mut reader = from_begin(&dir);
    let mut extent = Extent::default();
    while let Some((position, _)) = reader.next().unwrap() {
        if extent.first == Position::default() {
            extent.first = position;
        }
        extent.last = position;
    }
    let read = |range: std::ops::Range<u64>, extent| read_range(&dir, ConnectionId(1), Side::Client, range, extent);
    assert_eq!(read(0..100, extent).unwrap(), (bytes[..100].to_vec(), Found { bytes: 100, missing: vec![] }));
    assert_eq!(read(37..38, extent).unwrap().0, bytes[37..38]);
    assert_eq!(read(95..115, extent).unwrap().1.missing, [100..110]);
    assert_eq!(read(95..115, extent).unwrap().0, [&bytes[95..100], &bytes[110..115]].concat());
    let (found, report) = read(250..300, extent).unwrap();
    assert_eq!((found.as_slice(), report.missing), (&bytes[250..], vec![256..300]));
    assert_eq!(read(5..5, extent).unwrap().0, b"");
    let short = Extent { first: extent.first, last: extent.first };
    assert_eq!(read(0..20, short).unwrap().1, Found { bytes: 10, missing: vec![10..20] });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn batches_rotation_and_kinds_never_change_what_is_read(
        batches in proptest::collection::vec(1..12_usize, 1..12),
        segment_bytes in 81..2_000_u64,
    ) {
        let (_captures, dir) = dir();
        let mut writer = SegmentWriter::create(&dir, &small(segment_bytes)).unwrap();
        let mut n = 0;
        for count in batches {
            let mut batch = Vec::new();
            for _ in 0..count {
                if n % 5 == 4 {
                    let ended = Ended { at: Timestamp(n), from: Side::Server, how: Ending::Fin };
                    format::encode(&TraceEvent { connection: ConnectionId(n), fact: Fact::Ended(ended) }, &mut batch);
                } else {
                    batch.extend(numbered(n));
                }
                n += 1;
            }
            writer.append(&batch).unwrap();
        }
        writer.seal().unwrap();
        let mut reader = from_begin(&dir);
        let mut read = 0;
        while let Some((_, event)) = reader.next().unwrap() {
            match event.fact {
                Fact::Data(chunk) => prop_assert_eq!(chunk.offset, read),
                Fact::Ended(ended) => prop_assert_eq!(ended.at.0, read),
                other => panic!("{other:?}"),
            }
            read += 1;
        }
        prop_assert_eq!(read, n);
        let report = verify(&dir).unwrap();
        prop_assert!(report.is_whole());
        prop_assert!(report.segments.iter().all(|segment| segment.hash_ok == Some(true)));
        prop_assert!(report.segments[1..].iter().all(|segment| segment.chain_ok == Some(true)));
        prop_assert_eq!(report.segments.iter().map(|segment| segment.records).sum::<u64>(), n);
        let last = report.segments.last().unwrap();
        prop_assert_eq!(recovery::seal_of(&dir, last.number).unwrap().map(|seal| seal.hash), report.last_seal());
    }

    #[test]
    fn damage_of_any_kind_is_survived(
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let (_captures, dir) = dir();
        let mut writer = SegmentWriter::create(&dir, &small(600)).unwrap();
        (0..40).for_each(|n| writer.append(&numbered(n)).unwrap());
        drop(writer);
        let path = dir.segment_path(2);
        let mut bytes = fs::read(&path).unwrap();
        for (at, change) in hits {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let mut reader = SegmentReader::open_with(&dir, Position::default(), OnDamage::Skip).unwrap();
        let mut read = Vec::new();
        while let Some((_, event)) = reader.next().unwrap() {
            if let Fact::Data(chunk) = event.fact {
                read.push(chunk.offset);
            }
        }
        prop_assert!(read.is_sorted());
        prop_assert_eq!(read.last(), Some(&39), "the segments behind it are read");
        let _ = verify(&dir).unwrap();
    }
}
