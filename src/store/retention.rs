//! The flight recorder's forgetting: whole oldest segments go, with their tables, when there are too many bytes or they
//! are too old.
//!
//! The caller first saves the inspector's state at the segment that becomes the oldest (`retained.json`, evidence like
//! the segments), then drops, then records the [`Dropped`] fact that [`drop_upto`] returns. Never goes: a segment that is
//! not sealed, or that the indexer has not finished, or the newest one.

use std::{collections::VecDeque, fs, io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::{Timestamp, trace::Dropped};

use super::{CaptureDir, Error, error::IoContext, files, tables};

/// What is kept consists of about so many segments at least …
const MIN_SEGMENTS: u64 = 8;
/// … but they do not get smaller than this for it.
const MIN_SEGMENT_BYTES: u64 = 64 << 10;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Segments and tables together; more than half of the space that is free at the start is never used.
    pub max_bytes: u64,
    /// Since a segment's last record.
    pub max_age: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_bytes: 20 << 30, max_age: None }
    }
}

impl Options {
    /// With `max_bytes` at most half of what is free on the capture's disk now.
    pub fn within_free_space(self, dir: &CaptureDir) -> Result<Self, Error> {
        let free = fs4::available_space(dir.path()).context("ask for the free space of", dir.path())?;
        Ok(Self { max_bytes: self.max_bytes.min(free / 2), ..self })
    }

    /// How large segments may be, where so many bytes are wished: what is kept is at least some segments, since whole
    /// ones go.
    pub fn fitting(&self, segment_bytes: u64) -> u64 {
        segment_bytes.min((self.max_bytes / MIN_SEGMENTS).max(MIN_SEGMENT_BYTES))
    }
}

/// The state from which derived data can be made again where the first segments are gone: `retained.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retained {
    /// The oldest segment that is kept; `state` is the one before its first record.
    pub segment: u64,
    /// How many exchanges were over before it, whose rows have gone; 0 where that was not counted.
    #[serde(default)]
    pub exchanges: u64,
    /// When its first record was near, on the capture's clock; 0 where that was not noted.
    #[serde(default)]
    pub begins_ns: Timestamp,
    /// The inspector's; this module does not look into it.
    pub state: serde_json::Value,
}

/// What the segments take on disk, each looked at once: a capture may have thousands.
#[derive(Debug, Default)]
pub struct Kept {
    /// Those that were finished, oldest first.
    finished: VecDeque<Size>,
    /// Of those.
    bytes: u64,
}

#[derive(Debug)]
struct Size {
    number: u64,
    /// With its tables.
    bytes: u64,
    /// When its last record was written, since 1970.
    modified: Option<Duration>,
}

impl Size {
    /// `None` where there is no such segment.
    fn of(dir: &CaptureDir, number: u64) -> Result<Option<Self>, Error> {
        let path = dir.segment_path(number);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.context("look at", &path)?,
        };
        let bytes = metadata.len() + tables::table_bytes(dir, number);
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Some(Self { number, bytes, modified }))
    }
}

impl Kept {
    /// The last segment that is to go, if any is. `finished` is the last one that is sealed and indexed; `now_unix_ns`
    /// is wall time. To be asked after each seal.
    ///
    /// # Errors
    /// Where a segment cannot be looked at.
    pub fn due(
        &mut self,
        dir: &CaptureDir,
        options: &Options,
        finished: u64,
        now_unix_ns: i64,
    ) -> Result<Option<u64>, Error> {
        let mut next = match self.finished.back() {
            Some(last) => last.number + 1,
            None => dir.segments()?.first().copied().unwrap_or(finished + 1),
        };
        // What is not finished may grow, and is looked at each time: one or two.
        let mut open = None;
        let mut total = self.bytes;
        while let Some(size) = Size::of(dir, next)? {
            total += size.bytes;
            if next <= finished {
                self.bytes += size.bytes;
                self.finished.push_back(size);
            } else {
                open = Some(next);
            }
            next += 1;
        }
        let now = Duration::from_nanos(now_unix_ns.try_into().unwrap_or(0));
        // The newest stays, whatever its size: a capture is never emptied.
        let newest = open.or_else(|| self.finished.back().map(|size| size.number));
        let mut upto = None;
        for Size { number, bytes, modified } in &self.finished {
            let age = modified.map(|modified| now.saturating_sub(modified));
            let too_old = options.max_age.zip(age).is_some_and(|(max, age)| age > max);
            if Some(*number) == newest || !(total > options.max_bytes || too_old) {
                break;
            }
            total -= bytes;
            upto = Some(*number);
        }
        Ok(upto)
    }

    /// The segments up to this one have gone.
    pub fn gone(&mut self, upto: u64) {
        while let Some(oldest) = self.finished.front().filter(|size| size.number <= upto) {
            self.bytes -= oldest.bytes;
            self.finished.pop_front();
        }
    }
}

/// Removes all segments up to this one, with their tables. Refused unless [`write_retained`] has saved the state at the
/// one after it. The caller records the fact.
pub fn drop_upto(dir: &CaptureDir, upto: u64, at: Timestamp) -> Result<Dropped, Error> {
    let found = read_retained(dir)?.map(|retained| retained.segment);
    if found != Some(upto + 1) {
        return Err(Error::NotRetained { path: retained_path(dir), upto, found });
    }
    let mut bytes = 0;
    // Oldest first, so that what remains has no hole wherever this ends.
    for number in dir.segments()?.into_iter().filter(|number| *number <= upto) {
        bytes += tables::remove_tables(dir, number)?;
        bytes += files::remove(&dir.segment_path(number))?;
    }
    files::sync_dir(&dir.segments_dir())?;
    Ok(Dropped { at, upto_segment: upto, bytes })
}

/// Reads `retained.json`; `None` where nothing was ever dropped.
pub fn read_retained(dir: &CaptureDir) -> Result<Option<Retained>, Error> {
    let path = retained_path(dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("read", &path),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Json { path, why: error.to_string() })
}

/// Replaces `retained.json`, atomically and durably.
pub fn write_retained(dir: &CaptureDir, retained: &Retained) -> Result<(), Error> {
    let path = retained_path(dir);
    let json =
        serde_json::to_vec(retained).map_err(|error| Error::Json { path: path.clone(), why: error.to_string() })?;
    files::write_atomically(&path, &json)
}

fn retained_path(dir: &CaptureDir) -> PathBuf {
    dir.path().join("retained.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{
        model::{
            WallAnchor,
            rows::{FlagRow, Position},
        },
        store::{CaptureMeta, Rows, SegmentReader},
    };

    /// Segments of 100, 200, … bytes; the first one has a table.
    fn capture(count: u64) -> (tempfile::TempDir, CaptureDir) {
        let captures = tempfile::tempdir().unwrap();
        let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
        let dir = CaptureDir::create(captures.path(), None, meta).unwrap();
        for number in 1..=count {
            fs::write(dir.segment_path(number), vec![0; 100 * number as usize]).unwrap();
        }
        let flag = FlagRow {
            rule: "r".into(),
            severity: "hint".into(),
            subject: "c1".into(),
            session: None,
            message: String::new(),
            evidence: Vec::new(),
            at_ns: Timestamp(0),
        };
        tables::write_tables(&dir, 1, &Rows { flags: vec![flag], ..Rows::default() }).unwrap();
        (captures, dir)
    }

    const LATE: i64 = i64::MAX;

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let (_captures, dir) = capture(4);
        let table = tables::table_bytes(&dir, 1);
        let due = |max_bytes, finished| {
            Kept::default().due(&dir, &Options { max_bytes, max_age: None }, finished, LATE).unwrap()
        };
        assert_eq!(due(1_000 + table, 3), None);
        assert_eq!(due(1_000, 3), Some(1), "the table counts");
        assert_eq!(due(899, 3), Some(2));
        assert_eq!(due(0, 3), Some(3), "the last one is not finished");
        assert_eq!(due(0, 1), Some(1));
        assert_eq!(due(0, 0), None);
    }

    #[test]
    fn the_newest_stays_and_segments_are_small_enough_for_some_to_stay() {
        let (_captures, dir) = capture(3);
        let options = Options { max_bytes: 0, max_age: Some(Duration::ZERO) };
        assert_eq!(Kept::default().due(&dir, &options, 3, LATE).unwrap(), Some(2), "or there would be nothing left");
        let fitting = |max_bytes: u64| Options { max_bytes, max_age: None }.fitting(16 << 20);
        assert_eq!(fitting(20 << 30), 16 << 20);
        assert_eq!(fitting(16 << 20), 2 << 20);
        assert_eq!(fitting(1), 64 << 10);
    }

    /// Each segment is looked at once: what is asked again and again knows as much as what asks for the first time.
    #[test]
    fn what_is_kept_in_mind_says_the_same_as_a_fresh_look() {
        let (_captures, dir) = capture(0);
        let options = Options { max_bytes: 900, max_age: None };
        let mut kept = Kept::default();
        let mut gone = Vec::new();
        for number in 1..=40_u64 {
            let bytes = 100 + usize::try_from(number * 37 % 200).unwrap();
            fs::write(dir.segment_path(number), vec![0; bytes]).unwrap();
            // The newest is still written: it has half its bytes when first asked about.
            let open = dir.segment_path(number + 1);
            fs::write(&open, vec![0; 50]).unwrap();
            let due = kept.due(&dir, &options, number, LATE).unwrap();
            assert_eq!(due, Kept::default().due(&dir, &options, number, LATE).unwrap(), "after {number}");
            if let Some(upto) = due {
                write_retained(&dir, &Retained { segment: upto + 1, ..Retained::default() }).unwrap();
                drop_upto(&dir, upto, Timestamp(0)).unwrap();
                kept.gone(upto);
                gone.push(upto);
            }
        }
        assert!(gone.len() > 20, "{gone:?}");
    }

    #[test]
    fn the_old_go() {
        let (_captures, dir) = capture(3);
        let now = fs::metadata(dir.segment_path(1)).unwrap().modified().unwrap();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let due = |later: u64| {
            let options = Options { max_age: Some(Duration::from_secs(60)), ..Options::default() };
            Kept::default().due(&dir, &options, 2, now + Duration::from_secs(later).as_nanos() as i64).unwrap()
        };
        assert_eq!(due(10), None);
        assert_eq!(due(70), Some(2));
    }

    #[test]
    fn nothing_goes_before_the_state_is_saved() {
        let (_captures, dir) = capture(4);
        let refused = drop_upto(&dir, 2, Timestamp(5)).unwrap_err();
        assert!(matches!(refused, Error::NotRetained { found: None, .. }), "{refused}");
        let state = serde_json::json!({"next": {"exchange": 17}});
        let retained = Retained { segment: 3, exchanges: 16, begins_ns: Timestamp(9), state };
        write_retained(&dir, &retained).unwrap();
        assert_eq!(read_retained(&dir).unwrap(), Some(retained));
        assert!(drop_upto(&dir, 3, Timestamp(5)).is_err(), "the state is that of another segment");
        assert_eq!(dir.segments().unwrap(), [1, 2, 3, 4]);

        let bytes = 300 + tables::table_bytes(&dir, 1);
        let dropped = drop_upto(&dir, 2, Timestamp(5)).unwrap();
        assert_eq!(dropped, Dropped { at: Timestamp(5), upto_segment: 2, bytes });
        assert_eq!(dir.segments().unwrap(), [3, 4]);
        assert_eq!(tables::table_bytes(&dir, 1), 0);
        assert_eq!(drop_upto(&dir, 2, Timestamp(6)).unwrap().bytes, 0, "again is harmless");
    }

    #[test]
    fn half_of_the_free_space_is_the_most() {
        let (_captures, dir) = capture(0);
        let options = Options { max_bytes: u64::MAX, max_age: None }.within_free_space(&dir).unwrap();
        assert!(options.max_bytes <= fs4::total_space(dir.path()).unwrap() / 2);
        let modest = Options { max_bytes: 1, max_age: None };
        assert_eq!(modest.within_free_space(&dir).unwrap(), modest);
        assert!(SegmentReader::open(&dir, Position::default()).unwrap().next().unwrap().is_none());
    }
}
