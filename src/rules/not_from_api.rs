//! `not-from-api`: an answer was made by something that stands before the API.
//!
//! Source: the profile's marks of a true answer (headers, places in error bodies); and pages that intermediaries make,
//! as captured: nginx's `<hr><center>nginx`, HAProxy's "Your browser sent an invalid request.", `Server: awselb/2.0`,
//! CloudFront's own `Server`, and Node's bare `Connection: close` without a body. An answer that bears all marks is the
//! API's, whatever it looks like; `Server: nginx` alone says nothing, since answers that it passes on have it, too. Bytes
//! that are no HTTP at all, where an answer should begin, are not the API's either: another port's, a TLS alert, a banner.

use std::sync::Arc;

use crate::model::{
    anomaly::{Anomaly, AnomalyKind},
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Head,
    observation::{Collected, Heard, Observation, What},
    side::Side,
};

use crate::profile::Profile;

use super::{Group, Known, Needs, Options, Rule, RuleInfo, answer, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "not-from-api",
    group: Group::ServerSide,
    summary: "an answer lacks the marks of the API, is a page of a known intermediary, or is no HTTP at all",
    severity: Severity::Warning,
    needs: &[Needs::Response],
    known: Known::With,
    source: "the profile's marks; pages of nginx, HAProxy, ALB, CloudFront and Node as captured",
    default_on: true,
    why: "who answered is the first question about any refusal",
    silent: super::never,
    build: |options: &Options| Box::new(NotFromApi { profile: options.profile.clone() }),
};

struct NotFromApi {
    profile: Option<Arc<Profile>>,
}

impl Rule for NotFromApi {
    fn hears(&self) -> &[Heard] {
        &[Heard::Exchange, Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let (exchange, body) = match observation.what {
            What::Exchange(exchange, body) => (exchange, body),
            What::Anomaly(Some(exchange), anomaly)
                if anomaly.kind == AnomalyKind::NotHttp && anomaly.range.from == Side::Server =>
            {
                return raise(no_http(exchange, anomaly, observation));
            }
            _ => return,
        };
        let Some(head) = exchange.response.as_ref() else { return };
        let Some(status) = head.status().filter(|status| *status != 101) else { return };
        if exchange.proxy_made.is_some() {
            return;
        }
        let missing = self.missing(exchange, head, status, body);
        let made_by = match missing {
            Some(None) => return,
            _ if status < 400 => None,
            _ => maker(exchange, head, status, &answer::text(exchange, body)),
        };
        let by = made_by.map(|name| format!("{name} made it")).into_iter();
        let lacks = missing.flatten().map(|what| format!("it lacks {what}, which the API always sends")).into_iter();
        let why: Vec<String> = by.chain(lacks).collect();
        if why.is_empty() {
            return;
        }
        let subject = Subject::Exchange(exchange.id);
        raise(Flag {
            rule: INFO.id,
            severity: if status < 400 { Severity::Hint } else { Severity::Warning },
            subject,
            session: observation.session.map(|session| session.id),
            message: format!(
                "{} {}: the {status} is not from the API: {}",
                words::method(exchange),
                words::path(exchange),
                why.join("; ")
            ),
            evidence: vec![Evidence::bytes(subject, head.range, observation.at)],
            at: observation.at,
        });
    }
}

impl NotFromApi {
    /// The first of the API's marks that an answer lacks: `None` where no marks are known, `Some(None)` where it has
    /// them all.
    #[expect(clippy::option_option, reason = "unknown, none missing and missing are three answers")]
    fn missing(&self, exchange: &Exchange, head: &Head, status: u16, body: Collected<'_>) -> Option<Option<String>> {
        let profile = self.profile.as_deref().filter(|profile| !profile.origin.is_empty())?;
        if !profile.host_matches(&exchange.authority) {
            return None;
        }
        let marks = &profile.origin;
        if let Some(name) = marks.headers.iter().find(|name| head.header(name).is_none()) {
            return Some(Some(format!("the header {name}")));
        }
        let no_body = exchange.request.method() == b"HEAD" || status < 400 || matches!(body, Collected::TooLarge(_));
        if no_body || (marks.pointers.is_empty() && marks.error_pointers.is_empty()) {
            return Some(None);
        }
        let json = answer::json(exchange, body);
        let lacks = |pointer: &&crate::profile::Pointer| json.as_ref().is_none_or(|json| pointer.find(json).is_none());
        let lacking = marks.pointers.iter().chain(&marks.error_pointers).find(lacks);
        Some(lacking.map(|pointer| format!("{} in its JSON body", pointer.as_str())))
    }
}

/// Where an answer should begin, something else does.
fn no_http(exchange: &Exchange, anomaly: &Anomaly, observation: &Observation<'_>) -> Flag {
    let subject = Subject::Exchange(exchange.id);
    Flag {
        rule: INFO.id,
        severity: Severity::Error,
        subject,
        session: observation.session.map(|session| session.id),
        message: format!(
            "{} {}: what the server sent in the place of an answer is no HTTP; nothing more of the connection is read",
            words::method(exchange),
            words::path(exchange)
        ),
        evidence: vec![Evidence::bytes(subject, anomaly.range, anomaly.at)],
        at: observation.at,
    }
}

/// Who makes answers like that one.
fn maker(exchange: &Exchange, head: &Head, status: u16, body: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8]| memchr::memmem::find(body, text).is_some();
    let server = head.header("server").unwrap_or_default();
    if has(b"<hr><center>nginx") {
        Some("nginx")
    } else if body.starts_with(b"<html><body><h1>400 Bad request</h1>") && has(b"Your browser sent an invalid request.")
    {
        Some("HAProxy")
    } else if server.starts_with(b"awselb/") {
        Some("an AWS load balancer (awselb)")
    } else if server.eq_ignore_ascii_case(b"cloudfront") {
        Some("CloudFront")
    } else {
        let mut headers = head.headers();
        let only = headers.next().is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close")
        });
        let bare = only && headers.next().is_none() && exchange.response_body.bytes == 0;
        (bare && matches!(status, 400 | 408 | 413 | 431)).then_some("Node's own HTTP parser, or one like it,")
    }
}
