//! `frame-overtaken`: a frame waited some 40 ms behind the frame before it, and a request overtook it.
//!
//! Source: measured: JMeter's WebSocket Samplers leave Nagle's algorithm on. Of two writes in a row the second waits for
//! the acknowledgement of the first, which our kernel delays by 40 ms, while the thread goes on and its HTTP request,
//! sent without Nagle, arrives at once: in 20 of 20 iterations the server got the POST before the frame that JMeter had
//! logged as sent before it.
//!
//! What is seen: two frames of the client on one socket, the second within the window after the first; no frame from the
//! server between them, since that would have carried the acknowledgement; a request of the same session between them.
//! What speaks against it, so that nothing is said: the second frame came right after that request's answer (the client
//! went on), or the first one came as long after the one before it (a stream with that beat).
//!
//! Limits: the kernel's delay is Linux's; a client that pauses just as long on purpose looks the same. Hence a hint. And
//! the delay is partly ours: without a proxy it is the server's kernel that delays.

use std::{collections::VecDeque, time::Duration};

use crate::model::{
    ExchangeId, FrameId, SessionId, Side, Timestamp,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    hash::QuickMap,
    observation::{Heard, Observation, What},
    trace::ByteRange,
    websocket::Frame,
};

use super::{Group, Known, Needs, Options, Rule, RuleInfo, words};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "frame-overtaken",
    group: Group::Ordering,
    summary: "a frame seems to have waited for an acknowledgement while a request overtook it",
    severity: Severity::Hint,
    needs: &[Needs::RequestHead, Needs::Session, Needs::Frames],
    known: Known::Before,
    source: "RFC 896; measured with JMeter: 20 of 20 iterations",
    default_on: true,
    why: "it explains frames that the log says were sent before",
    silent: super::never,
    build: |options: &Options| {
        Box::new(FrameOvertaken { settings: options.frame_overtaken.clone(), sessions: QuickMap::default() })
    },
};

/// Requests since the last frame that are remembered.
const REQUESTS: usize = 4;
/// A frame that comes that soon after an answer is what the client did next.
const REACTION: Duration = Duration::from_millis(10);

/// `[rules.frame-overtaken]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The shortest delay of an acknowledgement.
    pub least_delay: Duration,
    /// The longest.
    pub most_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { least_delay: Duration::from_millis(36), most_delay: Duration::from_millis(48) }
    }
}

struct FrameOvertaken {
    settings: Settings,
    sessions: QuickMap<SessionId, Watch>,
}

/// What is remembered of a session whose client sent a frame.
struct Watch {
    socket: ExchangeId,
    last: Last,
    requests: VecDeque<Request>,
}

#[derive(Clone, Copy)]
struct Last {
    frame: FrameId,
    range: ByteRange,
    at: Timestamp,
    /// How long after the frame before it.
    after: Option<Duration>,
    /// Whether the server sent something since.
    answered: bool,
}

#[derive(Clone, Copy)]
struct Request {
    exchange: ExchangeId,
    first_byte: Timestamp,
    answered: Option<Timestamp>,
}

impl Rule for FrameOvertaken {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Frame, Heard::Exchange, Heard::SessionEnded]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let Some(session) = observation.session else { return };
        match observation.what {
            What::Frame(exchange, frame, _) if frame.opcode < 8 => {
                self.frame(session.id, exchange, frame, observation, raise);
            }
            What::Request(exchange, _) if !exchange.asked_for_websocket() => {
                let Some(watch) = self.sessions.get_mut(&session.id) else { return };
                if watch.requests.len() == REQUESTS {
                    watch.requests.pop_front();
                }
                let first_byte = exchange.request_first_byte;
                watch.requests.push_back(Request { exchange: exchange.id, first_byte, answered: None });
            }
            What::Exchange(exchange, _) => {
                let Some(watch) = self.sessions.get_mut(&session.id) else { return };
                let request = watch.requests.iter_mut().find(|request| request.exchange == exchange.id);
                if let Some(request) = request {
                    request.answered = exchange.response_last_byte;
                }
            }
            What::SessionEnded(_) => {
                self.sessions.remove(&session.id);
            }
            _ => {}
        }
    }
}

impl FrameOvertaken {
    fn frame(
        &mut self,
        session: SessionId,
        exchange: &Exchange,
        frame: &Frame,
        observation: &Observation<'_>,
        raise: &mut dyn FnMut(Flag),
    ) {
        let watch = self.sessions.get_mut(&session).filter(|watch| watch.socket == exchange.id);
        if frame.from == Side::Server {
            if let Some(watch) = watch
                && frame.arrived >= watch.last.at
            {
                watch.last.answered = true;
            }
            return;
        }
        let last = Last { frame: frame.id, range: frame.range, at: frame.arrived, after: None, answered: false };
        let Some(watch) = watch else {
            self.sessions.insert(session, Watch { socket: exchange.id, last, requests: VecDeque::new() });
            return;
        };
        let before = std::mem::replace(&mut watch.last, last);
        let gap = frame.first_byte.since(before.at);
        watch.last.after = Some(gap);
        let Settings { least_delay, most_delay } = self.settings;
        let within = |gap: Duration| (least_delay..=most_delay).contains(&gap);
        if before.answered || !within(gap) || before.after.is_some_and(within) {
            return;
        }
        let between = |request: &&Request| {
            let reaction =
                |answered: Timestamp| answered <= frame.first_byte && answered.after(REACTION) > frame.first_byte;
            before.at <= request.first_byte
                && request.first_byte < frame.first_byte
                && !request.answered.is_some_and(reaction)
        };
        let Some(request) = watch.requests.iter().find(between) else { return };
        let subject = Subject::Frame(frame.id);
        raise(Flag {
            rule: INFO.id,
            severity: INFO.severity,
            subject,
            session: Some(session),
            message: format!(
                "the frame {} on the socket {} came {} after {}, as if it had waited for its acknowledgement, and {} after the request {}, which seems to have overtaken it",
                frame.id,
                exchange.id,
                words::duration(gap),
                before.frame,
                words::duration(frame.first_byte.since(request.first_byte)),
                request.exchange
            ),
            evidence: vec![
                Evidence::bytes(Subject::Frame(before.frame), before.range, before.at),
                Evidence::instant(Subject::Exchange(request.exchange), request.first_byte),
                Evidence::bytes(subject, frame.range, frame.first_byte),
            ],
            at: observation.at,
        });
    }
}
