//! From what the proxy recorded to the columns that `query` would make of such a capture: sorted, numbered from 0, with
//! the flags that follow from order and time.

use std::collections::{BTreeMap, HashMap};

use crate::{
    lab::{api::RefusedBy, request::Kind, scenario::MILLI, surface::Surface},
    model::{
        ExchangeId, FrameId,
        columns::{
            ABSENT, AnsweredBy, Columns, ConnectionSpan, Contrast, Flagged, NONE, Observer, Outcome, SessionSocket,
            SocketSpan, UNKNOWN, Units,
        },
        flag::Subject,
    },
};

use super::recorder::{Recorder, SocketTrace, Unit};

/// From the 101's arrival to the write that hands it on.
const OPEN_WRITE_NS: i64 = 60_000;

/// The columns, and what refused each unit.
pub(super) fn columns(mut recorder: Recorder, until_ns: i64, is_whole: bool) -> (Columns, Vec<Option<RefusedBy>>) {
    recorder.units.sort_by_key(|unit| unit.offered_ns);
    let since_open = sockets_of_units(&mut recorder);
    order_flags(&mut recorder, &since_open);
    overtaking(&mut recorder);
    shared_tokens(&mut recorder.units);
    let mut units = Units::default();
    let mut sessions: HashMap<usize, u32> = HashMap::new();
    let mut on_connection: HashMap<usize, (u32, i64)> = HashMap::new();
    let mut flags: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut symptoms: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let (mut exchanges, mut frames) = (0, 0);
    for ((number, unit), since) in (0_u32..).zip(&recorder.units).zip(&since_open) {
        units.subject.push(if unit.is_message {
            frames += 1;
            Subject::Frame(FrameId(frames))
        } else {
            exchanges += 1;
            Subject::Exchange(ExchangeId(exchanges))
        });
        units.offered_ns.push(unit.offered_ns);
        units.answered_ns.push(unit.answered_ns);
        units.ended_ns.push(unit.ended_ns);
        units.status.push(unit.status);
        units.outcome.push(unit.outcome);
        units.answered_by.push(unit.by);
        units.route.push(unit.route);
        units.connection.push(unit.link as u32);
        units.token.push(unit.token);
        let fresh = sessions.len() as u32;
        units.session.push(*sessions.entry(unit.agent).or_insert(fresh));
        units.head_bytes.push(unit.head_bytes);
        units.body_bytes.push(unit.body_bytes);
        units.since_open_ns.push(*since);
        let (ordinal, last_end) = on_connection.entry(unit.link).or_insert((0, UNKNOWN));
        *ordinal += 1;
        units.connection_ordinal.push(*ordinal);
        let idle = if *ordinal == 1 || *last_end == UNKNOWN { UNKNOWN } else { (unit.offered_ns - *last_end).max(0) };
        units.connection_idle_ns.push(idle);
        *last_end = unit.ended_ns;
        for flag in &unit.flags {
            flags.entry(flag).or_default().push(number);
        }
        for symptom in symptoms_of(unit, recorder.surface) {
            symptoms.entry(symptom).or_default().push(number);
        }
    }
    let flagged = |rules: BTreeMap<&str, Vec<u32>>| {
        rules.into_iter().map(|(rule, units)| Flagged { rule: rule.to_owned(), units }).collect()
    };
    let refused_by = recorder.units.iter().map(|unit| unit.refused_by).collect();
    let order: Vec<usize> = recorder.units.iter().map(|unit| unit.number).collect();
    let mut contrasts = recorder.properties.into_contrasts(&order, &units.outcome);
    contrasts.push(addresses(&units, &recorder.connections));
    contrasts.extend(SessionSocket::contrast(&of_sessions(&recorder.sockets, &sessions), &units));
    let columns = Columns {
        units,
        routes: recorder.routes,
        connections: recorder.connections,
        sockets: spans(&recorder.sockets),
        flags: flagged(flags),
        symptoms: flagged(symptoms),
        contrasts,
        observer: Observer {
            added_p50_ns: 80_000,
            added_p90_ns: 200_000,
            added_p99_ns: 600_000,
            cpu_cores: Some(0.2),
            ..Observer::default()
        },
        until_ns,
        complete: is_whole,
        notes: if is_whole { Vec::new() } else { vec!["the run was cut off".to_owned()] },
    };
    (columns, refused_by)
}

/// Where each unit came from.
fn addresses(units: &Units, connections: &[ConnectionSpan]) -> Contrast {
    let address = |connection: &u32| connections.get(*connection as usize).map(|connection| connection.address);
    let of = units.connection.iter().map(|connection| address(connection).map_or(ABSENT, |address| address as u16));
    let most = connections.iter().map(|connection| connection.address).max().unwrap_or_default();
    Contrast {
        hypothesis: "contrast:address".to_owned(),
        values: (0..=most).map(|number| format!("127.0.0.{number}")).collect(),
        of: of.collect(),
        with_answer: false,
    }
}

/// The sockets that were granted, by session. `sessions`: each agent's.
fn of_sessions(sockets: &[SocketTrace], sessions: &HashMap<usize, u32>) -> Vec<SessionSocket> {
    let granted = sockets.iter().filter(|socket| socket.opened_ns != UNKNOWN);
    let of = |socket: &SocketTrace| SessionSocket {
        session: sessions.get(&socket.agent).copied().unwrap_or(NONE),
        asked_ns: socket.asked_ns,
        open_ns: socket.opened_ns + OPEN_WRITE_NS,
        closed_ns: if socket.closed_ns == UNKNOWN { i64::MAX } else { socket.closed_ns },
        by_server: socket.by_server,
    };
    let mut sockets: Vec<SessionSocket> = granted.map(of).collect();
    sockets.sort_by_key(|socket| (socket.session, socket.asked_ns));
    sockets
}

fn spans(sockets: &[SocketTrace]) -> Vec<SocketSpan> {
    let open = sockets.iter().filter(|socket| socket.opened_ns != UNKNOWN);
    let span = |socket: &SocketTrace| SocketSpan {
        opened_ns: socket.opened_ns,
        closed_ns: socket.closed_ns,
        address: socket.address,
        token: socket.token,
    };
    open.map(span).collect()
}

/// Gives each unit the socket of its session that it belongs to, and how long that has been open: the one that was asked
/// for last, unless it had been closed; then the session's next one, or else its last.
fn sockets_of_units(recorder: &mut Recorder) -> Vec<i64> {
    let mut next: HashMap<usize, usize> = HashMap::new();
    let mut following = vec![None; recorder.sockets.len()];
    let mut first: HashMap<usize, usize> = HashMap::new();
    for (number, socket) in recorder.sockets.iter().enumerate().rev() {
        if let Some(slot) = following.get_mut(number) {
            *slot = next.insert(socket.agent, number);
        }
        first.insert(socket.agent, number);
    }
    let mut since = Vec::with_capacity(recorder.units.len());
    for unit in &mut recorder.units {
        let current = unit.socket.and_then(|number| Some((number, recorder.sockets.get(number)?)));
        let names_it = matches!(unit.kind, Kind::Metadata | Kind::Socket) || unit.is_message;
        unit.socket = match current {
            Some((number, socket)) if names_it || !is_over(socket, unit.offered_ns) => Some(number),
            // One that its client closed is no measure any more.
            Some((number, socket)) => {
                following.get(number).copied().flatten().or_else(|| Some(number).filter(|_| socket.by_server))
            }
            None => first.get(&unit.agent).copied(),
        };
        let opened = unit.socket.and_then(|number| recorder.sockets.get(number)).map(|socket| socket.opened_ns);
        // As the columns of a capture have it: among messages, metadata alone.
        let is_timed = !unit.is_message || unit.kind == Kind::Metadata || !recorder.surface.is_message(Kind::Metadata);
        since.push(match opened {
            Some(opened) if opened != UNKNOWN && unit.kind != Kind::Socket && is_timed => {
                unit.offered_ns - (opened + OPEN_WRITE_NS)
            }
            _ => UNKNOWN,
        });
    }
    since
}

fn is_over(socket: &SocketTrace, at: i64) -> bool {
    let before = |instant: i64| instant != UNKNOWN && instant <= at;
    before(socket.closed_ns) || before(socket.refused_ns)
}

/// What the rules of order would say of metadata.
fn order_flags(recorder: &mut Recorder, since_open: &[i64]) {
    let surface = recorder.surface;
    for (unit, since) in recorder.units.iter_mut().zip(since_open) {
        if unit.kind != Kind::Metadata {
            continue;
        }
        let Some(socket) = unit.socket.and_then(|number| recorder.sockets.get(number)) else { continue };
        let before = |instant: i64| instant != UNKNOWN && instant <= unit.offered_ns;
        if before(socket.refused_ns) {
            unit.flags.push("metadata-after-failed-open");
            continue;
        }
        if before(socket.closed_ns) {
            // Of an API of which nothing is known, nothing says that this is metadata.
            if surface != Surface::Neutral {
                unit.flags.push("metadata-after-close");
            }
        } else if *since == UNKNOWN || *since < 0 {
            unit.flags.push("metadata-before-open");
        } else if surface.has_gate_message() && (socket.ready_ns == UNKNOWN || unit.offered_ns < socket.ready_ns) {
            unit.flags.push("metadata-before-ready");
        }
        // The window of the route in its profile.
        if surface == Surface::GenesysCloud && *since >= 0 {
            match *since {
                soon if soon < 50 * MILLI => unit.flags.push("metadata-too-soon"),
                late if late > 500 * MILLI => unit.flags.push("metadata-too-late"),
                _ => {}
            }
        }
    }
}

/// `frame-overtaken`: the first request of an agent whose message is held back overtakes it. The rule's flag lies on the
/// message, and its evidence leads to the request.
fn overtaking(recorder: &mut Recorder) {
    let mut held: HashMap<usize, Vec<(i64, i64)>> = HashMap::new();
    for (agent, from, until) in recorder.held_back.drain(..) {
        held.entry(agent).or_default().push((from, until));
    }
    for unit in recorder.units.iter_mut().filter(|unit| !unit.is_message && unit.kind != Kind::Socket) {
        let Some(own) = held.get_mut(&unit.agent) else { continue };
        let at = unit.offered_ns;
        if let Some(place) = own.iter().position(|(from, until)| (*from..*until).contains(&at)) {
            own.swap_remove(place);
            unit.flags.push("frame-overtaken");
        }
    }
}

/// `shared-token`: another agent's request that bears the token is under way.
fn shared_tokens(units: &mut [Unit]) {
    let mut under_way: HashMap<u32, Vec<(i64, usize)>> = HashMap::new();
    for unit in units.iter_mut().filter(|unit| unit.token != NONE && !unit.is_message) {
        let others = under_way.entry(unit.token).or_default();
        others.retain(|(ended, _)| *ended == UNKNOWN || *ended > unit.offered_ns);
        if others.iter().any(|(_, agent)| *agent != unit.agent) {
            unit.flags.push("shared-token");
        }
        others.push((unit.ended_ns, unit.agent));
    }
}

/// What is known with the answer.
fn symptoms_of(unit: &Unit, surface: Surface) -> impl Iterator<Item = &'static str> {
    let refused = unit.outcome == Outcome::Refused;
    [
        (unit.status == 429).then_some("rate-limited"),
        (surface == Surface::GenesysCloud && unit.by == AnsweredBy::Intermediary).then_some("not-from-api"),
        (refused && unit.is_message).then_some("error-frame"),
        (refused && unit.kind == Kind::Socket).then_some("refused-upgrade"),
        (refused && unit.kind == Kind::Refresh).then_some("invalid-grant-stampede"),
    ]
    .into_iter()
    .flatten()
}
