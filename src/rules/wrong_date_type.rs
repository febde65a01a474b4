//! `wrong-date-type`: a date in a request's JSON body is a number where a text as of ISO 8601 is meant.
//!
//! Source: RFC 3339; an API that documents ISO 8601 answers 400 (`invalid.date`) to epoch milliseconds. They are what
//! `System.currentTimeMillis()` and JMeter's `${__time()}` give.
//!
//! - error: the profile's route says that the field is a date and time, and it is a number;
//! - warning: without that knowledge, a field is epoch milliseconds while another date of the same document is a text, or
//!   the same field was one in an earlier request of its route;
//! - hint: a field named like a date (`startTime`, `created_date`, not `timestamp`) is epoch milliseconds: many an API
//!   means it so. Told once for each method and field.
//!
//! What would be evidence: the same body with a text for the number passes.

use std::{collections::BTreeSet, sync::Arc};

use memchr::{memchr_iter, memrchr};
use serde_json::Value;

use crate::{
    model::{
        exchange::Exchange,
        flag::{Flag, Severity},
        observation::{Heard, Observation, What},
    },
    profile::Profile,
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    body::{self, Media},
    fault::{self, Fault},
    recent::number,
    routes::{Key, Segments},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "wrong-date-type",
    group: Group::Body,
    summary: "a date in a request's JSON body is a number, or a text of another form, where ISO 8601 is meant",
    severity: Severity::Error,
    needs: &[Needs::RequestBody],
    known: Known::Before,
    source: "the profile's date fields; RFC 3339; JMeter's ${__time()} gives milliseconds",
    default_on: true,
    why: "without a profile it says little, and that little as a hint",
    silent: super::never,
    build: |options| {
        Box::new(WrongDateType { profile: options.profile.clone(), told: BTreeSet::new(), texts: BTreeSet::new() })
    },
};

/// Hints are told for so many fields.
const TOLD: usize = 256;
/// Fields of routes that are known to be texts; further ones are not learnt.
const TEXTS: usize = 4096;
/// Objects and lists of one document that are looked through.
const LOOKED_AT: usize = 10_000;

struct WrongDateType {
    profile: Option<Arc<Profile>>,
    /// Method and field of hints.
    told: BTreeSet<String>,
    /// Dates that were texts: authority, route, and name.
    texts: BTreeSet<u64>,
}

impl Rule for WrongDateType {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Request(exchange, body) = observation.what else { return };
        let Some(text) = body.whole() else { return };
        self.learn(exchange, text);
        if (has_long_number(text) || self.has_date_fields(exchange))
            && let Some((severity, what)) = self.judge(exchange, text)
        {
            let place = fault::body(exchange, 0..text.len());
            raise(Fault { severity, what, place }.flag(&INFO, observation, exchange));
        }
    }
}

impl WrongDateType {
    /// Remembers which dates of its route are texts here.
    fn learn(&mut self, exchange: &Exchange, text: &[u8]) {
        let mut names = text_dates(text).peekable();
        if names.peek().is_none() || self.texts.len() >= TEXTS {
            return;
        }
        let route = route_of(exchange);
        self.texts.extend(names.map(|name| number(&[&route, name])));
    }

    fn has_date_fields(&self, exchange: &Exchange) -> bool {
        words::route(self.profile.as_deref(), exchange).is_some_and(|route| !route.date_fields.is_empty())
    }

    fn judge(&mut self, exchange: &Exchange, text: &[u8]) -> Option<(Severity, String)> {
        let json = match body::declared(exchange) {
            Media::Json => true,
            Media::Unknown => body::begins_like_json(text),
            _ => false,
        };
        if !json || body::is_encoded(exchange) {
            return None;
        }
        let document: Value = serde_json::from_slice(body::trimmed(text)).ok()?;
        let route = words::route(self.profile.as_deref(), exchange);
        if let Some(route) = route.filter(|route| !route.date_fields.is_empty()) {
            let found = |field: &crate::profile::Pointer| match field.find(&document)? {
                Value::Number(_) => Some((field.as_str().to_owned(), "a number")),
                Value::String(text) if !begins_with_iso_date(text.as_bytes()) => {
                    Some((field.as_str().to_owned(), "no date as of ISO 8601"))
                }
                _ => None,
            };
            let (field, is) = route.date_fields.iter().find_map(found)?;
            let what = format!("{field} is {is}; {} wants a date and time as text (ISO 8601)", route.path);
            return Some((Severity::Error, what));
        }
        // A schema knows better than a name.
        if route.is_some_and(|route| route.schema.is_some()) {
            return None;
        }
        let dates = Dates::of(&document);
        let first = *dates.numbers.first()?;
        if let Some(text) = dates.text {
            let (first, text) = (words::name(first.as_bytes()), words::name(text.as_bytes()));
            let what =
                format!("{first:?} is a date in milliseconds, while {text:?} in the same body is a text (ISO 8601)");
            return Some((Severity::Warning, what));
        }
        let route = route_of(exchange);
        if let Some(name) = dates.numbers.iter().find(|name| self.texts.contains(&number(&[&route, name.as_bytes()]))) {
            let name = words::name(name.as_bytes());
            let what = format!("{name:?} is a date in milliseconds, and was a text (ISO 8601) in an earlier request");
            return Some((Severity::Warning, what));
        }
        let name = words::name(first.as_bytes());
        let key = format!("{} {name}", words::method(exchange));
        if self.told.len() >= TOLD || !self.told.insert(key) {
            return None;
        }
        let what = format!("{name:?} is a date in milliseconds; an API that wants ISO 8601 refuses it (told once)");
        Some((Severity::Hint, what))
    }
}

/// Fields of a document that are dates by name.
#[derive(Default)]
struct Dates<'d> {
    /// Those that are epoch milliseconds.
    numbers: Vec<&'d str>,
    /// The first that is a text as of ISO 8601.
    text: Option<&'d str>,
}

impl<'d> Dates<'d> {
    fn of(document: &'d Value) -> Self {
        let mut dates = Self::default();
        let mut left = vec![document];
        for _ in 0..LOOKED_AT {
            match left.pop() {
                Some(Value::Object(fields)) => {
                    for (name, value) in fields {
                        match value {
                            Value::Object(_) | Value::Array(_) => left.push(value),
                            Value::Number(number) if number.as_u64().is_some_and(is_milliseconds) && is_date(name) => {
                                dates.numbers.push(name);
                            }
                            Value::String(text) if is_iso(text.as_bytes()) => {
                                dates.text.get_or_insert(name);
                            }
                            _ => {}
                        }
                    }
                }
                Some(Value::Array(items)) => left.extend(items.iter().take(LOOKED_AT)),
                Some(_) => {}
                None => break,
            }
        }
        dates
    }
}

/// The authority and the route, whatever the identifiers in its path.
fn route_of(exchange: &Exchange) -> [u8; 8] {
    let path = exchange.path();
    let route = Segments::of(path).map(|segments| Key::of(exchange.request.method(), segments.as_slice()));
    number(&[exchange.authority.as_bytes(), &route.unwrap_or_default().to_ne_bytes()]).to_ne_bytes()
}

/// The names of dates that are texts as of ISO 8601, at a quick look: `"NAME":"2024-01-31…`.
fn text_dates(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr_iter(b':', text).filter_map(|colon| {
        let after = text.get(colon + 1..)?.trim_ascii_start().strip_prefix(b"\"")?;
        if !begins_with_iso_date(after) {
            return None;
        }
        let before = text.get(..colon)?.trim_ascii_end().strip_suffix(b"\"")?;
        let name = before.get(memrchr(b'"', before)? + 1..)?;
        std::str::from_utf8(name).is_ok_and(is_date).then_some(name)
    })
}

/// From 2001 to 2065.
fn is_milliseconds(n: u64) -> bool {
    (1_000_000_000_000..3_000_000_000_000).contains(&n)
}

/// `date`, `startTime`, `created_at`, but neither `timestamp`, which is a number with many, nor `timeMs`, which says so.
fn is_date(name: &str) -> bool {
    let ends = |ending: &str| name.ends_with(ending);
    matches!(name, "date" | "time") || ["Date", "Time", "_date", "_time", "-date", "-time", "_at"].into_iter().any(ends)
}

/// `2024-01-31T…`, the beginning.
fn is_iso(text: &[u8]) -> bool {
    text.len() >= 16 && begins_with_iso_date(text) && text.get(10) == Some(&b'T')
}

/// `2024-01-31`, whatever follows.
fn begins_with_iso_date(text: &[u8]) -> bool {
    text.len() >= 10
        && text.iter().take(10).enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Whether a number of ten digits or more stands behind a colon or in a list: most bodies hold none.
fn has_long_number(text: &[u8]) -> bool {
    memchr_iter(b':', text).any(|colon| {
        let rest = text.get(colon + 1..).unwrap_or_default();
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        rest.len() > 10 && rest.iter().take(10).all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn dates(text: &str) -> (Option<String>, Option<String>) {
        let document = serde_json::from_str(text).unwrap();
        let dates = Dates::of(&document);
        (dates.numbers.first().map(|name| (*name).to_owned()), dates.text.map(str::to_owned))
    }

    #[test]
    fn only_names_of_dates_with_milliseconds_count() {
        let number = |text: &str| dates(text).0;
        assert_eq!(number("{\"startTime\":1700000000000}").as_deref(), Some("startTime"));
        assert_eq!(number("{\"a\":[{\"created_at\":1700000000000}]}").as_deref(), Some("created_at"));
        for silent in ["timestamp", "timeMs", "id", "lifetime", "ts", "update"] {
            assert_eq!(number(&format!("{{\"{silent}\":1700000000000}}")), None, "{silent}");
        }
        for silent in ["5", "1700000000", "-1700000000000", "1.5e12", "\"1700000000000\"", "17000000000000000"] {
            assert_eq!(number(&format!("{{\"date\":{silent}}}")), None, "{silent}");
        }
        let both = dates("{\"startTime\":1700000000000,\"end\":\"2024-01-31T10:00:00Z\"}");
        assert_eq!(both, (Some("startTime".to_owned()), Some("end".to_owned())));
    }

    #[test]
    fn dates_that_are_texts_are_seen_at_a_quick_look() {
        let names = |text: &'static str| text_dates(text.as_bytes()).collect::<Vec<_>>();
        let all =
            "{\"startTime\" : \"2024-01-31T10:00:00Z\",\"x\":\"2024-01-31\",\"a\":{\"created_at\":\"2024-01-31\"}}";
        assert_eq!(names(all), [&b"startTime"[..], b"created_at"]);
        for none in
            ["", ":", "\":\"", "startTime\":\"2024-01-31\"", "{\"startTime\":1700000000000}", "{\"date\":\"2024\"}"]
        {
            assert!(names(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn the_quick_look_misses_nothing() {
        assert!(has_long_number(b"{\"date\": 1700000000000}"));
        assert!(has_long_number(b"{\"a\":1,\"date\":1700000000000}"));
        assert!(!has_long_number(b"{\"date\":170000000}"));
        assert!(!has_long_number(b"{\"date\":\"2024-01-31T10:00:00Z\",\"n\":123}"));
    }
}
