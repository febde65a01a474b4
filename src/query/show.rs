//! One row by its id.

use std::ops::ControlFlow;

use crate::{
    model::{
        flag::Subject,
        rows::{ConnectionRow, ExchangeRow, FrameRow, Row, SessionRow},
    },
    store::tables,
};

use super::{
    Error,
    list::{Joins, Secrets},
    secrets,
    source::{self, Ordered, Shelf},
    text,
};

/// The row that an id names, with what other tables know of it, and a frame's text.
pub fn show(shelf: Shelf<'_>, id: Subject, secrets: Secrets) -> Result<Row, Error> {
    match id {
        Subject::Connection(number) => find::<ConnectionRow>(shelf, id, number.0).map(Row::Connection),
        Subject::Exchange(number) => {
            let mut row = find::<ExchangeRow>(shelf, id, number.0)?;
            Joins::of_exchanges(shelf)?.exchange(&mut row);
            if secrets == Secrets::Kept {
                secrets::restore(shelf, std::slice::from_mut(&mut row))?;
            }
            Ok(Row::Exchange(Box::new(row)))
        }
        Subject::Frame(number) => {
            let mut row = find::<FrameRow>(shelf, id, number.0)?;
            text::Filler::new(shelf, secrets, text::Scope::Connection).fill(std::slice::from_mut(&mut row));
            Ok(Row::Frame(row))
        }
        Subject::Session(number) => {
            let mut row = find::<SessionRow>(shelf, id, number.0)?;
            Joins::of_sessions(shelf)?.session(&mut row);
            Ok(Row::Session(row))
        }
    }
}

fn find<T: Ordered>(shelf: Shelf<'_>, id: Subject, number: u64) -> Result<T, Error> {
    let mut found = None;
    // Where it is not there: what is?
    let mut range = None;
    let mut look = |row: &T| {
        let order = row.order();
        let (first, last) = range.unwrap_or((order, order));
        range = Some((first.min(order), last.max(order)));
    };
    source::in_memory::<T>(shelf.rows, &mut |row| {
        look(&row);
        if row.order() == number {
            found.get_or_insert(row);
        }
    })?;
    if let Some(found) = found {
        return Ok(found);
    }
    let wanted = tables::Filter::id(number);
    for segment in shelf.rows.tables.iter().rev() {
        if let Some(row) = tables::read::<T>(shelf.dir, *segment, Some(&wanted))?.pop() {
            return Ok(row);
        }
    }
    for segment in &shelf.rows.tables {
        tables::read_each::<T>(shelf.dir, *segment, None, &mut |row| {
            look(&row);
            ControlFlow::Continue(())
        })?;
    }
    Err(Error::unknown_id(id, source::kind_of(id), range))
}
