//! `unresolved-variable`: a template's variable was sent instead of its value.
//!
//! Source: measured with JMeter. An undefined `${name}` goes out literally in bodies, headers and WebSocket paths, as
//! `%24%7Bname%7D` in parameter tables; in an HTTP sampler's path it never reaches the wire. A CSV Data Set at its end
//! gives `<EOF>`, an extractor without match its default, often `NOT_FOUND`. Scripts give `undefined`, `null`, `NaN` and
//! `[object Object]`; Postman leaves `{{name}}`. What would be evidence: requests with it are refused, others are not.
//!
//! What could be meant is not flagged: `{{x}}` within a longer string, JSON's `null`, `undefined` but as a whole segment
//! or value. What is a whole value, or stands in the target or a header, is an error; within a longer text of a body it
//! may be a template that is meant to be one: a warning.

mod scan;

use std::sync::Arc;

use memchr::memchr3;

use crate::{
    model::{
        connection::Connection,
        exchange::Exchange,
        flag::{Evidence, Flag, Severity, Subject},
        observation::{Heard, Observation, What},
        side::Side,
        trace::ByteRange,
        websocket::{Frame, opcode},
    },
    profile::Profile,
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    body::{self, Media},
    fault::{self, Fault},
    words,
};

use scan::{Kind, Language, Leak};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "unresolved-variable",
    group: Group::TemplateLeaks,
    summary: "a template's variable was sent instead of its value: ${x}, {{x}}, <EOF>, NOT_FOUND, undefined, …",
    severity: Severity::Error,
    needs: &[Needs::RequestHead, Needs::RequestBody, Needs::Frames],
    known: Known::Before,
    source: "what JMeter sends for undefined variables, files at their end, extractors without match (measured)",
    default_on: true,
    why: "a frequent mistake of test plans, and what can be meant is left alone",
    silent: super::never,
    build: |options| Box::new(UnresolvedVariable { profile: options.profile.clone() }),
};

/// Places of one head that are told.
const TOLD: usize = 4;

struct UnresolvedVariable {
    profile: Option<Arc<Profile>>,
}

impl Rule for UnresolvedVariable {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::RequestHead, Heard::Request, Heard::Message]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::RequestHead(exchange) => self.head(exchange, observation, raise),
            What::Request(exchange, body) => {
                if let Some(text) = body.whole()
                    && !text.is_empty()
                    && !body::is_encoded(exchange)
                    && let Some(language) = language(exchange, text)
                    && let Some(leak) = scan::body(text, language, self.named())
                {
                    let what = format!("{}; it stands in the body at byte {}", leak.words(text), leak.at.start);
                    let place = fault::body(exchange, leak.at.clone());
                    raise(Fault { severity: in_body(&leak), what, place }.flag(&INFO, observation, exchange));
                }
            }
            What::Message(exchange, frame, opcode::TEXT, payload) if frame.from == Side::Client => {
                if let Some(text) = payload.whole() {
                    self.message(exchange, frame, text, observation, raise);
                }
            }
            What::ConnectionClosed(connection) => authority(connection, observation, raise),
            _ => {}
        }
    }

    fn judges_heads_alone(&self) -> bool {
        true
    }
}

impl UnresolvedVariable {
    fn named(&self) -> &[String] {
        self.profile.as_ref().map_or(&[], |profile| &profile.unresolved)
    }

    fn head(&self, exchange: &Exchange, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let head = &exchange.request;
        let mut found: Vec<(Severity, String, ByteRange)> = Vec::new();
        if let Some(leak) = scan::target(head.target(), self.named()) {
            let what = format!("{}; it stands in the target", leak.words(head.target()));
            found.push((leak.severity(), what, fault::target(exchange, leak.at)));
        }
        // Most heads hold none of these, and a value of that length is rare.
        let odd = memchr3(b'$', b'{', b'<', &head.raw).is_some() || memchr::memchr(b'[', &head.raw).is_some();
        for field in &head.fields {
            let value = field.value.of(&head.raw);
            if !(odd || value.len() == 9 || !self.named().is_empty()) || found.len() == TOLD {
                continue;
            }
            if let Some(leak) = scan::header(value, self.named()) {
                let name = words::name(field.name.of(&head.raw));
                let what = format!("{}; it stands in the header {name}", leak.words(value));
                let at = |n: usize| field.value.start.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
                let span = crate::model::http::Span { start: at(leak.at.start), end: at(leak.at.end) };
                found.push((leak.severity(), what, fault::part(head, span)));
            }
        }
        let mut found = found.into_iter();
        let Some((severity, mut what, place)) = found.next() else { return };
        let mut worst = severity;
        let mut further = Vec::new();
        for (severity, more, place) in found {
            worst = worst.max(severity);
            what = format!("{what}; {more}");
            further.push(Evidence::bytes(Subject::Exchange(exchange.id), place, observation.at));
        }
        let mut flag = Fault { severity: worst, what, place }.flag(&INFO, observation, exchange);
        flag.evidence.extend(further);
        raise(flag);
    }

    fn message(
        &self,
        exchange: &Exchange,
        frame: &Frame,
        text: &[u8],
        observation: &Observation<'_>,
        raise: &mut dyn FnMut(Flag),
    ) {
        let language = match body::trimmed(text).first() {
            Some(b'{' | b'[') => Language::Json,
            Some(b'<') => Language::Xml,
            _ => Language::Text,
        };
        let Some(leak) = scan::body(text, language, self.named()) else { return };
        let subject = Subject::Frame(frame.id);
        let (id, path) = (exchange.id, words::path(exchange));
        raise(Flag {
            rule: INFO.id,
            severity: in_body(&leak),
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "a message of the client's on {id} ({path}): {}; it stands at byte {}",
                leak.words(text),
                leak.at.start
            ),
            evidence: vec![Evidence::bytes(subject, frame.range, observation.at)],
            at: observation.at,
        });
    }
}

/// `CONNECT ${host}:443`, of which there may never be a request.
fn authority(connection: &Connection, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
    let Some(connect) = &connection.connect else { return };
    let text = connect.authority.as_bytes();
    let Some(leak) = scan::header(text, &[]).or_else(|| scan::target(text, &[])) else { return };
    let subject = Subject::Connection(connection.id);
    raise(Flag {
        rule: INFO.id,
        severity: leak.severity(),
        subject,
        session: None,
        message: format!("CONNECT: {}; it stands in the name of the server", leak.words(text)),
        evidence: vec![Evidence::instant(subject, connect.begin)],
        at: observation.at,
    });
}

/// Within a longer text it may be a template that is meant to be one, and an API may have such a word.
fn in_body(leak: &Leak) -> Severity {
    match leak.kind {
        Kind::NotFound | Kind::Named => Severity::Hint,
        _ if leak.whole => leak.severity(),
        _ => leak.severity().min(Severity::Warning),
    }
}

fn language(exchange: &Exchange, text: &[u8]) -> Option<Language> {
    match body::declared(exchange) {
        Media::Json => Some(Language::Json),
        Media::Form => Some(Language::Form),
        Media::Xml => Some(Language::Xml),
        Media::Text | Media::Unknown if body::begins_like_json(text) => Some(Language::Json),
        Media::Text | Media::Unknown => Some(Language::Text),
        Media::Other => None,
    }
}
