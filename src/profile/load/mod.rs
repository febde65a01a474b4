//! TOML to [`Profile`]. Strict: an unknown key, a wrong type or an impossible value is an error with its line. Every
//! section but the name may be missing; what is missing is as in `generic`.

mod answers;
mod identity;
mod routes;

use std::collections::BTreeMap;

use super::{
    Confidence, Error, FrameMatcher, Gate, Hosts, MetadataSpec, Pattern, Pointer, Profile, ReadFile, Refused, Window,
    frame::{Condition, Test},
    gate::parse_duration,
    host::lists_in,
    read::{self, Source, Table, Value},
};

const KEYS: &[&str] = &[
    "name",
    "summary",
    "hosts",
    "refused",
    "session",
    "metadata",
    "gate",
    "window",
    "routes",
    "sockets",
    "origin",
    "correlation",
    "error",
    "error_frames",
    "close_codes",
    "expected_status",
    "rate_limit",
    "limits",
    "secrets",
    "templates",
    "claims",
];

const NAME: &str = "lower-case letters, digits and `-`, such as \"my-api\"";
const HEADER: &str = "header names, such as \"X-Request-Id\"";
const POINTER: &str = "a JSON pointer (RFC 6901), such as \"/error/code\"";
const DURATION: &str = "a whole number with a unit of us, ms, s, m, h, such as \"150ms\"";

pub(super) fn parse(file: &str, text: &str, files: ReadFile<'_>) -> Result<Profile, Error> {
    let toml = read::toml(file, text)?;
    let source = Source { file, text };
    let root = read::root(&source, &toml, KEYS)?;
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let name = root.need("name", NAME)?.parsed(NAME, |text| is_name(text).then(|| text.to_owned()))?;
    let summary = root
        .need("summary", "one line of text")?
        .parsed("one line of text", |text| (text.lines().count() == 1).then(|| text.to_owned()))?;
    let routes = routes::routes(&root, files)?;
    let sockets = routes::sockets(&root)?;
    let (metadata, metadata_frame) = metadata(&root, routes.iter().any(|route| route.metadata))?;
    let (identity_headers, session_keys) = identity::session(&root, &routes, &sockets)?;
    Ok(Profile {
        name,
        summary,
        hosts: hosts(&root)?,
        refused: refused(&root)?,
        identity_headers,
        session_keys,
        metadata,
        metadata_frame,
        gate: gate(&root)?.unwrap_or_default(),
        window: window(&root)?,
        origin: answers::origin(&root)?,
        correlation: answers::correlation(&root)?,
        error: answers::error(&root)?,
        error_frames: answers::error_frames(&root)?,
        close_codes: answers::close_codes(&root)?,
        expected_status: answers::expected_status(&root)?,
        rate_limit: answers::rate_limit(&root)?,
        limits: answers::limits(&root)?,
        secrets: identity::secrets(&root)?,
        unresolved: identity::unresolved(&root)?,
        claims: identity::claims(&root)?,
        routes,
        sockets,
    })
}

fn hosts(root: &Table<'_>) -> Result<Hosts, Error> {
    const PATTERNS: &str = "a list of host names, such as [\"api.example.com\", \"*.example.org\", \"api.{h}\"]";
    const LIST: &str = "a list of names for `{…}` in a pattern";
    let Some(any) = root.get("hosts") else { return Ok(Hosts::default()) };
    let open = any.any_table("a table")?;
    let values = open.need("patterns", PATTERNS)?.list(PATTERNS)?;
    let patterns = values.iter().map(|value| value.text(PATTERNS)).collect::<Result<Vec<_>, _>>()?;
    // The lists that patterns name are the other keys.
    let known: Vec<&str> = ["patterns"].into_iter().chain(patterns.iter().flat_map(|text| lists_in(text))).collect();
    let table = any.table(&known)?;
    let mut lists = BTreeMap::new();
    for name in table.keys().filter(|name| *name != "patterns") {
        lists.insert(name.to_owned(), table.parsed(name, LIST, |text| Some(text.to_owned()))?);
    }
    Hosts::new(patterns.iter().map(|text| (*text).to_owned()).collect(), lists).map_err(|(index, why)| {
        values.get(index).map_or_else(|| any.wrong(PATTERNS), |value| value.wrong_since(PATTERNS, why))
    })
}

fn refused(root: &Table<'_>) -> Result<Refused, Error> {
    const RANGE: &str = "a list of statuses or ranges between 100 and 599, such as [\"429\", \"400-499\"]";
    const STATUS: &str = "a list of statuses between 100 and 599, such as [401, 404]";
    let mut refused = Refused::default();
    let Some(table) = root.table("refused", &["statuses", "except"])? else { return Ok(refused) };
    if table.get("statuses").is_some() {
        refused.statuses = table.parsed("statuses", RANGE, status_range)?;
    }
    if let Some(except) = table.get("except") {
        let statuses = except.list(STATUS)?;
        refused.except = statuses.iter().map(|value| small(value, 100..=599, STATUS)).collect::<Result<_, _>>()?;
    }
    Ok(refused)
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    let (low, high) = (status(low)?, status(high)?);
    (low <= high).then_some((low, high))
}

fn metadata(root: &Table<'_>, has_routes: bool) -> Result<(MetadataSpec, Option<FrameMatcher>), Error> {
    const MATCH: &str = "\"first-after-upgrade\", \"routes\", \"frames\", or `filter = \"…\"` in its place";
    const FILTER: &str = "a filter, such as \"method=POST path~/metadata\"";
    let Some(table) = root.table("metadata", &["match", "filter", "frame"])? else { return Ok(Default::default()) };
    let frame = table.get("frame").map(|value| frame(&value)).transpose()?;
    let spec = match (table.get("match"), table.get("filter")) {
        (Some(both), Some(_)) => return Err(both.wrong("either `match` or `filter`, not both")),
        (None, None) => return Err(table.lacks("match", MATCH)),
        (None, Some(filter)) => MetadataSpec::Filter(filter.text(FILTER)?.to_owned()),
        (Some(value), None) => {
            let spec = value.parsed(MATCH, |text| match text {
                "first-after-upgrade" => Some(MetadataSpec::FirstAfterUpgrade),
                "routes" => Some(MetadataSpec::Routes),
                "frames" => Some(MetadataSpec::Frames),
                _ => None,
            })?;
            if spec == MetadataSpec::Routes && !has_routes {
                return Err(value.wrong_since(MATCH, "give one of [[routes]] `metadata = true`".to_owned()));
            }
            if spec == MetadataSpec::Frames && frame.is_none() {
                return Err(
                    value.wrong_since(MATCH, "say which messages: `frame = [{ pointer = \"…\", … }]`".to_owned())
                );
            }
            spec
        }
    };
    Ok((spec, frame))
}

fn gate(root: &Table<'_>) -> Result<Option<Gate>, Error> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Open,
        First,
        Frame,
        Not,
    }
    let kinds = [
        ("open", Kind::Open),
        ("first-server-frame", Kind::First),
        ("frame", Kind::Frame),
        ("not-observable", Kind::Not),
    ];
    let Some(table) = root.table("gate", &["kind", "frame", "reason"])? else { return Ok(None) };
    let kind = table.need("kind", "one of \"open\", \"first-server-frame\", \"frame\", \"not-observable\"")?;
    let chosen = kind.one_of(&kinds)?;
    for (key, of) in [("frame", Kind::Frame), ("reason", Kind::Not)] {
        match table.get(key) {
            Some(value) if of != chosen => {
                let needs = if of == Kind::Frame { "\"frame\"" } else { "\"not-observable\"" };
                return Err(value.wrong_since("nothing here", format!("`{key}` goes with `kind = {needs}`")));
            }
            _ => {}
        }
    }
    Ok(Some(match chosen {
        Kind::Open => Gate::Open,
        Kind::First => Gate::FirstServerFrame,
        Kind::Frame => Gate::Frame(frame(&table.need("frame", FRAME)?)?),
        Kind::Not => Gate::NotObservable {
            reason: table.need("reason", "why it cannot be seen, in a sentence")?.text("a sentence")?.to_owned(),
        },
    }))
}

fn window(root: &Table<'_>) -> Result<Option<Window>, Error> {
    let Some(table) = root.table("window", &["min", "max", "confidence"])? else { return Ok(None) };
    let end = |key: &str| table.get(key).map(|value| value.parsed(DURATION, parse_duration)).transpose();
    let (min, max) = (end("min")?, end("max")?);
    match (min, max) {
        (None, None) => return Err(table.lacks("min", "`min` or `max` or both")),
        (Some(low), Some(high)) if low > high => {
            return Err(table.need("max", DURATION)?.wrong("no less than `min`"));
        }
        _ => {}
    }
    let confidence = table.need("confidence", CONFIDENCE)?.one_of(Confidence::ALL)?;
    Ok(Some(Window { min, max, confidence }))
}

const CONFIDENCE: &str = "one of \"documented\", \"observed\", \"reported\", \"disputed\"";
const FRAME: &str = "a list of conditions, such as [{ pointer = \"/type\", equals = \"connection_ack\" }]";

/// Conditions that must all hold.
fn frame(value: &Value<'_>) -> Result<FrameMatcher, Error> {
    let values = value.list(FRAME)?;
    if values.is_empty() {
        return Err(value.wrong(FRAME));
    }
    Ok(FrameMatcher(values.iter().map(condition).collect::<Result<_, _>>()?))
}

fn condition(value: &Value<'_>) -> Result<Condition, Error> {
    const ONE: &str = "one of `equals`, `matches`, `exists`";
    let table = value.table(&["pointer", "equals", "matches", "exists"])?;
    let pointer = pointer(&table, "pointer")?;
    let test = match (table.get("equals"), table.get("matches"), table.flag("exists")?) {
        (Some(wanted), None, None) => Test::Equals(wanted.scalar("a text, a whole number, true or false")?),
        (None, Some(text), None) => Test::Matches(text.tried("a regular expression", Pattern::parse)?),
        (None, None, Some(wanted)) if pointer.is_some() => Test::Exists(wanted),
        (None, None, Some(_)) => return Err(table.lacks("pointer", POINTER)),
        _ => return Err(value.wrong(ONE)),
    };
    Ok(Condition { pointer, test })
}

fn pointer(table: &Table<'_>, key: &str) -> Result<Option<Pointer>, Error> {
    table.get(key).map(|value| value.parsed(POINTER, Pointer::parse)).transpose()
}

fn pointers(table: &Table<'_>, key: &str) -> Result<Vec<Pointer>, Error> {
    table.parsed(key, "a list of JSON pointers (RFC 6901), such as [\"/startTime\"]", Pointer::parse)
}

fn headers(table: &Table<'_>, key: &str) -> Result<Vec<String>, Error> {
    table.parsed(key, "a list of header names, such as [\"X-Request-Id\"]", header_name)
}

fn header(table: &Table<'_>, key: &str) -> Result<Option<String>, Error> {
    table.get(key).map(|value| value.parsed(HEADER, header_name)).transpose()
}

/// RFC 9110, 5.1 and 5.6.2.
fn header_name(text: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_token)).then(|| text.to_owned())
}

/// An id of the profile's own.
fn id(value: &Value<'_>) -> Result<String, Error> {
    let is_id = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    value.parsed("a name of letters, digits, `-`, `_` and `.`", |text| is_id(text).then(|| text.to_owned()))
}

/// That ids are not given twice.
fn unique<'a>(value: &Value<'_>, id: &str, mut earlier: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    if earlier.any(|known| known == id) {
        return Err(value.wrong_since("an id that is not taken", "another one has this id".to_owned()));
    }
    Ok(())
}

fn small(value: &Value<'_>, bounds: std::ops::RangeInclusive<i64>, allowed: &str) -> Result<u16, Error> {
    let number = value.integer(bounds, allowed)?;
    u16::try_from(number).map_err(|_| value.wrong(allowed))
}
