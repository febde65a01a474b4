//! A page about one thing: a title, pairs, sections, tables. Collected as text; nothing here prints.

use std::fmt::Write as _;

use crate::model::{Timestamp, WallAnchor};

use super::{
    style::{Ink, Look},
    table::{Cell, Column, Table},
    text, units,
};

/// Columns before the value of a pair.
const INDENT: usize = 2;
const KEY: usize = 21;

/// A page that grows.
pub(super) struct Page {
    pub(super) look: Look,
    anchor: WallAnchor,
    out: String,
}

impl Page {
    pub(super) fn new(look: Look, anchor: WallAnchor) -> Self {
        Self { look, anchor, out: String::new() }
    }

    /// The page's first line: what it is about, by id and in words.
    pub(super) fn title(&mut self, id: &str, ink: Ink, words: &str) {
        let id = self.look.paint(Ink::Id, id);
        let _ = writeln!(self.out, "{id}  {}", self.look.paint(ink, &text::clean(words)));
    }

    /// A section's heading with an empty line before it.
    pub(super) fn section(&mut self, heading: &str) {
        let _ = writeln!(self.out, "\n{}", self.look.paint(Ink::Strong, heading));
    }

    /// A key and its value, filled into as many lines as it needs.
    pub(super) fn pair(&mut self, key: &str, value: impl AsRef<str>) {
        self.pair_in(Ink::Plain, key, value);
    }

    /// The same in an ink.
    pub(super) fn pair_in(&mut self, ink: Ink, key: &str, value: impl AsRef<str>) {
        let room = self.look.width.saturating_sub(INDENT + KEY).max(20);
        let value = text::clean(value.as_ref());
        // Only what does not fit is filled anew.
        let lines = if text::width(&value) <= room { vec![value] } else { text::wrap(&value, room) };
        let mut key = key;
        for line in lines {
            let padding = KEY.saturating_sub(text::width(key));
            let shown = self.look.paint(Ink::Faint, key);
            let line = self.look.paint(ink, &line);
            let _ = writeln!(self.out, "{:INDENT$}{shown}{:padding$}{line}", "", "");
            key = "";
        }
    }

    /// A key and an instant: its offset, and in UTC.
    pub(super) fn instant(&mut self, key: &str, at: Timestamp) {
        self.pair(key, format!("{}  ({})", units::offset_exact(at), self.utc(at)));
    }

    /// An instant in UTC, to the nanosecond.
    pub(super) fn utc(&self, at: Timestamp) -> String {
        self.anchor.rfc3339(at)
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// A faint remark.
    pub(super) fn remark(&mut self, remark: &str) {
        for line in text::wrap(&text::clean(remark), self.look.width.saturating_sub(INDENT).max(20)) {
            let line = self.look.paint(Ink::Faint, &line);
            let _ = writeln!(self.out, "{:INDENT$}{line}", "");
        }
    }

    /// A table, indented.
    pub(super) fn table(&mut self, columns: &'static [Column], mut rows: impl Iterator<Item = Vec<Cell>>) {
        let mut out = Vec::new();
        let look = Look { width: self.look.width.saturating_sub(INDENT), ..self.look };
        let mut table = Table::new(columns, look, &mut out);
        // Writing to memory does not fail.
        let _ = rows.try_for_each(|row| table.row(row));
        let _ = table.flush();
        for line in String::from_utf8_lossy(&out).lines() {
            let _ = writeln!(self.out, "{:INDENT$}{line}", "");
        }
    }

    pub(super) fn into_text(self) -> String {
        self.out
    }
}
