//! Rows on their way to a segment's tables, as columns from the moment that they are made: a row is taken apart while it
//! is warm and can be dropped at once, full groups are compressed as they come (and may wait on the disk), and a segment's
//! end has only to write them one behind the other. Whole rows would take ten times the room until then, and be moved about
//! meanwhile.

use std::{marker::PhantomData, ops::ControlFlow, path::PathBuf};

use crate::{
    model::{
        ConnectionId,
        rows::{ConnectionRow, ExchangeRow, Extent, FlagRow, FrameRow, Row, SessionRow},
    },
    store::Error,
};

use super::{
    Rows,
    column::{Cells, Table},
    parquet_file::{self, Buffer, GROUP_ROWS},
    spill::{Group, Spill},
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
}

impl PackedRows {
    /// None yet; their full groups are to wait in that folder, in a file that nobody sees.
    pub fn waiting_in(folder: PathBuf) -> Self {
        Self { spill: Some(Spill::new(folder)), ..Self::default() }
    }

    /// Takes a row in.
    pub fn add(&mut self, row: &Row) {
        let filled = match row {
            Row::Connection(row) => {
                self.extents.push((row.id, row.extent));
                self.connections.add(row)
            }
            Row::Exchange(row) => self.exchanges.add(row),
            Row::Frame(row) => self.frames.add(row),
            Row::Session(row) => self.sessions.add(row),
            Row::Flag(row) => self.flags.add(row),
        };
        if let (Some(group), Some(spill)) = (filled, &mut self.spill) {
            spill.take(group);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows of all kinds.
    pub fn len(&self) -> u64 {
        self.connections.len() + self.exchanges.len() + self.frames.len() + self.sessions.len() + self.flags.len()
    }

    /// Forgets all rows, but keeps the room for those of one group.
    pub fn clear(&mut self) {
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
            packed.connections.add(row);
        }
        for row in &rows.exchanges {
            packed.exchanges.add(row);
        }
        for row in &rows.frames {
            packed.frames.add(row);
        }
        for row in &rows.sessions {
            packed.sessions.add(row);
        }
        for row in &rows.flags {
            packed.flags.add(row);
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
    /// Takes a row in. Gives the group that it made full.
    pub(super) fn add(&mut self, row: &T) -> Option<&mut Group> {
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
        if self.open < GROUP_ROWS && !full {
            return None;
        }
        self.end_group();
        self.groups.last_mut()
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
            let bytes = group.bytes().map_err(|error| broken::<T>(&error.to_string()))?;
            let flow = parquet_file::read(bytes, None, each).map_err(|error| broken::<T>(&error.to_string()))?;
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
    pub(super) fn groups(&mut self) -> Result<&[Group], Error> {
        if self.open > 0 {
            self.end_group();
        }
        self.check()?;
        Ok(&self.groups)
    }

    fn clear(&mut self) {
        self.columns.iter_mut().for_each(Buffer::clear);
        let columns = std::mem::take(&mut self.columns);
        *self = Self { columns, ..Self::default() };
    }

    fn end_group(&mut self) {
        match parquet_file::encode::<T>(&mut self.columns) {
            Ok(group) => self.groups.push(Group::Held(group)),
            Err(error) => self.failed = Some(error.to_string()),
        }
        self.columns.iter_mut().for_each(Buffer::clear);
        self.open = 0;
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.as_deref().map_or(Ok(()), |why| Err(broken::<T>(why)))
    }
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
    fn rows_come_out_as_they_went_in_whether_their_group_is_full_or_not() {
        let mut packed = Packed::<FrameRow>::default();
        assert_eq!((packed.ids(), frames(&packed)), ((0, 0), vec![]));
        let count = GROUP_ROWS as u64 * 2 + 5;
        for id in (1..=count).rev() {
            packed.add(&FrameRow { id: FrameId(id), ..FrameRow::blank() });
        }
        assert_eq!((packed.ids(), packed.len(), packed.groups.len()), ((1, count), count, 2));
        let all: Vec<u64> = (1..=count).rev().collect();
        assert_eq!(frames(&packed), all);
        assert_eq!(packed.groups().unwrap().len(), 3);
        assert_eq!(frames(&packed), all, "written or not");
        packed.clear();
        assert!(packed.is_empty() && frames(&packed).is_empty());
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
                packed.add(row);
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
