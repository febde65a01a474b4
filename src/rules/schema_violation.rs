//! `schema-violation`: a request's JSON body is not as the profile's schema for its route says.
//!
//! Source: the profile (JSON Schema, draft 2020-12). Each violation is told with its place in the body and the schema's
//! keyword, never with the body's values. A body that is no JSON is `malformed-json`'s. What would be evidence: bodies
//! of one route that violate the schema are refused, those that do not are not.

use std::sync::Arc;

use crate::{
    model::{
        exchange::Exchange,
        flag::{Flag, Severity},
        observation::{Heard, Observation, What},
    },
    profile::{Profile, Violation},
};

use super::{
    Group, Known, Needs, Rule, RuleInfo, body,
    fault::{self, Fault},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "schema-violation",
    group: Group::Body,
    summary: "a request's JSON body is not as the profile's schema for its route says",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody],
    known: Known::Before,
    source: "the profile's JSON Schemas (draft 2020-12)",
    default_on: true,
    why: "it says nothing unless the profile has a schema",
    silent: |options| {
        let known = options.profile.as_ref().is_some_and(|profile| profile.routes.iter().any(|r| r.schema.is_some()));
        (!known).then_some("the profile has no schema")
    },
    build: |options| Box::new(SchemaViolation { profile: options.profile.clone() }),
};

/// Violations of one body that are told.
const TOLD: usize = 4;

struct SchemaViolation {
    profile: Option<Arc<Profile>>,
}

impl Rule for SchemaViolation {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::Request(exchange, body) = observation.what else { return };
        if let Some(text) = body.whole()
            && !text.is_empty()
            && let Some(fault) = self.judge(exchange, text)
        {
            raise(fault.flag(&INFO, observation, exchange));
        }
    }
}

impl SchemaViolation {
    fn judge(&self, exchange: &Exchange, text: &[u8]) -> Option<Fault> {
        let route = words::route(self.profile.as_deref(), exchange)?;
        let schema = route.schema.as_ref()?;
        if body::is_encoded(exchange) || !exchange.request_body.complete {
            return None;
        }
        let document = serde_json::from_slice(body::trimmed(text)).ok()?;
        if schema.accepts(&document) {
            return None;
        }
        let violations = schema.violations(&document, TOLD + 1);
        let mut what: Vec<String> = violations.iter().take(TOLD).map(describe).collect();
        if violations.len() > TOLD {
            what.push("and more".to_owned());
        }
        let severity = words::severity(route);
        let doubt = if severity == Severity::Hint { " (the schema is as people report it)" } else { "" };
        let what = format!("the body is not what {} takes: {}{doubt}", route.path, what.join("; "));
        Some(Fault { severity, what, place: fault::body(exchange, 0..text.len()) })
    }
}

fn describe(violation: &Violation) -> String {
    let place = if violation.instance_path.is_empty() { "the document" } else { &violation.instance_path };
    let message = words::printable(violation.message.as_bytes(), 160);
    format!("{}: {} ({message})", words::printable(place.as_bytes(), 120), violation.keyword)
}
