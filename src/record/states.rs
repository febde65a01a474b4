//! The inspector's state at each segment's begin: `tables/state/000002.json.gz` is the one before segment 2's first
//! record, and is written last of what segment 1's end writes.
//!
//! It serves three ends: it says that the tables of the segment before are complete (a segment without rows of a kind has
//! no table of it), so that readers of a killed capture know where to begin; they begin with it; and retention needs it
//! when the segments before go. It is derived data like the tables, and lies among them, so that it goes with them. It
//! is a file and not an entry of the catalogue because readers cannot open that while another process has it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;

use crate::store::CaptureDir;

/// A state is never larger; more is damage.
const LARGEST: u64 = 1 << 30;

/// Writes the state before a segment.
pub(super) fn write(dir: &CaptureDir, segment: u64, state: &Value) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(dir))?;
    let path = path(dir, segment);
    let temporary = path.with_extension("tmp");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let mut out = GzEncoder::new(io::BufWriter::new(file), Compression::fast());
    serde_json::to_writer(&mut out, state)?;
    out.finish()?.flush()?;
    fs::rename(&temporary, path)
}

/// Reads the state before a segment.
pub(super) fn read(dir: &CaptureDir, segment: u64) -> io::Result<Value> {
    let file = fs::File::open(path(dir, segment))?;
    let mut json = Vec::new();
    GzDecoder::new(file).take(LARGEST).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Whether there is one before that segment: then the segment before it has its tables.
pub(super) fn exists(dir: &CaptureDir, segment: u64) -> bool {
    path(dir, segment).exists()
}

/// Removes those before the segments up to this one.
pub(super) fn remove_upto(dir: &CaptureDir, segment: u64) {
    let Ok(entries) = fs::read_dir(folder(dir)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.split('.').next()).and_then(|digits| digits.parse().ok());
        if number.is_some_and(|number: u64| number <= segment) {
            // One that stays is superfluous, not wrong.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder(dir: &CaptureDir) -> PathBuf {
    dir.tables_dir().join("state")
}

fn path(dir: &CaptureDir, segment: u64) -> PathBuf {
    folder(dir).join(format!("{segment:06}.json.gz"))
}
