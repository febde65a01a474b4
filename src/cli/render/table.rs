//! A table that fits the terminal and streams: widths are settled from the first rows, later ones are cut to them.

use std::io::{self, Write};

use super::{
    style::{Ink, Look},
    text,
};

/// How many rows are looked at before the widths are settled.
const SAMPLE: usize = 100;
/// A column that gives way has this width before others are left out for it.
const LEAST: usize = 20;
/// Where none can be left out any more, it gives way down to this.
const NARROWEST: usize = 8;
const GAP: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// What it does with the width that there is.
    pub kind: Fit,
    /// Columns with a number are left out, the lowest first, where the terminal is too narrow for all.
    pub drop: Option<u8>,
}

/// What a column does with the width that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As wide as its cells, to the left.
    Left,
    /// As wide as its cells, to the right.
    Right,
    /// Takes what the others leave, cut with `…`.
    Rest,
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    /// A cell with text from anywhere: what could act on the terminal is escaped.
    pub fn new(ink: Ink, text: impl AsRef<str>) -> Self {
        Self { text: text::clean(text.as_ref()), ink }
    }
}

impl<T: std::fmt::Display> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::new(Ink::Plain, value.to_string())
    }
}

/// A table on its way to a writer.
pub struct Table<'w> {
    columns: &'static [Column],
    look: Look,
    out: &'w mut dyn Write,
    waiting: Vec<Vec<Cell>>,
    /// The width of each column once settled; `None` where it is left out.
    widths: Option<Vec<Option<usize>>>,
}

impl<'w> Table<'w> {
    /// An empty table.
    pub fn new(columns: &'static [Column], look: Look, out: &'w mut dyn Write) -> Self {
        Self { columns, look, out, waiting: Vec::new(), widths: None }
    }

    /// Adds a row: one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        if self.widths.is_some() {
            return self.line(&cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() >= SAMPLE { self.settle(true) } else { Ok(()) }
    }

    /// Writes out what waits, as it has to be done before a pause and at the end. An empty table writes nothing.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.widths.is_none() && !self.waiting.is_empty() {
            self.settle(false)?;
        }
        self.out.flush()
    }

    /// Where more rows may follow, the rest takes all that is left, since theirs may need it.
    fn settle(&mut self, more: bool) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.widths = Some(widths(self.columns, &waiting, self.look.width, more));
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::new(Ink::Faint, column.title)).collect();
        self.line(&titles)?;
        waiting.iter().try_for_each(|cells| self.line(cells))
    }

    fn line(&mut self, cells: &[Cell]) -> io::Result<()> {
        let Some(widths) = &self.widths else { return Ok(()) };
        let mut line = String::new();
        // Spaces are owed, not written, so that no line ends in them.
        let mut owed = 0;
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
            let Some(width) = *width else { continue };
            // Numbers and ids are never cut: they would be wrong ones. A later, longer one pushes its line out.
            let text = if column.kind == Fit::Rest { text::fit(&cell.text, width) } else { cell.text.clone() };
            let padding = width.saturating_sub(text::width(&text));
            if column.kind == Fit::Right {
                owed += padding;
            }
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', owed));
                line.push_str(&self.look.paint(cell.ink, &text));
                owed = 0;
            }
            owed += GAP + if column.kind == Fit::Right { 0 } else { padding };
        }
        writeln!(self.out, "{line}")
    }
}

fn widths(columns: &[Column], rows: &[Vec<Cell>], total: usize, more: bool) -> Vec<Option<usize>> {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| text::width(&cell.text));
            cells.max().unwrap_or_default().max(text::width(column.title))
        })
        .collect();
    let wanted = |at: usize, column: &Column| {
        let natural = natural.get(at).copied().unwrap_or_default();
        if column.kind == Fit::Rest { natural.min(LEAST) } else { natural }
    };
    let mut kept: Vec<bool> = vec![true; columns.len()];
    let needed = |kept: &[bool]| {
        let widths = columns.iter().enumerate().filter(|(at, _)| kept.get(*at) == Some(&true));
        widths.map(|(at, column)| wanted(at, column) + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while needed(&kept) > total {
        let candidates = columns.iter().enumerate().filter(|(at, _)| kept.get(*at) == Some(&true));
        let Some((_, at)) = candidates.filter_map(|(at, column)| Some((column.drop?, at))).min() else { break };
        if let Some(keep) = kept.get_mut(at) {
            *keep = false;
        }
    }
    let mut spare = total.saturating_sub(needed(&kept));
    let mut lacking = needed(&kept).saturating_sub(total);
    let mut widths = Vec::new();
    let last_rest = columns.iter().rposition(|column| column.kind == Fit::Rest);
    for (at, column) in columns.iter().enumerate() {
        let mut width = wanted(at, column);
        if column.kind == Fit::Rest {
            let wish = natural.get(at).copied().unwrap_or_default().saturating_sub(width).min(spare);
            let gain = if more && Some(at) == last_rest { spare } else { wish };
            spare -= gain;
            width += gain;
            let loss = lacking.min(width.saturating_sub(NARROWEST));
            lacking -= loss;
            width -= loss;
        }
        widths.push((kept.get(at) == Some(&true)).then_some(width));
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { title: "ID", kind: Fit::Left, drop: None },
        Column { title: "PATH", kind: Fit::Rest, drop: None },
        Column { title: "SIZE", kind: Fit::Right, drop: Some(1) },
    ];

    fn table(width: usize, rows: &[[&str; 3]]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(COLUMNS, Look::plain(width), &mut out);
        for row in rows {
            table.row(row.iter().map(Cell::from).collect()).unwrap();
        }
        table.flush().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_rest_takes_what_is_left_and_lines_fit() {
        let rows = [["x1", "/a/long/path/that/does/not/fit", "12"], ["x10", "/", "1234"]];
        assert_eq!(
            table(32, &rows),
            "ID   PATH                   SIZE\n\
             x1   /a/long/path/that/do…    12\n\
             x10  /                      1234\n"
        );
        assert_eq!(
            table(80, &rows),
            "ID   PATH                            SIZE\n\
             x1   /a/long/path/that/does/not/fit    12\n\
             x10  /                               1234\n"
        );
    }

    #[test]
    fn where_it_is_too_narrow_columns_are_left_out() {
        let rows = [["x1", "/a/long/path/that/does/not/fit", "12"]];
        assert_eq!(table(28, &rows), "ID  PATH\nx1  /a/long/path/that/does/…\n");
        assert_eq!(table(14, &rows), "ID  PATH\nx1  /a/long/p…\n", "then the rest becomes narrow");
    }

    #[test]
    fn later_rows_find_room_and_are_never_cut_in_their_ids() {
        let mut rows = vec![["x1", "/short", "1"]; SAMPLE];
        rows.push(["x1234", "/much/longer/than/those/before", "1000"]);
        let out = table(36, &rows);
        assert_eq!(out.lines().nth(1).unwrap(), "x1  /short                         1");
        assert_eq!(out.lines().last().unwrap(), "x1234  /much/longer/than/those/b…  1000");
    }

    #[test]
    fn an_empty_table_is_nothing() {
        assert_eq!(table(80, &[]), "");
    }
}
