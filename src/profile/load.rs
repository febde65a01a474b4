//! TOML to [`Profile`]. Strict: an unknown key, a wrong type or an impossible value is an error with its line.

use serde::Deserialize;
use toml::Spanned;

use super::{MetadataSpec, Profile, Refused};

/// A profile that cannot be had. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such built-in profile.
    #[error(
        "profile {name:?} is unknown: expected one of {known}, or a path to a TOML file (hint: a path has a `/` or ends with `.toml`)"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The text is not TOML, or its keys are not those of a profile.
    #[error("{file}:{line}: {what} (hint: profiles/generic.toml shows every key)")]
    Shape {
        /// Its name.
        file: String,
        /// From 1.
        line: usize,
        /// What was found and what is allowed.
        what: String,
    },
    /// A value that means nothing.
    #[error("{file}:{line}: `{key}` is {found}: expected {allowed}")]
    Value {
        /// Its name.
        file: String,
        /// From 1.
        line: usize,
        /// The key, dotted.
        key: &'static str,
        /// As written.
        found: String,
        /// What would be right.
        allowed: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    summary: String,
    refused: RefusedTable,
    session: SessionTable,
    metadata: Spanned<MetadataTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedTable {
    statuses: Vec<Spanned<String>>,
    #[serde(default)]
    except: Vec<Spanned<u16>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionTable {
    identity_headers: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataTable {
    r#match: Option<Spanned<String>>,
    filter: Option<Spanned<String>>,
}

const STATUS: &str = "a status or a range of statuses between 100 and 599, such as \"429\" or \"400-499\"";

pub(super) fn parse(file: &str, text: &str) -> Result<Profile, Error> {
    let source = Source { file, text };
    let read: File = toml::from_str(text).map_err(|error| source.shape(&error))?;
    let name = read.name.get_ref().clone();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(source.value(&read.name, "name", "lower-case letters, digits and `-`, such as \"my-api\""));
    }
    let mut refused = Refused { statuses: Vec::new(), except: Vec::new() };
    for range in &read.refused.statuses {
        let ends = status_range(range.get_ref()).ok_or_else(|| source.value(range, "refused.statuses", STATUS))?;
        refused.statuses.push(ends);
    }
    for status in &read.refused.except {
        if !(100..=599).contains(status.get_ref()) {
            return Err(source.value(status, "refused.except", "statuses between 100 and 599"));
        }
        refused.except.push(*status.get_ref());
    }
    for header in &read.session.identity_headers {
        if header.get_ref().is_empty() || !header.get_ref().bytes().all(is_token) {
            return Err(source.value(header, "session.identity_headers", "header names, such as \"X-JM-Thread\""));
        }
    }
    Ok(Profile {
        name,
        summary: read.summary,
        refused,
        identity_headers: read.session.identity_headers.into_iter().map(Spanned::into_inner).collect(),
        metadata: metadata(&source, &read.metadata)?,
    })
}

fn metadata(source: &Source<'_>, table: &Spanned<MetadataTable>) -> Result<MetadataSpec, Error> {
    const KEY: &str = "metadata.match";
    match (&table.get_ref().r#match, &table.get_ref().filter) {
        (Some(name), None) if name.get_ref() == "first-after-upgrade" => Ok(MetadataSpec::FirstAfterUpgrade),
        (Some(name), None) => {
            Err(source.value(name, KEY, "\"first-after-upgrade\" (or `filter = \"…\"` in its place)"))
        }
        (None, Some(filter)) if filter.get_ref().trim().is_empty() => {
            Err(source.value(filter, "metadata.filter", "a filter, such as \"method=POST path~/metadata\""))
        }
        (None, Some(filter)) => Ok(MetadataSpec::Filter(filter.get_ref().clone())),
        (Some(both), Some(_)) => Err(source.value(both, KEY, "either `match` or `filter`, not both")),
        (None, None) => Err(Error::Value {
            file: source.file.to_owned(),
            line: source.line(table.span().start),
            key: "metadata",
            found: "empty".to_owned(),
            allowed: "`match = \"first-after-upgrade\"` or `filter = \"…\"`",
        }),
    }
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    let (low, high) = (status(low)?, status(high)?);
    (low <= high).then_some((low, high))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|b| *b == b'\n').count()
    }

    fn value<T>(&self, at: &Spanned<T>, key: &'static str, allowed: &'static str) -> Error {
        let found = self.text.get(at.span()).unwrap_or_default();
        Error::Value {
            file: self.file.to_owned(),
            line: self.line(at.span().start),
            key,
            found: found.lines().next().unwrap_or_default().to_owned(),
            allowed,
        }
    }

    fn shape(&self, error: &toml::de::Error) -> Error {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        let line = self.line(error.span().map_or(0, |span| span.start));
        Error::Shape { file: self.file.to_owned(), line, what }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    #[test]
    fn the_generic_profile_is_sound() {
        let generic = Profile::named("generic").unwrap();
        assert_eq!(generic.name, "generic");
        assert_eq!(generic.identity_headers, ["X-JM-Thread"]);
        assert_eq!(generic.metadata, MetadataSpec::FirstAfterUpgrade);
        let refused: Vec<u16> = (100..600).filter(|status| generic.refused.contains(*status)).collect();
        let expected: Vec<u16> = (400..500).filter(|status| ![401, 403, 404, 407].contains(status)).collect();
        assert_eq!(refused, expected);
    }

    #[test]
    fn every_built_in_profile_loads_under_its_name() {
        for name in Profile::names() {
            assert_eq!(Profile::named(name).unwrap().name, name);
        }
    }

    #[test]
    fn an_unknown_name_is_told_what_there_is() {
        let message = Profile::named("genric").unwrap_err().to_string();
        assert!(message.contains("\"genric\"") && message.contains("generic"), "{message}");
    }

    #[test]
    fn errors_name_file_line_value_and_what_is_allowed() {
        let generic = super::super::BUILT_IN[0].1;
        for (from, to, expected) in [
            ("[refused]", "[refused]\nstatus = 1", &["p.toml:7: ", "unknown field `status`", "`statuses`"][..]),
            ("name = \"generic\"", "name = 7", &["p.toml:3: ", "integer `7`", "string"]),
            ("name = \"generic\"", "name = \"My API\"", &["p.toml:3: `name` is \"My API\"", "lower-case"]),
            ("\"400-499\"", "\"4xx\"", &["p.toml:8: `refused.statuses` is \"4xx\"", "\"400-499\""]),
            ("\"400-499\"", "\"499-400\"", &["\"499-400\""]),
            ("404, 407]", "404, 4070]", &["p.toml:11: `refused.except` is 4070"]),
            ("404, 407]", "404, -1]", &["p.toml:11: ", "-1"]),
            ("\"X-JM-Thread\"]", "\"X JM\"]", &["`session.identity_headers` is \"X JM\""]),
            (
                "match = \"first-after-upgrade\"",
                "match = \"first\"",
                &["p.toml:22: `metadata.match` is \"first\"", "first-after-upgrade"],
            ),
            ("match = \"first-after-upgrade\"", "", &["p.toml:18: `metadata` is empty"]),
            ("match = \"first-after-upgrade\"", "filter = \" \"", &["`metadata.filter`"]),
            ("match = ", "filter = \"x\"\nmatch = ", &["not both"]),
            ("summary = ", "sumary = ", &["unknown field `sumary`"]),
            ("[metadata]", "[metadata", &["p.toml:18: "]),
        ] {
            assert!(generic.contains(from), "{from}");
            let message = Profile::parse("p.toml", &generic.replacen(from, to, 1)).unwrap_err().to_string();
            for part in expected {
                assert!(message.contains(part), "{to}: {message:?} lacks {part:?}");
            }
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_filter_is_kept_as_written() {
        let text = super::super::BUILT_IN[0].1.replace("match = \"first-after-upgrade\"", "filter = \"path~/meta\"");
        assert_eq!(Profile::parse("p", &text).unwrap().metadata, MetadataSpec::Filter("path~/meta".into()));
    }
}
