//! `abnormal-close`: a socket was closed with a code that says that something was wrong.
//!
//! Source: RFC 6455, 7.4.1: 1000 (done), 1001 (going away) and 1005 (no code) are how sockets end; everything else names
//! trouble, or is the application's own (3000 to 4999), whose meaning a profile may know: where none does, a client's is a
//! hint, since it closed as it was told to. A connection that ends without a Close frame
//! is how JMeter's threads end (measured) and is not flagged unless `without_close` is set.

use std::sync::Arc;

use crate::model::{
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Heard, Observation, What},
    side::Side,
    trace::Closer,
    websocket::opcode,
};

use crate::profile::Profile;

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "abnormal-close",
    group: Group::ServerSide,
    summary: "a socket was closed with a code other than 1000, 1001 or none",
    severity: Severity::Warning,
    needs: &[Needs::Frames],
    known: Known::After,
    source: "RFC 6455, 7.4.1",
    default_on: true,
    why: "a code other than these was sent on purpose",
    silent: super::never,
    build: |options: &Options| {
        Box::new(AbnormalClose { profile: options.profile.clone(), settings: options.abnormal_close.clone() })
    },
};

/// `[rules.abnormal-close]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether a socket whose connection ended without a Close frame is flagged.
    pub without_close: bool,
}

struct AbnormalClose {
    profile: Option<Arc<Profile>>,
    settings: Settings,
}

impl Rule for AbnormalClose {
    fn hears(&self) -> &[Heard] {
        &[Heard::Frame, Heard::Exchange]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let session = observation.session.map(|session| session.id);
        match observation.what {
            What::Frame(exchange, frame, _) if frame.opcode == opcode::CLOSE => {
                let Some(socket) = &exchange.websocket else { return };
                // The other side's Close answers the first.
                let is_first = socket.closed_by == Some(Closer::from(frame.from));
                let Some(code) = socket.close_code.filter(|code| is_first && !matches!(code, 1000 | 1001 | 1005))
                else {
                    return;
                };
                let known = self.profile.as_ref().and_then(|profile| profile.close_code(code));
                let meaning = match known {
                    Some(known) => format!(": {}", known.meaning),
                    None => registered(code).map(|meaning| format!(": {meaning}")).unwrap_or_default(),
                };
                let own = known.is_none() && frame.from == Side::Client && (3000..5000).contains(&code);
                raise(Flag {
                    rule: INFO.id,
                    severity: if own { Severity::Hint } else { INFO.severity },
                    subject: Subject::Exchange(exchange.id),
                    session,
                    message: format!(
                        "the {} closed the socket {} with {code}{meaning}",
                        frame.from.as_str(),
                        words::path(exchange)
                    ),
                    evidence: vec![Evidence::bytes(Subject::Frame(frame.id), frame.range, frame.arrived)],
                    at: observation.at,
                });
            }
            What::Exchange(exchange, _) if self.settings.without_close => {
                let Some(socket) = &exchange.websocket else { return };
                let (None, Some(ended)) = (socket.close_code, socket.ended) else { return };
                raise(Flag {
                    rule: INFO.id,
                    severity: Severity::Hint,
                    subject: Subject::Exchange(exchange.id),
                    session,
                    message: format!(
                        "the connection under the socket {} ended without a Close frame",
                        words::path(exchange)
                    ),
                    evidence: vec![Evidence::instant(Subject::Exchange(exchange.id), ended)],
                    at: observation.at,
                });
            }
            _ => {}
        }
    }
}

/// RFC 6455, 7.4.1, and IANA's registry of close codes.
fn registered(code: u16) -> Option<&'static str> {
    Some(match code {
        1002 => "protocol error",
        1003 => "data that it cannot accept",
        1007 => "data that is not what it says, such as text that is not UTF-8",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "the server lacks an extension",
        1011 => "the server met an unexpected condition",
        1012 => "the service restarts",
        1013 => "try again later",
        1014 => "bad gateway",
        _ => return None,
    })
}
