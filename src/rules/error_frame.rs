//! `error-frame`: a message of the server's says that something failed.
//!
//! Source: the profile's matchers: APIs refuse inside their sockets, too (`{"result":"400","status":"failure"}`), where
//! no status shows it. Without a profile nothing is said: what an error looks like is each API's own.

use std::sync::Arc;

use serde_json::Value;

use crate::model::{
    Side,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    websocket::opcode,
};

use crate::profile::{Pointer, Profile};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "error-frame",
    group: Group::ServerSide,
    summary: "a message of the server's says that something failed",
    severity: Severity::Warning,
    needs: &[Needs::Frames],
    known: Known::With,
    source: "the profile's error frames",
    default_on: true,
    why: "it speaks only where a profile knows what an error looks like",
    silent: |options| {
        let known = options.profile.as_ref().is_some_and(|profile| !profile.error_frames.is_empty());
        (!known).then_some("the profile names no error frames")
    },
    build: |options: &Options| {
        let profile = options.profile.clone().filter(|profile| !profile.error_frames.is_empty());
        Box::new(ErrorFrame { profile })
    },
};

struct ErrorFrame {
    profile: Option<Arc<Profile>>,
}

impl Rule for ErrorFrame {
    fn hears(&self) -> &[Heard] {
        &[Heard::Message]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let (Some(profile), What::Message(exchange, frame, opcode::TEXT, payload)) = (&self.profile, observation.what)
        else {
            return;
        };
        if frame.from != Side::Server {
            return;
        }
        let Some(text) = payload.whole().and_then(|text| std::str::from_utf8(text).ok()) else { return };
        let Some(error) = profile.error_frames.iter().find(|error| error.when.matches(text)) else { return };
        let json: Option<Value> = serde_json::from_str(text).ok();
        let part = |pointer: &Option<Pointer>| {
            let value = pointer.as_ref()?.find(json.as_ref()?)?;
            Some(match value {
                Value::String(text) => words::printable(text.as_bytes(), 120).into_owned(),
                other => words::printable(other.to_string().as_bytes(), 120).into_owned(),
            })
        };
        let code = part(&error.code).map(|code| format!(" {code}")).unwrap_or_default();
        let message = part(&error.message).map(|message| format!(": \"{message}\"")).unwrap_or_default();
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject: Subject::Frame(frame.id),
            session: observation.session.map(|session| session.id),
            message: format!("the server says {}{code} on the socket {}{message}", error.id, exchange.id),
            evidence: vec![Evidence::bytes(Subject::Frame(frame.id), frame.range, frame.arrived)],
            at: observation.at,
        });
    }
}
