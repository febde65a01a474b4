//! Rows on their way to a segment's tables, as columns from the moment that they are made: a row is taken apart while it
//! is warm and can be dropped at once, full groups are compressed as they come (and may wait on the disk), and a segment's
//! end has only to write them one behind the other. Whole rows would take ten times the room until then, and be moved about
//! meanwhile.

use std::{marker::PhantomData, ops::ControlFlow, path::PathBuf};

use parquet::errors::ParquetError;

use crate::{
    model::{
        ConnectionId,
        rows::{ConnectionRow, ExchangeRow, Extent, FlagRow, FrameRow, Row, SessionRow},
    },
    store::Error,
};

use super::{
    Rows,
    apart::Apart,
    column::{Cells, Table},
    parquet_file::{self, Buffer, GROUP_ROWS},
    spill::{Group, Place, Spill},
};

/// Rows of all kinds. Cheap to clone but for the group of each kind that is not full yet.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "their names say it")]
pub struct PackedRows {
    pub connections: Packed<ConnectionRow>,
    pub exchanges: Packed<ExchangeRow>,
    pub frames: Packed<FrameRow>,
    pub sessions: Packed<SessionRow>,
    pub flags: Packed<FlagRow>,
    /// Where the records of the connections lie.
    pub extents: Vec<(ConnectionId, Extent)>,
    /// Where full groups wait; none: in memory.
    spill: Option<Spill>,
    /// Where groups are encoded.
    apart: Apart,
}

impl PackedRows {
    /// None yet; their full groups are to wait in that folder, in a file that nobody sees.
    pub fn waiting_in(folder: PathBuf) -> Self {
        Self { spill: Some(Spill::new(folder)), ..Self::default() }
    }

    /// Takes a row in.
    pub fn add(&mut self, row: &Row) {
        match row {
            Row::Connection(row) => {
                self.extents.push((row.id, row.extent));
                self.connections.add(row, &self.apart, self.spill.as_mut());
            }
            Row::Exchange(row) => self.exchanges.add(row, &self.apart, self.spill.as_mut()),
            Row::Frame(row) => self.frames.add(row, &self.apart, self.spill.as_mut()),
            Row::Session(row) => self.sessions.add(row, &self.apart, self.spill.as_mut()),
            Row::Flag(row) => self.flags.add(row, &self.apart, self.spill.as_mut()),
        }
    }

    /// Where groups are encoded.
    pub(super) fn apart(&self) -> Apart {
        self.apart.clone()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows of all kinds.
    pub fn len(&self) -> u64 {
        self.connections.len() + self.exchanges.len() + self.frames.len() + self.sessions.len() + self.flags.len()
    }

    /// Forgets all rows, but keeps the room for those of one group. What encodes the next begins anew: a thread's end is
    /// when the allocator gives back what stands between what the thread kept at hand.
    pub fn clear(&mut self) {
        self.apart = Apart::default();
        self.connections.clear();
        self.exchanges.clear();
        self.frames.clear();
        self.sessions.clear();
        self.flags.clear();
        self.extents.clear();
        if let Some(spill) = &mut self.spill {
            spill.begin_anew();
        }
    }
}

impl From<&Rows> for PackedRows {
    fn from(rows: &Rows) -> Self {
        let mut packed = Self::default();
        for row in &rows.connections {
            packed.extents.push((row.id, row.extent));
            packed.connections.add(row, &packed.apart, None);
        }
        for row in &rows.exchanges {
            packed.exchanges.add(row, &packed.apart, None);
        }
        for row in &rows.frames {
            packed.frames.add(row, &packed.apart, None);
        }
        for row in &rows.sessions {
            packed.sessions.add(row, &packed.apart, None);
        }
        for row in &rows.flags {
            packed.flags.add(row, &packed.apart, None);
        }
        packed
    }
}

/// Rows of one kind.
#[derive(Clone, Debug)]
pub struct Packed<T> {
    /// The group that is not full yet, one for each of the table's columns; none before the first row.
    columns: Vec<Buffer>,
    open: usize,
    /// Full groups, each a Parquet file of its own.
    groups: Vec<Group>,
    ids: (u64, u64),
    rows: u64,
    failed: Option<String>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self { columns: Vec::new(), open: 0, groups: Vec::new(), ids: (0, 0), rows: 0, failed: None, kind: PhantomData }
    }
}

impl<T: Table> Packed<T> {
    /// Takes a row in. A group that it makes full is encoded, and moved out of memory if there is a place.
    fn add(&mut self, row: &T, apart: &Apart, spill: Option<&mut Spill>) {
        if self.columns.is_empty() {
            self.columns = T::COLUMNS.iter().map(|column| Buffer::of(&column.cells)).collect();
        }
        let mut full = false;
        for (buffer, column) in self.columns.iter_mut().zip(T::COLUMNS) {
            full |= buffer.push(&column.cells, row);
        }
        if let Some(Cells::Int { get, .. }) = T::COLUMNS.first().map(|column| &column.cells) {
            let (id, (low, high)) = (get(row), self.ids);
            self.ids = if self.rows == 0 { (id, id) } else { (low.min(id), high.max(id)) };
        }
        self.rows += 1;
        self.open += 1;
        if self.open >= GROUP_ROWS || full {
            self.end_group(apart, spill);
        }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The smallest and the largest id; zeros where there is no row, or the kind has no ids.
    pub fn ids(&self) -> (u64, u64) {
        self.ids
    }

    /// Hands out the rows, as they were taken in, until it is told to end.
    ///
    /// # Errors
    /// Where the rows cannot be read back, which is a fault of this program or of its disk.
    pub fn each(&self, each: &mut dyn FnMut(T) -> ControlFlow<()>) -> Result<(), Error> {
        self.check()?;
        for group in &self.groups {
            let flow =
                parquet_file::read(group.clone(), None, each).map_err(|error| broken::<T>(&error.to_string()))?;
            if flow.is_break() {
                return Ok(());
            }
        }
        let mut rows: Vec<T> = std::iter::repeat_with(T::blank).take(self.open).collect();
        for (buffer, column) in self.columns.iter().zip(T::COLUMNS) {
            buffer.fill(&column.cells, &mut rows).map_err(|why| broken::<T>(&why))?;
        }
        let _ = rows.into_iter().try_for_each(each);
        Ok(())
    }

    /// All rows in full groups, to be written.
    pub(super) fn groups(&mut self, apart: &Apart) -> Result<&[Group], Error> {
        if self.open > 0 {
            self.end_group(apart, None);
        }
        self.check()?;
        Ok(&self.groups)
    }

    fn clear(&mut self) {
        self.columns.iter_mut().for_each(Buffer::clear);
        let columns = std::mem::take(&mut self.columns);
        *self = Self { columns, ..Self::default() };
    }

    /// Encodes the rows that are no group yet: to a place on the disk if there is one that takes them, else in memory.
    fn end_group(&mut self, apart: &Apart, spill: Option<&mut Spill>) {
        let mut columns = std::mem::take(&mut self.columns);
        let place = spill.and_then(Spill::place);
        let encoded = apart.run(move || {
            let group = encode::<T>(&mut columns, place);
            columns.iter_mut().for_each(Buffer::clear);
            (columns, group)
        });
        self.open = 0;
        match encoded {
            Some((columns, group)) => {
                self.columns = columns;
                match group {
                    Ok(group) => self.groups.push(group),
                    Err(error) => self.failed = Some(error.to_string()),
                }
            }
            None => self.failed = Some("a group of rows could not be encoded: it panicked".to_owned()),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.as_deref().map_or(Ok(()), |why| Err(broken::<T>(why)))
    }
}

fn encode<T: Table>(columns: &mut [Buffer], place: Option<Place>) -> Result<Group, ParquetError> {
    if let Some(place) = place
        && let Ok(place) = parquet_file::encode::<T, _>(columns, place)
    {
        return Ok(place.keep());
    }
    let mut file = parquet_file::encode::<T, _>(columns, Vec::new())?;
    file.shrink_to_fit();
    Ok(Group::Held(file.into()))
}

fn broken<T: Table>(why: &str) -> Error {
    Error::Table { path: T::FOLDER.into(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::FrameId;

    fn frames(packed: &Packed<FrameRow>) -> Vec<u64> {
        let mut ids = Vec::new();
        let mut each = |row: FrameRow| {
            ids.push(row.id.0);
            ControlFlow::Continue(())
        };
        packed.each(&mut each).unwrap();
        ids
    }

    #[test]
    fn who_encodes_a_segments_groups_ends_with_it() {
        let mut rows = PackedRows::default();
        let encoder = |rows: &PackedRows| rows.apart().run(|| std::thread::current().id()).unwrap();
        let first = encoder(&rows);
        assert_eq!(encoder(&rows), first);
        rows.clear();
        assert_ne!(encoder(&rows), first);
    }

    #[test]
    fn rows_come_out_as_they_went_in_whether_their_group_is_full_or_not() {
        let (mut packed, apart) = (Packed::<FrameRow>::default(), Apart::default());
        assert_eq!((packed.ids(), frames(&packed)), ((0, 0), vec![]));
        let count = GROUP_ROWS as u64 * 2 + 5;
        for id in (1..=count).rev() {
            packed.add(&FrameRow { id: FrameId(id), ..FrameRow::blank() }, &apart, None);
        }
        assert_eq!((packed.ids(), packed.len(), packed.groups.len()), ((1, count), count, 2));
        let all: Vec<u64> = (1..=count).rev().collect();
        assert_eq!(frames(&packed), all);
        assert_eq!(packed.groups(&apart).unwrap().len(), 3);
        assert_eq!(frames(&packed), all, "written or not");
        packed.clear();
        assert!(packed.is_empty() && frames(&packed).is_empty());
    }

    /// Texts are lent to who encodes them: a place that takes only a part must not cost the others.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_group_that_its_place_does_not_take_is_encoded_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let there = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        let rows: Vec<FlagRow> =
            (0..3000).map(|n| FlagRow { message: format!("message {n}"), ..FlagRow::blank() }).collect();
        let encoded = |place: Option<Place>| {
            let mut columns: Vec<Buffer> = FlagRow::COLUMNS.iter().map(|column| Buffer::of(&column.cells)).collect();
            for (buffer, column) in columns.iter_mut().zip(FlagRow::COLUMNS) {
                rows.iter().for_each(|row| assert!(!buffer.push(&column.cells, row)));
            }
            let group = encode::<FlagRow>(&mut columns, place).unwrap();
            let mut read = Vec::new();
            let mut each = |row: FlagRow| {
                read.push(row);
                ControlFlow::Continue(())
            };
            assert!(parquet_file::read(group.clone(), None, &mut each).unwrap().is_continue());
            assert_eq!(read, rows);
            group
        };
        assert!(matches!(encoded(Some(Place::of(there))), Group::Spilled { .. }));
        assert!(matches!(encoded(Some(Place::of(full))), Group::Held(_)));
        assert!(matches!(encoded(None), Group::Held(_)));
    }

    #[test]
    fn a_group_of_large_texts_ends_early_and_texts_that_come_again_are_not_large() {
        let flag = |n: usize| {
            let mut row = FlagRow::blank();
            row.message = format!("{n:07}{}", "x".repeat(1 << 20));
            row
        };
        let groups = |rows: &[FlagRow]| {
            let mut packed = Packed::<FlagRow>::default();
            for row in rows {
                packed.add(row, &Apart::default(), None);
            }
            let mut messages = Vec::new();
            let mut each = |row: FlagRow| {
                messages.push(row.message);
                ControlFlow::Continue(())
            };
            packed.each(&mut each).unwrap();
            assert!(messages.iter().eq(rows.iter().map(|row| &row.message)));
            packed.groups.len()
        };
        assert_eq!(groups(&(0..10).map(flag).collect::<Vec<_>>()), 2);
        assert_eq!(groups(&vec![flag(0); 10]), 0);
    }
}
