//! The tables of derived rows: plain Parquet, one file per sealed segment and kind, that DuckDB, Spark, Polars and pandas
//! open as they lie. docs/format.md lists the columns.
//!
//! A table's columns are declared once, in `tables/`, each with how it is taken out of a row and put back, so that writing
//! and reading cannot drift apart. Tables hold no bodies and no frame text. They are derived: what is wrong with one is an
//! error that says `reindex`, and nothing else depends on it.

use std::{
    fs::{self, File},
    io,
    ops::{ControlFlow, RangeInclusive},
    path::PathBuf,
};

use crate::model::rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, SessionRow};

use super::{CaptureDir, Error, error::IoContext, files};

mod apart;
mod column;
mod connections;
mod exchanges;
mod flags;
mod frames;
mod packed;
mod parquet_file;
mod scan;
mod sessions;
mod spill;
mod texts;

use apart::Apart;
pub use column::{Column, Table};
pub use packed::{Packed, PackedRows};
pub use scan::{Batch, NULL, scan};

/// The rows that one segment's records made final.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Rows {
    pub connections: Vec<ConnectionRow>,
    pub exchanges: Vec<ExchangeRow>,
    pub frames: Vec<FrameRow>,
    pub sessions: Vec<SessionRow>,
    pub flags: Vec<FlagRow>,
}

impl Rows {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows of all kinds.
    pub fn len(&self) -> usize {
        self.connections.len() + self.exchanges.len() + self.frames.len() + self.sessions.len() + self.flags.len()
    }
}

/// Which rows are wanted: those whose column (one of whole numbers, such as `id` or `connection`) lies in the range.
/// Groups of rows that cannot hold any are not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column's name.
    pub column: &'static str,
    /// Its values.
    pub range: RangeInclusive<u64>,
}

impl Filter {
    /// Rows with one id.
    pub fn id(id: u64) -> Self {
        Self::equals("id", id)
    }

    /// Rows where a column has one value.
    pub fn equals(column: &'static str, value: u64) -> Self {
        Self { column, range: value..=value }
    }
}

/// Writes a segment's tables; none for a kind without rows. Files that are there already are replaced (or removed), each
/// at once.
pub fn write_tables(dir: &CaptureDir, segment: u64, rows: &Rows) -> Result<(), Error> {
    write_packed(dir, segment, &mut rows.into())
}

/// The same of rows that are columns already.
pub fn write_packed(dir: &CaptureDir, segment: u64, rows: &mut PackedRows) -> Result<(), Error> {
    let apart = rows.apart();
    write_table(dir, segment, &mut rows.connections, &apart)?;
    write_table(dir, segment, &mut rows.exchanges, &apart)?;
    write_table(dir, segment, &mut rows.frames, &apart)?;
    write_table(dir, segment, &mut rows.sessions, &apart)?;
    write_table(dir, segment, &mut rows.flags, &apart)
}

/// Reads the rows of one segment's table, all or those wanted; none where there is no file.
pub fn read<T: Table>(dir: &CaptureDir, segment: u64, filter: Option<&Filter>) -> Result<Vec<T>, Error> {
    let mut rows = Vec::new();
    read_each(dir, segment, filter, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// The same, row by row until it is told to end; one group of rows is in memory at once.
pub fn read_each<T: Table>(
    dir: &CaptureDir,
    segment: u64,
    filter: Option<&Filter>,
    each: &mut dyn FnMut(T) -> ControlFlow<()>,
) -> Result<(), Error> {
    let path = table_path::<T>(dir, segment);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("open", &path),
    };
    parquet_file::read(file, filter, each).map(|_| ()).map_err(|error| Error::Table { path, why: error.to_string() })
}

/// Connections of one segment's table.
pub fn read_connections(dir: &CaptureDir, segment: u64) -> Result<Vec<ConnectionRow>, Error> {
    read(dir, segment, None)
}

/// Exchanges of one segment's table.
pub fn read_exchanges(dir: &CaptureDir, segment: u64) -> Result<Vec<ExchangeRow>, Error> {
    read(dir, segment, None)
}

/// Frames of one segment's table.
pub fn read_frames(dir: &CaptureDir, segment: u64) -> Result<Vec<FrameRow>, Error> {
    read(dir, segment, None)
}

/// Sessions of one segment's table.
pub fn read_sessions(dir: &CaptureDir, segment: u64) -> Result<Vec<SessionRow>, Error> {
    read(dir, segment, None)
}

/// Flags of one segment's table.
pub fn read_flags(dir: &CaptureDir, segment: u64) -> Result<Vec<FlagRow>, Error> {
    read(dir, segment, None)
}

/// The segments that have a table of this kind, ascending.
pub fn segments_with<T: Table>(dir: &CaptureDir) -> Result<Vec<u64>, Error> {
    files::numbered(&dir.tables_dir().join(T::FOLDER), "parquet")
}

/// The smallest and the largest id in one segment's table and how many rows it has, by the file's statistics. Zeros
/// where there is no file, and for ids where the table has none.
pub fn id_range<T: Table>(dir: &CaptureDir, segment: u64) -> Result<(u64, u64, u64), Error> {
    let path = table_path::<T>(dir, segment);
    match File::open(&path) {
        Ok(file) => parquet_file::id_range(file).map_err(|error| Error::Table { path, why: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((0, 0, 0)),
        Err(error) => Err(error).context("open", &path),
    }
}

/// Removes all of a segment's tables. Returns how many bytes went.
pub fn remove_tables(dir: &CaptureDir, segment: u64) -> Result<u64, Error> {
    let mut bytes = 0;
    for folder in FOLDERS {
        bytes += files::remove(&path_in(dir, folder, segment))?;
    }
    Ok(bytes)
}

/// How many bytes a segment's tables take.
pub fn table_bytes(dir: &CaptureDir, segment: u64) -> u64 {
    let bytes = |folder: &&str| fs::metadata(path_in(dir, folder, segment)).map_or(0, |metadata| metadata.len());
    FOLDERS.iter().map(bytes).sum()
}

/// One table's file.
pub fn table_path<T: Table>(dir: &CaptureDir, segment: u64) -> PathBuf {
    path_in(dir, T::FOLDER, segment)
}

const FOLDERS: [&str; 5] =
    [ConnectionRow::FOLDER, ExchangeRow::FOLDER, FrameRow::FOLDER, SessionRow::FOLDER, FlagRow::FOLDER];

fn path_in(dir: &CaptureDir, folder: &str, segment: u64) -> PathBuf {
    dir.tables_dir().join(folder).join(format!("{segment:06}.parquet"))
}

fn write_table<T: Table>(dir: &CaptureDir, segment: u64, rows: &mut Packed<T>, apart: &Apart) -> Result<(), Error> {
    let path = table_path::<T>(dir, segment);
    if rows.is_empty() {
        return files::remove(&path).map(|_| ());
    }
    let groups = rows.groups(apart)?.to_vec();
    let folder = dir.tables_dir().join(T::FOLDER);
    files::create_private_dirs(&folder).context("create", &folder)?;
    let temporary = files::temporary(&path);
    let file = files::private_file().write(true).create(true).truncate(true).open(&temporary);
    let file = file.context("create", &temporary)?;
    let written = apart.run(move || parquet_file::concatenate::<T>(file, &groups));
    if let Err(error) = written.unwrap_or_else(|| Err(parquet_file::WriteError::panicked())) {
        let _ = files::remove(&temporary);
        // A full disk is worth telling apart here, too.
        return Err(match error {
            parquet_file::WriteError::Io(source) => Error::Io { what: "write", path: temporary, source },
            parquet_file::WriteError::Parquet(error) => Error::Table { path, why: error.to_string() },
        });
    }
    fs::rename(&temporary, &path).context("rename", &path)
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
