//! Tables read by column, for those who add up millions of rows and need none of them whole: cells of one row group at a
//! time, texts where they lie in its pages.

use std::{fs::File, io};

use parquet::{
    column::reader::{ColumnReader, get_typed_column_reader},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        reader::{FileReader, RowGroupReader},
        serialized_reader::SerializedFileReader,
    },
};

use crate::store::{CaptureDir, Error, error::IoContext as _};

use super::{
    column::{Cells, Table},
    parquet_file::GROUP_MOST,
    table_path,
};

/// The cell of a number that is null, or of a column that the file does not have.
pub const NULL: i64 = i64::MIN;

/// Cells of one row group, in the order of the columns that were asked for.
pub struct Batch {
    rows: usize,
    columns: Vec<Vector>,
}

/// One column's cells.
enum Vector {
    Numbers(Vec<i64>),
    Truths(Vec<bool>),
    Texts(Vec<ByteArray>, Vec<u32>),
    Missing,
}

/// An index for a text that is null.
const NO_TEXT: u32 = u32::MAX;

impl Batch {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A number; [`NULL`] where there is none.
    pub fn number(&self, column: usize, row: usize) -> i64 {
        match self.columns.get(column) {
            Some(Vector::Numbers(cells)) => cells.get(row).copied().unwrap_or(NULL),
            _ => NULL,
        }
    }

    /// A truth value; false where there is none.
    pub fn truth(&self, column: usize, row: usize) -> bool {
        matches!(self.columns.get(column), Some(Vector::Truths(cells)) if cells.get(row).copied().unwrap_or(false))
    }

    /// A text. Equal texts often lie at the same place: they may be told by their address first.
    ///
    /// Bytes that are not UTF-8 were not written by us; they give no text.
    pub fn text(&self, column: usize, row: usize) -> Option<&str> {
        match self.columns.get(column) {
            Some(Vector::Texts(values, at)) => {
                let value = values.get(*at.get(row)? as usize)?;
                std::str::from_utf8(value.data()).ok()
            }
            _ => None,
        }
    }
}

/// Hands out the row groups of one segment's table with the columns of those names; none where there is no file.
///
/// # Errors
/// Where the file cannot be read, or was not written by firstframe.
pub fn scan<T: Table>(
    dir: &CaptureDir,
    segment: u64,
    columns: &[&str],
    each: &mut dyn FnMut(&Batch),
) -> Result<(), Error> {
    let path = table_path::<T>(dir, segment);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("open", &path),
    };
    groups::<T>(file, columns, each).map_err(|error| Error::Table { path, why: error.to_string() })
}

fn groups<T: Table>(file: File, names: &[&str], each: &mut dyn FnMut(&Batch)) -> Result<(), ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let places: Vec<Option<usize>> =
        names.iter().map(|name| schema.columns().iter().position(|there| there.name() == *name)).collect();
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        if rows > GROUP_MOST {
            return Err(ParquetError::General(format!("a row group of {rows} rows was not written by firstframe")));
        }
        let mut columns = Vec::with_capacity(names.len());
        for (name, place) in names.iter().zip(&places) {
            let known = T::COLUMNS.iter().find(|column| column.name == *name);
            columns.push(match (place, known) {
                (Some(place), Some(known)) => vector(group.as_ref(), *place, &known.cells, rows)?,
                (None, Some(_)) => Vector::Missing,
                (_, None) => return Err(ParquetError::General(format!("no column is called {name:?}"))),
            });
        }
        each(&Batch { rows, columns });
    }
    Ok(())
}

fn vector<R>(group: &dyn RowGroupReader, place: usize, cells: &Cells<R>, rows: usize) -> Result<Vector, ParquetError> {
    let reader = group.get_column_reader(place)?;
    match (cells, &reader) {
        (Cells::Int { .. } | Cells::MaybeInt { .. }, ColumnReader::Int64ColumnReader(_)) => {
            let (values, levels) = cells_of::<Int64Type>(reader, rows)?;
            Ok(Vector::Numbers(spread(values, &levels, rows)))
        }
        (Cells::Bool { .. }, ColumnReader::BoolColumnReader(_)) => {
            Ok(Vector::Truths(cells_of::<BoolType>(reader, rows)?.0))
        }
        (Cells::Text { .. } | Cells::MaybeText { .. }, ColumnReader::ByteArrayColumnReader(_)) => {
            let (values, levels) = cells_of::<ByteArrayType>(reader, rows)?;
            let mut next = 0;
            let at = (0..rows).map(|row| {
                if levels.get(row).is_some_and(|level| *level == 0) {
                    return NO_TEXT;
                }
                next += 1;
                next - 1
            });
            let at = at.collect();
            Ok(Vector::Texts(values, at))
        }
        _ => Err(ParquetError::General(format!("column {place} has another type than firstframe writes"))),
    }
}

/// A column's values that are not null, and for each row whether it has one (empty: all have).
fn cells_of<D: DataType>(reader: ColumnReader, rows: usize) -> Result<(Vec<D::T>, Vec<i16>), ParquetError> {
    let mut reader = get_typed_column_reader::<D>(reader);
    let mut values = Vec::with_capacity(rows);
    let mut levels = Vec::new();
    let (records, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    let there = if levels.is_empty() { rows } else { levels.iter().filter(|level| **level != 0).count() };
    if records != rows || values.len() != there {
        return Err(ParquetError::General(format!("a column has {records} cells for {rows} rows")));
    }
    Ok((values, levels))
}

/// Puts [`NULL`] where there is no value.
fn spread(values: Vec<i64>, levels: &[i16], rows: usize) -> Vec<i64> {
    if values.len() == rows {
        return values;
    }
    let mut values = values.into_iter();
    levels.iter().map(|level| if *level == 0 { NULL } else { values.next().unwrap_or(NULL) }).collect()
}
