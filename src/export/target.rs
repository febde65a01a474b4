//! A file that appears under its name when it is complete, and not before: written beside it, renamed at the end, removed
//! where that does not come. Readable by its owner alone, as all that comes of a capture. A process that is killed leaves
//! its part behind: the next one that writes to the same name removes it.
//!
//! A device or pipe (`/dev/stdout`, `>(gzip)`) is written into: a rename would put a file in its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use fs4::FileExt;

use super::Error;

/// See the module.
pub struct Target {
    file: BufWriter<File>,
    path: PathBuf,
    /// Where it is written until it is complete; `None` where it is written into.
    part: Option<PathBuf>,
    force: bool,
    /// Bytes that were written, and those whose way to the disk has begun.
    written: u64,
    begun: u64,
}

/// So much is brought on its way to the disk at once: what waits for the end is waited for at the end.
const AHEAD: u64 = 8 << 20;

impl Target {
    /// Says, before the work, whether something stands in the way.
    ///
    /// # Errors
    /// Where a folder has that name, or a file (unless `force`).
    pub fn check(path: &Path, force: bool) -> Result<(), Error> {
        let name = || path.display().to_string();
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(Error::Folder(name())),
            Ok(there) if !there.is_file() => Ok(()),
            _ if !force && path.symlink_metadata().is_ok() => Err(Error::Exists(name())),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Those of [`Self::check`], and where it cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Self, Error> {
        Self::check(path, force)?;
        let mut options = OpenOptions::new();
        options.write(true);
        let with = |options: &OpenOptions, at: &Path, part| -> Result<Self, Error> {
            let file = options.open(at).map_err(|source| failed("create", path, source))?;
            let path = path.to_owned();
            Ok(Self { file: BufWriter::with_capacity(1 << 18, file), path, part, force, written: 0, begun: 0 })
        };
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return with(&options, path, None);
        }
        // What a link names is replaced, not the link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        remove_stale_parts(path);
        options.read(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut target = with(&options, &part, Some(part.clone()))?;
        // Says to others that somebody writes it; where a file system has no locks, the process's number does.
        let _ = FileExt::try_lock(target.file.get_ref());
        target.path.clone_from(path);
        Ok(target)
    }

    /// It is complete: puts it under its name.
    ///
    /// # Errors
    /// Where it cannot be written to its end or be renamed, or something got that name meanwhile.
    pub fn finish(mut self) -> Result<(), Error> {
        let result = self.file.flush();
        result.map_err(|source| failed("write", &self.path, source))?;
        let Some(part) = &self.part else { return Ok(()) };
        self.file.get_ref().sync_data().map_err(|source| failed("write", &self.path, source))?;
        let result = if self.force {
            fs::rename(part, &self.path)
        } else {
            // A link does not replace what is there, a rename would.
            match fs::hard_link(part, &self.path) {
                Ok(()) => fs::remove_file(part),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Error::Exists(self.path.display().to_string()));
                }
                // Not every file system has links.
                Err(_) => fs::rename(part, &self.path),
            }
        };
        result.map_err(|source| failed("rename to", &self.path, source))?;
        self.part = None;
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).map_err(|error| named(&self.path, error))?;
        self.written += written as u64;
        if self.written - self.begun >= 2 * AHEAD {
            begin_writing(self.file.get_ref(), self.begun, AHEAD);
            self.begun += AHEAD;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| named(&self.path, error))
    }
}

impl io::Seek for Target {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

/// Lets the system begin to write a part of a file to the disk. What cannot be begun is done at the end.
#[cfg(target_os = "linux")]
fn begin_writing(file: &File, from: u64, length: u64) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    // What is written is not needed by us; that it is dirty makes Linux write it first.
    if let (Ok(from), Ok(length)) = (from.try_into(), length.try_into()) {
        let _ = posix_fadvise(file, from, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

#[cfg(not(target_os = "linux"))]
fn begin_writing(_: &File, _: u64, _: u64) {}

/// Removes the parts of `path` that processes left behind which are gone. What cannot be told or removed stays.
fn remove_stale_parts(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map_while(Result::ok) {
        let found = entry.file_name();
        let process =
            found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".part"));
        let Some(process) = process.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())) else { continue };
        // A link is none of ours.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let part = entry.path();
        // One on another machine, or in another container, may have a number that is free here.
        let is_free = || OpenOptions::new().write(true).open(&part).is_ok_and(|file| FileExt::try_lock(&file).is_ok());
        if is_file && process.parse().is_ok_and(is_gone) && is_free() {
            let _ = fs::remove_file(&part);
        }
    }
}

/// Whether there is no such process.
#[cfg(unix)]
fn is_gone(process: i32) -> bool {
    use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
    process > 0 && kill(Pid::from_raw(process), None) == Err(Errno::ESRCH)
}

/// Nobody knows.
#[cfg(not(unix))]
fn is_gone(_: i32) -> bool {
    false
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { what, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_is_there_when_the_file_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.har");
        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(target);
        assert_eq!(names(folder.path()), Vec::<String>::new(), "nothing stays of a failure");

        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["a.har".to_owned()], b"whole".to_vec()));
    }

    #[test]
    #[cfg(unix)]
    fn parts_of_processes_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (dead, alive) = (child.id(), std::os::unix::process::parent_id());
        child.wait().unwrap();
        let stale = format!("a.har.{dead}.part");
        let locked = format!("a.har.{}.part", i32::MAX);
        let others = [
            format!("a.har.{alive}.part"),
            format!("a.har.{dead}.part.bak"),
            format!("a.har.x{dead}.part"),
            format!("b.har.{dead}.part"),
            locked.clone(),
        ];
        for name in others.iter().chain([&stale]) {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let writer = File::open(folder.path().join(&locked)).unwrap();
        FileExt::try_lock(&writer).unwrap();
        Target::create(&folder.path().join("a.har"), false).unwrap().finish().unwrap();
        let mut left = others.to_vec();
        left.push("a.har".to_owned());
        left.sort();
        assert_eq!(names(folder.path()), left);
        drop(writer);
        Target::create(&folder.path().join("a.har"), true).unwrap().finish().unwrap();
        assert!(!folder.path().join(&locked).exists(), "its writer has gone, too");
    }

    #[test]
    fn what_is_there_is_written_over_by_force_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.har");
        let late = Target::create(&path, false).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Target::create(&path, false), Err(Error::Exists(_))));
        assert!(matches!(late.finish(), Err(Error::Exists(_))), "it came while we wrote");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        let mut target = Target::create(&path, true).unwrap();
        target.write_all(b"theirs").unwrap();
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn devices_are_written_into_and_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Target::create(folder.path(), true), Err(Error::Folder(_))));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        let mut target = Target::create(&pipe, false).unwrap();
        target.write_all(b"through").unwrap();
        target.finish().unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(!fs::metadata(&pipe).unwrap().is_file(), "the pipe is still one");

        let (file, link) = (folder.path().join("a.har"), folder.path().join("latest.har"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(Target::create(&link, false), Err(Error::Exists(_))));
        let mut target = Target::create(&link, true).unwrap();
        target.write_all(b"new").unwrap();
        target.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
