//! What a killed or damaged capture still holds, and `verify`. Reads only: what is torn or damaged is reported, never cut.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    CaptureDir, Error,
    ends::Ends,
    error::IoContext,
    format::{Damage, Hash, Seal},
    segment_reader::{OpenSegment, Step},
};

/// What a reader does at damage in the middle of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It gives an error with the place; the caller decides.
    #[default]
    Stop,
    /// It goes on at the next whole record and notes the range.
    Skip,
}

/// Bytes of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// Which segment.
    pub segment: u64,
    /// First byte in its file.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// What is wrong at its begin.
    pub damage: Damage,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every segment that is there, ascending.
    pub segments: Vec<SegmentReport>,
    /// Segments that should be there, but are not.
    pub missing: Vec<u64>,
    /// Up to which segment retention dropped all: they are not missing.
    pub dropped_upto: Option<u64>,
    /// The last segment of a capture that was stopped in order, if it lacks its seal: then it lacks its end.
    pub cut: Option<u64>,
}

/// What [`verify`] found in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// Its file's length.
    pub bytes: u64,
    /// Whole records, without the seal.
    pub records: u64,
    /// What it is sealed with; `None` for the last segment of a killed (or running) capture.
    pub seal: Option<Hash>,
    /// Whether the bytes have the hash of the seal, and as many records; `None` without a seal.
    pub hash_ok: Option<bool>,
    /// Whether its header bears the seal of the segment before; `None` where that is gone or bears none.
    pub chain_ok: Option<bool>,
    /// Whether its header names this capture and this segment.
    pub header_ok: bool,
    /// What cannot be read.
    pub damaged: Vec<DamagedRange>,
    /// Bytes behind the last whole record of the last segment: usual after a kill, harmless.
    pub torn_tail_bytes: u64,
}

impl Report {
    /// Whether all that was written and retained is there unchanged. A torn tail and a missing last seal are no damage
    /// where nobody stopped the recorder in order: they are what a killed one leaves.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.cut.is_none() && self.segments.iter().all(SegmentReport::is_whole)
    }

    /// The last seal: noted elsewhere, it proves all the capture's sealed segments.
    pub fn last_seal(&self) -> Option<Hash> {
        self.segments.iter().rev().find_map(|segment| segment.seal)
    }
}

impl SegmentReport {
    /// Whether nothing is wrong with it.
    pub fn is_whole(&self) -> bool {
        self.header_ok && self.hash_ok != Some(false) && self.chain_ok != Some(false) && self.damaged.is_empty()
    }
}

/// Reads every byte of a capture's segments and tells what is sealed, whole, damaged or torn. An error is given only
/// where a file cannot be read at all; damage is in the report.
pub fn verify(dir: &CaptureDir) -> Result<Report, Error> {
    let listed = dir.segments()?;
    let mut report = match (listed.first().copied(), listed.last().copied()) {
        (Some(first), Some(last)) => verify_range(dir, first, last)?,
        _ => Report::default(),
    };
    // Last of all: what retention took meanwhile is known by then.
    let Ends { dropped_upto, missing, cut } = Ends::of(dir)?;
    report.missing.extend(missing);
    report.missing.sort_unstable();
    report.missing.dedup();
    Ok(Report { dropped_upto, cut, ..report })
}

/// Not the listed ones: a folder that changes while it is listed may not show all.
fn verify_range(dir: &CaptureDir, first: u64, last: u64) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut previous = None;
    for number in first..=last {
        if !dir.segment_path(number).exists() {
            report.missing.push(number);
            previous = None;
            continue;
        }
        let segment = match verify_segment(dir, number, previous, number == last) {
            Ok(segment) => segment,
            // Retention of a running recorder was quicker.
            Err(_) if !dir.segment_path(number).exists() => {
                report.missing.push(number);
                previous = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        previous = segment.seal;
        report.segments.push(segment);
    }
    // What went from the front meanwhile was dropped, and is not missing.
    let oldest = dir.segments()?.first().copied().unwrap_or(last);
    report.missing.retain(|number| *number > oldest);
    Ok(report)
}

/// What a segment is sealed with, if it is.
pub fn seal_of(dir: &CaptureDir, number: u64) -> Result<Option<Seal>, Error> {
    let Some((mut segment, _)) = OpenSegment::open(dir, number, 0, OnDamage::Skip, &mut Vec::new())? else {
        return Ok(None);
    };
    loop {
        match segment.step() {
            Ok(Step::Record(..)) => {}
            Ok(Step::End) => return Ok(segment.seal()),
            Err(Error::Damaged { .. }) => {
                segment.resync(false)?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn verify_segment(
    dir: &CaptureDir,
    number: u64,
    previous: Option<Hash>,
    is_last: bool,
) -> Result<SegmentReport, Error> {
    let path = dir.segment_path(number);
    let mut report = SegmentReport {
        number,
        bytes: path.metadata().context("look at", &path)?.len(),
        records: 0,
        seal: None,
        hash_ok: None,
        chain_ok: None,
        header_ok: true,
        damaged: Vec::new(),
        torn_tail_bytes: 0,
    };
    let Some((mut segment, damaged)) = OpenSegment::open(dir, number, 0, OnDamage::Skip, &mut Vec::new())? else {
        // Retention took it in between.
        return Ok(report);
    };
    report.damaged.extend(damaged);
    let header = segment.header();
    report.header_ok = header.is_some_and(|header| header.number == number && header.capture == dir.meta().id.0);
    report.chain_ok = previous.zip(header).map(|(previous, header)| previous == header.previous);
    let mut seal_at = 0;
    loop {
        match segment.step() {
            Ok(Step::Record(at, frame)) if frame.is_seal() => seal_at = at,
            Ok(Step::Record(at, frame)) => {
                report.records += 1;
                if let Err(damage) = super::format::parse(frame, segment.record(at, frame)) {
                    let end = at + frame.len as u64;
                    report.damaged.push(DamagedRange { segment: number, start: at, end, damage });
                }
            }
            Ok(Step::End) => break,
            Err(Error::Damaged { .. }) => report.damaged.extend(segment.resync(is_last)?),
            Err(error) => return Err(error),
        }
    }
    let behind = segment.file_len()?.saturating_sub(segment.offset());
    match segment.seal() {
        Some(seal) => {
            report.seal = Some(seal.hash);
            let whole = hash_upto(&path, seal_at)? == seal.hash && seal.records == report.records;
            report.hash_ok = Some(whole);
            if behind > 0 {
                let (start, end) = (segment.offset(), segment.offset() + behind);
                report.damaged.push(DamagedRange { segment: number, start, end, damage: Damage::AfterSeal });
            }
        }
        None if is_last => report.torn_tail_bytes = behind,
        None => report.damaged.extend(segment.resync(false)?),
    }
    Ok(report)
}

fn hash_upto(path: &Path, end: u64) -> Result<Hash, Error> {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).context("open", path)?;
    let mut rest = file.take(end);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(*hasher.finalize().as_bytes()),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read", path),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{
        model::WallAnchor,
        store::{CaptureMeta, SegmentWriter, segment_writer::Options},
    };

    #[test]
    fn what_retention_takes_while_it_is_verified_is_not_missing() {
        let captures = tempfile::tempdir().unwrap();
        let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
        let dir = CaptureDir::create(captures.path(), None, meta).unwrap();
        for _ in 1..=5 {
            SegmentWriter::create(&dir, &Options::default()).unwrap().seal().unwrap();
        }
        for dropped in [1, 2, 4] {
            std::fs::remove_file(dir.segment_path(dropped)).unwrap();
        }
        // The folder was listed before the first ones went.
        let report = verify_range(&dir, 1, 5).unwrap();
        assert_eq!(report.missing, [4], "a hole is one, the beginning is none");
        assert_eq!(report.segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [3, 5]);
    }
}
