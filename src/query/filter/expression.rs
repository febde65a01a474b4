//! A parsed filter: how it matches a row, and how it is written.

use std::{fmt, ops::Range};

use regex::bytes::{Regex, RegexBuilder};

use super::fields::{Field, Type, Value, View};
use crate::model::flag::Severity;

/// And, or, not, and what is tested.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// At least two, none of them an `And`.
    And(Vec<Self>),
    /// At least two, none of them an `Or`.
    Or(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// One field's test.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub field: &'static Field,
    /// The header that is picked.
    pub header: Option<String>,
    pub condition: Condition,
    /// Where it stood in the filter's text; no part of what it is.
    pub at: Range<usize>,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// True, not empty, not zero.
    Is,
    Number(Order, u64),
    Severity(Order, Severity),
    Equals(String),
    Differs(String),
    Finds(Pattern),
    Lacks(Pattern),
}

/// How two numbers stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A regular expression with its text.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    source: String,
    regex: Regex,
}

impl Expression {
    /// Both, or all where one of them is an `And` already.
    pub(super) fn and(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::And, |part| if let Self::And(parts) = part { Ok(parts) } else { Err(part) })
    }

    /// Either, or any where one of them is an `Or` already.
    pub(super) fn or(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::Or, |part| if let Self::Or(parts) = part { Ok(parts) } else { Err(part) })
    }

    fn join(parts: Vec<Self>, make: fn(Vec<Self>) -> Self, open: fn(Self) -> Result<Vec<Self>, Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(parts) => flat.extend(parts),
                Err(part) => flat.push(part),
            }
        }
        match flat.pop() {
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                make(flat)
            }
            None => make(flat),
        }
    }

    /// All tests in it.
    pub(super) fn tests(&self) -> Vec<&Test> {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::Not(part) => part.tests(),
            Self::Test(test) => vec![test],
        }
    }

    pub(super) fn matches(&self, view: &View<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(view)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(view)),
            Self::Not(part) => !part.matches(view),
            Self::Test(test) => test.matches(view),
        }
    }
}

impl Test {
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self.condition, Condition::Finds(_) | Condition::Lacks(_))
    }

    fn matches(&self, view: &View<'_>) -> bool {
        let value = (self.field.value)(view);
        match &self.condition {
            Condition::Is => self.is_there(&value),
            Condition::Number(Order::Unequal, than) => value.number() != Some(*than),
            Condition::Number(order, than) => value.number().is_some_and(|number| order.holds(&number, than)),
            Condition::Severity(Order::Unequal, than) => value.severity() != Some(*than),
            Condition::Severity(order, than) => value.severity().is_some_and(|severity| order.holds(&severity, than)),
            Condition::Equals(text) => self.any(&value, |one| same(one, text)),
            Condition::Differs(text) => !self.any(&value, |one| same(one, text)),
            Condition::Finds(pattern) => self.any(&value, |one| pattern.regex.is_match(one)),
            Condition::Lacks(pattern) => !self.any(&value, |one| pattern.regex.is_match(one)),
        }
    }

    fn is_there(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Unknown => false,
            Value::Bool(bool) => *bool,
            Value::Number(number) => *number != 0,
            Value::Text(_) | Value::Made(_) | Value::List(_) => self.any(value, |one| !one.is_empty()),
            Value::Headers(_) => self.any(value, |_| true),
            Value::Body { size, .. } => size.is_some_and(|size| size != 0),
        }
    }

    /// Whether any of the texts that the value holds passes.
    fn any(&self, value: &Value<'_>, mut passes: impl FnMut(&[u8]) -> bool) -> bool {
        match value {
            Value::Text(text) => passes(text.as_bytes()),
            Value::Made(text) => passes(text.as_bytes()),
            Value::List(texts) => texts.iter().any(|text| passes(text.as_bytes())),
            Value::Headers(both) => {
                both.iter().flat_map(|headers| headers.iter()).any(|[name, value]| match &self.header {
                    Some(header) => name.eq_ignore_ascii_case(header) && passes(value.as_bytes()),
                    None => passes(format!("{name}: {value}").as_bytes()),
                })
            }
            Value::Body { content, .. } => content.iter().flatten().any(|bytes| passes(bytes)),
            Value::Unknown | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        self.field == other.field && self.header == other.header && self.condition == other.condition
    }
}

impl Value<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Body { size, .. } => *size,
            _ => None,
        }
    }

    fn severity(&self) -> Option<Severity> {
        if let Self::Text(text) = self { severity(text) } else { None }
    }
}

impl Order {
    fn holds<T: Ord>(self, one: &T, other: &T) -> bool {
        match self {
            Self::Equal => one == other,
            Self::Unequal => one != other,
            Self::Less => one < other,
            Self::LessOrEqual => one <= other,
            Self::Greater => one > other,
            Self::GreaterOrEqual => one >= other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// The severity of that name.
pub(super) fn severity(name: &str) -> Option<Severity> {
    [Severity::Hint, Severity::Warning, Severity::Error]
        .into_iter()
        .find(|severity| name.eq_ignore_ascii_case(severity.as_str()))
}

/// Whether two texts are the same but for case.
fn same(one: &[u8], other: &str) -> bool {
    if one.is_ascii() || other.is_ascii() {
        return one.eq_ignore_ascii_case(other.as_bytes());
    }
    std::str::from_utf8(one)
        .is_ok_and(|one| one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase)))
}

impl Pattern {
    /// # Errors
    /// What is wrong with the regular expression, in one line.
    pub(super) fn new(source: String) -> Result<Self, String> {
        let built =
            RegexBuilder::new(&source).case_insensitive(true).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
        match built {
            Ok(regex) => Ok(Self { source, regex }),
            Err(regex::Error::CompiledTooBig(_)) => Err("it is too large".to_owned()),
            Err(error) => {
                let told = error.to_string();
                let last = told.lines().last().unwrap_or_default();
                Err(last.strip_prefix("error: ").unwrap_or(last).to_owned())
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => joined(f, parts, " and ", |part| matches!(part, Self::Or(_))),
            Self::Or(parts) => joined(f, parts, " or ", |_| false),
            Self::Not(part) if matches!(**part, Self::And(_) | Self::Or(_)) => write!(f, "not ({part})"),
            Self::Not(part) => write!(f, "not {part}"),
            Self::Test(test) => test.fmt(f),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    between: &str,
    enclosed: fn(&Expression) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { between })?;
        if enclosed(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
    }
    Ok(())
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.name)?;
        if let Some(header) = &self.header {
            write!(f, ".{header}")?;
        }
        match &self.condition {
            Condition::Is => Ok(()),
            Condition::Number(order, number) => {
                f.write_str(order.as_str())?;
                let units: &[(&str, u64)] = match self.field.type_ {
                    Type::Duration => &[("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)],
                    Type::Size | Type::Body => &[("MiB", 1 << 20), ("KiB", 1 << 10), ("MB", 1_000_000), ("KB", 1_000)],
                    _ => &[],
                };
                match units.iter().find(|(_, unit)| *number >= *unit && number % unit == 0) {
                    Some((name, unit)) => write!(f, "{}{name}", number / unit),
                    None => write!(f, "{number}"),
                }
            }
            Condition::Severity(order, severity) => write!(f, "{}{}", order.as_str(), severity.as_str()),
            Condition::Equals(text) => quoted(f, "=", text),
            Condition::Differs(text) => quoted(f, "!=", text),
            Condition::Finds(pattern) => quoted(f, "~", &pattern.source),
            Condition::Lacks(pattern) => quoted(f, "!~", &pattern.source),
        }
    }
}

/// The operator and its text, in quotes unless it is as plain as a word.
fn quoted(f: &mut fmt::Formatter<'_>, operator: &str, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        return write!(f, "{operator}{text}");
    }
    write!(f, "{operator}\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
