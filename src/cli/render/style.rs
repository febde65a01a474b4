//! Colours and the terminal's width. Nothing here prints.

use crate::cli::Output;

/// The width where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 80;
/// Narrower ones are written to as if they were this wide.
const LEAST_WIDTH: usize = 40;

/// How output for people looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether escape sequences for colours are written.
    pub colour: bool,
    /// Columns that a line may have.
    pub width: usize,
}

impl Look {
    /// For standard output: as wide as `COLUMNS` says, else as the terminal is, else 80.
    pub fn of(output: &Output) -> Self {
        let said = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok()).filter(|width| *width > 0);
        let terminal = || output.is_terminal().then(terminal_size::terminal_size).flatten();
        let width = said.or_else(|| terminal().map(|(width, _)| usize::from(width.0)));
        Self { colour: output.is_colourful(), width: width.unwrap_or(DEFAULT_WIDTH).max(LEAST_WIDTH) }
    }

    /// Without colours, of a given width.
    pub fn plain(width: usize) -> Self {
        Self { colour: false, width }
    }

    /// The text in that ink.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        match (self.colour, ink.code()) {
            (true, Some(code)) if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// What a piece of text is, and so how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ink {
    /// As it is.
    #[default]
    Plain,
    /// A heading or a name.
    Strong,
    /// Beside the point.
    Faint,
    /// Wrong: an error flag, a refusal, a reset.
    Bad,
    /// Unusual: a warning.
    Odd,
    /// In order.
    Good,
    /// An id that `show` takes.
    Id,
    /// A hint, or bytes shown as an escape.
    Note,
}

impl Ink {
    /// The ink of a status: 4xx and 5xx are bad, 3xx odd.
    pub fn of_status(status: Option<u16>) -> Self {
        match status {
            None => Self::Faint,
            Some(400..) => Self::Bad,
            Some(300..400) => Self::Odd,
            Some(_) => Self::Good,
        }
    }

    /// The ink of a severity as rows bear it.
    pub fn of_severity(severity: &str) -> Self {
        match severity {
            "error" => Self::Bad,
            "warning" => Self::Odd,
            _ => Self::Note,
        }
    }

    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Bad => Some("31"),
            Self::Odd => Some("33"),
            Self::Good => Some("32"),
            Self::Id => Some("36"),
            Self::Note => Some("35"),
        }
    }
}
