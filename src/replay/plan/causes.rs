//! What each request waits for: the answers that its client had had, and what changes hold metadata for. PURE.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{ExchangeId, Timestamp},
    replay::{
        script::{Exchange, Script},
        values::Origins,
    },
};

use super::{Inputs, PlanError, Wait};

/// What requests wait for, but for values.
pub(super) struct Causes {
    waits: BTreeMap<ExchangeId, BTreeSet<Wait>>,
    /// Of each session that is one user's for certain: when its answers were complete, ascending.
    answers: BTreeMap<usize, Vec<(Timestamp, ExchangeId)>>,
    pub(super) notes: Vec<String>,
}

impl Causes {
    pub(super) fn of(&self, exchange: ExchangeId) -> Vec<Wait> {
        self.waits.get(&exchange).into_iter().flatten().cloned().collect()
    }

    /// The answer that a session had had last before an instant, other than that exchange's.
    pub(super) fn before(&self, session: usize, at: Timestamp, not: ExchangeId) -> Option<ExchangeId> {
        let answers = self.answers.get(&session)?;
        let upto = answers.partition_point(|(answered, _)| *answered <= at);
        answers.get(..upto)?.iter().rev().map(|(_, id)| *id).find(|id| *id != not)
    }
}

/// Finds them.
///
/// # Errors
/// Where a change would make something wait for itself, or finds no metadata.
pub(super) fn find(script: &Script, origins: &Origins, inputs: &Inputs<'_>) -> Result<Causes, PlanError> {
    let mut causes = Causes { waits: BTreeMap::new(), answers: BTreeMap::new(), notes: Vec::new() };
    let exchanges = || script.connections.iter().flat_map(|connection| &connection.exchanges);
    for exchange in exchanges() {
        if let (Some(answered), true) = (exchange.answered, is_sequential(script, exchange.session)) {
            causes.answers.entry(exchange.session).or_default().push((answered, exchange.id));
        }
    }
    causes.answers.values_mut().for_each(|answers| answers.sort());
    let mut fixed: BTreeMap<ExchangeId, BTreeSet<ExchangeId>> = BTreeMap::new();
    for connection in &script.connections {
        let mut before: Vec<&Exchange> = Vec::new();
        for exchange in &connection.exchanges {
            // The last answer of its own connection that its client had had; requests before that one have theirs too.
            let own = before.iter().rev().find(|other| other.answered.is_some_and(|at| at <= exchange.began));
            if let Some(other) = own {
                causes.waits.entry(exchange.id).or_default().insert(Wait::Answered(other.id));
            }
            // On one connection nothing overtakes.
            fixed.entry(exchange.id).or_default().extend(before.last().map(|other| other.id));
            before.push(exchange);
            if let Some(other) = causes.before(exchange.session, exchange.began, exchange.id) {
                causes.waits.entry(exchange.id).or_default().insert(Wait::Answered(other));
            }
            let Some(session) = script.sessions.get(exchange.session) else { continue };
            let uses = origins.uses(session.id, &exchange.bytes, exchange.began);
            fixed.entry(exchange.id).or_default().extend(uses.into_iter().map(|one| one.source.exchange));
        }
    }
    hold(script, inputs, &mut causes, &fixed)?;
    Ok(causes)
}

fn is_sequential(script: &Script, session: usize) -> bool {
    script.sessions.get(session).is_some_and(|session| session.sequential)
}

/// Makes metadata wait for its socket.
fn hold(
    script: &Script,
    inputs: &Inputs<'_>,
    causes: &mut Causes,
    fixed: &BTreeMap<ExchangeId, BTreeSet<ExchangeId>>,
) -> Result<(), PlanError> {
    let changes = inputs.changes;
    let change = match (changes.hold, changes.wait_for_ready) {
        (None, false) => return Ok(()),
        (Some(_), _) => "hold",
        (None, true) => "wait-for",
    };
    let mut alone = 0_u64;
    let mut held = 0_u64;
    for metadata in script.connections.iter().flat_map(|connection| &connection.exchanges).filter(|one| one.metadata) {
        let Some(socket) = socket_of(script, metadata) else {
            alone += 1;
            continue;
        };
        held += 1;
        part(causes, fixed, metadata.id, socket, change)?;
        let waits = causes.waits.entry(metadata.id).or_default();
        waits.extend(changes.hold.map(|by| Wait::Open(socket, by)));
        waits.extend(changes.wait_for_ready.then_some(Wait::Ready(socket)));
    }
    if alone > 0 {
        causes
            .notes
            .push(format!("{change}: {alone} requests are metadata of sessions without a socket: they are not held"));
    }
    // Messages wait for their own socket; what each waits for, the plan of its connection says.
    let frames = || script.connections.iter().flat_map(|connection| &connection.exchanges).flat_map(|one| &one.frames);
    held += frames().filter(|frame| frame.metadata).count() as u64;
    if held == 0 && alone == 0 {
        return Err(PlanError::NoMetadata { change: change.to_owned() });
    }
    Ok(())
}

/// The socket of a request: the one open or opening at its first byte, else its session's next one, else the last.
fn socket_of(script: &Script, metadata: &Exchange) -> Option<ExchangeId> {
    let mut sockets: Vec<(Timestamp, Option<Timestamp>, ExchangeId)> = Vec::new();
    for connection in &script.connections {
        let of_session = connection.exchanges.iter().filter(|one| one.upgrade && one.session == metadata.session);
        sockets.extend(of_session.map(|one| (one.began, connection.end.map(|end| end.at), one.id)));
    }
    sockets.sort();
    let at = metadata.began;
    let open = sockets.iter().rev().find(|(asked, closed, _)| *asked <= at && closed.is_none_or(|closed| closed > at));
    let next = || sockets.iter().find(|(asked, ..)| *asked > at);
    open.or_else(next).or_else(|| sockets.last()).map(|(.., id)| *id)
}

/// Takes away what would make the socket wait for the metadata that is to wait for it.
fn part(
    causes: &mut Causes,
    fixed: &BTreeMap<ExchangeId, BTreeSet<ExchangeId>>,
    metadata: ExchangeId,
    socket: ExchangeId,
    change: &str,
) -> Result<(), PlanError> {
    while let Some(path) = path(causes, fixed, socket, metadata) {
        let loose = path.windows(2).find_map(|pair| match pair {
            [from, to] if !fixed.get(from).is_some_and(|fixed| fixed.contains(to)) => Some((*from, *to)),
            _ => None,
        });
        let Some((from, to)) = loose else {
            let why = match path.as_slice() {
                [_, _] => "bears a value that its answer issues, or follows it on its own connection".to_owned(),
                _ => "cannot be sent before its answer".to_owned(),
            };
            return Err(PlanError::Circle { change: change.to_owned(), metadata, socket, why });
        };
        if let Some(waits) = causes.waits.get_mut(&from) {
            waits.retain(|wait| waits_for(wait) != Some(to));
        }
    }
    Ok(())
}

fn waits_for(wait: &Wait) -> Option<ExchangeId> {
    match wait {
        Wait::Answered(id) | Wait::Open(id, _) | Wait::Ready(id) | Wait::Messages(id, _) => Some(*id),
        Wait::Value(source) => Some(source.exchange),
    }
}

/// How one exchange comes to wait for another, from the one to the other.
fn path(
    causes: &Causes,
    fixed: &BTreeMap<ExchangeId, BTreeSet<ExchangeId>>,
    from: ExchangeId,
    to: ExchangeId,
) -> Option<Vec<ExchangeId>> {
    let mut seen = BTreeMap::from([(from, from)]);
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        if at == to {
            let mut path = vec![at];
            let mut at = at;
            while let Some(before) = seen.get(&at).copied().filter(|before| *before != at) {
                path.push(before);
                at = before;
            }
            path.reverse();
            return Some(path);
        }
        let waited = causes.waits.get(&at).into_iter().flatten().filter_map(waits_for);
        for other in waited.chain(fixed.get(&at).into_iter().flatten().copied()) {
            if let std::collections::btree_map::Entry::Vacant(entry) = seen.entry(other) {
                entry.insert(at);
                next.push(other);
            }
        }
    }
    None
}
