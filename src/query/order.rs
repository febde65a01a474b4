//! Rows in the order of their ids, out of tables where they stand as they became final: nearly in order.
//!
//! A window slides over them and hands out its first. What comes when its place has gone by is late (an exchange that
//! opened a socket is final when the socket ends, thousands of others later). A first pass over that one column says
//! which rows will be; they are fetched some at a time, before their places come. So memory holds the window, one
//! group of rows of a table, and 24 bytes for each late row.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeSet, BinaryHeap},
    ops::ControlFlow,
};

use crate::store::tables::{self, Filter};

use super::{
    Error,
    source::{Ordered, Shelf},
};

/// Rows that are held until their place is sure.
const WINDOW: usize = 4096;
/// Late rows that are fetched together.
const LATE: usize = 4096;

/// Takes rows; `Break` ends them.
pub(super) type EachRow<'e, T> = dyn FnMut(T) -> Result<ControlFlow<()>, Error> + 'e;

/// Hands out the rows of a kind, or those of them that a column chooses, in order.
///
/// # Errors
/// Where a table cannot be read, and what `each` fails with.
pub(super) fn in_order<T: Ordered>(
    shelf: Shelf<'_>,
    wanted: Option<&Filter>,
    each: &mut EachRow<'_, T>,
) -> Result<(), Error> {
    merge(&Runs { shelf, wanted }, WINDOW, LATE, each)
}

/// Hands out rows in any order.
pub(super) fn in_any_order<T: Ordered>(shelf: Shelf<'_>, each: &mut dyn FnMut(&T)) -> Result<(), Error> {
    let runs = Runs { shelf, wanted: None };
    (0..Source::<T>::runs(&runs)).try_for_each(|run| {
        runs.rows(run, &mut |row| {
            each(&row);
            Ok(ControlFlow::Continue(()))
        })
        .map(|_| ())
    })
}

/// Rows in several runs, each always the same.
trait Source<T> {
    fn runs(&self) -> usize;
    /// A run's rows. Returns whether all were taken.
    fn rows(&self, run: usize, each: &mut EachRow<'_, T>) -> Result<ControlFlow<()>, Error>;
    /// Their places in the order.
    fn orders(&self, run: usize, each: &mut dyn FnMut(u64)) -> Result<(), Error>;
    /// Whether there are no more rows than that; a guess on the safe side.
    fn are_few(&self, most: usize) -> Result<bool, Error>;
}

/// A row and its place; of two at one place the one that came first.
struct Placed<T> {
    order: u64,
    came: u64,
    row: T,
}

impl<T> Ord for Placed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.order, self.came).cmp(&(other.order, other.came))
    }
}

impl<T> PartialOrd for Placed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Placed<T> {}

/// What slides over the rows. Which of them come late depends on their places alone, so that both passes agree.
struct Window<T> {
    rows: BinaryHeap<Reverse<Placed<T>>>,
    size: usize,
    came: u64,
    /// The place of the last that went out.
    gone: u64,
}

enum Pushed<T> {
    Held,
    Out(Placed<T>),
    Late,
}

impl<T> Window<T> {
    fn new(size: usize) -> Self {
        Self { rows: BinaryHeap::new(), size, came: 0, gone: 0 }
    }

    fn push(&mut self, order: u64, row: T) -> Pushed<T> {
        if order < self.gone {
            return Pushed::Late;
        }
        self.came += 1;
        self.rows.push(Reverse(Placed { order, came: self.came, row }));
        if self.rows.len() <= self.size {
            return Pushed::Held;
        }
        match self.pop() {
            Some(first) => Pushed::Out(first),
            None => Pushed::Held,
        }
    }

    fn pop(&mut self) -> Option<Placed<T>> {
        let Reverse(first) = self.rows.pop()?;
        self.gone = first.order;
        Some(first)
    }
}

/// Late rows: their places, and the next of them.
struct Late<T> {
    /// Place, run, and which row of it, descending.
    ahead: Vec<(u64, u32, u64)>,
    /// Descending.
    fetched: Vec<T>,
    at_once: usize,
}

impl<T: Ordered> Late<T> {
    fn find(source: &dyn Source<T>, window: usize, at_once: usize) -> Result<Self, Error> {
        let mut ahead = Vec::new();
        if !source.are_few(window)? {
            let mut window = Window::new(window);
            for run in 0..source.runs() {
                let mut index = 0;
                source.orders(run, &mut |order| {
                    if matches!(window.push(order, ()), Pushed::Late) {
                        ahead.push((order, u32::try_from(run).unwrap_or(u32::MAX), index));
                    }
                    index += 1;
                })?;
            }
            ahead.sort_unstable_by(|a, b| b.cmp(a));
        }
        Ok(Self { ahead, fetched: Vec::new(), at_once })
    }

    /// The next one whose place is before that.
    fn before(&mut self, source: &dyn Source<T>, order: u64) -> Result<Option<T>, Error> {
        if self.fetched.is_empty() && self.ahead.last().is_some_and(|(next, ..)| *next < order) {
            self.fetch(source)?;
        }
        match self.fetched.last() {
            Some(row) if row.order() < order => Ok(self.fetched.pop()),
            _ => Ok(None),
        }
    }

    fn fetch(&mut self, source: &dyn Source<T>) -> Result<(), Error> {
        let next = self.ahead.split_off(self.ahead.len().saturating_sub(self.at_once));
        let places: BTreeSet<(u32, u64)> = next.iter().map(|(_, run, index)| (*run, *index)).collect();
        let runs: BTreeSet<u32> = places.iter().map(|(run, _)| *run).collect();
        for run in runs {
            let mut index = 0;
            let last = places.range((run, 0)..=(run, u64::MAX)).next_back().map_or(0, |(_, index)| *index);
            let _ = source.rows(usize::try_from(run).unwrap_or(usize::MAX), &mut |row| {
                if places.contains(&(run, index)) {
                    self.fetched.push(row);
                }
                index += 1;
                Ok(if index > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        // A stable sort, and what came first is to go out first.
        self.fetched.reverse();
        self.fetched.sort_by_key(|row| Reverse(row.order()));
        Ok(())
    }
}

fn merge<T: Ordered>(
    source: &dyn Source<T>,
    window: usize,
    late: usize,
    each: &mut EachRow<'_, T>,
) -> Result<(), Error> {
    let mut late = Late::find(source, window, late)?;
    let mut window = Window::new(window);
    let mut hand_out = |next: Placed<T>| {
        while let Some(row) = late.before(source, next.order)? {
            if each(row)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        each(next.row)
    };
    for run in 0..source.runs() {
        let flow = source.rows(run, &mut |row| match window.push(row.order(), row) {
            Pushed::Out(first) => hand_out(first),
            Pushed::Held | Pushed::Late => Ok(ControlFlow::Continue(())),
        })?;
        if flow.is_break() {
            return Ok(());
        }
    }
    // What is late comes before something that was in time.
    while let Some(first) = window.pop() {
        if hand_out(first)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// The rows of a shelf: its tables, then what is in none yet.
struct Runs<'r> {
    shelf: Shelf<'r>,
    wanted: Option<&'r Filter>,
}

impl<T: Ordered> Source<T> for Runs<'_> {
    fn runs(&self) -> usize {
        self.shelf.rows.tables.len() + self.shelf.rows.recent.len() + 1
    }

    fn rows(&self, run: usize, each: &mut EachRow<'_, T>) -> Result<ControlFlow<()>, Error> {
        let Shelf { dir, rows, .. } = self.shelf;
        let mut result = Ok(ControlFlow::Continue(()));
        let mut take = |row: T| {
            result = each(row);
            match result {
                Ok(flow) => flow,
                Err(_) => ControlFlow::Break(()),
            }
        };
        let recent = run.checked_sub(rows.tables.len());
        match (rows.tables.get(run), recent.and_then(|recent| rows.recent.get(recent))) {
            (Some(segment), _) => tables::read_each::<T>(dir, *segment, self.wanted, &mut take)?,
            (None, Some(recent)) => T::packed(recent).each(&mut take)?,
            (None, None) => {
                let _ = T::of(&rows.open).iter().cloned().try_for_each(take);
            }
        }
        result
    }

    fn orders(&self, run: usize, each: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let Shelf { dir, rows, .. } = self.shelf;
        if let (Some(segment), None) = (rows.tables.get(run), self.wanted) {
            tables::scan::<T>(dir, *segment, &[T::ORDER], &mut |batch| {
                (0..batch.rows()).for_each(|row| each(batch.number(0, row).cast_unsigned()));
            })?;
            return Ok(());
        }
        let _ = Source::<T>::rows(self, run, &mut |row| {
            each(row.order());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    fn are_few(&self, most: usize) -> Result<bool, Error> {
        let Shelf { dir, rows, .. } = self.shelf;
        let mut count = T::of(&rows.open).len() as u64;
        count += rows.recent.iter().map(|recent| T::packed(recent).len()).sum::<u64>();
        for segment in &rows.tables {
            if count > most as u64 {
                break;
            }
            count += tables::id_range::<T>(dir, *segment)?.2;
        }
        Ok(count <= most as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::model::{FrameId, rows::FrameRow};
    use crate::store::tables::Table as _;

    /// Rows as they came, `bytes` telling which they are.
    struct Made(Vec<Vec<u64>>);

    impl Source<FrameRow> for Made {
        fn runs(&self) -> usize {
            self.0.len()
        }

        fn rows(&self, run: usize, each: &mut EachRow<'_, FrameRow>) -> Result<ControlFlow<()>, Error> {
            let before: usize = self.0[..run].iter().map(Vec::len).sum();
            for (index, order) in self.0[run].iter().enumerate() {
                let row = FrameRow { id: FrameId(*order), bytes: (before + index) as u64, ..FrameRow::blank() };
                if each(row)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        }

        fn orders(&self, run: usize, each: &mut dyn FnMut(u64)) -> Result<(), Error> {
            self.0[run].iter().for_each(|order| each(*order));
            Ok(())
        }

        fn are_few(&self, most: usize) -> Result<bool, Error> {
            Ok(self.0.iter().map(Vec::len).sum::<usize>() <= most)
        }
    }

    fn merged(made: &Made, window: usize, late: usize, most: usize) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        merge(made, window, late, &mut |row: FrameRow| {
            out.push((row.id.0, row.bytes));
            Ok(if out.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
        out
    }

    proptest! {
        #[test]
        fn all_rows_come_in_order_whatever_the_window(
            runs in proptest::collection::vec(proptest::collection::vec(0_u64..40, 0..30), 1..5),
            window in 1_usize..12, late in 1_usize..6, most in 1_usize..150,
        ) {
            let made = Made(runs);
            let all: Vec<u64> = made.0.iter().flatten().copied().collect();
            let mut expected: Vec<(u64, u64)> = all.iter().enumerate().map(|(at, order)| (*order, at as u64)).collect();
            expected.sort_unstable();
            let mut out = merged(&made, window, late, usize::MAX);
            prop_assert!(out.is_sorted_by_key(|(order, _)| *order), "{out:?}");
            prop_assert_eq!(&merged(&made, window, late, most), &out[..most.min(out.len())]);
            out.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
