//! A capture as columns: what the diagnosis reads, whoever made it. `query` fills them from a capture, the lab's model
//! makes them in virtual time. PURE: vectors of equal length and small tables that they point into.
//!
//! A *unit* is what can be refused: an exchange, or a message of the client's on a socket whose profile knows error
//! frames. Units stand in the order in which their first byte arrived; those that are not counted (other routes, answers
//! that say something else than accepted or refused) stand there too, since they are load like any other.

use super::flag::Subject;

/// An instant or a distance in nanoseconds that is not known.
pub const UNKNOWN: i64 = i64::MIN;
/// An index into a table that has nothing for it.
pub const NONE: u32 = u32::MAX;
/// A value of a [`Contrast`] that the unit does not bear.
pub const ABSENT: u16 = u16::MAX;

/// How a unit ended, as far as refusals are the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Load only: another route, still open, or an answer that is neither (401, 404, what our own proxy said).
    #[default]
    Uncounted,
    /// Answered, and not refused.
    Accepted,
    /// Refused: by status, by an error frame, or by no answer at all.
    Refused,
}

/// Who made the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AnsweredBy {
    /// It cannot be told: the profile knows no marks of the API, and nothing speaks against it.
    #[default]
    Unknown,
    /// The API: its marks are there.
    Api,
    /// Something before it: the marks are missing, or the answer bears an intermediary's own.
    Intermediary,
    /// This proxy.
    Proxy,
    /// Nobody answered.
    Nobody,
}

/// The units, one vector a field, all of one length. Instants are nanoseconds on the capture's clock ([`UNKNOWN`] where
/// there is none); indices are [`NONE`] where there is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Units {
    /// What it is: an exchange or a frame.
    pub subject: Vec<Subject>,
    /// When its first byte arrived at the proxy: the moment at which it was offered. Ascending.
    pub offered_ns: Vec<i64>,
    /// When the first byte of its answer arrived from the server.
    pub answered_ns: Vec<i64>,
    /// When its answer's last byte arrived, or it was cut off: from then on it is no load any more. For a granted upgrade
    /// the end of the 101's head (its socket is in [`Columns::sockets`]). Unknown: never within the capture.
    pub ended_ns: Vec<i64>,
    /// The status; 0 where there was none.
    pub status: Vec<u16>,
    /// How it ended.
    pub outcome: Vec<Outcome>,
    /// Who answered.
    pub answered_by: Vec<AnsweredBy>,
    /// Into [`Columns::routes`].
    pub route: Vec<u32>,
    /// Into [`Columns::connections`].
    pub connection: Vec<u32>,
    /// Equal tokens have equal numbers, counted from 0.
    pub token: Vec<u32>,
    /// Equal sessions have equal numbers, counted from 0.
    pub session: Vec<u32>,
    /// Bytes of the request's head, as they went on to the server.
    pub head_bytes: Vec<u32>,
    /// Bytes of its body.
    pub body_bytes: Vec<u32>,
    /// From the OPEN (`open_write_begun`) of its session's socket to its first byte; negative where it came before. For
    /// units of sessions with a socket only.
    pub since_open_ns: Vec<i64>,
    /// Which of its connection's units, from 1.
    pub connection_ordinal: Vec<u32>,
    /// From the end of the one before it on its connection; unknown for the first.
    pub connection_idle_ns: Vec<i64>,
}

impl Units {
    /// How many.
    pub fn len(&self) -> usize {
        self.offered_ns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offered_ns.is_empty()
    }
}

/// A client connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSpan {
    /// When it was accepted.
    pub opened_ns: i64,
    /// When it ended; unknown: not within the capture.
    pub closed_ns: i64,
    /// Equal client addresses (without port) have equal numbers.
    pub address: u32,
    /// The server leg's round trip; unknown where the platform does not tell.
    pub server_rtt_ns: i64,
}

/// A WebSocket that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSpan {
    /// When the server's 101 had arrived.
    pub opened_ns: i64,
    /// When its connection ended; unknown: not within the capture.
    pub closed_ns: i64,
    /// As in [`ConnectionSpan::address`].
    pub address: u32,
    /// As in [`Units::token`].
    pub token: u32,
}

/// A rule and the units that it flagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flagged {
    /// The rule's id.
    pub rule: String,
    /// The flagged units, ascending, each once. A flag on a frame, a connection or a session counts for no unit unless
    /// the rule's subject leads to one.
    pub units: Vec<u32>,
}

/// A property that units have one of a few values of. Identity headers are never contrasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// Its hypothesis: `contrast:header:accept`, `contrast:path:scriptId`, `contrast:server:x-served-by`,
    /// `contrast:client`, `contrast:address`, `contrast:tenant`, `contrast:socket`.
    pub hypothesis: String,
    /// The values, for people: secrets are fingerprints, and a header's absence is `(absent)`.
    pub values: Vec<String>,
    /// Each unit's value, an index into `values`, or [`ABSENT`]. As long as the units.
    pub of: Vec<u16>,
    /// Whether it is known with the answer only (`contrast:server:…`).
    pub with_answer: bool,
}

/// A socket that a session was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSocket {
    /// As in [`Units::session`].
    pub session: u32,
    /// When it was asked for.
    pub asked_ns: i64,
    /// When its OPEN began to be passed on.
    pub open_ns: i64,
    /// When its connection ended; `i64::MAX`: not within the capture.
    pub closed_ns: i64,
    /// Whether it was the server that closed it.
    pub by_server: bool,
}

impl SessionSocket {
    /// Those of one session. `sockets` stand by session, and by the moment at which they were asked for.
    pub fn of(sockets: &[Self], session: u32) -> &[Self] {
        let from = sockets.partition_point(|socket| socket.session < session);
        let own = sockets.get(from..).unwrap_or_default();
        own.get(..own.partition_point(|socket| socket.session == session)).unwrap_or_default()
    }

    /// `contrast:socket`: how the socket stood that each unit's session had been granted last: there, or gone, and by
    /// whose doing. It says nothing of what came before there was any, and of messages. `None` where there is no socket.
    pub fn contrast(sockets: &[Self], units: &Units) -> Option<Contrast> {
        const STANDINGS: [&str; 3] = ["open", "closed by the client", "closed by the server"];
        let standing = |unit: usize| {
            let (session, offered) = (*units.session.get(unit)?, *units.offered_ns.get(unit)?);
            if session == NONE || matches!(units.subject.get(unit), Some(Subject::Frame(_))) {
                return None;
            }
            let own = Self::of(sockets, session);
            let before = own.partition_point(|socket| socket.asked_ns < offered).checked_sub(1)?;
            Some(match own.get(before)? {
                socket if offered < socket.closed_ns => 0,
                socket if !socket.by_server => 1,
                _ => 2,
            })
        };
        (!sockets.is_empty()).then(|| Contrast {
            hypothesis: "contrast:socket".to_owned(),
            values: STANDINGS.map(str::to_owned).to_vec(),
            of: (0..units.len()).map(|unit| standing(unit).unwrap_or(ABSENT)).collect(),
            with_answer: false,
        })
    }
}

/// What the observer did to what it observed, and what it missed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observer {
    /// From a byte's arrival to its being written on, median over chunks; unknown where the platform does not tell.
    pub added_p50_ns: i64,
    /// 90th percentile of the same.
    pub added_p90_ns: i64,
    /// 99th percentile of the same.
    pub added_p99_ns: i64,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
    /// Places where bytes were not recorded.
    pub gaps: u64,
    /// Bytes that were not recorded.
    pub gap_bytes: u64,
    /// Times when the wall clock jumped against the monotonic one.
    pub clock_steps: u64,
    /// Connections that were relayed and not decoded (HTTP/2, opaque).
    pub undecoded_connections: u64,
    /// The recorder's CPU time in its busiest second, 1 = one core; unknown where it was not recorded.
    pub cpu_cores: Option<f64>,
    /// How many cores it could use; 0 where that is not known.
    pub cores: u32,
}

/// A capture, or several, as columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// What can be refused.
    pub units: Units,
    /// `POST /api/v2/recordings/screen`: method and template, by [`Units::route`].
    pub routes: Vec<String>,
    /// By [`Units::connection`]. In no order.
    pub connections: Vec<ConnectionSpan>,
    /// All opened sockets. In no order.
    pub sockets: Vec<SocketSpan>,
    /// Flags known before the answer: possible causes. By rule id, ascending.
    pub flags: Vec<Flagged>,
    /// Flags known with or after the answer: symptoms.
    pub symptoms: Vec<Flagged>,
    /// Possible contrasts.
    pub contrasts: Vec<Contrast>,
    /// What the observer did.
    pub observer: Observer,
    /// The last instant that the columns cover.
    pub until_ns: i64,
    /// Whether the capture is over and whole; else what `notes` say of it.
    pub complete: bool,
    /// What a reader must know of where this came from: a capture still being written, incomplete, without routes.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::{ExchangeId, FrameId};

    #[test]
    fn a_unit_knows_how_its_session_s_last_socket_stood() {
        let socket = |session, asked_ns, closed_ns, by_server| SessionSocket {
            session,
            asked_ns,
            open_ns: asked_ns + 1,
            closed_ns,
            by_server,
        };
        let sockets = [socket(0, 10, 20, false), socket(0, 30, 40, true), socket(2, 5, i64::MAX, false)];
        let at = [(0, 10), (0, 15), (0, 20), (0, 30), (0, 35), (0, 45), (1, 45), (2, 45), (NONE, 45), (0, 46)];
        let mut units = Units {
            subject: (1..=at.len() as u64).map(|id| Subject::Exchange(ExchangeId(id))).collect(),
            session: at.iter().map(|(session, _)| *session).collect(),
            offered_ns: at.iter().map(|(_, offered)| *offered).collect(),
            ..Units::default()
        };
        *units.subject.last_mut().unwrap() = Subject::Frame(FrameId(1));
        let contrast = SessionSocket::contrast(&sockets, &units).unwrap();
        assert_eq!(contrast.values.get(2).unwrap(), "closed by the server");
        // An upgrade says how the one before it stood.
        assert_eq!(contrast.of, [ABSENT, 0, 1, 1, 0, 2, ABSENT, 0, ABSENT, ABSENT]);
        assert_eq!(SessionSocket::contrast(&[], &units), None);
    }
}
