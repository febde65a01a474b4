//! What is said where a filter cannot be read: the spot under a caret, what was found, what is allowed, a hint.

use std::{fmt::Write as _, ops::Range};

use crate::rules::RULES;

use super::{RowKind, expression::Test, fields::FIELDS};

/// Columns of the filter's text that are shown before and after the spot.
const AROUND: usize = 60;

/// A filter that cannot be read, or not be used here. Its display has several lines: what is wrong, the text with carets
/// under the spot, what is allowed, and a hint where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct FilterError {
    text: String,
    /// Bytes of `text`.
    at: Range<usize>,
    problem: String,
    allowed: String,
    hint: Option<String>,
}

impl FilterError {
    pub(super) fn new(text: &str, at: Range<usize>, problem: String, allowed: impl Into<String>) -> Self {
        Self { text: text.to_owned(), at, problem, allowed: allowed.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A field that rows of that kind do not have.
    pub(super) fn wrong_kind(text: &str, test: &Test, kind: RowKind) -> Self {
        let name = test.field.name;
        let of: Vec<&str> = test.field.of.iter().map(|kind| kind.as_str()).collect();
        let problem = format!("`{name}` is a field of {}, not of {}", of.join(" and "), kind.as_str());
        let error = Self::new(text, test.at.clone(), problem, fields_of(Some(kind)));
        match of.first() {
            Some(first) => error.hint(format!("list {first} instead")),
            None => error,
        }
    }

    /// A name that no field has.
    pub(super) fn unknown_field(text: &str, at: Range<usize>, name: &str) -> Self {
        let error = Self::new(text, at, format!("there is no field {}", shown(name)), fields_of(None));
        match closest(name) {
            Some(field) => error.hint(format!("did you mean `{field}`?")),
            None => error.hint("to look for a text, name the field that bears it: url~\"…\", body~\"…\""),
        }
    }

    /// A name that no rule has.
    pub(super) fn unknown_rule(text: &str, at: Range<usize>, name: &str) -> Self {
        let problem = format!("no rule is called {}", shown(name));
        let all: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        let error = Self::new(text, at, problem, all.join(" "));
        match nearest(name, all.into_iter()) {
            Some(rule) => error.hint(format!("did you mean `{rule}`?")),
            None => error.hint("to look for a part of a name: flag~\"…\""),
        }
    }

    /// Where in the text it went wrong, in bytes.
    pub fn place(&self) -> Range<usize> {
        self.at.clone()
    }

    fn told(&self) -> String {
        let before: Vec<char> = self.text.get(..self.at.start).unwrap_or_default().chars().collect();
        let (spot, after) =
            self.text.get(self.at.start..).unwrap_or_default().split_at_checked(self.at.len()).unwrap_or(("", ""));
        let skipped = before.len().saturating_sub(AROUND);
        let mut line = String::from(if skipped > 0 { "…" } else { "" });
        line.extend(before.iter().skip(skipped));
        let margin = line.chars().count();
        line.extend(spot.chars().take(AROUND));
        line.extend(after.chars().take(AROUND));
        line = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let carets = "^".repeat(spot.chars().take(AROUND).count().max(1));
        let mut told = format!("{}\n  {}\n  {}{carets}", self.problem, line.trim_end(), " ".repeat(margin));
        let _ = write!(told, "\n  allowed: {}", self.allowed);
        if let Some(hint) = &self.hint {
            let _ = write!(told, "\n  hint: {hint}");
        }
        told
    }
}

/// What was found, for a message: in quotes, and not at length.
pub(super) fn shown(found: &str) -> String {
    let mut text: String = found.chars().take(40).collect();
    if text.len() < found.len() {
        text.push('…');
    }
    format!("{text:?}")
}

fn fields_of(kind: Option<RowKind>) -> String {
    let names = FIELDS.iter().filter(|field| kind.is_none_or(|kind| field.reaches(kind))).map(|field| field.name);
    names.collect::<Vec<_>>().join(" ")
}

/// The name that is most like it: it has the other's beginning, or little needs to be changed.
fn closest(name: &str) -> Option<&'static str> {
    nearest(name, FIELDS.iter().flat_map(|field| field.also.iter().chain([&field.name]).copied()))
}

fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    if name.len() > 40 {
        return None;
    }
    let distance = |other: &str| if name.len() > 2 && other.starts_with(&name) { 1 } else { distance(&name, other) };
    let (least, best) = names.map(|other| (distance(other), other)).min()?;
    (least <= 1 + name.len() / 4).then_some(best)
}

/// How many characters must be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut costs: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((b, both), above) in other.chars().zip(&costs).zip(costs.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((both + usize::from(a != b)).min(left + 1).min(above + 1));
        }
        costs = next;
    }
    costs.pop().unwrap_or_default()
}
