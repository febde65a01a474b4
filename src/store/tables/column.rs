//! How a table's columns are declared: a name, a type, how a cell is taken out of a row and how it is put back.

use std::io::Write;

use serde::{Serialize, de::DeserializeOwned};

/// A kind of row that has a table.
pub trait Table: Sized + 'static {
    /// The folder under `tables/`.
    const FOLDER: &'static str;
    /// The columns in order. Those that make a nested thing present come before those that fill it.
    const COLUMNS: &'static [Column<Self>];
    /// A row to be filled, column by column.
    fn blank() -> Self;
}

/// One column.
pub struct Column<R> {
    /// Its name.
    pub name: &'static str,
    pub(super) cells: Cells<R>,
    /// Whether its texts repeat within a group of rows, as most do: then each is kept once.
    pub(super) repeats: bool,
}

impl<R> Column<R> {
    const fn new(name: &'static str, cells: Cells<R>) -> Self {
        Self { name, cells, repeats: true }
    }
}

/// A cell that cannot be put into a row, and why.
pub(super) type Put = Result<(), String>;

/// A column's type and its way out of a row and back. Whole numbers are INT64, read as unsigned; text is UTF-8.
pub(super) enum Cells<R> {
    Int {
        get: fn(&R) -> u64,
        set: fn(&mut R, u64),
    },
    MaybeInt {
        get: fn(&R) -> Option<u64>,
        set: fn(&mut R, u64),
    },
    Bool {
        get: fn(&R) -> bool,
        set: fn(&mut R, bool),
    },
    /// Text is appended to a buffer that serves the whole column.
    Text {
        get: fn(&R, &mut Vec<u8>),
        set: fn(&mut R, &str) -> Put,
    },
    /// `false` and nothing appended: null.
    MaybeText {
        get: fn(&R, &mut Vec<u8>) -> bool,
        set: fn(&mut R, &str) -> Put,
    },
}

impl<R> Cells<R> {
    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Self::MaybeInt { .. } | Self::MaybeText { .. })
    }
}

pub(super) const fn int<R>(name: &'static str, get: fn(&R) -> u64, set: fn(&mut R, u64)) -> Column<R> {
    Column::new(name, Cells::Int { get, set })
}

pub(super) const fn maybe_int<R>(name: &'static str, get: fn(&R) -> Option<u64>, set: fn(&mut R, u64)) -> Column<R> {
    Column::new(name, Cells::MaybeInt { get, set })
}

pub(super) const fn boolean<R>(name: &'static str, get: fn(&R) -> bool, set: fn(&mut R, bool)) -> Column<R> {
    Column::new(name, Cells::Bool { get, set })
}

pub(super) const fn text<R>(name: &'static str, get: fn(&R, &mut Vec<u8>), set: fn(&mut R, &str) -> Put) -> Column<R> {
    Column::new(name, Cells::Text { get, set })
}

/// A text of which hardly any two are alike.
pub(super) const fn distinct_text<R>(
    name: &'static str,
    get: fn(&R, &mut Vec<u8>),
    set: fn(&mut R, &str) -> Put,
) -> Column<R> {
    Column { repeats: false, ..text(name, get, set) }
}

pub(super) const fn maybe_text<R>(
    name: &'static str,
    get: fn(&R, &mut Vec<u8>) -> bool,
    set: fn(&mut R, &str) -> Put,
) -> Column<R> {
    Column::new(name, Cells::MaybeText { get, set })
}

/// Appends a text.
pub(super) fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends a text, if there is one.
pub(super) fn put_maybe(text: Option<&str>, out: &mut Vec<u8>) -> bool {
    put(text.unwrap_or_default(), out);
    text.is_some()
}

/// Appends a list as JSON. Those of plain values always serialise.
pub(super) fn put_list<T: Serialize>(list: &[T], out: &mut Vec<u8>) {
    match list {
        [] => out.extend_from_slice(b"[]"),
        list => put_json(list, out),
    }
}

fn put_json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out.by_ref(), value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Replaces a value by what a cell says in JSON.
pub(super) fn set_json<T: DeserializeOwned>(slot: &mut T, text: &str) -> Put {
    *slot = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(())
}

/// Replaces a text.
pub(super) fn set_text(slot: &mut String, text: &str) -> Put {
    text.clone_into(slot);
    Ok(())
}

/// Replaces an optional text by one.
pub(super) fn set_some(slot: &mut Option<String>, text: &str) -> Put {
    *slot = Some(text.to_owned());
    Ok(())
}

/// A number of a narrower type; what no writer wrote is clamped.
pub(super) fn narrow<T: TryFrom<u64>>(value: u64, max: T) -> T {
    T::try_from(value).unwrap_or(max)
}
