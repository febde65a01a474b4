//! Messages on sockets as units, where the profile knows how the server refuses them.
//!
//! Tables hold no text, so that an answer is found by its place, see [`Dialogue`]; which of the server's messages say that
//! something failed, `error-frame` tells.

use std::collections::{HashMap, HashSet};

use crate::model::{
    Side,
    columns::{AnsweredBy, NONE, Outcome, UNKNOWN},
    websocket::opcode,
};

use super::builder::{Builder, Hit, Opening, frame_of};
use crate::query::dialogue::{Dialogue, Says};

/// A frame as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed {
    pub(super) id: u64,
    pub(super) exchange: u64,
    pub(super) from: Side,
    pub(super) opcode: u8,
    pub(super) fin: bool,
    pub(super) bytes: u64,
    pub(super) arrived_ns: i64,
    /// Whether it ends metadata.
    pub(super) metadata: bool,
}

/// A flag on a frame, until the frames are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHit {
    pub(super) rule: u32,
    pub(super) frame: u64,
}

/// Of the capture that is being read.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Whether messages are asked for: not where refusals are said to be something else.
    pub(super) count: bool,
    pub(super) frames: Vec<Framed>,
    pub(super) hits: Vec<FrameHit>,
    /// The server's frames that say that something failed.
    pub(super) errors: HashSet<u64>,
    /// Sockets that the server closed with an error that the profile knows, by exchange.
    pub(super) closed_for: HashSet<u64>,
    /// The granted upgrades' places among the openings, by exchange.
    pub(super) sockets: HashMap<u64, usize>,
}

/// A socket at work.
#[derive(Debug, Default)]
struct Socket {
    dialogue: Dialogue,
    ordinal: u32,
    /// When the message that is under way began, and its bytes so far.
    begun: Option<(i64, u64)>,
}

/// Makes units of them, and puts the flags on frames on units.
pub(super) fn finish(builder: &mut Builder<'_>) {
    let mut messages = std::mem::take(&mut builder.messages);
    messages.frames.sort_unstable_by_key(|frame| (frame.arrived_ns, frame.id));
    // All are one route: how late a ping came says nothing of metadata, where it is known what is metadata.
    let knows_metadata = messages.frames.iter().any(|frame| frame.metadata);
    let mut sockets: HashMap<u64, Socket> = HashMap::new();
    let mut unit_of: HashMap<u64, u32> = HashMap::new();
    let mut refused_by: HashMap<u64, u32> = HashMap::new();
    for frame in &messages.frames {
        let Some(opening) = messages.sockets.get(&frame.exchange).and_then(|at| builder.openings.get(*at)).copied()
        else {
            continue;
        };
        let socket = sockets.entry(frame.exchange).or_default();
        match (frame.from, frame.opcode) {
            (Side::Client, opcode::TEXT | opcode::BINARY | opcode::CONTINUATION) => {
                let (begun, bytes) = socket.begun.take().unwrap_or((frame.arrived_ns, 0));
                let bytes = bytes + frame.bytes;
                if !frame.fin {
                    socket.begun = Some((begun, bytes));
                    continue;
                }
                socket.ordinal += 1;
                let is_timed = frame.metadata || !knows_metadata;
                let unit = builder.message(frame, opening, (begun, is_timed), bytes, socket.ordinal);
                unit_of.insert(frame.id, unit);
                socket.dialogue.said(unit);
            }
            (Side::Server, code) => {
                let error = messages.errors.contains(&frame.id);
                let whole = frame.fin && matches!(code, opcode::TEXT | opcode::BINARY | opcode::CONTINUATION);
                let says = match code {
                    opcode::CLOSE if messages.closed_for.contains(&frame.exchange) => Says::Close,
                    _ if whole => Says::Message { error },
                    _ if error => Says::Error,
                    _ => Says::Something,
                };
                let taken = |unit| builder.answer(unit, opening.counted, UNKNOWN, Outcome::Accepted);
                let Some((unit, refused)) = socket.dialogue.heard(says, taken) else { continue };
                let outcome = if refused { Outcome::Refused } else { Outcome::Accepted };
                builder.answer(unit, opening.counted, frame.arrived_ns, outcome);
                if error {
                    refused_by.insert(frame.id, unit);
                }
            }
            _ => {}
        }
    }
    for hit in messages.hits {
        let units = if messages.errors.contains(&hit.frame) { &refused_by } else { &unit_of };
        if let Some(unit) = units.get(&hit.frame) {
            builder.hits.push(Hit { rule: hit.rule, unit: *unit });
        }
    }
}

impl Builder<'_> {
    /// Whether messages are units.
    pub(super) fn counts_messages(&self) -> bool {
        self.messages.count && self.profile.is_some_and(|profile| !profile.error_frames.is_empty())
    }

    /// A frame, in no order.
    pub(super) fn frame(&mut self, frame: Framed) {
        if self.counts_messages() {
            self.messages.frames.push(frame);
        }
    }

    /// A message that `frame` ends. Its time since OPEN counts where it `is_timed`.
    fn message(
        &mut self,
        frame: &Framed,
        opening: Opening,
        (begun, is_timed): (i64, bool),
        bytes: u64,
        ordinal: u32,
    ) -> u32 {
        let upgrade = opening.unit as usize;
        let of = |cells: &[u32]| cells.get(upgrade).copied().unwrap_or(NONE);
        let offered = self.at(begun);
        let label = self.routes.get(of(&self.columns.units.route)).unwrap_or_default();
        let label = format!("message {}", label.split_once(' ').map_or(label, |(_, path)| path));
        let route = self.routes.number(&label);
        self.until(offered);
        let units = &mut self.columns.units;
        let unit = units.len() as u32;
        units.subject.push(frame_of(self.capture, frame.id));
        units.offered_ns.push(offered);
        units.answered_ns.push(UNKNOWN);
        units.ended_ns.push(UNKNOWN);
        units.status.push(0);
        units.outcome.push(Outcome::Uncounted);
        units.answered_by.push(AnsweredBy::Unknown);
        units.route.push(route);
        units.connection.push(opening.connection);
        let (token, session) = (of(&units.token), of(&units.session));
        units.token.push(token);
        units.session.push(session);
        units.head_bytes.push(0);
        units.body_bytes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
        let begun = opening.open_write_begun_ns;
        units.since_open_ns.push(if begun == UNKNOWN || !is_timed { UNKNOWN } else { offered - begun });
        let first = units.connection_ordinal.get(upgrade).copied().unwrap_or_default();
        units.connection_ordinal.push(first.saturating_add(ordinal));
        units.connection_idle_ns.push(UNKNOWN);
        unit
    }

    /// An answer to a message; what was refused stays so.
    fn answer(&mut self, unit: u32, counted: bool, arrived: i64, outcome: Outcome) {
        let at = self.at(arrived);
        let unit = unit as usize;
        // Where the profile knows the API's marks, it knows whose words these are.
        let knows_api = self.profile.is_some_and(|profile| !profile.origin.headers.is_empty());
        let units = &mut self.columns.units;
        let Some(slot) = units.outcome.get_mut(unit).filter(|before| **before != Outcome::Refused) else { return };
        if counted {
            *slot = outcome;
        }
        if at == UNKNOWN {
            return;
        }
        if let Some(by) = units.answered_by.get_mut(unit).filter(|_| knows_api) {
            *by = AnsweredBy::Api;
        }
        if let Some(ended) = units.ended_ns.get_mut(unit) {
            *ended = at;
        }
        if let Some(answered) = units.answered_ns.get_mut(unit) {
            *answered = at;
        }
        self.until(at);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::{
        model::{columns::Columns, flag::Subject},
        profile::Profile,
        query::columns::{
            builder::{Connected, Seen},
            finish,
            heads::Heads,
        },
    };

    const PROFILE: &str = r#"
name = "p"
summary = "s"
[[sockets]]
id = "channel"
path = "/channels/{channelId}"
[[error_frames]]
id = "failed"
when = [{ pointer = "/type", equals = "error" }]
[[close_codes]]
code = 4400
meaning = "bad"
"#;

    /// One socket, x1 on c1, whose OPEN was at 100, closed by the server with that code. Frames: the sender, the opcode,
    /// the instant; they have the ids 1, 2, …, and the second is metadata. `flags` are rules, subjects and the exchanges
    /// of their evidence.
    fn columns(close_code: Option<u16>, frames: &[(Side, u8, i64)], flags: &[(&str, &str, u64)]) -> Columns {
        let profile = Profile::parse("p.toml", PROFILE).unwrap();
        let mut builder = Builder::new(Some(&profile));
        builder.next_capture(0, 0);
        builder.messages.count = true;
        builder.connection(&Connected {
            id: 1,
            client: "127.0.0.1:5",
            opened_ns: 10,
            closed_ns: 9000,
            by_proxy: false,
            server_rtt_ns: 4,
            gaps: 0,
            undecoded: false,
        });
        builder.exchange(&Seen {
            id: 1,
            connection: 1,
            index: 1,
            method: "GET",
            target: "/channels/abc",
            path: "/channels/abc",
            websocket: true,
            head_bytes: 80,
            taken_out: 0,
            body_bytes: 0,
            status: Some(101),
            first_ns: 50,
            answered_ns: 90,
            ended_ns: UNKNOWN,
            proxy_made: false,
            opened: Some((95, 100)),
            closed_by_server: close_code.is_some(),
            close_code,
        });
        for (rule, subject, evidence) in flags {
            builder.flag(rule, subject, std::iter::once(*evidence));
        }
        for (id, (from, opcode, arrived_ns)) in (1..).zip(frames) {
            let (from, opcode, arrived_ns) = (*from, *opcode, *arrived_ns);
            builder.frame(Framed { id, exchange: 1, from, opcode, fin: true, bytes: 7, arrived_ns, metadata: id == 2 });
        }
        finish(&mut builder);
        finish::finish(builder, Heads::new(None, &[]))
    }

    const TEXT: u8 = opcode::TEXT;
    use Outcome::{Accepted, Refused, Uncounted};
    use Side::{Client, Server};

    #[test]
    fn an_error_frame_refuses_the_message_that_it_answers() {
        let frames = [
            (Client, TEXT, 200),
            (Client, TEXT, 210),
            (Server, TEXT, 300),
            (Server, TEXT, 310),
            (Client, TEXT, 400),
            (Client, opcode::PING, 410),
        ];
        let flags = [("error-frame", "f4", 1), ("charset-loss", "f2", 1), ("frame-overtaken", "f5", 1)];
        let columns = columns(None, &frames, &flags);
        let units = &columns.units;
        assert_eq!(units.outcome, [Accepted, Accepted, Refused, Uncounted], "the last one was never answered");
        assert_eq!(units.subject[2], Subject::Frame(crate::model::FrameId(2)));
        assert_eq!((units.status[2], units.answered_ns[2], units.ended_ns[2]), (0, 310, 310));
        assert_eq!((units.since_open_ns[2], units.connection_ordinal[2], units.body_bytes[2]), (110, 3, 7));
        assert_eq!(units.since_open_ns[1], UNKNOWN, "the first one is no metadata");
        assert_eq!(columns.routes[units.route[2] as usize], "message /channels/{channelId}");
        let of = |flags: &[crate::model::columns::Flagged]| -> Vec<(String, Vec<u32>)> {
            flags.iter().map(|flag| (flag.rule.clone(), flag.units.clone())).collect()
        };
        // What was overtaken is the frame; what it suffers is the request, here the upgrade.
        assert_eq!(of(&columns.flags), [("charset-loss".into(), vec![2]), ("frame-overtaken".into(), vec![0])]);
        assert_eq!(of(&columns.symptoms), [("error-frame".into(), vec![2])]);
        // Messages lack no header; they come from somewhere, as all does.
        let (addresses, heads): (Vec<_>, Vec<_>) =
            columns.contrasts.iter().partition(|contrast| contrast.hypothesis == "contrast:address");
        assert!(heads.iter().all(|contrast| contrast.of[1..].iter().all(|of| *of == u16::MAX)));
        assert_eq!(addresses.len(), 1);
        assert!(addresses[0].of.iter().all(|of| *of == addresses[0].of[0] && *of != u16::MAX), "{addresses:?}");
    }

    #[test]
    fn a_stream_s_late_error_refuses_the_last_message() {
        let frames = [(Client, TEXT, 200), (Server, TEXT, 300), (Server, TEXT, 310)];
        assert_eq!(columns(None, &frames, &[("error-frame", "f3", 1)]).units.outcome, [Accepted, Refused]);
    }

    #[test]
    fn a_close_with_an_error_that_is_known_refuses_what_was_open() {
        let frames = [
            (Client, TEXT, 200),
            (Server, TEXT, 250),
            (Client, TEXT, 300),
            (Client, TEXT, 310),
            (Server, opcode::CLOSE, 400),
        ];
        assert_eq!(columns(Some(4400), &frames, &[]).units.outcome, [Accepted, Accepted, Refused, Uncounted]);
        // Any other close says that what came before it was taken.
        for other in [None, Some(1000), Some(4999)] {
            assert_eq!(columns(other, &frames, &[]).units.outcome, [Accepted; 4]);
        }
    }
}
