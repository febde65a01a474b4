//! Tests of the catalogue.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::{
    model::{ExchangeId, FrameId, WallAnchor},
    store::{CaptureMeta, Rows},
};

fn dir() -> (tempfile::TempDir, CaptureDir) {
    let captures = tempfile::tempdir().unwrap();
    let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
    let dir = CaptureDir::create(captures.path(), None, meta).unwrap();
    (captures, dir)
}

fn connection(id: u64) -> ConnectionRow {
    let position = |offset| Position { segment: id / 10 + 1, offset };
    let extent = Extent { first: position(id * 100), last: position(id * 100 + 50) };
    ConnectionRow { id: ConnectionId(id), extent, ..ConnectionRow::blank() }
}

fn rows(ids: &[u64]) -> Rows {
    Rows {
        connections: ids.iter().map(|id| connection(*id)).collect(),
        exchanges: ids.iter().map(|id| ExchangeRow { id: ExchangeId(*id + 1), ..ExchangeRow::blank() }).collect(),
        frames: vec![FrameRow { id: FrameId(9), ..FrameRow::blank() }],
        ..Rows::default()
    }
}

fn fill(catalogue: &Catalogue) -> Vec<SegmentEntry> {
    let mut entries = Vec::new();
    for (segment, ids) in [(1, [1, 5, 3]), (2, [2, 4, 11])] {
        let rows = PackedRows::from(&rows(&ids));
        let entry = SegmentEntry::of(segment, 100, Some(Timestamp(1)), Some(Timestamp(2)), &rows);
        catalogue.put_segment(&entry, &rows.extents).unwrap();
        entries.push(entry);
    }
    entries
}

fn totals() -> Totals {
    let flags = BTreeMap::from([("metadata-before-open".to_owned(), 3)]);
    Totals { connections: 6, exchanges: 6, refused: 2, flags, stalled_ns: 5, ..Totals::default() }
}

#[test]
fn what_was_put_is_there_after_closing() {
    let (_captures, dir) = dir();
    assert_eq!(Catalogue::open(&dir).unwrap_err(), Ignored::Absent);
    let catalogue = Catalogue::rebuild(&dir).unwrap();
    let entries = fill(&catalogue);
    catalogue.put_totals(&totals()).unwrap();
    assert_eq!(entries[1].connections, Ids { low: 2, high: 11, count: 3 });
    catalogue.close().unwrap();

    for _ in 0..3 {
        let catalogue = Catalogue::open(&dir).unwrap();
        assert_eq!(catalogue.segments().unwrap(), entries);
        assert_eq!(catalogue.totals().unwrap(), Some(totals()));
        for id in [1, 2, 3, 4, 5, 11] {
            assert_eq!(catalogue.extent(ConnectionId(id)).unwrap(), Some(connection(id).extent), "{id}");
        }
        assert_eq!(catalogue.extent(ConnectionId(6)).unwrap(), None);
        catalogue.close().unwrap();
    }

    let catalogue = Catalogue::rebuild(&dir).unwrap();
    assert_eq!((catalogue.segments().unwrap(), catalogue.totals().unwrap()), (Vec::new(), None));
}

#[test]
fn dropped_segments_are_forgotten() {
    let (_captures, dir) = dir();
    let catalogue = Catalogue::rebuild(&dir).unwrap();
    let entries = fill(&catalogue);
    catalogue.forget_upto(1).unwrap();
    assert_eq!(catalogue.segments().unwrap(), entries[1..]);
    assert_eq!(catalogue.extent(ConnectionId(5)).unwrap(), None);
}

#[test]
fn one_that_is_open_not_closed_damaged_or_foreign_is_ignored() {
    let (_captures, dir) = dir();
    let catalogue = Catalogue::rebuild(&dir).unwrap();
    fill(&catalogue);
    assert_eq!(Catalogue::open(&dir).unwrap_err(), Ignored::NotClosed, "it is in use");
    drop(catalogue);
    assert_eq!(Catalogue::open(&dir).unwrap_err(), Ignored::NotClosed, "its recorder was killed");
    let catalogue = Catalogue::rebuild(&dir).unwrap();
    fill(&catalogue);
    catalogue.close().unwrap();

    let opened = Catalogue::open(&dir).unwrap();
    // Opening may change sled's files; whatever a second reader meets then, it goes on without.
    let second = Catalogue::open(&dir).map(|_| ()).unwrap_err();
    assert!(matches!(second, Ignored::Locked | Ignored::NotClosed), "{second}");
    opened.close().unwrap();

    let database = dir.catalogue_dir().join("db");
    let bytes = fs::read(&database).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        fs::write(&database, &damaged).unwrap();
        assert_eq!(Catalogue::open(&dir).unwrap_err(), Ignored::NotClosed, "{at}");
    }
    fs::write(&database, &bytes).unwrap();
    Catalogue::open(&dir).unwrap().close().unwrap();

    let (_others, other) = self::dir();
    fs::rename(dir.catalogue_dir(), other.catalogue_dir()).unwrap();
    fs::rename(sum_path(&dir.catalogue_dir()), sum_path(&other.catalogue_dir())).unwrap();
    assert_eq!(Catalogue::open(&other).unwrap_err(), Ignored::Foreign);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_captures, dir) = dir();
    let catalogue = Catalogue::rebuild(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.catalogue_dir()), 0o700);
    assert_eq!(mode(&dir.catalogue_dir().join("db")), 0o600, "while it is open, and if it is never closed");
    catalogue.close().unwrap();
    assert_eq!(mode(&dir.catalogue_dir().join("db")), 0o600);
    assert_eq!(mode(&sum_path(&dir.catalogue_dir())), 0o600);
}

#[test]
fn the_tables_give_the_same_directory() {
    let (_captures, dir) = dir();
    for (segment, ids) in [(1, [1, 5, 3]), (2, [2, 4, 11])] {
        fs::write(dir.segment_path(segment), [0; 100]).unwrap();
        tables::write_tables(&dir, segment, &rows(&ids)).unwrap();
    }
    let without_stamps: Vec<_> = [(1, [1, 5, 3]), (2, [2, 4, 11])]
        .iter()
        .map(|(segment, ids)| SegmentEntry::of(*segment, 100, None, None, &PackedRows::from(&rows(ids))))
        .collect();
    assert_eq!(from_tables(&dir).unwrap(), without_stamps);
}
