//! Where full groups of rows wait for their segment's end: in a file without a name beside the tables, so that memory does
//! not grow with a segment, and nothing stays behind however the program ends. A group that cannot be put there (no room,
//! no such files on this system) waits in memory.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;

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
        length: usize,
    },
}

impl Group {
    /// Its bytes, read where they wait.
    pub(super) fn bytes(&self) -> io::Result<Bytes> {
        match self {
            Self::Held(bytes) => Ok(bytes.clone()),
            Self::Spilled { file, at, length } => {
                let mut bytes = vec![0; *length];
                read_at(&file.file, &mut bytes, *at)?;
                Ok(bytes.into())
            }
        }
    }
}

/// The file and up to where it is taken.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    end: AtomicU64,
}

/// Takes full groups. Clones share the file.
#[derive(Clone, Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    room: Option<Arc<Room>>,
}

impl Spill {
    /// Into a file that is made in that folder once it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, room: None }
    }

    /// Moves a group out of memory, if it can be.
    pub(super) fn take(&mut self, group: &mut Group) {
        if let Group::Held(bytes) = group
            && let Ok(spilled) = self.put(bytes)
        {
            *group = spilled;
        }
    }

    /// What comes goes into a new file; the old one lasts as long as somebody reads from it.
    pub(super) fn begin_anew(&mut self) {
        self.room = None;
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Group> {
        let room = match &self.room {
            Some(room) => room,
            None => self.room.insert(Arc::new(Room { file: nameless(&self.folder)?, end: AtomicU64::new(0) })),
        };
        let at = room.end.fetch_add(bytes.len() as u64, Relaxed);
        write_at(&room.file, bytes, at)?;
        Ok(Group::Spilled { file: Arc::clone(room), at, length: bytes.len() })
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
        let mut groups: Vec<Group> = ["one", "", "three"].map(|text| Group::Held(text.into())).into();
        groups.iter_mut().for_each(|group| spill.take(group));
        spill.begin_anew();
        let mut next = Group::Held("next".into());
        spill.take(&mut next);
        groups.push(next);
        assert!(groups.iter().all(|group| matches!(group, Group::Spilled { .. })));
        let read: Vec<Bytes> = groups.iter().map(|group| group.bytes().unwrap()).collect();
        assert_eq!(read, ["one", "", "three", "next"]);
        assert_eq!(std::fs::read_dir(folder.path().join("tables")).unwrap().count(), 0);
    }

    #[test]
    fn where_there_is_no_place_a_group_stays_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut group = Group::Held("kept".into());
        Spill::new(file).take(&mut group);
        assert!(matches!(&group, Group::Held(bytes) if bytes == "kept"));
    }
}
