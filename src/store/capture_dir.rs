//! A capture's folder: making it, finding it, its lock and its `capture.json`.
//!
//! A folder is private (0700, files 0600). Its recorder holds the lock on the file `lock` as long as it lives; the
//! system lets go of it when the process ends, however it ends, so that "recording" with a free lock means "killed".

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use fs4::FileExt;

use crate::model::WallAnchor;

use super::{
    capture_meta::{CaptureMeta, State},
    error::{Error, IoContext},
    files,
};

const META: &str = "capture.json";
const LOCK: &str = "lock";
/// Gives its room to the last word in `capture.json` when the disk is full.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 32 << 10;

/// A capture's folder. Cheap to clone; the lock, where held, goes with the last clone.
#[derive(Clone, Debug)]
pub struct CaptureDir {
    path: PathBuf,
    meta: CaptureMeta,
    lock: Option<Arc<File>>,
    tables: &'static str,
}

const TABLES: &str = "tables";
/// Tables that are being made anew, and those that they are to replace.
const TABLES_NEW: &str = "tables.new";
const TABLES_OLD: &str = "tables.old";

/// Whether a recorder (or a reindexer) is at work in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Some process holds the lock.
    Running,
    /// None does.
    Free,
}

/// One entry of a folder of captures.
#[derive(Debug)]
pub struct Listed {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// What its `capture.json` says, or why it cannot be read.
    pub meta: Result<CaptureMeta, Error>,
}

impl CaptureDir {
    /// Makes a new capture in the folder `captures` (which is made if missing) and locks it. Without a name it is named
    /// by the UTC time of its anchor, `20261122-182555`, with `-2` and so on where that is taken.
    pub fn create(captures: &Path, name: Option<&str>, meta: CaptureMeta) -> Result<Self, Error> {
        files::create_private_dirs(captures).context("create", captures)?;
        let path = match name {
            Some(name) => create_named(captures, name)?,
            None => create_by_time(captures, meta.anchor)?,
        };
        let mut dir = Self { path, meta, lock: None, tables: TABLES };
        // Locked before it has a capture.json: nobody ever finds it unlocked.
        dir.take_lock()?;
        files::create_private_dir(&dir.segments_dir()).context("create", &dir.segments_dir())?;
        dir.write_meta()?;
        dir.write_reserve()?;
        files::sync_dir(captures)?;
        Ok(dir)
    }

    /// Opens a capture for reading; refuses one that a newer major version wrote.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), meta: read_meta(path)?, lock: None, tables: TABLES })
    }

    /// Opens the capture that `which` names: a folder with a `capture.json`, or a name in `captures`; the newest one
    /// where it names none.
    pub fn resolve(captures: &Path, which: Option<&str>) -> Result<Self, Error> {
        let Some(which) = which else { return Self::newest(captures) };
        let missing = || Error::NoSuchCapture { name: which.to_owned(), captures: captures.to_owned() };
        let candidates = [captures.join(which), PathBuf::from(which)];
        let named = if valid_name(which) { candidates.as_slice() } else { candidates.get(1..).unwrap_or_default() };
        let path = named.iter().find(|path| path.join(META).is_file()).ok_or_else(missing)?;
        Self::open(path)
    }

    /// Opens the capture that began last.
    pub fn newest(captures: &Path) -> Result<Self, Error> {
        let listed = Self::list(captures)?;
        let newest = listed.into_iter().next_back();
        let newest = newest.ok_or_else(|| Error::NoCaptures { captures: captures.to_owned() })?;
        Ok(Self { meta: newest.meta?, path: newest.path, lock: None, tables: TABLES })
    }

    /// All captures of a folder, the newest last; those whose `capture.json` cannot be read come first. A folder that is
    /// not there has none.
    pub fn list(captures: &Path) -> Result<Vec<Listed>, Error> {
        let entries = match fs::read_dir(captures) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("list", captures),
        };
        let mut listed = Vec::new();
        for entry in entries {
            let path = entry.context("list", captures)?.path();
            if !path.join(META).is_file() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listed.push(Listed { meta: read_meta(&path), name, path });
        }
        listed.sort_by_cached_key(|one| (one.meta.as_ref().ok().map(|meta| meta.anchor.unix_ns), one.name.clone()));
        Ok(listed)
    }

    /// Takes the lock, for those who write into a capture that exists (`reindex`).
    pub fn lock(mut self) -> Result<Self, Error> {
        self.take_lock()?;
        Ok(self)
    }

    /// Whether another process, or this one, holds the lock.
    pub fn lock_state(&self) -> Result<LockState, Error> {
        if self.lock.is_some() {
            return Ok(LockState::Running);
        }
        let path = self.path.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
            Err(error) => return Err(error).context("open", &path),
        };
        match FileExt::try_lock_shared(&file) {
            Ok(()) => Ok(LockState::Free),
            Err(fs4::TryLockError::WouldBlock) => Ok(LockState::Running),
            Err(fs4::TryLockError::Error(error)) => Err(error).context("lock", &path),
        }
    }

    /// What `capture.json` said when this was made or opened; see [`Self::reload`].
    pub fn meta(&self) -> &CaptureMeta {
        &self.meta
    }

    /// Reads `capture.json` again.
    pub fn reload(&mut self) -> Result<&CaptureMeta, Error> {
        self.meta = read_meta(&self.path)?;
        Ok(&self.meta)
    }

    /// Writes another state into `capture.json`, atomically; also on a full disk, the first time. With the state of one
    /// that was stopped in order goes which segment is its last: no segment says that none comes behind it.
    pub fn set_state(&mut self, state: State) -> Result<(), Error> {
        if state != State::Recording {
            files::remove(&self.path.join(RESERVE))?;
        }
        if state == State::Clean {
            self.meta.last_segment = self.segments()?.last().copied();
        }
        self.meta.state = state;
        self.write_meta()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's name.
    pub fn name(&self) -> String {
        let absolute = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where the segments lie.
    pub fn segments_dir(&self) -> PathBuf {
        self.path.join("segments")
    }

    /// One segment's file.
    pub fn segment_path(&self, number: u64) -> PathBuf {
        self.segments_dir().join(format!("{number:06}.seg"))
    }

    /// The numbers of the segments that are there, ascending.
    pub fn segments(&self) -> Result<Vec<u64>, Error> {
        files::numbered(&self.segments_dir(), "seg")
    }

    /// Where the tables lie.
    pub fn tables_dir(&self) -> PathBuf {
        self.path.join(self.tables)
    }

    /// The same capture with its tables in another place, where new ones can be made while the others stand. What an
    /// earlier attempt left there is removed.
    pub fn with_new_tables(&self) -> Result<Self, Error> {
        let beside = Self { tables: TABLES_NEW, ..self.clone() };
        beside.remove_new_tables()?;
        Ok(beside)
    }

    /// Puts the new tables in the place of the others. Cut off in the midst it leaves none, which readers can do without.
    pub fn take_new_tables(&self) -> Result<(), Error> {
        let [now, new, old] = [TABLES, TABLES_NEW, TABLES_OLD].map(|name| self.path.join(name));
        files::remove_dir(&old)?;
        files::create_private_dirs(&new).context("create", &new)?;
        match fs::rename(&now, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context("rename", &now),
            _ => {}
        }
        fs::rename(&new, &now).context("rename", &new)?;
        files::remove_dir(&old)
    }

    /// Removes new tables that are not to be taken.
    pub fn remove_new_tables(&self) -> Result<(), Error> {
        files::remove_dir(&self.path.join(TABLES_NEW))
    }

    /// sled's folder.
    pub fn catalogue_dir(&self) -> PathBuf {
        self.path.join("catalog")
    }

    /// The socket at which a running capture is queried.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join("api.sock")
    }

    /// The notes that people added.
    pub fn notes_path(&self) -> PathBuf {
        self.path.join("notes.ndjson")
    }

    fn write_meta(&self) -> Result<(), Error> {
        let path = self.path.join(META);
        let mut json = serde_json::to_vec_pretty(&self.meta)
            .map_err(|error| Error::Json { path: path.clone(), why: error.to_string() })?;
        json.push(b'\n');
        files::write_atomically(&path, &json)
    }

    fn write_reserve(&self) -> Result<(), Error> {
        let path = self.path.join(RESERVE);
        let mut file =
            files::private_file().write(true).create(true).truncate(true).open(&path).context("create", &path)?;
        file.write_all(&[0; RESERVE_BYTES]).context("write", &path)
    }

    fn take_lock(&mut self) -> Result<(), Error> {
        let path = self.path.join(LOCK);
        let file = files::private_file().write(true).create(true).truncate(false).open(&path).context("open", &path)?;
        // A reader that asks for the lock's state holds it for an instant; that is no reason to fail.
        for attempt in 0.. {
            match FileExt::try_lock(&file) {
                Ok(()) => break,
                Err(fs4::TryLockError::WouldBlock) if attempt < 10 => thread::sleep(Duration::from_millis(5)),
                Err(fs4::TryLockError::WouldBlock) => return Err(Error::Locked { path: self.path.clone() }),
                Err(fs4::TryLockError::Error(error)) => return Err(error).context("lock", &path),
            }
        }
        self.lock = Some(Arc::new(file));
        Ok(())
    }
}

fn read_meta(dir: &Path) -> Result<CaptureMeta, Error> {
    /// Read first, since a newer major version may have changed everything else.
    #[derive(serde::Deserialize)]
    struct VersionOnly {
        format: super::format::Version,
    }
    let path = dir.join(META);
    let json = |error: serde_json::Error| Error::Json { path: path.clone(), why: error.to_string() };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let captures = dir.parent().unwrap_or(dir).to_owned();
            return Err(Error::NoSuchCapture { name: dir.to_string_lossy().into_owned(), captures });
        }
        Err(error) => return Err(error).context("read", &path),
    };
    let VersionOnly { format } = serde_json::from_slice(&bytes).map_err(json)?;
    if !format.is_readable() {
        return Err(Error::TooNew { path, found: format });
    }
    serde_json::from_slice(&bytes).map_err(json)
}

fn create_named(captures: &Path, name: &str) -> Result<PathBuf, Error> {
    if !valid_name(name) {
        return Err(Error::BadName { name: name.to_owned() });
    }
    let path = captures.join(name);
    match files::create_private_dir(&path) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::NameTaken { name: name.to_owned(), captures: captures.to_owned() })
        }
        Err(error) => Err(error).context("create", &path),
    }
}

fn create_by_time(captures: &Path, anchor: WallAnchor) -> Result<PathBuf, Error> {
    let stem = match jiff::Timestamp::from_nanosecond(i128::from(anchor.unix_ns)) {
        Ok(time) => time.strftime("%Y%m%d-%H%M%S").to_string(),
        Err(_) => "capture".to_owned(),
    };
    let mut path = captures.join(&stem);
    let mut next = 2_u32;
    loop {
        match files::create_private_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = captures.join(format!("{stem}-{next}"));
                next += 1;
            }
            Err(error) => return Err(error).context("create", &path),
        }
    }
}

/// A name is one component of a path that no shell and no system takes for something else.
fn valid_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn meta(unix_ns: i64) -> CaptureMeta {
        CaptureMeta::new(WallAnchor { unix_ns }, serde_json::json!({"mode": ["forward"]}), Some("5f0c".into()))
    }

    #[test]
    fn names_come_from_the_time_and_never_collide() {
        let captures = tempfile::tempdir().unwrap();
        let start = 1_795_371_955_000_000_000;
        let first = CaptureDir::create(captures.path(), None, meta(start)).unwrap();
        let second = CaptureDir::create(captures.path(), None, meta(start)).unwrap();
        assert_eq!((first.name().as_str(), second.name().as_str()), ("20261122-182555", "20261122-182555-2"));
        let taken = CaptureDir::create(captures.path(), Some("20261122-182555"), meta(start));
        assert!(matches!(taken, Err(Error::NameTaken { .. })));
        for wrong in ["", ".", "..", ".hidden", "a/b", "a b", "ä"] {
            let refused = CaptureDir::create(captures.path(), Some(wrong), meta(start));
            assert!(matches!(refused, Err(Error::BadName { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn the_newest_is_the_one_that_began_last() {
        let captures = tempfile::tempdir().unwrap();
        assert!(matches!(CaptureDir::newest(captures.path()), Err(Error::NoCaptures { .. })));
        CaptureDir::create(captures.path(), Some("a"), meta(2)).unwrap();
        CaptureDir::create(captures.path(), Some("b"), meta(1)).unwrap();
        fs::create_dir(captures.path().join("stray")).unwrap();
        assert_eq!(CaptureDir::newest(captures.path()).unwrap().name(), "a");
        assert_eq!(CaptureDir::resolve(captures.path(), Some("b")).unwrap().name(), "b");
        let by_path = captures.path().join("b");
        assert_eq!(CaptureDir::resolve(Path::new("/nowhere"), by_path.to_str()).unwrap().name(), "b");
        let missing = CaptureDir::resolve(captures.path(), Some("c"));
        assert!(matches!(missing, Err(Error::NoSuchCapture { .. })));
        assert!(matches!(CaptureDir::resolve(captures.path(), Some("stray")), Err(Error::NoSuchCapture { .. })));
    }

    #[test]
    fn the_lock_tells_recording_from_killed() {
        let captures = tempfile::tempdir().unwrap();
        let mut recorder = CaptureDir::create(captures.path(), None, meta(1)).unwrap();
        let reader = CaptureDir::open(recorder.path()).unwrap();
        assert_eq!(reader.lock_state().unwrap(), LockState::Running);
        assert!(matches!(reader.clone().lock(), Err(Error::Locked { .. })));
        recorder.set_state(State::Clean).unwrap();
        let clone = recorder.clone();
        drop(recorder);
        assert_eq!(reader.lock_state().unwrap(), LockState::Running, "a clone holds it still");
        drop(clone);
        assert_eq!(reader.lock_state().unwrap(), LockState::Free);
        let mut reader = reader.lock().unwrap();
        assert_eq!(reader.meta().state, State::Recording, "as it was when it was opened");
        assert_eq!(reader.reload().unwrap().state, State::Clean);
    }

    #[test]
    fn room_for_the_last_word_is_kept_until_it_is_said() {
        let captures = tempfile::tempdir().unwrap();
        let mut dir = CaptureDir::create(captures.path(), None, meta(1)).unwrap();
        let reserve = dir.path().join(RESERVE);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES as u64);
        dir.set_state(State::Incomplete { from_ns: None, why: "disk full".into() }).unwrap();
        assert!(!reserve.exists());
        dir.set_state(State::Clean).unwrap();
        // What cannot be replaced leaves nothing beside it.
        fs::remove_file(dir.path().join(META)).unwrap();
        fs::create_dir(dir.path().join(META)).unwrap();
        assert!(dir.set_state(State::Clean).is_err());
        assert!(!files::temporary(&dir.path().join(META)).exists());
    }

    #[test]
    fn a_newer_major_version_is_refused_and_a_newer_minor_read() {
        let captures = tempfile::tempdir().unwrap();
        let dir = CaptureDir::create(captures.path(), None, meta(1)).unwrap();
        let path = dir.path().join(META);
        let json = fs::read_to_string(&path).unwrap();
        fs::write(&path, json.replace("\"minor\": 0", "\"minor\": 9, \"more\": 1")).unwrap();
        assert_eq!(CaptureDir::open(dir.path()).unwrap().meta().format.minor, 9);
        fs::write(&path, r#"{"format": {"major": 2, "minor": 3}, "all": "else differs"}"#).unwrap();
        let refused = CaptureDir::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("2.3") && refused.contains("1.x") && refused.contains("hint"), "{refused}");
        fs::write(&path, "{").unwrap();
        assert!(matches!(CaptureDir::open(dir.path()), Err(Error::Json { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let captures = tempfile::tempdir().unwrap();
        let dir = CaptureDir::create(&captures.path().join("new"), None, meta(1)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.segments_dir()), 0o700);
        assert_eq!(mode(&captures.path().join("new")), 0o700);
        assert_eq!(mode(&dir.path().join(META)), 0o600);
        assert_eq!(mode(&dir.path().join(LOCK)), 0o600);
    }
}
