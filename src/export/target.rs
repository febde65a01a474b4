//! A file that appears under its name when it is complete, and not before: written beside it, renamed at the end, removed
//! where that does not come. Readable by its owner alone, as all that comes of a capture.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::Error;

/// See the module.
pub struct Target {
    file: BufWriter<File>,
    part: PathBuf,
    path: PathBuf,
    force: bool,
    done: bool,
}

impl Target {
    /// # Errors
    /// Where something has that name already (unless `force`), or it cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Self, Error> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(Error::Exists(path.display().to_string()));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&part).map_err(|source| failed("create", &part, source))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), part, path: path.to_owned(), force, done: false })
    }

    /// It is complete: puts it under its name.
    ///
    /// # Errors
    /// Where it cannot be written to its end or be renamed, or something got that name meanwhile.
    pub fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| failed("write", &self.part, source))?;
        self.file.get_ref().sync_data().map_err(|source| failed("write", &self.part, source))?;
        let result = if self.force {
            fs::rename(&self.part, &self.path)
        } else {
            // A link does not replace what is there, a rename would.
            match fs::hard_link(&self.part, &self.path) {
                Ok(()) => fs::remove_file(&self.part),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Error::Exists(self.path.display().to_string()));
                }
                // Not every file system has links.
                Err(_) => fs::rename(&self.part, &self.path),
            }
        };
        result.map_err(|source| failed("rename to", &self.path, source))?;
        self.done = true;
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl io::Seek for Target {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.part);
        }
    }
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
}
