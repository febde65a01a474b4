//! What needs all units: their order, what came before on their connection, their session's sockets, their flags.

use crate::{
    model::{
        columns::{
            ABSENT, AnsweredBy, Columns, Contrast, Flagged, NONE, Outcome, SessionSocket, SocketSpan, UNKNOWN, Units,
        },
        flag::Subject,
    },
    rules::{self, Known},
};

use super::{
    builder::{Builder, Opening},
    heads::Heads,
    intern::Texts,
    property::Property,
};

/// The flag that says who answered.
const NOT_FROM_API: &str = "not-from-api";

/// Puts everything in its place.
pub(super) fn finish(mut builder: Builder<'_>, heads: Heads<'_>) -> Columns {
    let mut columns = std::mem::take(&mut builder.columns);
    let mut properties = heads.into_properties(std::mem::take(&mut builder.paths));
    columns.routes = builder.take_routes();
    let order = order(&columns.units.offered_ns);
    if let Some(order) = &order {
        reorder(&mut columns.units, order);
        properties.iter_mut().for_each(|property| property.reorder(order));
        let mut places = vec![NONE; order.len()];
        for (place, unit) in order.iter().enumerate() {
            if let Some(slot) = places.get_mut(*unit as usize) {
                *slot = place as u32;
            }
        }
        let moved = |unit: u32| places.get(unit as usize).copied().unwrap_or(NONE);
        builder.hits.iter_mut().for_each(|hit| hit.unit = moved(hit.unit));
        builder.openings.iter_mut().for_each(|opening| opening.unit = moved(opening.unit));
    }
    idle(&mut columns.units);
    let of_sessions = sockets(&mut columns, &builder.openings);
    flags(&mut columns, &builder);
    let answered_by = &mut columns.units.answered_by;
    for unit in columns.symptoms.iter().filter(|flag| flag.rule == NOT_FROM_API).flat_map(|flag| &flag.units) {
        if let Some(by) = answered_by.get_mut(*unit as usize) {
            *by = AnsweredBy::Intermediary;
        }
    }
    columns.contrasts = contrasts(properties, &columns.units);
    columns.contrasts.push(addresses(builder.addresses, &columns));
    columns.contrasts.extend(SessionSocket::contrast(&of_sessions, &columns.units));
    columns
}

/// Where each unit came from.
fn addresses(names: Texts, columns: &Columns) -> Contrast {
    let of = |connection: &u32| {
        let span = columns.connections.get(*connection as usize)?;
        u16::try_from(span.address).ok()
    };
    Contrast {
        hypothesis: "contrast:address".to_owned(),
        values: names.into_texts(),
        of: columns.units.connection.iter().map(|connection| of(connection).unwrap_or(ABSENT)).collect(),
        with_answer: false,
    }
}

/// The units by the moment they were offered; `None` where they stand so already.
fn order(offered: &[i64]) -> Option<Vec<u32>> {
    if offered.is_sorted() {
        return None;
    }
    let mut order: Vec<u32> = (0..offered.len() as u32).collect();
    order.sort_by_key(|unit| offered.get(*unit as usize).copied().unwrap_or(UNKNOWN));
    Some(order)
}

fn reorder(units: &mut Units, order: &[u32]) {
    fn by<T: Copy + Default>(cells: &mut Vec<T>, order: &[u32]) {
        *cells = order.iter().map(|unit| cells.get(*unit as usize).copied().unwrap_or_default()).collect();
    }
    let subjects = std::mem::take(&mut units.subject);
    units.subject = order.iter().filter_map(|unit| subjects.get(*unit as usize).copied()).collect();
    by(&mut units.offered_ns, order);
    by(&mut units.answered_ns, order);
    by(&mut units.ended_ns, order);
    by(&mut units.status, order);
    by(&mut units.outcome, order);
    by(&mut units.answered_by, order);
    by(&mut units.route, order);
    by(&mut units.connection, order);
    by(&mut units.token, order);
    by(&mut units.session, order);
    by(&mut units.head_bytes, order);
    by(&mut units.body_bytes, order);
    by(&mut units.since_open_ns, order);
    by(&mut units.connection_ordinal, order);
    by(&mut units.connection_idle_ns, order);
}

/// How long each connection had been idle.
fn idle(units: &mut Units) {
    let most = units.connection.iter().copied().filter(|connection| *connection != NONE).max();
    let mut ended = vec![UNKNOWN; most.map_or(0, |most| most as usize + 1)];
    let rows = units.connection.iter().zip(&units.offered_ns).zip(&units.ended_ns).zip(&mut units.connection_idle_ns);
    for (((connection, offered), end), idle) in rows {
        let Some(before) = ended.get_mut(*connection as usize) else { continue };
        if *before != UNKNOWN {
            *idle = (offered - *before).max(0);
        }
        *before = *end;
    }
}

/// The sockets, and how long after the OPEN of its session's each unit came: of the one that was open or opening then,
/// else of the next, else of the last where the server closed it. Gives the sockets of known sessions, by session and in the order of time.
fn sockets(columns: &mut Columns, openings: &[Opening]) -> Vec<SessionSocket> {
    let units = &columns.units;
    let of = |cells: &[u32], unit: u32| cells.get(unit as usize).copied().unwrap_or(NONE);
    // An upgrade often bears no token of its own: its session's is meant.
    let mut token_of_session: Vec<u32> = Vec::new();
    for (session, token) in units.session.iter().zip(&units.token).filter(|(session, _)| **session != NONE) {
        let at = *session as usize;
        if token_of_session.len() <= at {
            token_of_session.resize(at + 1, NONE);
        }
        if let Some(slot) = token_of_session.get_mut(at).filter(|slot| **slot == NONE) {
            *slot = *token;
        }
    }
    let mut by_session: Vec<SessionSocket> = Vec::new();
    for opening in openings {
        let span = columns.connections.get(opening.connection as usize).copied().unwrap_or_default();
        let session = of(&units.session, opening.unit);
        let token = match of(&units.token, opening.unit) {
            NONE => token_of_session.get(session as usize).copied().unwrap_or(NONE),
            token => token,
        };
        let opened_ns = opening.server_open_ns;
        let socket = SocketSpan { opened_ns, closed_ns: span.closed_ns, address: span.address, token };
        columns.sockets.push(socket);
        if session != NONE && opening.open_write_begun_ns != UNKNOWN {
            by_session.push(SessionSocket {
                session,
                asked_ns: units.offered_ns.get(opening.unit as usize).copied().unwrap_or(UNKNOWN),
                open_ns: opening.open_write_begun_ns,
                closed_ns: if span.closed_ns == UNKNOWN { i64::MAX } else { span.closed_ns },
                by_server: opening.closed_by_server,
            });
        }
    }
    by_session.sort_by_key(|socket| (socket.session, socket.asked_ns));
    if by_session.is_empty() {
        return by_session;
    }
    let upgrades: Vec<u32> = {
        let mut upgrades: Vec<u32> = openings.iter().map(|opening| opening.unit).collect();
        upgrades.sort_unstable();
        upgrades
    };
    let rows = units.session.iter().zip(&units.offered_ns).enumerate();
    let since: Vec<i64> = rows
        .map(|(unit, (session, offered))| {
            // A message knows its own socket.
            if let Some(since) = of_message(units, unit) {
                return since;
            }
            if *session == NONE || upgrades.binary_search(&(unit as u32)).is_ok() {
                return UNKNOWN;
            }
            let mine = SessionSocket::of(&by_session, *session);
            let asked = mine.partition_point(|socket| socket.asked_ns <= *offered);
            let before = asked.checked_sub(1).and_then(|at| mine.get(at));
            let open = before.filter(|socket| *offered < socket.closed_ns).or_else(|| mine.get(asked));
            // One that its client closed is no measure any more: who was refused another one would seem to be late.
            let open = open.or_else(|| before.filter(|socket| socket.by_server));
            open.map_or(UNKNOWN, |socket| offered - socket.open_ns)
        })
        .collect();
    columns.units.since_open_ns = since;
    by_session
}

/// How long after its socket's OPEN a message came; `None` of anything else.
fn of_message(units: &Units, unit: usize) -> Option<i64> {
    let is_message = matches!(units.subject.get(unit), Some(Subject::Frame(_)));
    is_message.then(|| units.since_open_ns.get(unit).copied().unwrap_or(UNKNOWN))
}

/// Those that tell units apart, by hypothesis.
fn apart(properties: Vec<Property>, outcomes: &[Outcome]) -> Vec<Contrast> {
    let mut contrasts: Vec<Contrast> =
        properties.into_iter().filter_map(|property| property.into_contrast(outcomes)).collect();
    contrasts.sort_by(|a, b| a.hypothesis.cmp(&b.hypothesis));
    // Of what names tenants, and the authority, the first is meant.
    contrasts.dedup_by(|later, earlier| later.hypothesis == earlier.hypothesis);
    contrasts
}

/// What heads tell is of exchanges alone: messages have none, which is not the same as to lack a header.
fn contrasts(properties: Vec<Property>, units: &Units) -> Vec<Contrast> {
    let messages: Vec<usize> = (0..units.len()).filter(|unit| of_message(units, *unit).is_some()).collect();
    if messages.is_empty() {
        return apart(properties, &units.outcome);
    }
    let mut outcomes = units.outcome.clone();
    for unit in &messages {
        if let Some(outcome) = outcomes.get_mut(*unit) {
            *outcome = Outcome::Uncounted;
        }
    }
    let mut contrasts = apart(properties, &outcomes);
    for contrast in &mut contrasts {
        for unit in &messages {
            if let Some(value) = contrast.of.get_mut(*unit) {
                *value = ABSENT;
            }
        }
    }
    contrasts
}

/// The flags by rule: possible causes, and symptoms.
fn flags(columns: &mut Columns, builder: &Builder<'_>) {
    let mut hits = builder.hits.clone();
    hits.sort_unstable_by_key(|hit| (hit.rule, hit.unit));
    hits.dedup_by_key(|hit| (hit.rule, hit.unit));
    for of_rule in hits.chunk_by(|a, b| a.rule == b.rule) {
        let Some(rule) = of_rule.first().and_then(|hit| builder.rules.get(hit.rule)) else { continue };
        let units = of_rule.iter().map(|hit| hit.unit).collect();
        let flagged = Flagged { rule: rule.to_owned(), units };
        match rules::find(rule).map(|info| info.known) {
            Some(Known::Before) => columns.flags.push(flagged),
            Some(Known::With | Known::After) | None => columns.symptoms.push(flagged),
        }
    }
    columns.flags.sort_by(|a, b| a.rule.cmp(&b.rule));
    columns.symptoms.sort_by(|a, b| a.rule.cmp(&b.rule));
}
