//! The directory of a capture's segments and tables, in sled: the only user of it. Derived data, all of it.
//!
//! One entry per segment or block of connections, never one per exchange or frame: sled's memory and time grow with its
//! keys. It admits one process, and of a damaged file it silently gives what stands before the damage. So a checksum over
//! its files is written when they are closed and tested before they are opened: what is not exactly as it was closed is
//! ignored, with the reason, and `reindex` makes it anew. Readers copy what they need and close it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use fs4::FileExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::{
    ConnectionId, Timestamp,
    rows::{ConnectionRow, ExchangeRow, Extent, FlagRow, FrameRow, Position, SessionRow},
};

use super::{
    CaptureDir, Error,
    error::IoContext,
    files,
    tables::{self, Packed, PackedRows, Table},
};

/// What one sealed segment and its tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The segment.
    pub segment: u64,
    /// Its file's length.
    pub bytes: u64,
    /// The first and the last stamp in it; unknown where this was made from the tables.
    pub first_ns: Option<Timestamp>,
    /// See `first_ns`.
    pub last_ns: Option<Timestamp>,
    /// The ids in its table of connections.
    pub connections: Ids,
    /// The ids in its table of exchanges.
    pub exchanges: Ids,
    /// The ids in its table of frames.
    pub frames: Ids,
    /// The ids in its table of sessions.
    pub sessions: Ids,
    /// Rows in its table of flags.
    pub flags: u64,
}

/// The ids of a table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// The smallest; 0 where there is no row.
    pub low: u64,
    /// The largest.
    pub high: u64,
    /// How many rows.
    pub count: u64,
}

impl Ids {
    /// Whether a row with this id may be there.
    pub fn may_hold(self, id: u64) -> bool {
        self.count > 0 && (self.low..=self.high).contains(&id)
    }

    fn of<T: Table>(rows: &Packed<T>) -> Self {
        let (low, high) = rows.ids();
        Self { low, high, count: rows.len() }
    }
}

impl SegmentEntry {
    /// The entry of a segment whose tables hold `rows`.
    pub fn of(
        segment: u64,
        bytes: u64,
        first_ns: Option<Timestamp>,
        last_ns: Option<Timestamp>,
        rows: &PackedRows,
    ) -> Self {
        Self {
            segment,
            bytes,
            first_ns,
            last_ns,
            connections: Ids::of(&rows.connections),
            exchanges: Ids::of(&rows.exchanges),
            frames: Ids::of(&rows.frames),
            sessions: Ids::of(&rows.sessions),
            flags: rows.flags.len(),
        }
    }
}

/// The capture in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Accepted connections.
    pub connections: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Frames.
    #[serde(default)]
    pub frames: u64,
    /// Flags by rule.
    pub flags: BTreeMap<String, u64>,
    /// Gaps.
    pub gaps: u64,
    /// Bytes lost in them.
    #[serde(default)]
    pub gap_bytes: u64,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
}

/// Why a catalogue is not used. Nothing is lost: all that is in it is in the tables and segments as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// There is none.
    #[error("there is no catalogue")]
    Absent,
    /// It was not closed in order, or was changed since, or is being written.
    #[error("the catalogue is not as it was closed (the recorder was killed, or it is in use)")]
    NotClosed,
    /// Another process has it open.
    #[error("the catalogue is in use by another process")]
    Locked,
    /// It belongs to another capture, or to another version of the format.
    #[error("the catalogue belongs to another capture or version")]
    Foreign,
    /// sled cannot open or read it.
    #[error("the catalogue cannot be read: {0}")]
    Unreadable(String),
}

/// An open catalogue.
#[derive(Debug)]
pub struct Catalogue {
    db: sled::Db,
    path: PathBuf,
}

/// What identifies a catalogue as that of a capture.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Owner {
    version: u32,
    capture: String,
}

const VERSION: u32 = 1;
const OWNER: &[u8] = b"owner";
const TOTALS: &[u8] = b"totals";
/// Prefix of the segments' entries, before the number in big-endian order.
const SEGMENT: u8 = b's';
/// Prefix of the blocks of connections, one per segment.
const EXTENTS: u8 = b'e';
/// One connection in a block: its id, then the extent, all big-endian so that blocks sort as they are.
const EXTENT_LEN: usize = 40;

impl Catalogue {
    /// Opens a capture's catalogue for reading, if it is as it was closed. [`Self::close`] it soon.
    pub fn open(dir: &CaptureDir) -> Result<Self, Ignored> {
        let path = dir.catalogue_dir();
        if !path.is_dir() {
            return Err(Ignored::Absent);
        }
        let sum = checksum(&path).map_err(|error| Ignored::Unreadable(error.to_string()))?;
        if fs::read(sum_path(&path)).ok().as_deref() != Some(sum.as_bytes()) {
            return Err(Ignored::NotClosed);
        }
        let db = config(&path).open().map_err(|error| match error {
            sled::Error::Io(error) if error.kind() == io::ErrorKind::Other => Ignored::Locked,
            other => Ignored::Unreadable(other.to_string()),
        })?;
        let catalogue = Self { db, path };
        match catalogue.read::<Owner>(OWNER) {
            Ok(Some(owner)) if owner == Owner::of(dir) => Ok(catalogue),
            Ok(_) => Err(Ignored::Foreign),
            Err(error) => Err(Ignored::Unreadable(error.to_string())),
        }
    }

    /// Throws away what is there and makes an empty one, for the recorder and for `reindex`, which fill it. The caller
    /// holds the capture's lock.
    pub fn rebuild(dir: &CaptureDir) -> Result<Self, Error> {
        let path = dir.catalogue_dir();
        files::remove(&sum_path(&path))?;
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context("remove", &path),
            _ => {}
        }
        files::create_private_dir(&path).context("create", &path)?;
        let db = config(&path).open().map_err(|error| failed(&path, &error))?;
        // The files of a recorder that is killed are never closed.
        restrict(&path)?;
        let catalogue = Self { db, path };
        catalogue.write(OWNER, &Owner::of(dir))?;
        Ok(catalogue)
    }

    /// Adds (or replaces) a sealed segment's entry, and where the connections lie that its table holds.
    pub fn put_segment(&self, entry: &SegmentEntry, connections: &[(ConnectionId, Extent)]) -> Result<(), Error> {
        let mut extents = connections.to_vec();
        extents.sort_unstable_by_key(|(id, _)| *id);
        let mut block = Vec::with_capacity(extents.len() * EXTENT_LEN);
        for (id, Extent { first, last }) in extents {
            for number in [id.0, first.segment, first.offset, last.segment, last.offset] {
                block.extend_from_slice(&number.to_be_bytes());
            }
        }
        self.insert(&key(EXTENTS, entry.segment), block)?;
        self.write(&key(SEGMENT, entry.segment), entry)
    }

    /// Replaces the totals.
    pub fn put_totals(&self, totals: &Totals) -> Result<(), Error> {
        self.write(TOTALS, totals)
    }

    /// Forgets segments that retention dropped.
    pub fn forget_upto(&self, segment: u64) -> Result<(), Error> {
        for prefix in [SEGMENT, EXTENTS] {
            for key in self.db.range(key(prefix, 0)..=key(prefix, segment)).keys() {
                let removed = key.and_then(|key| self.db.remove(key));
                removed.map_err(|error| failed(&self.path, &error))?;
            }
        }
        Ok(())
    }

    /// All sealed segments' entries, ascending.
    pub fn segments(&self) -> Result<Vec<SegmentEntry>, Error> {
        let entries = self.db.range(key(SEGMENT, 0)..=key(SEGMENT, u64::MAX));
        entries.values().map(|value| self.parse(&value.map_err(|error| failed(&self.path, &error))?)).collect()
    }

    /// The totals, once they were put.
    pub fn totals(&self) -> Result<Option<Totals>, Error> {
        self.read(TOTALS)
    }

    /// Where a connection's records lie, if it was closed in a sealed segment.
    pub fn extent(&self, connection: ConnectionId) -> Result<Option<Extent>, Error> {
        for entry in self.segments()?.into_iter().rev() {
            if !entry.connections.may_hold(connection.0) {
                continue;
            }
            let block = self.db.get(key(EXTENTS, entry.segment)).map_err(|error| failed(&self.path, &error))?;
            if let Some(extent) = block.and_then(|block| find_extent(&block, connection)) {
                return Ok(Some(extent));
            }
        }
        Ok(None)
    }

    /// Brings what was put to the disk. It is not usable by others before [`Self::close`].
    pub fn flush(&self) -> Result<(), Error> {
        self.db.flush().map(|_| ()).map_err(|error| failed(&self.path, &error))
    }

    /// Flushes and closes, and notes what the files are then.
    pub fn close(self) -> Result<(), Error> {
        let Self { db, path } = self;
        db.flush().map_err(|error| failed(&path, &error))?;
        drop(db);
        // sled's threads may hold its file a little longer, and write to it: whoever has its lock is alone with it.
        let _alone = lock(&path.join("db"))?;
        restrict(&path)?;
        let sum = checksum(&path).context("read", &path)?;
        let at = sum_path(&path);
        if fs::read(&at).ok().as_deref() == Some(sum.as_bytes()) {
            return Ok(());
        }
        files::write_atomically(&at, sum.as_bytes())
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        let value = self.db.get(key).map_err(|error| failed(&self.path, &error))?;
        value.map(|value| self.parse(&value)).transpose()
    }

    fn parse<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(value)
            .map_err(|error| Error::Catalogue { path: self.path.clone(), why: error.to_string() })
    }

    fn write(&self, key: &[u8], value: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_vec(value)
            .map_err(|error| Error::Catalogue { path: self.path.clone(), why: error.to_string() })?;
        self.insert(key, json)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        self.db.insert(key, value).map(|_| ()).map_err(|error| failed(&self.path, &error))
    }
}

impl Owner {
    fn of(dir: &CaptureDir) -> Self {
        Self { version: VERSION, capture: dir.meta().id.to_string() }
    }
}

/// The same directory made from the tables' own statistics, for readers where there is no usable catalogue. Reads no row.
pub fn from_tables(dir: &CaptureDir) -> Result<Vec<SegmentEntry>, Error> {
    fn ids<T: Table>(dir: &CaptureDir, segment: u64) -> Result<Ids, Error> {
        let (low, high, count) = tables::id_range::<T>(dir, segment)?;
        Ok(Ids { low, high, count })
    }
    let mut entries = Vec::new();
    for segment in dir.segments()? {
        entries.push(SegmentEntry {
            segment,
            bytes: fs::metadata(dir.segment_path(segment)).map_or(0, |metadata| metadata.len()),
            first_ns: None,
            last_ns: None,
            connections: ids::<ConnectionRow>(dir, segment)?,
            exchanges: ids::<ExchangeRow>(dir, segment)?,
            frames: ids::<FrameRow>(dir, segment)?,
            sessions: ids::<SessionRow>(dir, segment)?,
            flags: ids::<FlagRow>(dir, segment)?.count,
        });
    }
    Ok(entries)
}

fn find_extent(block: &[u8], connection: ConnectionId) -> Option<Extent> {
    let (entries, _) = block.as_chunks::<EXTENT_LEN>();
    let number = |entry: &[u8; EXTENT_LEN], index: usize| {
        entry.as_chunks::<8>().0.get(index).copied().map_or(0, u64::from_be_bytes)
    };
    let at = entries.binary_search_by_key(&connection.0, |entry| number(entry, 0)).ok()?;
    let entry = entries.get(at)?;
    Some(Extent {
        first: Position { segment: number(entry, 1), offset: number(entry, 2) },
        last: Position { segment: number(entry, 3), offset: number(entry, 4) },
    })
}

fn key(prefix: u8, segment: u64) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = segment.to_be_bytes();
    [prefix, a, b, c, d, e, f, g, h]
}

fn config(path: &Path) -> sled::Config {
    // Its log is held in pieces of that size, and entries are small. A catalogue of another size is made anew.
    let config = sled::Config::new().path(path).segment_size(128 << 10);
    config.cache_capacity(1 << 16).mode(sled::Mode::LowSpace).flush_every_ms(None)
}

fn failed(path: &Path, error: &sled::Error) -> Error {
    Error::Catalogue { path: path.to_owned(), why: error.to_string() }
}

fn sum_path(catalogue: &Path) -> PathBuf {
    catalogue.with_extension("sum")
}

/// BLAKE3 over names and contents of all files of the folder, as hexadecimal digits.
fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut pending = vec![path.to_owned()];
    while let Some(folder) = pending.pop() {
        let mut entries =
            fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable();
        for entry in entries {
            if entry.is_dir() {
                pending.push(entry);
                continue;
            }
            let name = entry.strip_prefix(path).unwrap_or(&entry);
            hasher.update(name.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            let mut contents = blake3::Hasher::new();
            io::copy(&mut File::open(&entry)?, &mut contents)?;
            hasher.update(contents.finalize().as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Waits until sled has let go of its database.
fn lock(database: &Path) -> Result<File, Error> {
    let file = File::open(database).context("open", database)?;
    for _ in 0..400 {
        match FileExt::try_lock(&file) {
            Ok(()) => return Ok(file),
            Err(fs4::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            Err(fs4::TryLockError::Error(error)) => return Err(error).context("lock", database),
        }
    }
    Err(Error::Catalogue { path: database.to_owned(), why: "sled does not let go of it".to_owned() })
}

/// sled makes its files as the system's mask has it; they are to be private as all others are.
fn restrict(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut pending = vec![path.to_owned()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).context("list", &folder)? {
                let entry = entry.context("list", &folder)?.path();
                let mode = if entry.is_dir() { 0o700 } else { 0o600 };
                fs::set_permissions(&entry, fs::Permissions::from_mode(mode)).context("restrict", &entry)?;
                if entry.is_dir() {
                    pending.push(entry);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
