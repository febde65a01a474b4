//! Where full groups of rows wait for their segment's end: in a file without a name beside the tables, so that memory does
//! not grow with a segment, and nothing stays behind however the program ends. A group that cannot be put there (no room,
//! no such files on this system) waits in memory.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::store::files;

/// A full group: a Parquet file of its own.
#[derive(Clone, Debug)]
pub(super) enum Group {
    /// In memory.
    Held(Bytes),
    /// In the file.
    Spilled {
        /// The file, shared with all who still read from it.
        file: Arc<Room>,
        /// From where on.
        at: u64,
        /// How many bytes.
        length: u64,
    },
}

impl Group {
    fn read_at(&self, bytes: &mut [u8], from: u64) -> io::Result<usize> {
        let length = (self.len().saturating_sub(from)).min(bytes.len() as u64) as usize;
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        match self {
            Self::Held(held) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                bytes.copy_from_slice(held.get(from..).and_then(|rest| rest.get(..length)).unwrap_or_default());
            }
            Self::Spilled { file, at, .. } => read_at(&file.file, bytes, at + from)?,
        }
        Ok(length)
    }
}

/// Reads where it waits: no group is in memory as a whole again.
impl ChunkReader for Group {
    type T = BufReader<Reader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(Reader { group: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let there = self.len().saturating_sub(start);
        if length as u64 > there {
            return Err(ParquetError::EOF(format!("{length} bytes of a group of rows are wanted, {there} are there")));
        }
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Length for Group {
    fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spilled { length, .. } => *length,
        }
    }
}

/// A group, from some byte on.
#[derive(Debug)]
pub(super) struct Reader {
    group: Group,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.group.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The file and up to where it is taken.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    end: AtomicU64,
}

/// Gives full groups a place.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    room: Option<Arc<Room>>,
}

impl Clone for Spill {
    /// Whose groups go into another file.
    fn clone(&self) -> Self {
        Self::new(self.folder.clone())
    }
}

impl Spill {
    /// In a file that is made in that folder once it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, room: None }
    }

    /// A place for the next group, if there can be one. What was written there before is lost unless it was kept.
    pub(super) fn place(&mut self) -> Option<Place> {
        let room = match &self.room {
            Some(room) => room,
            None => self.room.insert(Arc::new(Room { file: nameless(&self.folder).ok()?, end: AtomicU64::new(0) })),
        };
        Some(Place { file: Arc::clone(room), at: room.end.load(Relaxed), length: 0 })
    }

    /// What comes goes into a new file; the old one lasts as long as somebody reads from it.
    pub(super) fn begin_anew(&mut self) {
        self.room = None;
    }
}

/// Where a group is written.
#[derive(Debug)]
pub(super) struct Place {
    file: Arc<Room>,
    at: u64,
    length: u64,
}

impl Place {
    /// In that file.
    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        Self { file: Arc::new(Room { file, end: AtomicU64::new(0) }), at: 0, length: 0 }
    }

    /// What was written is a group.
    pub(super) fn keep(self) -> Group {
        let Self { file, at, length } = self;
        file.end.store(at + length, Relaxed);
        Group::Spilled { file, at, length }
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_at(&self.file.file, bytes, self.at + self.length)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
fn nameless(folder: &Path) -> io::Result<File> {
    files::create_private_dirs(folder)?;
    let path = folder.join(format!("groups-{}.tmp", std::process::id()));
    let file = files::private_file().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// A file that is open keeps its name here.
#[cfg(not(unix))]
fn nameless(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_is_put_away_is_read_back_also_after_the_next_began_and_no_file_is_to_be_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path().join("tables"));
        let mut put = |text: &str, keep: bool| {
            let mut place = spill.place().unwrap();
            place.write_all(text.as_bytes()).unwrap();
            keep.then(|| place.keep())
        };
        let mut groups: Vec<Group> = [("one", true), ("given up", false), ("", true), ("three", true)]
            .into_iter()
            .filter_map(|(text, keep)| put(text, keep))
            .collect();
        spill.begin_anew();
        let mut next = spill.place().unwrap();
        next.write_all(b"ne").unwrap();
        next.write_all(b"xt").unwrap();
        // A clone writes elsewhere.
        spill.clone().place().unwrap().write_all(b"other").unwrap();
        groups.push(next.keep());
        assert!(groups.iter().all(|group| matches!(group, Group::Spilled { .. })));
        groups.push(Group::Held("held".into()));
        for (group, text) in groups.iter().zip(["one", "", "three", "next", "held"]) {
            let length = text.len();
            assert_eq!(group.get_bytes(0, length).unwrap(), text);
            for from in 0..=length {
                let mut read = String::new();
                group.get_read(from as u64).unwrap().read_to_string(&mut read).unwrap();
                assert_eq!(read, &text[from..]);
                assert!(group.get_bytes(from as u64, length - from + 1).is_err(), "not what stands behind it");
            }
            assert!(group.get_bytes(length as u64 + 9, 1).is_err());
        }
        assert_eq!(std::fs::read_dir(folder.path().join("tables")).unwrap().count(), 0);
    }

    #[test]
    fn where_there_is_no_folder_there_is_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Spill::new(file).place().is_none());
    }
}
