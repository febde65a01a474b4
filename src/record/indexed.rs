//! `tables/indexed.json`: which segments have their tables, all of them. Written after them, so that readers of a killed
//! capture know which to trust: a segment without rows of a kind has no table of it, and one may have been cut off
//! between two kinds. It is derived like the tables, lies among them and goes with them.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::store::CaptureDir;

/// The segments with tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Indexed {
    /// All of those up to this one that are there …
    upto: u64,
    /// … but for these, whose tables could not be written.
    except: BTreeSet<u64>,
}

impl Indexed {
    /// What was written; nothing where it cannot be read.
    pub(super) fn read(dir: &CaptureDir) -> Self {
        fs::read(path(dir)).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    pub(super) fn has(&self, segment: u64) -> bool {
        segment <= self.upto && !self.except.contains(&segment)
    }

    /// The next segment has its tables, or cannot have them.
    pub(super) fn ended(&mut self, segment: u64, written: bool) {
        self.upto = segment;
        if !written {
            self.except.insert(segment);
        }
    }

    /// Replaces the file, at once.
    pub(super) fn write(&self, dir: &CaptureDir) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.tables_dir())?;
        let path = path(dir);
        let temporary = path.with_extension("json.tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(&serde_json::to_vec(self)?).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn path(dir: &CaptureDir) -> PathBuf {
    dir.tables_dir().join("indexed.json")
}
