//! What is wrong with a profile, in one line: file, line, key, what was found, what is allowed, a hint.

/// A profile that cannot be had. One line. (`Box<str>` keeps it small beside what is passed on.)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such built-in profile.
    #[error("profile {name:?} is unknown: expected one of {known}, or a path to a TOML file (hint: {hint})")]
    Unknown {
        /// What was asked for.
        name: Box<str>,
        /// What there is.
        known: Box<str>,
        /// What to do.
        hint: Box<str>,
    },
    /// The text is not TOML.
    #[error("{file}:{line}: not TOML: {what} (hint: strings stand in quotes, lists in `[ ]`; a key is given once)")]
    Syntax {
        /// Its name.
        file: Box<str>,
        /// From 1.
        line: usize,
        /// What the parser says.
        what: Box<str>,
    },
    /// A key that means nothing there.
    #[error("{file}:{line}: unknown key `{key}`: expected one of {known} (hint: {hint})")]
    UnknownKey {
        /// Its name.
        file: Box<str>,
        /// From 1.
        line: usize,
        /// The key, dotted.
        key: Box<str>,
        /// The keys that are allowed there.
        known: Box<str>,
        /// The nearest of them, or where to find them.
        hint: Box<str>,
    },
    /// A key that must be there.
    #[error("{file}:{line}: `{key}` is missing: expected {allowed} (hint: {hint})")]
    MissingKey {
        /// Its name.
        file: Box<str>,
        /// From 1.
        line: usize,
        /// The key, dotted.
        key: Box<str>,
        /// What would be right.
        allowed: Box<str>,
        /// Where to look.
        hint: Box<str>,
    },
    /// A value that means nothing.
    #[error("{file}:{line}: `{key}` is {found}: expected {allowed} (hint: {hint})")]
    Value {
        /// Its name.
        file: Box<str>,
        /// From 1.
        line: usize,
        /// The key, dotted.
        key: Box<str>,
        /// As written, on one line.
        found: Box<str>,
        /// What would be right.
        allowed: Box<str>,
        /// What to do.
        hint: Box<str>,
    },
}

/// Where all keys are shown.
pub(super) const EVERY_KEY: &str = "`firstframe profiles new NAME` writes an example of every key";

/// `did you mean …`, or where to look.
pub(super) fn hint<'w>(wrong: &str, known: impl Iterator<Item = &'w str>) -> String {
    match nearest(wrong, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => EVERY_KEY.to_owned(),
    }
}

/// The word that `wrong` was probably meant to be: the nearest one, if it is near (a third of its letters).
pub(super) fn nearest<'w>(wrong: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // A value can be long; what is longer than any word is no slip of the finger.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    known
        .map(|word| (edits(&wrong, word), word))
        .filter(|(edits, word)| {
            let letters = word.chars().count();
            *edits < letters && *edits <= letters.div_ceil(3)
        })
        .min()
        .map(|(_, word)| word)
}

/// Edits (insert, delete, replace) between two words: Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        if let Some(first) = last.first_mut() {
            *first = left;
        }
        for (cell, to) in last.iter_mut().skip(1).zip(&b) {
            left = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, left);
        }
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
            ("statuses", "status", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = || ["match", "filter", "frame"].into_iter();
        assert_eq!(nearest("mach", known()), Some("match"));
        assert_eq!(nearest("Filtr", known()), Some("filter"));
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(nearest("g", ["h"].into_iter()), None);
        assert_eq!(nearest(&"filter".repeat(99), known()), None);
    }
}
