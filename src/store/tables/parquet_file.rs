//! One Parquet file from rows and back, by a table's columns. Knows nothing of what they mean.

use std::{
    fs::File,
    io::{self, Write},
    ops::ControlFlow,
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel},
    column::{
        reader::{ColumnReader, get_typed_column_reader},
        writer::{ColumnCloseResult, ColumnWriter},
    },
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::RowGroupMetaData,
        properties::{EnabledStatistics, WriterProperties},
        reader::{ChunkReader, FileReader, RowGroupReader},
        serialized_reader::SerializedFileReader,
        statistics::Statistics,
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};

use super::{
    Filter,
    column::{Cells, Put, Table},
    spill::Group,
    texts::Texts,
};

/// Rows of one row group: what is read at once, and what statistics can skip.
pub(super) const GROUP_ROWS: usize = 4096;
/// A group has fewer rows where the texts of one of its columns take more room than this: heads may be large.
const GROUP_TEXT: usize = 4 << 20;
/// Rows whose texts are handed to the writer at once; it takes as many in one step.
const PART_ROWS: usize = 1024;
/// A row group of more rows is not ours, and is not taken into memory; before, they had up to 10,000.
pub(super) const GROUP_MOST: usize = 100_000;

/// What can go wrong while writing.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(io::Error),
    Parquet(ParquetError),
}

impl WriteError {
    /// Writing ended in a panic, which is a fault of this program.
    pub(super) fn panicked() -> Self {
        Self::Parquet(ParquetError::General("writing it panicked".to_owned()))
    }
}

impl From<ParquetError> for WriteError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(error) => Self::Io(*error),
                Err(source) => Self::Parquet(ParquetError::External(source)),
            },
            other => Self::Parquet(other),
        }
    }
}

/// Writes one row group of these columns, as a Parquet file of its own. The columns keep their cells.
pub(super) fn encode<T: Table, W: Write + Send>(columns: &mut [Buffer], to: W) -> Result<W, ParquetError> {
    let mut writer = SerializedFileWriter::new(to, schema::<T>()?, Arc::new(properties::<T>()?))?;
    let mut group = writer.next_row_group()?;
    let mut columns = columns.iter_mut();
    while let Some(mut column) = group.next_column()? {
        let Some(buffer) = columns.next() else { return Err(ParquetError::General("a column is missing".to_owned())) };
        let lent = buffer.lend();
        let written = buffer.write(&lent, column.untyped());
        let closed = column.close();
        buffer.take_back(lent);
        written?;
        closed?;
    }
    group.close()?;
    writer.into_inner()
}

/// One file of such groups.
pub(super) fn concatenate<T: Table>(file: File, groups: &[Group]) -> Result<(), WriteError> {
    let mut writer = SerializedFileWriter::new(io::BufWriter::new(file), schema::<T>()?, Arc::new(properties::<T>()?))?;
    for group in groups {
        let reader = SerializedFileReader::new(group.clone())?;
        for rows in reader.metadata().row_groups() {
            let mut out = writer.next_row_group()?;
            for column in rows.columns() {
                let close = ColumnCloseResult {
                    bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                    rows_written: u64::try_from(rows.num_rows()).unwrap_or_default(),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                out.append_column(group, close)?;
            }
            out.close()?;
        }
    }
    writer.finish()?;
    writer.inner_mut().flush().map_err(WriteError::Io)?;
    Ok(())
}

/// Hands out the rows of a file that `filter` wants, until it is told to end.
pub(super) fn read<T: Table>(
    file: impl ChunkReader + 'static,
    filter: Option<&Filter>,
    each: &mut dyn FnMut(T) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    // Which of the file's columns is which of ours: a file of a newer minor version has more, of an older one fewer.
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let places: Vec<Option<usize>> =
        T::COLUMNS.iter().map(|column| schema.columns().iter().position(|there| there.name() == column.name)).collect();
    let wanted = match filter {
        Some(filter) => {
            let ours = T::COLUMNS.iter().zip(&places).find(|(column, _)| column.name == filter.column);
            let (column, place) = ours
                .filter(|(column, _)| matches!(column.cells, Cells::Int { .. } | Cells::MaybeInt { .. }))
                .ok_or_else(|| ParquetError::General(format!("no column of numbers is called {:?}", filter.column)))?;
            Some((column, *place, &filter.range))
        }
        None => None,
    };
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        if count > GROUP_MOST {
            return Err(ParquetError::General(format!("a row group of {count} rows was not written by firstframe")));
        }
        if let Some((_, Some(place), range)) = &wanted
            && !may_hold(group.metadata(), *place, *range.start(), *range.end())
        {
            continue;
        }
        let mut rows: Vec<T> = std::iter::repeat_with(T::blank).take(count).collect();
        for (column, place) in T::COLUMNS.iter().zip(&places) {
            let Some(place) = place else { continue };
            read_column(group.as_ref(), *place, &column.cells, &mut rows)?;
        }
        for row in rows {
            let keep = wanted.as_ref().is_none_or(|(column, _, range)| match &column.cells {
                Cells::Int { get, .. } => range.contains(&get(&row)),
                Cells::MaybeInt { get, .. } => get(&row).is_some_and(|value| range.contains(&value)),
                Cells::Bool { .. } | Cells::Text { .. } | Cells::MaybeText { .. } => false,
            });
            if keep && each(row).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// See [`super::id_range`].
pub(super) fn id_range(file: File) -> Result<(u64, u64, u64), ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let (mut low, mut high, mut count) = (u64::MAX, 0, 0);
    for group in reader.metadata().row_groups() {
        count += u64::try_from(group.num_rows()).unwrap_or(0);
        let ids = group.columns().iter().find(|column| column.column_descr().name() == "id");
        if let Some(Statistics::Int64(statistics)) = ids.and_then(|column| column.statistics()) {
            low = low.min(statistics.min_opt().map_or(u64::MAX, |min| min.cast_unsigned()));
            high = high.max(statistics.max_opt().map_or(0, |max| max.cast_unsigned()));
        }
    }
    Ok((if low > high { 0 } else { low }, high, count))
}

fn schema<T: Table>() -> Result<Arc<Type>, ParquetError> {
    let mut fields = Vec::new();
    for column in T::COLUMNS {
        let (physical, logical) = match column.cells {
            Cells::Int { .. } | Cells::MaybeInt { .. } => (Physical::INT64, None),
            Cells::Bool { .. } => (Physical::BOOLEAN, None),
            Cells::Text { .. } | Cells::MaybeText { .. } => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = if column.cells.is_optional() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()?;
        fields.push(Arc::new(field));
    }
    Type::group_type_builder("schema").with_fields(fields).build().map(Arc::new)
}

fn properties<T: Table>() -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("firstframe ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Of whole numbers alone: they are what is filtered by, and texts would be copied into the footer.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    for column in T::COLUMNS {
        if !column.repeats {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name), false);
        }
        if matches!(column.cells, Cells::Int { .. } | Cells::MaybeInt { .. }) {
            // Ascending or small: differences pack as well as zstd does, without its set-up for every column chunk.
            let path = ColumnPath::from(column.name);
            properties = properties
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    Ok(properties.build())
}

/// One column's cells, to be written or put back into rows.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    values: Values,
    /// Of an optional column: whether each row has a value.
    levels: Vec<i16>,
}

/// The values of the cells that are not null.
#[derive(Clone, Debug)]
enum Values {
    Numbers(Vec<i64>),
    Bools(Vec<bool>),
    Texts(Texts),
}

impl Buffer {
    /// For a column of that type.
    pub(super) fn of<R>(cells: &Cells<R>) -> Self {
        let values = match cells {
            Cells::Int { .. } | Cells::MaybeInt { .. } => Values::Numbers(Vec::new()),
            Cells::Bool { .. } => Values::Bools(Vec::new()),
            Cells::Text { .. } | Cells::MaybeText { .. } => Values::Texts(Texts::default()),
        };
        Self { values, levels: Vec::new() }
    }

    /// Appends a row's cell. Whether the group is to end, since the column takes much room.
    pub(super) fn push<R>(&mut self, cells: &Cells<R>, row: &R) -> bool {
        match (cells, &mut self.values) {
            (Cells::Int { get, .. }, Values::Numbers(values)) => values.push(get(row).cast_signed()),
            (Cells::MaybeInt { get, .. }, Values::Numbers(values)) => {
                let value = get(row);
                self.levels.push(i16::from(value.is_some()));
                values.extend(value.map(u64::cast_signed));
            }
            (Cells::Bool { get, .. }, Values::Bools(values)) => values.push(get(row)),
            (Cells::Text { get, .. }, Values::Texts(texts)) => {
                texts.push(|text| {
                    get(row, text);
                    true
                });
                return texts.len() > GROUP_TEXT;
            }
            (Cells::MaybeText { get, .. }, Values::Texts(texts)) => {
                let is_some = texts.push(|text| get(row, text));
                self.levels.push(i16::from(is_some));
                return texts.len() > GROUP_TEXT;
            }
            _ => debug_assert!(false, "a buffer is made for its column"),
        }
        false
    }

    /// Puts the cells into as many rows.
    pub(super) fn fill<R>(&self, cells: &Cells<R>, rows: &mut [R]) -> Put {
        let mut levels = self.levels.iter();
        let present = rows.iter_mut().filter(|_| levels.next().is_none_or(|level| *level == 1));
        match (cells, &self.values) {
            (Cells::Int { set, .. } | Cells::MaybeInt { set, .. }, Values::Numbers(values)) => {
                present.zip(values).for_each(|(row, value)| set(row, value.cast_unsigned()));
            }
            (Cells::Bool { set, .. }, Values::Bools(values)) => {
                present.zip(values).for_each(|(row, value)| set(row, *value));
            }
            (Cells::Text { set, .. } | Cells::MaybeText { set, .. }, Values::Texts(texts)) => {
                for (row, bytes) in present.zip(texts.iter()) {
                    set(row, std::str::from_utf8(bytes).map_err(|error| error.to_string())?)?;
                }
            }
            _ => return Err("a buffer is made for another column".to_owned()),
        }
        Ok(())
    }

    /// Forgets the cells and keeps their room.
    pub(super) fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Numbers(values) => values.clear(),
            Values::Bools(values) => values.clear(),
            Values::Texts(texts) => texts.clear(),
        }
    }

    /// The texts' bytes, lent to a writer that wants to own them.
    fn lend(&mut self) -> Bytes {
        match &mut self.values {
            Values::Texts(texts) => texts.lend(),
            Values::Numbers(_) | Values::Bools(_) => Bytes::new(),
        }
    }

    /// Takes back what was lent.
    fn take_back(&mut self, lent: Bytes) {
        if let Values::Texts(texts) = &mut self.values {
            texts.take_back(lent);
        }
    }

    /// Writes the cells, whose texts were lent.
    fn write(&self, lent: &Bytes, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = (!self.levels.is_empty()).then_some(self.levels.as_slice());
        match (&self.values, writer) {
            (Values::Numbers(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
            }
            (Values::Bools(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
            }
            (Values::Texts(texts), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let mut cells = texts.of(lent).map(ByteArray::from);
                let mut part: Vec<ByteArray> = Vec::with_capacity(PART_ROWS);
                for rows in parts(levels, texts.count()) {
                    part.clear();
                    part.extend(cells.by_ref().take(rows.present));
                    writer.write_batch(&part, rows.levels, None)?;
                }
            }
            _ => return Err(ParquetError::General("a column's writer is not of the schema's type".to_owned())),
        }
        Ok(())
    }
}

/// Some rows of a column.
struct Part<'l> {
    /// Whether each has a value, where not all have one.
    levels: Option<&'l [i16]>,
    /// How many have one.
    present: usize,
}

/// A column's rows in parts, of which this many have a value.
fn parts(levels: Option<&[i16]>, count: usize) -> impl Iterator<Item = Part<'_>> {
    let optional = levels.unwrap_or_default().chunks(PART_ROWS).map(|levels| {
        let present = levels.iter().filter(|level| **level == 1).count();
        Part { levels: Some(levels), present }
    });
    let count = if levels.is_some() { 0 } else { count };
    let required = (0..count).step_by(PART_ROWS);
    optional.chain(required.map(move |from| Part { levels: None, present: PART_ROWS.min(count - from) }))
}

fn read_column<R>(
    group: &dyn RowGroupReader,
    place: usize,
    cells: &Cells<R>,
    rows: &mut [R],
) -> Result<(), ParquetError> {
    let reader = group.get_column_reader(place)?;
    match (cells, &reader) {
        (Cells::Int { set, .. } | Cells::MaybeInt { set, .. }, ColumnReader::Int64ColumnReader(_)) => {
            each_cell::<Int64Type, R>(reader, rows, |row, value| {
                set(row, value.cast_unsigned());
                Ok(())
            })
        }
        (Cells::Bool { set, .. }, ColumnReader::BoolColumnReader(_)) => {
            each_cell::<BoolType, R>(reader, rows, |row, value| {
                set(row, *value);
                Ok(())
            })
        }
        (Cells::Text { set, .. } | Cells::MaybeText { set, .. }, ColumnReader::ByteArrayColumnReader(_)) => {
            each_cell::<ByteArrayType, R>(reader, rows, |row, value| {
                let text = std::str::from_utf8(value.data()).map_err(|error| error.to_string())?;
                set(row, text)
            })
        }
        _ => Err(ParquetError::General(format!("column {place} has another type than firstframe writes"))),
    }
}

/// Reads a column of one row group and puts each cell that is not null into its row.
fn each_cell<D: DataType, R>(
    reader: ColumnReader,
    rows: &mut [R],
    put: impl Fn(&mut R, &D::T) -> Result<(), String>,
) -> Result<(), ParquetError> {
    let mut reader = get_typed_column_reader::<D>(reader);
    let mut values: Vec<D::T> = Vec::with_capacity(rows.len());
    let mut levels: Vec<i16> = Vec::with_capacity(rows.len());
    let (records, _, _) = reader.read_records(rows.len(), Some(&mut levels), None, &mut values)?;
    if records != rows.len() {
        return Err(ParquetError::General(format!("a column has {records} cells for {} rows", rows.len())));
    }
    let mut values = values.iter();
    // A column that is required has no levels: every cell is there.
    let mut levels = levels.into_iter();
    for row in rows {
        if levels.next().unwrap_or(1) == 0 {
            continue;
        }
        let Some(value) = values.next() else {
            return Err(ParquetError::General("a column has fewer values than it says".to_owned()));
        };
        put(row, value).map_err(ParquetError::General)?;
    }
    Ok(())
}

/// Whether a row group may hold values in the range, by its statistics.
fn may_hold(group: &RowGroupMetaData, place: usize, low: u64, high: u64) -> bool {
    match group.columns().get(place).and_then(|column| column.statistics()) {
        Some(Statistics::Int64(statistics)) => match (statistics.min_opt(), statistics.max_opt()) {
            // Values beyond i64 would be negative here; ids and instants do not get there.
            (Some(min), Some(max)) if *min >= 0 => low <= max.cast_unsigned() && high >= min.cast_unsigned(),
            _ => true,
        },
        _ => true,
    }
}
