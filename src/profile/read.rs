//! TOML as the loader wants it: values that know their dotted key and their line, tables that refuse unknown keys.

use std::ops::RangeInclusive;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::error::{self, EVERY_KEY, Error};

/// A profile's text.
pub(super) struct Source<'s> {
    /// Its name, for messages.
    pub(super) file: &'s str,
    pub(super) text: &'s str,
}

/// A value that was found.
#[derive(Clone)]
pub(super) struct Value<'s> {
    source: &'s Source<'s>,
    /// Dotted; members of a list bear the list's.
    key: String,
    value: &'s DeValue<'s>,
    start: usize,
    end: usize,
}

/// A table whose keys are all known ones.
pub(super) struct Table<'s> {
    source: &'s Source<'s>,
    key: String,
    table: &'s DeTable<'s>,
    start: usize,
}

/// The text taken apart.
///
/// # Errors
/// Where it is not TOML.
pub(super) fn toml<'s>(file: &str, text: &'s str) -> Result<Spanned<DeTable<'s>>, Error> {
    DeTable::parse(text).map_err(|error| Error::Syntax {
        file: file.into(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        what: error.message().split_whitespace().collect::<Vec<_>>().join(" ").into(),
    })
}

/// The outermost table.
///
/// # Errors
/// Where it has a key beyond `known`.
pub(super) fn root<'s>(
    source: &'s Source<'s>,
    table: &'s Spanned<DeTable<'s>>,
    known: &[&str],
) -> Result<Table<'s>, Error> {
    Table { source, key: String::new(), table: table.get_ref(), start: 0 }.with_known(known)
}

impl<'s> Table<'s> {
    fn with_known(self, known: &[&str]) -> Result<Self, Error> {
        let unknown = self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let Some((key, _)) = unknown.min_by_key(|(key, _)| key.span().start) else { return Ok(self) };
        Err(Error::UnknownKey {
            file: self.source.file.into(),
            line: line(self.source.text, key.span().start),
            key: self.dotted(&one_line(key.get_ref())).into(),
            known: known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ").into(),
            hint: error::hint(key.get_ref(), known.iter().copied()).into(),
        })
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Value<'s>> {
        let value = self.table.get(key)?;
        let span = value.span();
        let value = value.get_ref();
        Some(Value { source: self.source, key: self.dotted(key), value, start: span.start, end: span.end })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str, allowed: &str) -> Result<Value<'s>, Error> {
        self.get(key).ok_or_else(|| self.lacks(key, allowed))
    }

    /// That a key is missing.
    pub(super) fn lacks(&self, key: &str, allowed: &str) -> Error {
        Error::MissingKey {
            file: self.source.file.into(),
            line: line(self.source.text, self.start),
            key: self.dotted(key).into(),
            allowed: allowed.into(),
            hint: EVERY_KEY.into(),
        }
    }

    /// The text at a key, where there is one; an empty one is wrong.
    pub(super) fn text(&self, key: &str, allowed: &str) -> Result<Option<String>, Error> {
        self.get(key).map(|value| value.text(allowed).map(str::to_owned)).transpose()
    }

    /// The truth value at a key.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.value {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Err(value.wrong("true or false")),
        }
    }

    /// The members of the list at a key; none where it is missing.
    pub(super) fn list(&self, key: &str, allowed: &str) -> Result<Vec<Value<'s>>, Error> {
        self.get(key).map_or_else(|| Ok(Vec::new()), |value| value.list(allowed))
    }

    /// What `read` makes of the texts in the list at a key.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.list(key, allowed)?.iter().map(|value| value.parsed(allowed, &read)).collect()
    }

    /// The table at a key.
    pub(super) fn table(&self, key: &str, known: &[&str]) -> Result<Option<Table<'s>>, Error> {
        self.get(key).map(|value| value.table(known)).transpose()
    }

    /// The tables of `[[key]]`; none where it is missing.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Result<Vec<Table<'s>>, Error> {
        let allowed = format!("tables: `[[{key}]]`");
        self.list(key, &allowed)?.iter().map(|value| value.table(known)).collect()
    }

    /// The keys that are there.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'s str> {
        self.table.keys().map(|key| key.get_ref().as_ref())
    }

    fn dotted(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }
}

impl<'s> Value<'s> {
    /// A text that is not blank.
    pub(super) fn text(&self, allowed: &str) -> Result<&'s str, Error> {
        match self.value {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.wrong(allowed)),
        }
    }

    /// A text, turned into what it means.
    pub(super) fn parsed<T>(&self, allowed: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
        read(self.text(allowed)?).ok_or_else(|| self.wrong(allowed))
    }

    /// A text, turned into what it means; the error says why it cannot be.
    pub(super) fn tried<T>(&self, allowed: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Error> {
        read(self.text(allowed)?).map_err(|why| self.wrong_since(allowed, why))
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T, Error> {
        let allowed = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let allowed = format!("one of {allowed}");
        let found = self.text(&allowed)?;
        let word = words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning);
        word.ok_or_else(|| self.wrong_since(&allowed, error::hint(found, words.iter().map(|(word, _)| *word))))
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, bounds: RangeInclusive<i64>, allowed: &str) -> Result<i64, Error> {
        match self.value {
            DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .ok()
                .filter(|number| bounds.contains(number))
                .ok_or_else(|| self.wrong(allowed)),
            _ => Err(self.wrong(allowed)),
        }
    }

    /// The members of a list.
    pub(super) fn list(&self, allowed: &str) -> Result<Vec<Value<'s>>, Error> {
        let DeValue::Array(members) = self.value else { return Err(self.wrong(allowed)) };
        let member = |member: &'s Spanned<DeValue<'s>>| Value {
            source: self.source,
            key: self.key.clone(),
            value: member.get_ref(),
            start: member.span().start,
            end: member.span().end,
        };
        Ok(members.iter().map(member).collect())
    }

    /// One text, or a list of texts.
    pub(super) fn one_or_more(&self, allowed: &str) -> Result<Vec<Value<'s>>, Error> {
        let members = if self.is_text() { vec![self.clone()] } else { self.list(allowed)? };
        if members.is_empty() { Err(self.wrong(allowed)) } else { Ok(members) }
    }

    /// A table with no keys but `known`.
    pub(super) fn table(&self, known: &[&str]) -> Result<Table<'s>, Error> {
        self.any_table("a table")?.with_known(known)
    }

    /// A table whose keys the profile chooses.
    pub(super) fn any_table(&self, allowed: &str) -> Result<Table<'s>, Error> {
        match self.value {
            DeValue::Table(table) => Ok(Table { source: self.source, key: self.key.clone(), table, start: self.start }),
            _ => Err(self.wrong(allowed)),
        }
    }

    /// A text, a number or a truth value, as JSON.
    pub(super) fn scalar(&self, allowed: &str) -> Result<serde_json::Value, Error> {
        match self.value {
            DeValue::String(text) => Ok(text.as_ref().into()),
            DeValue::Boolean(flag) => Ok((*flag).into()),
            DeValue::Integer(_) => self.integer(i64::MIN..=i64::MAX, allowed).map(Into::into),
            _ => Err(self.wrong(allowed)),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// That this value is wrong.
    pub(super) fn wrong(&self, allowed: &str) -> Error {
        self.wrong_since(allowed, EVERY_KEY.to_owned())
    }

    /// That this value is wrong, and why or what to do.
    pub(super) fn wrong_since(&self, allowed: &str, hint: String) -> Error {
        self.wrong_at(self.start, allowed, hint)
    }

    /// The same, some lines below the value's first one: for a text that spans lines.
    pub(super) fn wrong_in_line(&self, lines_below: usize, allowed: &str, hint: String) -> Error {
        let written = self.source.text.get(self.start..self.end).unwrap_or_default();
        // In `'''` the first line end right behind the quotes is none of the text's.
        let skipped =
            usize::from(["'''\n", "\"\"\"\n", "'''\r\n", "\"\"\"\r\n"].iter().any(|q| written.starts_with(q)));
        let below = written.match_indices('\n').nth((lines_below + skipped).wrapping_sub(1));
        self.wrong_at(below.map_or(self.start, |(at, _)| self.start + at + 1), allowed, hint)
    }

    fn wrong_at(&self, at: usize, allowed: &str, hint: String) -> Error {
        Error::Value {
            file: self.source.file.into(),
            line: line(self.source.text, at),
            key: self.key.as_str().into(),
            found: one_line(self.source.text.get(self.start..self.end).unwrap_or_default()).into(),
            allowed: allowed.into(),
            hint: one_line(&hint).into(),
        }
    }
}

/// Lines count from 1.
fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// A text on one line, cut where it is long.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}
