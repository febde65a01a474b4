//! Units as they are read, in the order of the tables, with all that one exchange tells by itself. What needs the others
//! (order, sessions, flags) is [`super::finish`]'s.

use crate::{
    model::columns::{AnsweredBy, Columns, ConnectionSpan, NONE, Observer, Outcome, UNKNOWN},
    model::{ExchangeId, FrameId, flag::Subject},
    profile::{Profile, Refused, generic_template},
};

use super::{
    intern::{Dense, Texts},
    messages::{FrameHit, Messages},
    paths::Paths,
};

/// An exchange as it is read, from a table's cells or from a row; but for what its heads tell.
pub(super) struct Seen<'a> {
    pub(super) id: u64,
    pub(super) connection: u64,
    pub(super) index: u32,
    pub(super) method: &'a str,
    /// As it was sent, with its query.
    pub(super) target: &'a str,
    pub(super) path: &'a str,
    /// Whether it asked for a WebSocket.
    pub(super) websocket: bool,
    pub(super) head_bytes: i64,
    /// So many of them did not go on to the server.
    pub(super) taken_out: i64,
    pub(super) body_bytes: i64,
    pub(super) status: Option<u16>,
    pub(super) first_ns: i64,
    pub(super) answered_ns: i64,
    pub(super) ended_ns: i64,
    pub(super) proxy_made: bool,
    /// Of a granted upgrade: the instants at which the 101 arrived, and at which it began to be passed on.
    pub(super) opened: Option<(i64, i64)>,
    /// Whether the server closed its socket.
    pub(super) closed_by_server: bool,
    /// The code with which the server closed its socket, where it was the server.
    pub(super) close_code: Option<u16>,
}

/// What decides which units are refused.
pub(super) enum By {
    /// Their status, or that there is no answer.
    Statuses(Refused),
    /// These exchanges of this capture, and no others.
    Ids(Vec<u64>),
}

/// A connection as it is read.
pub(super) struct Connected<'a> {
    pub(super) id: u64,
    pub(super) client: &'a str,
    pub(super) opened_ns: i64,
    pub(super) closed_ns: i64,
    pub(super) by_proxy: bool,
    pub(super) server_rtt_ns: i64,
    pub(super) gaps: u64,
    /// Whether bytes passed that were not understood.
    pub(super) undecoded: bool,
}

/// A granted upgrade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) unit: u32,
    pub(super) connection: u32,
    pub(super) server_open_ns: i64,
    pub(super) open_write_begun_ns: i64,
    pub(super) closed_by_server: bool,
    /// Whether it is on a route that counts.
    pub(super) counted: bool,
}

/// A flag as it is read, on a unit of the order of reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) rule: u32,
    pub(super) unit: u32,
}

/// Its subject is the frame that came late; what suffers is the request that overtook it, which its evidence names.
const OVERTAKEN: &str = "frame-overtaken";
/// What names the server's frames that refuse a message.
const ERROR_FRAME: &str = "error-frame";

/// The captures' bits in ids, so that those of several captures can be told apart.
const CAPTURE_BITS: u32 = 40;

/// The id under which the verdict knows an exchange of the capture of that number.
pub(super) fn exchange_of(capture: usize, id: u64) -> Subject {
    Subject::Exchange(ExchangeId(id | (capture as u64) << CAPTURE_BITS))
}

/// The same of a frame.
pub(super) fn frame_of(capture: usize, id: u64) -> Subject {
    Subject::Frame(FrameId(id | (capture as u64) << CAPTURE_BITS))
}

/// The number of the capture that an id of the verdict is in, and its id there.
pub(super) fn capture_of(subject: Subject) -> (usize, Subject) {
    let split = |id: u64| ((id >> CAPTURE_BITS) as usize, id & ((1 << CAPTURE_BITS) - 1));
    match subject {
        Subject::Exchange(id) => {
            let (capture, id) = split(id.0);
            (capture, Subject::Exchange(ExchangeId(id)))
        }
        Subject::Frame(id) => {
            let (capture, id) = split(id.0);
            (capture, Subject::Frame(FrameId(id)))
        }
        other => (0, other),
    }
}

/// See the module.
pub(super) struct Builder<'p> {
    pub(super) profile: Option<&'p Profile>,
    pub(super) columns: Columns,
    pub(super) by: By,
    /// Exchanges that the question is about; `None`: all.
    pub(super) about: Option<Vec<u64>>,
    /// Of the capture that is being read.
    pub(super) capture: usize,
    pub(super) shift_ns: i64,
    pub(super) units: Dense,
    pub(super) sessions: Dense,
    pub(super) session_count: u32,
    connections: Dense,
    closed_by_proxy: Vec<bool>,
    pub(super) routes: Texts,
    pub(super) addresses: Texts,
    pub(super) rules: Texts,
    pub(super) hits: Vec<Hit>,
    pub(super) openings: Vec<Opening>,
    pub(super) messages: Messages,
    pub(super) paths: Paths,
    /// Refusals by status, of those that the question is about, on routes that the profile does not know.
    pub(super) refused_elsewhere: u64,
    label: String,
    names: Vec<String>,
}

impl<'p> Builder<'p> {
    pub(super) fn new(profile: Option<&'p Profile>) -> Self {
        Self {
            profile,
            columns: Columns {
                observer: Observer {
                    added_p50_ns: UNKNOWN,
                    added_p90_ns: UNKNOWN,
                    added_p99_ns: UNKNOWN,
                    ..Observer::default()
                },
                complete: true,
                ..Columns::default()
            },
            by: By::Statuses(Refused::default()),
            about: None,
            capture: 0,
            shift_ns: 0,
            units: Dense::default(),
            sessions: Dense::default(),
            session_count: 0,
            connections: Dense::default(),
            closed_by_proxy: Vec::new(),
            routes: Texts::default(),
            addresses: Texts::default(),
            rules: Texts::default(),
            hits: Vec::new(),
            openings: Vec::new(),
            messages: Messages::default(),
            paths: Paths::default(),
            refused_elsewhere: 0,
            label: String::new(),
            names: Vec::new(),
        }
    }

    /// Begins the next capture, whose clock stood at zero that long after the first one's.
    pub(super) fn next_capture(&mut self, capture: usize, shift_ns: i64) {
        self.capture = capture;
        self.shift_ns = shift_ns;
        self.units = Dense::default();
        self.sessions = Dense::default();
        self.connections = Dense::default();
    }

    pub(super) fn connection(&mut self, seen: &Connected<'_>) {
        let host = seen.client.rsplit_once(':').map_or(seen.client, |(host, _)| host);
        let number = self.columns.connections.len() as u32;
        self.connections.put(seen.id, number);
        let span = ConnectionSpan {
            opened_ns: self.at(seen.opened_ns),
            closed_ns: self.at(seen.closed_ns),
            address: self.addresses.number(host),
            server_rtt_ns: seen.server_rtt_ns,
        };
        self.until(span.opened_ns);
        self.until(span.closed_ns);
        self.columns.connections.push(span);
        self.closed_by_proxy.push(seen.by_proxy);
        self.columns.observer.gaps += seen.gaps;
        self.columns.observer.undecoded_connections += u64::from(seen.undecoded);
    }

    /// A session and the ids of its exchanges.
    pub(super) fn session(&mut self, exchanges: impl Iterator<Item = u64>) {
        let number = self.session_count;
        self.session_count += 1;
        exchanges.for_each(|id| self.sessions.put(id, number));
    }

    /// A flag, after the exchanges. `evidence` are the exchanges that it names.
    pub(super) fn flag(&mut self, rule: &str, subject: &str, mut evidence: impl Iterator<Item = u64>) {
        let of = |letter: char| subject.strip_prefix(letter).and_then(|digits| digits.parse().ok());
        if let Some(frame) = of('f').filter(|_| rule != OVERTAKEN) {
            if self.counts_messages() {
                if rule == ERROR_FRAME {
                    self.messages.errors.insert(frame);
                }
                let rule = self.rules.number(rule);
                self.messages.hits.push(FrameHit { rule, frame });
            }
            return;
        }
        let exchange = if rule == OVERTAKEN { evidence.next() } else { of('x') };
        if let Some(unit) = exchange.and_then(|id| self.units.get(id)) {
            let rule = self.rules.number(rule);
            self.hits.push(Hit { rule, unit });
        }
    }

    pub(super) fn exchange(&mut self, seen: &Seen<'_>) {
        let unit = self.columns.units.len();
        let route = self.route(unit, seen);
        let connection = self.connections.get(seen.connection);
        let span = connection.and_then(|at| self.columns.connections.get(at as usize)).copied();
        let cut = span.map_or(UNKNOWN, |span| span.closed_ns);
        let ended = if seen.ended_ns == UNKNOWN && (seen.status.is_none() || seen.opened.is_none()) {
            cut
        } else {
            self.at(seen.ended_ns)
        };
        let by_proxy = connection.and_then(|at| self.closed_by_proxy.get(at as usize)).copied().unwrap_or(false);
        let outcome = self.outcome(seen, route.counted, ended != UNKNOWN, by_proxy);
        let answered_by = match seen.status {
            _ if seen.proxy_made => AnsweredBy::Proxy,
            None if ended != UNKNOWN => AnsweredBy::Nobody,
            _ => AnsweredBy::Unknown,
        };
        let (offered, answered) = (self.at(seen.first_ns), self.at(seen.answered_ns));
        self.until(offered);
        self.until(ended);
        self.units.put(seen.id, unit as u32);
        if let (Some((server_open, begun)), Some(connection)) = (seen.opened, connection) {
            let (server_open_ns, open_write_begun_ns) = (self.at(server_open), self.at(begun));
            self.messages.sockets.insert(seen.id, self.openings.len());
            let refuses = |code| self.profile.is_some_and(|profile| profile.refuses_by(code));
            if seen.close_code.is_some_and(refuses) {
                self.messages.closed_for.insert(seen.id);
            }
            self.openings.push(Opening {
                unit: unit as u32,
                connection,
                server_open_ns,
                open_write_begun_ns,
                closed_by_server: seen.closed_by_server,
                counted: route.counted,
            });
        }
        let size = |bytes: i64| u32::try_from(bytes.max(0)).unwrap_or(u32::MAX);
        let units = &mut self.columns.units;
        units.subject.push(exchange_of(self.capture, seen.id));
        units.offered_ns.push(offered);
        units.answered_ns.push(answered);
        units.ended_ns.push(ended);
        units.status.push(seen.status.unwrap_or(0));
        units.outcome.push(outcome);
        units.answered_by.push(answered_by);
        units.route.push(route.number);
        units.connection.push(connection.unwrap_or(NONE));
        units.token.push(NONE);
        units.session.push(self.sessions.get(seen.id).unwrap_or(NONE));
        units.head_bytes.push(size(seen.head_bytes.saturating_sub(seen.taken_out)));
        units.body_bytes.push(size(seen.body_bytes));
        units.since_open_ns.push(UNKNOWN);
        units.connection_ordinal.push(seen.index);
        units.connection_idle_ns.push(UNKNOWN);
    }

    /// All names, once everything is read.
    pub(super) fn take_routes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.routes).into_texts()
    }

    /// The capture's instant on the first one's clock.
    pub(super) fn at(&self, ns: i64) -> i64 {
        if ns == UNKNOWN { UNKNOWN } else { ns.saturating_add(self.shift_ns) }
    }

    pub(super) fn until(&mut self, ns: i64) {
        // UNKNOWN is smaller than all.
        self.columns.until_ns = self.columns.until_ns.max(ns);
    }

    fn route(&mut self, unit: usize, seen: &Seen<'_>) -> Routed {
        let path = seen.path.as_bytes();
        let profile = self.profile;
        let socket = profile.filter(|_| seen.websocket).and_then(|profile| profile.socket(path));
        // What lacks a parameter was meant for a route, too.
        let method = seen.method.as_bytes();
        let known = |p: &'p Profile| p.route(method, path).or_else(|| Some(p.routes.lacking(method, path)?.0));
        let route = profile.filter(|_| socket.is_none()).and_then(known);
        self.label.clear();
        self.label.push_str(seen.method);
        self.label.push(' ');
        let template = match (socket, route) {
            (Some(socket), _) => Some(&socket.path),
            (None, Some(route)) => Some(&route.path),
            (None, None) => None,
        };
        if let Some(template) = template {
            self.label.push_str(template.as_str());
            for (name, value) in template.params(path) {
                if let Ok(value) = std::str::from_utf8(value) {
                    self.paths.read(unit, name, value);
                }
            }
        } else {
            let template = generic_template(seen.path);
            self.label.push_str(&template);
            let parts = template.split('/').zip(seen.path.split('/'));
            for (at, (_, value)) in parts.filter(|(part, _)| *part == "{id}").enumerate() {
                if self.names.len() <= at {
                    self.names.push(if at == 0 { "id".to_owned() } else { format!("id{}", at + 1) });
                }
                if let Some(name) = self.names.get(at) {
                    self.paths.read(unit, name, value);
                }
            }
        }
        self.paths.read_query(unit, seen.target);
        let knows_none = profile.is_none_or(|profile| profile.routes.is_empty() && profile.sockets.is_empty());
        Routed {
            number: self.routes.number(&self.label),
            counted: self.asked(seen.id) && (knows_none || template.is_some()),
        }
    }

    /// Whether the question is about that exchange.
    fn asked(&self, id: u64) -> bool {
        self.about.as_ref().is_none_or(|ids| ids.binary_search(&id).is_ok())
    }

    fn outcome(&mut self, seen: &Seen<'_>, counted: bool, over: bool, by_proxy: bool) -> Outcome {
        if seen.proxy_made {
            return Outcome::Uncounted;
        }
        let outcome = match (&self.by, seen.status) {
            (By::Ids(ids), _) if ids.binary_search(&seen.id).is_ok() => Outcome::Refused,
            (By::Statuses(refused), Some(status)) if refused.contains(status) => Outcome::Refused,
            (_, Some(status)) if status < 400 => Outcome::Accepted,
            // Cut off by others than us, and never answered.
            (By::Statuses(_), None) if over && !by_proxy => Outcome::Refused,
            _ => Outcome::Uncounted,
        };
        if counted {
            return outcome;
        }
        self.refused_elsewhere += u64::from(outcome == Outcome::Refused && self.asked(seen.id));
        Outcome::Uncounted
    }
}

struct Routed {
    number: u32,
    counted: bool,
}
