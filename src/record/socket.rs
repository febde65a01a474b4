//! The Unix socket in a capture's folder, also where the folder's path is longer than a socket's address may be (108
//! bytes on Linux): then it is reached through the folder's open handle, `/proc/self/fd/7/api.sock`.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

/// What fits into an address, beside the NUL at its end: 108 bytes on Linux, 104 elsewhere.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Listens at `path`, for its owner alone. A socket that is there is replaced: only the holder of the capture's lock may
/// call this, so it must be a dead recorder's.
///
/// # Errors
/// What the system says; too long a path where there is no `/proc`.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = within_reach(path, |address| UnixListener::bind(address))?;
    // Nobody came between: the folder is its owner's alone.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket at `path`.
///
/// # Errors
/// What the system says: `NotFound` or `ConnectionRefused` where no recorder listens.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    within_reach(path, |address| UnixStream::connect(address))
}

/// Calls `with` with an address of the socket that is short enough.
fn within_reach<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().as_bytes().len() <= LONGEST {
        return with(path);
    }
    if !cfg!(target_os = "linux") {
        let why = format!("{} is longer than a socket's address may be (hint: -w with a shorter path)", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let folder = File::open(path.parent().unwrap_or_else(|| Path::new(".")))?;
    let name = path.file_name().unwrap_or_else(|| OsStr::new("api.sock"));
    let short: PathBuf = ["/proc/self/fd".as_ref(), OsStr::new(&folder.as_raw_fd().to_string()), name].iter().collect();
    with(&short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_path_of_any_length_is_reached_and_a_stale_socket_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for deep in ["short".to_owned(), "long".repeat(50)] {
            let path = folder.path().join(deep).join("api.sock");
            fs::create_dir(path.parent().unwrap()).unwrap();
            assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
            drop(bind(&path).unwrap());
            assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused, "stale");
            let listener = bind(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            connect(&path).unwrap().write_all(b"x").unwrap();
            let mut got = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"x");
        }
    }
}
