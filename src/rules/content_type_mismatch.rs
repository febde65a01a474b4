//! `content-type-mismatch`: a request's body is not what its `Content-Type` says.
//!
//! Source: RFC 9110, 8.3. Measured: JMeter sends a raw body as `text/plain` where the plan sets no `Content-Type` (5.5;
//! with `charset=UTF-8` since 5.6.1); curl's `-d` says `application/x-www-form-urlencoded` whatever the data. Many APIs
//! answer 415, some 400. A profile's route that lists its media types is believed before any look at the body. A browser's
//! `sendBeacon` can say nothing but `text/plain` without asking first (`Sec-Fetch-Mode: no-cors`): that is a hint.
//!
//! Told without doubt alone: JSON (it begins with `{"`, or is a whole document) under a type that is none; a form or XML
//! declared as JSON. What would be evidence: the same request with the right type passes.

use std::sync::Arc;

use crate::{
    model::{
        exchange::Exchange,
        flag::{Flag, Severity},
        observation::{Collected, Heard, Observation, What},
    },
    profile::Profile,
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    body::{self, Media},
    fault::{self, Fault},
    malformed_json, words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "content-type-mismatch",
    group: Group::Body,
    summary: "a request's body is not what its Content-Type says, or its type is none that the profile's route takes",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody],
    known: Known::Before,
    source: "RFC 9110, 8.3; JMeter's default is text/plain (measured)",
    default_on: true,
    why: "a classic cause of 415 and 400, and told without doubt",
    silent: super::never,
    build: |options| Box::new(ContentTypeMismatch { profile: options.profile.clone() }),
};

struct ContentTypeMismatch {
    profile: Option<Arc<Profile>>,
}

impl Rule for ContentTypeMismatch {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Request(exchange, body) = observation.what else { return };
        if exchange.request_body.bytes > 0
            && let Some(fault) = self.judge(exchange, body)
        {
            raise(fault.flag(&INFO, observation, exchange));
        }
    }
}

impl ContentTypeMismatch {
    fn judge(&self, exchange: &Exchange, body: Collected<'_>) -> Option<Fault> {
        let field = exchange.request.lines("content-type").next()?;
        let value = field.value.of(&exchange.request.raw);
        if value.is_empty() {
            return None;
        }
        let media = || words::name(body::media_type(value));
        let place = fault::part(&exchange.request, field.line);
        let expected = words::route(self.profile.as_deref(), exchange).filter(|route| !route.content_types.is_empty());
        if let Some(route) = expected {
            let allowed = || route.content_types.join(", ");
            let wrong = !route.takes_content_type(value);
            return wrong.then(|| {
                let media = media();
                let what = format!("the body is declared as {media}, where {} takes {}", route.path, allowed());
                Fault { severity: words::severity(route), what, place }
            });
        }
        let text = match body {
            Collected::Whole(text) | Collected::TooLarge(text) => body::trimmed(text),
            Collected::Not => return None,
        };
        if body::is_encoded(exchange) {
            return None;
        }
        let fault = |severity, what| Some(Fault { severity, what, place });
        match body::declared(exchange) {
            Media::Json if is_form(text) => {
                fault(Severity::Error, format!("the body is declared as {}, but is a form (name=value&…)", media()))
            }
            Media::Json if is_xml(text) => {
                fault(Severity::Error, format!("the body is declared as {}, but begins like XML", media()))
            }
            Media::Form | Media::Xml | Media::Text if is_json(text, body) => {
                let media = media();
                let jmeter =
                    if media.eq_ignore_ascii_case("text/plain") { " (what JMeter says by default)" } else { "" };
                let beacon = exchange.request.header("sec-fetch-mode") == Some(b"no-cors");
                let severity = if beacon { Severity::Hint } else { Severity::Warning };
                fault(severity, format!("the body is JSON, but is declared as {media}{jmeter}"))
            }
            _ => None,
        }
    }
}

/// `name=value`, further pairs after `&`, and nothing but what RFC 3986 and forms allow.
fn is_form(text: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]".contains(b);
    let starts = text.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    let named = |pair: &[u8]| pair.iter().position(|b| *b == b'=').is_some_and(|at| at > 0);
    starts && text.iter().all(allowed) && text.split(|b| *b == b'&').all(named)
}

fn is_xml(text: &[u8]) -> bool {
    matches!(text, [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z', ..]) && text.ends_with(b">")
}

/// Whether it can be nothing but JSON: an object with its first key, or a whole document.
fn is_json(text: &[u8], body: Collected<'_>) -> bool {
    let object =
        text.first() == Some(&b'{') && text.get(1..).unwrap_or_default().trim_ascii_start().first() == Some(&b'"');
    let list = text.first() == Some(&b'[');
    object || (list && body.whole().is_some() && malformed_json::is_sound(text))
}
