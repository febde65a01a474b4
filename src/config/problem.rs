//! What is wrong with a setting, said in one line: where it was given, the key, the value, what is allowed, a hint.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The command line: `--max-bytes`.
    Option(String),
    /// The environment: `FIRSTFRAME_CAPTURES`.
    Environment(&'static str),
    /// What a capture was recorded with.
    Capture,
    /// A settings file.
    File {
        /// As it was given.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// A setting that cannot be used. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(Box<Parts>);

/// What a [`Problem`] is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Where, as far as it is one place.
    pub place: Option<Place>,
    /// The key as the file spells it, `record.max_bytes`; empty where it is about no key.
    pub key: String,
    /// The value as it was written.
    pub value: Option<String>,
    /// What is wrong, where the allowed values alone do not say it.
    pub what: Option<String>,
    /// What is allowed.
    pub allowed: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// One that is about no key: the file itself.
    pub fn about_file(path: &std::path::Path, line: Option<usize>, what: impl Into<String>) -> Self {
        let mut what = what.into();
        let place = match line {
            Some(line) => Some(Place::File { path: path.to_owned(), line }),
            None => {
                what = format!("{}: {what}", path.display());
                None
            }
        };
        Parts { place, what: Some(what), ..Parts::default() }.into()
    }

    /// The same with what is allowed.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.0.allowed = Some(allowed.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
}

impl From<Parts> for Problem {
    fn from(parts: Parts) -> Self {
        Self(Box::new(parts))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match &self.place {
            Some(Place::Option(option)) => option.clone(),
            Some(Place::Environment(variable)) => (*variable).to_owned(),
            Some(Place::Capture) => format!("capture.json: {}", self.key),
            Some(Place::File { path, line }) if self.key.is_empty() => format!("{}:{line}", path.display()),
            Some(Place::File { path, line }) => format!("{}:{line}: {}", path.display(), self.key),
            None => self.key.clone(),
        };
        let mut parts = Vec::new();
        match (&self.value, subject.is_empty()) {
            (Some(value), false) => parts.push(format!("{subject} = {value}")),
            (None, false) => parts.push(subject),
            _ => {}
        }
        parts.extend(self.what.clone());
        parts.extend(self.allowed.as_ref().map(|allowed| format!("expected {allowed}")));
        f.write_str(&parts.join(": "))?;
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

/// The word of `known` that `wrong` was probably meant to be: the nearest one, if it is near (a third of its letters).
pub fn nearest<'w>(wrong: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let alike = |word: &str| word.to_lowercase().replace('-', "_");
    let wrong = alike(wrong);
    known
        .map(|word| (distance(&wrong, &alike(word)), word))
        .filter(|(distance, word)| *distance <= word.chars().count().div_ceil(3))
        .min()
        .map(|(_, word)| word)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words: optimal string alignment.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut last_char = None;
    for (row, from) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in b.iter().enumerate() {
            let at = |cells: &[usize], column: usize| cells.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&last, column) + usize::from(from != *to);
            best = best.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = column > 0 && last_char == Some(*to) && b.get(column - 1) == Some(&from);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        last_char = Some(from);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = || ["listen_port", "listen_host", "max_bytes", "drain"].into_iter();
        assert_eq!(nearest("listen_prot", known()), Some("listen_port"));
        assert_eq!(nearest("listen-host", known()), Some("listen_host"));
        assert_eq!(nearest("maxbytes", known()), Some("max_bytes"));
        assert_eq!(nearest("darin", known()), Some("drain"));
        assert_eq!(nearest("colour", known()), None);
    }

    #[test]
    fn swaps_count_once() {
        for (a, b, edits) in [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
