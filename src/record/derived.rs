//! Small JSON files that lie among the tables: derived like them, and gone with them.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::store::CaptureDir;

/// What the file of that name holds; `None` where there is none, or it cannot be read.
pub(super) fn read<T: DeserializeOwned>(dir: &CaptureDir, name: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(path(dir, name)).ok()?).ok()
}

/// Replaces the file, at once.
pub(super) fn write(dir: &CaptureDir, name: &str, value: &impl Serialize) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir.tables_dir())?;
    let path = path(dir, name);
    let temporary = path.with_extension("json.tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(&serde_json::to_vec(value)?).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn path(dir: &CaptureDir, name: &str) -> PathBuf {
    dir.tables_dir().join(name)
}
