//! The settings file: TOML to keys, values and lines. Knows nothing of what the keys mean.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{
    problem::{Place, Problem},
    value::Given,
};

/// Files larger than this are refused: a settings file has some hundred lines.
const MAX_BYTES: u64 = 1 << 20;

/// One line of the file that sets something.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// With its table: `record.max_bytes`.
    pub key: String,
    /// The value.
    pub given: Given,
    /// The value as it was written.
    pub written: String,
    /// Where.
    pub place: Place,
}

/// Reads and takes apart the file at `path`.
///
/// # Errors
/// Where it cannot be read or is not TOML; file and line are in the message.
pub fn read(path: &Path) -> Result<Vec<Entry>, Problem> {
    let unreadable = |why: String| {
        Problem::about_file(path, None, format!("the settings file cannot be read: {why}"))
            .hint("see config.example.toml for one that can")
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(unreadable(format!("it has {size} bytes, at most {MAX_BYTES} are allowed")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(path, &text)
}

/// Takes the text apart; `path` is for messages.
///
/// # Errors
/// Where it is not TOML.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Problem> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        Problem::about_file(path, line, format!("not TOML: {message}"))
    })?;
    let mut entries = Vec::new();
    flatten(&File { path: path.to_owned(), text }, "", table.get_ref(), &mut entries);
    // Tables come sorted by name; messages shall come in the order of lines.
    entries.sort_by_key(|entry| match entry.place {
        Place::File { line, .. } => line,
        _ => 0,
    });
    Ok(entries)
}

struct File<'t> {
    path: PathBuf,
    text: &'t str,
}

fn flatten(file: &File<'_>, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(file, &name, inner, entries),
            // An empty table sets nothing.
            DeValue::Table(_) => {}
            other => entries.push(Entry {
                key: name,
                given: given(other),
                written: written(file.text, value.span()),
                place: Place::File { path: file.path.clone(), line: line_of(file.text, key.span().start) },
            }),
        }
    }
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_or(Given::Other("a number beyond 64 bits"), Given::Integer),
        DeValue::Float(number) => {
            number.as_str().replace('_', "").parse().map_or(Given::Other("a number"), Given::Float)
        }
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(values) => Given::List(values.iter().map(|value| given(value.get_ref())).collect()),
        DeValue::Table(_) => Given::Other("a table"),
    }
}

/// The value's own text on one line, cut where it is long.
fn written(text: &str, span: std::ops::Range<usize>) -> String {
    let whole = text.get(span).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    match whole.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", whole.get(..at).unwrap_or_default()),
        None => whole,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn keys_come_with_their_table_their_text_and_their_line() {
        let text = "captures = 'x'\n\n[record]\nmax_bytes = 20\n[proxy]\n mode = [\n 'a',\n 'b' ]\n[empty]\n";
        let entries = parse(Path::new("f.toml"), text).unwrap();
        let seen: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.written.as_str())).collect();
        assert_eq!(seen, [("captures", "'x'"), ("record.max_bytes", "20"), ("proxy.mode", "[ 'a', 'b' ]")]);
        let line = |index: usize| match &entries[index].place {
            Place::File { line, .. } => *line,
            _ => 0,
        };
        assert_eq!((line(0), line(1), line(2)), (1, 4, 6));
        assert_eq!(entries[2].given, Given::List(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn what_is_not_toml_is_one_line_with_its_place() {
        for (text, begin) in [("a = 1\nb = = 2\n", "f.toml:2: not TOML: "), ("a = 1\na = 2\n", "f.toml:2: not TOML: ")]
        {
            let problem = parse(Path::new("f.toml"), text).unwrap_err().to_string();
            assert!(problem.starts_with(begin) && !problem.contains('\n'), "{problem}");
        }
    }
}
