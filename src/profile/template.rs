//! Path templates such as `/api/v2/scripts/{scriptId}`, compared segment by segment with the raw bytes of a path.
//!
//! A segment is a literal; `{name}` with letters before or behind it, if need be (`{id}:cancel`); or `*`, any one
//! segment. A last segment `**` stands for the rest. What varies is never empty: `/scripts/` is not `/scripts/{id}`.

use std::{fmt, ops::Range};

use serde::{Serialize, Serializer};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    rest: bool,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<[u8]>),
    /// What varies, and what stands around it; `*` has no name.
    Varies {
        name: String,
        before: Box<[u8]>,
        after: Box<[u8]>,
    },
}

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else { return Err("a path begins with `/`".to_owned()) };
        let mut parts: Vec<&str> = path.split('/').collect();
        let rest = parts.last() == Some(&"**");
        if rest {
            parts.pop();
        }
        let segments = parts.into_iter().map(segment).collect::<Result<Vec<_>, _>>()?;
        let template = Self { text: text.to_owned(), segments, rest };
        let names: Vec<&str> = template.names().collect();
        match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|earlier| earlier == *name)) {
            Some((_, twice)) => Err(format!("`{{{twice}}}` is there twice")),
            None => Ok(template),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Varies { name, .. } if !name.is_empty() => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the path (without query) is one of its paths.
    pub fn matches(&self, path: &[u8]) -> bool {
        let Some(path) = path.strip_prefix(b"/") else { return false };
        let mut parts = path.split(|b| *b == b'/');
        let all = self.segments.iter().all(|segment| parts.next().is_some_and(|part| segment.takes(part)));
        all && (self.rest == parts.next().is_some())
    }

    /// Names and values of its parameters in a path; none where the path is not one of its paths.
    pub fn params<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.ranges(path)
            .filter_map(|(name, range)| (!name.is_empty()).then(|| (name, path.get(range).unwrap_or_default())))
    }

    /// Where in a path its parameters stand (those of `*` without name); none where it is not one of its paths.
    pub fn ranges<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a str, Range<usize>)> {
        let mut begin = 1;
        let parts = path.get(1..).unwrap_or_default().split(|b| *b == b'/');
        let segments = if self.matches(path) { self.segments.as_slice() } else { &[] };
        segments.iter().zip(parts).filter_map(move |(segment, part)| {
            let start = begin;
            begin += part.len() + 1;
            match segment {
                Segment::Literal(_) => None,
                Segment::Varies { name, before, after } => {
                    Some((name.as_str(), start + before.len()..start + part.len() - after.len()))
                }
            }
        })
    }

    /// The parameter that a path lacks: the path is one of this template's but for one value that is empty or, with its
    /// slash, not there (clients collapse `//`).
    pub fn lacks(&self, path: &[u8]) -> Option<&str> {
        let parts: Vec<&[u8]> = path.strip_prefix(b"/")?.split(|b| *b == b'/').collect();
        if self.rest || parts.len() > self.segments.len() || parts.len() + 1 < self.segments.len() {
            return None;
        }
        self.segments.iter().enumerate().find_map(|(at, segment)| {
            let Segment::Varies { name, before, after } = segment else { return None };
            let (left, right) = (self.segments.get(..at)?, self.segments.get(at + 1..)?);
            let takes = |segments: &[Segment], parts: &[&[u8]]| {
                segments.len() == parts.len() && segments.iter().zip(parts).all(|(segment, part)| segment.takes(part))
            };
            let before_it = takes(left, parts.get(..at)?);
            let bare = before.is_empty() && after.is_empty();
            let dropped = bare && takes(right, parts.get(at..)?);
            let emptied =
                parts.get(at).is_some_and(|part| part.len() == before.len() + after.len() && hugs(part, before, after))
                    && takes(right, parts.get(at + 1..).unwrap_or_default());
            (before_it && (dropped || emptied) && !name.is_empty()).then_some(name.as_str())
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `**`.
    pub(super) fn has_rest(&self) -> bool {
        self.rest
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Segment {
    fn takes(&self, part: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *part,
            Self::Varies { before, after, .. } => part.len() > before.len() + after.len() && hugs(part, before, after),
        }
    }
}

fn hugs(part: &[u8], before: &[u8], after: &[u8]) -> bool {
    part.starts_with(before) && part.ends_with(after)
}

fn segment(text: &str) -> Result<Segment, String> {
    if text == "*" {
        return Ok(Segment::Varies { name: String::new(), before: Box::default(), after: Box::default() });
    }
    // RFC 3986, 3.3: what a path's segment may consist of.
    let is_literal = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@%".contains(c);
    let literal = |text: &str| match text.chars().find(|c| !is_literal(*c)) {
        Some('*') => Err("`*` and `**` stand alone between slashes, `**` last".to_owned()),
        Some(c @ ('{' | '}')) => Err(format!("`{c}` has no partner; one segment holds one `{{name}}`")),
        Some(c) => Err(format!("`{}` cannot stand in a path", c.escape_default())),
        None => Ok(text.as_bytes().into()),
    };
    let Some((before, rest)) = text.split_once('{') else { return Ok(Segment::Literal(literal(text)?)) };
    let Some((name, after)) = rest.split_once('}') else { return Err("`{` has no partner".to_owned()) };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("`{{{}}}` is no name: letters, digits, `_`, `-` and `.`", name.escape_default()));
    }
    Ok(Segment::Varies { name: name.to_owned(), before: literal(before)?, after: literal(after)? })
}
