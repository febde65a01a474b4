//! Whether the segments that are there are all that a capture should have: told by their names and by what `capture.json`
//! and `retained.json` say, without reading them.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use super::{CaptureDir, Error, State, error::IoContext, format, retention};

/// So many missing segments are listed at most: numbers come from the names of files.
const MOST: usize = 1_000;

/// What lacks at the begin, between, and at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Up to which segment retention dropped all: they are not missing.
    pub dropped_upto: Option<u64>,
    /// Segments that should be there, but are not; no more than a thousand.
    pub missing: Vec<u64>,
    /// The last segment of a capture that was stopped in order, if it does not end with a seal.
    pub cut: Option<u64>,
}

impl Ends {
    /// Looks at a capture's folder. One that is being recorded, or whose recorder was killed, may end anywhere.
    ///
    /// # Errors
    /// Where the folder, `retained.json` or the last segment cannot be read.
    pub fn of(dir: &CaptureDir) -> Result<Self, Error> {
        let listed = dir.segments()?;
        let is_clean = dir.meta().state == State::Clean;
        let kept_from = retention::read_retained(dir)?.map_or(1, |retained| retained.segment);
        // A crash between saving the state and dropping leaves both.
        let first = listed.first().map_or(kept_from, |first| kept_from.min(*first));
        let there = listed.last().copied();
        let said = dir.meta().last_segment.or_else(|| is_clean.then_some(first));
        let last = there.max(said).unwrap_or(0);
        let missing: Vec<u64> =
            (first..=last).filter(|number| listed.binary_search(number).is_err()).take(MOST).collect();
        let last_there = there.filter(|there| is_clean && *there == last);
        let cut = match last_there {
            Some(number) if !ends_sealed(dir, number)? => Some(number),
            _ => None,
        };
        Ok(Self { dropped_upto: (first > 1).then(|| first - 1), missing, cut })
    }

    /// Whether nothing lacks.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.cut.is_none()
    }

    /// What lacks, a line each.
    pub fn troubles(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|number| format!("segment {number:06} is missing"));
        missing.chain(self.cut.map(cut_words)).collect()
    }
}

/// That a segment lacks its end.
pub fn cut_words(number: u64) -> String {
    format!("segment {number:06}: its end is missing: the capture was stopped in order, but it bears no seal")
}

/// Whether a segment's file ends with a whole seal.
fn ends_sealed(dir: &CaptureDir, number: u64) -> Result<bool, Error> {
    let path = dir.segment_path(number);
    let mut seal = Vec::new();
    format::encode_seal(&format::Seal { hash: [0; 32], records: 0 }, &mut seal);
    let length = seal.len() as u64;
    let mut file = File::open(&path).context("open", &path)?;
    let at = file.metadata().context("look at", &path)?.len().saturating_sub(length);
    file.seek(SeekFrom::Start(at)).context("read", &path)?;
    seal.clear();
    file.take(length).read_to_end(&mut seal).context("read", &path)?;
    let sealed = format::frame(&seal).ok().flatten().filter(|frame| frame.is_seal() && frame.len == seal.len());
    Ok(sealed.is_some_and(|frame| format::parse(frame, &seal).is_ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;
    use crate::{
        model::WallAnchor,
        store::{CaptureMeta, SegmentWriter, recovery, retention::Retained, segment_writer::Options},
    };

    /// Five sealed segments of a capture that was stopped in order.
    fn capture() -> (tempfile::TempDir, CaptureDir) {
        let captures = tempfile::tempdir().unwrap();
        let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
        let mut dir = CaptureDir::create(captures.path(), None, meta).unwrap();
        for _ in 1..=5 {
            SegmentWriter::create(&dir, &Options::default()).unwrap().seal().unwrap();
        }
        dir.set_state(State::Clean).unwrap();
        (captures, dir)
    }

    fn remove(dir: &CaptureDir, number: u64) {
        fs::remove_file(dir.segment_path(number)).unwrap();
    }

    #[test]
    fn what_is_there_is_whole() {
        let (_captures, dir) = capture();
        assert_eq!(dir.meta().last_segment, Some(5));
        assert_eq!(Ends::of(&dir).unwrap(), Ends::default());
        assert!(recovery::verify(&dir).unwrap().is_whole());
    }

    #[test]
    fn a_capture_that_was_stopped_in_order_lacks_what_is_not_there() {
        for gone in [&[5][..], &[4, 5], &[1], &[1, 2], &[3], &[1, 2, 3, 4, 5]] {
            let (_captures, dir) = capture();
            gone.iter().for_each(|number| remove(&dir, *number));
            let report = recovery::verify(&dir).unwrap();
            assert_eq!((&*report.missing, report.is_whole(), report.cut), (gone, false, None));
            assert_eq!(Ends::of(&dir).unwrap().troubles().len(), gone.len());
        }
    }

    #[test]
    fn a_last_segment_without_its_end_is_told_from_what_a_kill_leaves() {
        let (_captures, mut dir) = capture();
        let path = dir.segment_path(5);
        let bytes = fs::read(&path).unwrap();
        for length in [bytes.len() - 1, bytes.len() - 52, bytes.len() / 2, 0] {
            fs::write(&path, &bytes[..length]).unwrap();
            let report = recovery::verify(&dir).unwrap();
            assert_eq!((report.cut, report.is_whole()), (Some(5), false), "{length}");
        }
        // An older version noted no last segment; that it was stopped in order it did.
        dir.set_state(State::Incomplete { from_ns: None, why: "killed".into() }).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let report = recovery::verify(&dir).unwrap();
        assert_eq!((report.cut, report.is_whole()), (None, true));
    }

    #[test]
    fn what_retention_dropped_is_not_missing() {
        let (_captures, dir) = capture();
        retention::write_retained(&dir, &Retained { segment: 3, ..Retained::default() }).unwrap();
        assert_eq!(Ends::of(&dir).unwrap(), Ends::default(), "the state is saved, nothing dropped yet");
        [1, 2].iter().for_each(|number| remove(&dir, *number));
        assert_eq!(Ends::of(&dir).unwrap(), Ends { dropped_upto: Some(2), ..Ends::default() });
        assert!(recovery::verify(&dir).unwrap().is_whole());
        remove(&dir, 3);
        assert_eq!(recovery::verify(&dir).unwrap().missing, [3], "more is gone than was dropped");
    }

    #[test]
    fn a_number_from_a_files_name_costs_no_more_than_it_may() {
        let (_captures, dir) = capture();
        fs::write(dir.segment_path(u64::MAX / 2), b"").unwrap();
        assert_eq!(Ends::of(&dir).unwrap().missing.len(), MOST);
    }
}
