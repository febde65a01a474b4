//! Small things about files that every part of the store needs: private modes, atomic replacement, durable renames.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::error::{Error, IoContext};

/// Makes a folder that its owner alone may enter. Its parent must exist.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    private(&mut DirBuilder::new()).create(path)
}

/// The same with all missing parents; a folder that exists is left as it is.
pub(super) fn create_private_dirs(path: &Path) -> io::Result<()> {
    private(DirBuilder::new().recursive(true)).create(path)
}

/// Options under which a file that is created can be read by its owner alone.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts `bytes` in the place of the file at `path` such that readers and a crash find either the old or the new one.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary(path);
    let written = write_whole(&temporary, bytes).and_then(|()| fs::rename(&temporary, path).context("rename", path));
    if written.is_err() {
        // A full disk needs the room.
        let _ = remove(&temporary);
    }
    written?;
    sync_parent(path)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = private_file().write(true).create(true).truncate(true).open(path).context("create", path)?;
    file.write_all(bytes).context("write", path)?;
    file.sync_all().context("sync", path)
}

/// What a file is called until it is whole.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Makes the entry of `path` in its folder durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Makes a folder's entries durable. Windows does so by itself and cannot be asked.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path).and_then(|dir| dir.sync_all()).context("sync", path)
}

/// Removes a file; one that is not there is as good as removed. Returns how many bytes went.
pub(super) fn remove(path: &Path) -> Result<u64, Error> {
    let bytes = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).context("look at", path),
    };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        _ => Ok(bytes),
    }
}

/// Removes a folder with all in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        _ => Ok(()),
    }
}

/// The numbers of the files `NNNNNN.extension` in a folder, ascending. A folder that is not there has none.
pub(super) fn numbered(dir: &Path, extension: &str) -> Result<Vec<u64>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list", dir),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.context("list", dir)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'))
            .filter(|digits| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder
}
