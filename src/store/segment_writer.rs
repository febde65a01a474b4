//! Appends records to segments: one `write` per batch, rotation between records, seals, and `fdatasync` when due.
//!
//! Never rewrites. After a failed write it takes away what that write left, so that the segment ends with a whole record;
//! the caller may try the same records again.

use std::{
    fs,
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use crate::model::{Timestamp, rows::Position};

use super::{
    CaptureDir,
    error::{Error, IoContext},
    files,
    format::{self, Damage, Hash, Header, Seal, Version},
};

/// A capture's first segment ends here at the latest: its tables are there soon, for who looks at a young capture, and
/// what ends a segment is done once while there is little to do.
const FIRST_BYTES: u64 = 1 << 20;

/// How segments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that reached this many bytes is sealed and the next one begun, the first one sooner. One record always
    /// fits.
    pub segment_bytes: u64,
    /// `fdatasync` at most this often, see [`SegmentWriter::sync_if_due`].
    pub sync_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, sync_every: Duration::from_secs(1) }
    }
}

impl Options {
    /// From how many bytes on that segment is sealed.
    fn limit(&self, number: u64) -> u64 {
        if number == 1 { self.segment_bytes.min(FIRST_BYTES) } else { self.segment_bytes }
    }
}

/// Writes a capture's segments. There is one per capture, in the process that holds its lock.
#[derive(Debug)]
pub struct SegmentWriter {
    dir: CaptureDir,
    options: Options,
    /// `None` between a seal and the next segment's first record, or after the next one could not be made.
    segment: Option<Segment>,
    /// The number that the next segment gets.
    next_number: u64,
    /// What the last sealed segment was sealed with.
    previous: Hash,
    /// Sealed, but not yet known to be on the disk.
    unsynced: Vec<(PathBuf, File)>,
    /// A segment's file is new, and its name perhaps not yet on the disk.
    folder_dirty: bool,
    last_sync: Timestamp,
    appended: u64,
}

/// What was written but may not be on the disk yet.
#[derive(Debug)]
#[must_use = "nothing is synced before `sync` is called"]
pub struct Unsynced {
    files: Vec<(PathBuf, File)>,
    folder: Option<PathBuf>,
}

impl Unsynced {
    /// Waits until it is on the disk.
    pub fn sync(self) -> Result<(), Error> {
        for (path, file) in &self.files {
            file.sync_data().context("sync", path)?;
        }
        self.folder.as_deref().map_or(Ok(()), files::sync_dir)
    }
}

/// The segment that is being written.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    /// Up to the end of the last whole record.
    bytes: u64,
    records: u64,
    /// Where the first record stands.
    header_len: u64,
    hasher: blake3::Hasher,
    /// A failed write may have left bytes behind `bytes`.
    torn: bool,
    dirty: bool,
}

impl SegmentWriter {
    /// Begins the first segment of a new capture, or the one after the last of a capture that has some (whose chain of
    /// hashes then begins anew where the last one bears no seal).
    pub fn create(dir: &CaptureDir, options: &Options) -> Result<Self, Error> {
        let last = dir.segments()?.last().copied();
        let previous = match last {
            Some(last) => super::recovery::seal_of(dir, last)?.map(|seal| seal.hash),
            None => None,
        };
        let mut writer = Self {
            dir: dir.clone(),
            options: *options,
            segment: None,
            next_number: last.unwrap_or(0) + 1,
            previous: previous.unwrap_or_default(),
            unsynced: Vec::new(),
            folder_dirty: false,
            last_sync: Timestamp(0),
            appended: 0,
        };
        writer.segment()?;
        Ok(writer)
    }

    /// Appends whole records, with one `write` per segment that they go to: one, but for rotation. After an error some
    /// of the records may have been taken; [`Self::appended`] tells how many bytes of them, and the rest can be tried
    /// again.
    pub fn append(&mut self, records: &[u8]) -> Result<(), Error> {
        let mut rest = records;
        while !rest.is_empty() {
            let options = self.options;
            let segment = self.segment()?;
            let room = options.limit(segment.number).saturating_sub(segment.bytes);
            let is_empty = segment.bytes == segment.header_len;
            let (fits, count) = match fitting(rest, room, is_empty) {
                Ok(fitting) => fitting,
                Err(damage) => return Err(Error::NotRecords { path: segment.path.clone(), damage }),
            };
            let (now, later) = rest.split_at_checked(fits).unwrap_or((rest, &[]));
            if count > 0 {
                segment.write(now, count)?;
                self.appended += now.len() as u64;
                rest = later;
            }
            if !rest.is_empty() {
                self.seal()?;
            }
        }
        if self.segment.as_ref().is_some_and(|segment| segment.bytes >= self.options.limit(segment.number)) {
            // The records are safe; if this fails, the next ones will say so.
            let _ = self.seal();
        }
        Ok(())
    }

    /// Whether what is being written can still be found where it was begun: bytes that are written into a file that was
    /// deleted are lost without an error.
    ///
    /// # Errors
    /// [`Error::Gone`] where it cannot.
    pub fn check_there(&self) -> Result<(), Error> {
        let Some(segment) = &self.segment else { return Ok(()) };
        match fs::metadata(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Gone { path: segment.path.clone() }),
            _ => Ok(()),
        }
    }

    /// How many bytes of records were appended since this writer was made, seals not counted.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// Seals the present segment; the next record begins another one. Nothing happens where none was begun.
    pub fn seal(&mut self) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let hash = *segment.hasher.finalize().as_bytes();
        let mut record = Vec::new();
        format::encode_seal(&Seal { hash, records: segment.records }, &mut record);
        segment.write(&record, 1)?;
        self.previous = hash;
        if let Some(segment) = self.segment.take() {
            self.unsynced.push((segment.path, segment.file));
        }
        Ok(())
    }

    /// Brings everything that was appended to the disk. Where it fails, the caller cannot know what reached the disk:
    /// the system reports such an error once.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.unsynced()?.sync()
    }

    /// Syncs if the last time is long enough ago. `true` where it did. To be called from time to time, and once no more
    /// records come.
    pub fn sync_if_due(&mut self, now: Timestamp) -> Result<bool, Error> {
        match self.unsynced_if_due(now)? {
            Some(unsynced) => unsynced.sync().map(|()| true),
            None => Ok(false),
        }
    }

    /// The same for callers that would rather let another thread wait for the disk.
    pub fn unsynced_if_due(&mut self, now: Timestamp) -> Result<Option<Unsynced>, Error> {
        if now.since(self.last_sync) < self.options.sync_every {
            return Ok(None);
        }
        self.last_sync = now;
        self.unsynced().map(Some)
    }

    fn unsynced(&mut self) -> Result<Unsynced, Error> {
        let mut files = std::mem::take(&mut self.unsynced);
        if let Some(segment) = self.segment.as_mut().filter(|segment| segment.dirty) {
            let file = segment.file.try_clone().context("sync", &segment.path)?;
            files.push((segment.path.clone(), file));
            segment.dirty = false;
        }
        let folder = std::mem::take(&mut self.folder_dirty).then(|| self.dir.segments_dir());
        Ok(Unsynced { files, folder })
    }

    /// Where the next record will stand (if it is not too large for the segment), and what is before is on disk.
    pub fn position(&self) -> Position {
        match &self.segment {
            Some(segment) => Position { segment: segment.number, offset: segment.bytes },
            None => Position { segment: self.next_number, offset: format::HEADER_LEN as u64 },
        }
    }

    fn segment(&mut self) -> Result<&mut Segment, Error> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => {
                let segment = Segment::create(&self.dir, self.next_number, self.previous)?;
                self.next_number += 1;
                self.folder_dirty = true;
                segment
            }
        };
        Ok(self.segment.insert(segment))
    }
}

impl Segment {
    /// The file appears under its name with its whole header, so that no reader meets a part of it.
    fn create(dir: &CaptureDir, number: u64, previous: Hash) -> Result<Self, Error> {
        let path = dir.segment_path(number);
        let temporary = files::temporary(&path);
        let header = Header { version: Version::CURRENT, capture: dir.meta().id.0, number, previous }.encode();
        let _ = files::remove(&temporary);
        let mut file =
            files::private_file().append(true).create_new(true).open(&temporary).context("create", &temporary)?;
        if let Err(error) = file.write_all(&header) {
            let _ = files::remove(&temporary);
            return Err(error).context("write", &temporary);
        }
        fs::rename(&temporary, &path).context("rename", &path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        let bytes = header.len() as u64;
        Ok(Self { number, path, file, bytes, records: 0, header_len: bytes, hasher, torn: false, dirty: true })
    }

    fn write(&mut self, records: &[u8], count: u64) -> Result<(), Error> {
        self.mend()?;
        if let Err(error) = self.file.write_all(records) {
            self.torn = true;
            // Where even this fails, the next write tries it again, and says so if it still cannot.
            let _ = self.mend();
            return Err(error).context("write", &self.path);
        }
        self.bytes += records.len() as u64;
        self.records += count;
        self.hasher.update(records);
        self.dirty = true;
        Ok(())
    }

    /// Takes away what a failed write left behind the last whole record.
    fn mend(&mut self) -> Result<(), Error> {
        if self.torn {
            let cut = self.file.set_len(self.bytes);
            cut.map_err(|source| Error::Torn { path: self.path.clone(), source })?;
            self.torn = false;
        }
        Ok(())
    }
}

/// How many bytes of whole records fit into `room`, and how many records those are; at least one where `at_least_one`.
fn fitting(records: &[u8], room: u64, at_least_one: bool) -> Result<(usize, u64), Damage> {
    let mut at = 0;
    let mut count = 0;
    while let Some(rest) = records.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(len) = format::record_len(rest)?.filter(|len| *len <= rest.len()) else {
            return Err(Damage::CutShort);
        };
        if (at + len) as u64 > room && !(at_least_one && count == 0) {
            break;
        }
        at += len;
        count += 1;
    }
    Ok((at, count))
}
