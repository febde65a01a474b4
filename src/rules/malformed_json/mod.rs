//! `malformed-json`: a request's body claims to be JSON (or looks like it) and is not.
//!
//! Source: RFC 8259. Measured with JMeter: a backslash in a text that also holds `${…}` is taken out (`"\\d+"` goes out
//! as `"\d+"`), a string body is sent in the default charset (`é` as one byte), an unresolved `${x}` goes out literally.
//!
//! An empty body declared as JSON is how the Node SDK (axios) sends a POST that has none (measured), and how an empty
//! variable goes out: it is a hint, and only where the same route was asked with a body before. Documents of a line each
//! are what some APIs take under that type (Elasticsearch's `_bulk`): a hint, too.

mod scan;

use crate::decode::content::{Decoded, decode_content};
use crate::model::{
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Framing,
    observation::{Collected, Heard, Observation, What},
    trace::ByteRange,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, body::is_encoded, recent::Recent, routes::Keys, words};

use scan::Kind;

/// Behind a content coding, more is not judged: as much as the inspector collects of a body as it stands.
const DECODED: usize = 1 << 20;

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "malformed-json",
    group: Group::Body,
    summary: "a request's body is declared as JSON, or begins like it, and cannot be parsed; or has a key twice",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody],
    known: Known::Before,
    source: "RFC 8259; the backslash and charset traps of JMeter (measured)",
    default_on: true,
    why: "no server can read such a body",
    silent: super::never,
    build: |_: &Options| Box::new(MalformedJson { with_body: Recent::new(ROUTES), keys: Keys::default() }),
};

/// Routes that are remembered.
const ROUTES: usize = 4096;

struct MalformedJson {
    /// Routes that were asked with a JSON body.
    with_body: Recent<u64, ()>,
    keys: Keys,
}

impl Rule for MalformedJson {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        if let What::Request(exchange, body) = observation.what
            && let Some((severity, what, place)) = self.judge(exchange, body)
        {
            let at = exchange.request_last_byte.unwrap_or(observation.at);
            let (method, path) = (words::method(exchange), words::path(exchange));
            raise(Flag {
                rule: INFO.id,
                severity,
                subject: Subject::Exchange(exchange.id),
                session: observation.session.map(|session| session.id),
                message: format!("{method} {path}: {what}"),
                evidence: vec![Evidence::bytes(Subject::Exchange(exchange.id), place, at)],
                at,
            });
        }
    }
}

/// Whether a text is one sound JSON document.
pub(super) fn is_sound(text: &[u8]) -> bool {
    scan::check(text).is_ok()
}

impl MalformedJson {
    /// What is wrong with a request's body, and where.
    fn judge(&mut self, exchange: &Exchange, body: Collected<'_>) -> Option<(Severity, String, ByteRange)> {
        let declared = declared_as_json(exchange);
        if declared == Some(true)
            && expects_body(exchange)
            && let Some(route) = self.keys.of(exchange)
        {
            if exchange.request_body.bytes > 0 {
                self.with_body.put(route, ());
            } else if exchange.request_body.complete && self.with_body.get(route).is_some() {
                // A body that was announced and cut off is another story.
                let what = "the body is empty, but declared as JSON, and others to this route have one".to_owned();
                return Some((Severity::Hint, what, exchange.request.range));
            }
        }
        content(exchange, body, declared)
    }
}

/// What is wrong with the text of a body, and where.
fn content(exchange: &Exchange, body: Collected<'_>, declared: Option<bool>) -> Option<(Severity, String, ByteRange)> {
    let size = exchange.request_body.bytes;
    if size == 0 {
        return None;
    }
    if declared == Some(false) || !exchange.request_body.complete {
        return None;
    }
    let range = exchange.request_body.range.unwrap_or(exchange.request.range);
    if is_encoded(exchange) {
        return coded(exchange, body, declared).map(|(severity, what)| (severity, what, range));
    }
    match body {
        Collected::Not => None,
        Collected::TooLarge(beginning) => (declared == Some(true) || looks_like_json(beginning)).then(|| {
            let what =
                format!("the JSON body of {size} bytes is too large to be judged ({} were read)", beginning.len());
            (Severity::Hint, what, range)
        }),
        Collected::Whole(text) => {
            if declared.is_none() && !looks_like_json(text) {
                return None;
            }
            let fault = scan::check(text).err()?;
            let found = words::found(text, fault.offset);
            let what = format!("the JSON body is malformed: {fault}{found}");
            Some((severity(fault.kind, text), what, place(exchange, range, fault.offset)))
        }
    }
}

/// The same of a body with a content coding, which may hold a thousand times as much as it is long. What is wrong has no
/// place among the client's bytes.
fn coded(exchange: &Exchange, body: Collected<'_>, declared: Option<bool>) -> Option<(Severity, String)> {
    let size = exchange.request_body.bytes;
    let too_large = |beginning: &[u8]| {
        (declared == Some(true) || looks_like_json(beginning)).then(|| {
            let what = format!(
                "the JSON body ({size} bytes, without its coding more than {}) is too large to be judged",
                beginning.len()
            );
            (Severity::Hint, what)
        })
    };
    let coding = exchange.request.header("content-encoding").unwrap_or_default();
    let text = match body {
        Collected::Not => return None,
        Collected::TooLarge(bytes) => return too_large(decode_content(coding, bytes, DECODED).bytes()),
        Collected::Whole(bytes) => match decode_content(coding, bytes, DECODED) {
            Decoded::Whole(text) => text,
            Decoded::Capped(beginning) => return too_large(&beginning),
            Decoded::Damaged(_) | Decoded::Unsupported(_) => return None,
        },
    };
    if declared.is_none() && !looks_like_json(&text) {
        return None;
    }
    let fault = scan::check(&text).err()?;
    let found = words::found(&text, fault.offset);
    Some((
        severity(fault.kind, &text),
        format!("the JSON body is malformed, once its coding is taken off: {fault}{found}"),
    ))
}

fn severity(kind: Kind, text: &[u8]) -> Severity {
    match kind {
        Kind::Merged if is_line_by_line(text) => Severity::Hint,
        Kind::DuplicateKey | Kind::Empty => Severity::Warning,
        Kind::TooDeep => Severity::Hint,
        _ => Severity::Error,
    }
}

/// Whether each line is a sound document, and there are several.
fn is_line_by_line(text: &[u8]) -> bool {
    let mut lines = text.trim_ascii().split(|b| *b == b'\n');
    lines.clone().nth(1).is_some() && lines.all(is_sound)
}

/// The fault's byte among the client's and what follows, where the body stands there as it is; else the whole body. What is
/// missing at its end is shown by its last byte.
fn place(exchange: &Exchange, range: ByteRange, offset: usize) -> ByteRange {
    if !matches!(exchange.request_body.framing, Framing::Length(_)) {
        return range;
    }
    let start = (range.start + offset as u64).min(range.end.saturating_sub(1)).max(range.start);
    ByteRange { from: range.from, start, end: range.end }
}

/// Whether the request says that its body is JSON; `None` where it says nothing.
fn declared_as_json(exchange: &Exchange) -> Option<bool> {
    let value = exchange.request.header("content-type").filter(|value| !value.is_empty())?;
    let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    // Spring's stream of documents is named as if it were one.
    let is_one = media.ends_with(b"+json") && media != b"application/stream+json";
    Some(media == b"application/json" || media == b"text/json" || is_one)
}

fn expects_body(exchange: &Exchange) -> bool {
    matches!(exchange.request.method(), b"POST" | b"PUT" | b"PATCH")
}

fn looks_like_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}
