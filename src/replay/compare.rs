//! Capture against capture: the same requests byte for byte, in the same order within a session, with the same answers?
//! PURE.
//!
//! What must differ is taken out first: masks, `Sec-WebSocket-Key`, values that the server issued (they are expected as
//! they were issued in the second capture), the server's own name where the second went to another, and what a replay
//! made anew for its copies. A difference names its place, never its bytes: they may be secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{ConnectionId, ExchangeId, SessionId, Timestamp};

use super::{
    driver::{Lateness, lateness::Quantiles},
    edit::Message,
    plan,
    script::{Connection, Exchange, Frame, Script},
    trail::Record,
    values::{Origins, Source, percent_encoded},
};

/// Requests that began closer together than this may change places, unless the first was answered before the second: a
/// timer cannot keep them apart.
const TOLERANCE_NS: u64 = 5_000_000;

/// How two captures compare.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// The first's name.
    pub a: String,
    /// The second's name.
    pub b: String,
    /// Sessions that were held against each other, copies counted.
    pub sessions: u64,
    /// Requests that were held against each other.
    pub requests: u64,
    /// Those that were the same, byte for byte.
    pub identical: u64,
    /// Frames that were held against each other.
    pub frames: u64,
    /// Whether nothing differs.
    pub empty: bool,
    /// Everything that differs.
    pub differences: Vec<Difference>,
    /// By how much requests were sent earlier or later within their session than in the first.
    pub timing_shift: Quantiles,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which kind.
    pub kind: DifferenceKind,
    /// The session in the first capture.
    pub session: Option<SessionId>,
    /// Which copy of it, from 0.
    pub copy: u32,
    /// The exchange in the first.
    pub a: Option<ExchangeId>,
    /// The exchange in the second.
    pub b: Option<ExchangeId>,
    /// Where or how, in words.
    pub what: String,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// A request is in the first alone.
    OnlyInA,
    /// A request is in the second alone.
    OnlyInB,
    /// Bytes differ.
    Bytes,
    /// Two requests changed places.
    Order,
    /// A status differs.
    Status,
    /// Frames of the client differ.
    Frames,
}

impl DifferenceKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnlyInA => "only-in-a",
            Self::OnlyInB => "only-in-b",
            Self::Bytes => "bytes",
            Self::Order => "order",
            Self::Status => "status",
            Self::Frames => "frames",
        }
    }
}

/// A request with its connection.
type At<'s> = (&'s Connection, &'s Exchange);

/// One session of the first, and what stands for it in the second.
struct Pair<'s> {
    session: Option<SessionId>,
    copy: u32,
    /// Matched, or on one side alone.
    both: Vec<(At<'s>, At<'s>)>,
    only_a: Vec<At<'s>>,
    only_b: Vec<At<'s>>,
}

/// Compares two captures; `record` is what the second says of itself, where it is a replay of the first.
pub fn compare(a: &Script, b: &Script, record: Option<&Record>) -> Comparison {
    let pairs = match record {
        Some(record) => by_record(a, b, record),
        None => by_likeness(a, b),
    };
    let origins = plan::origins(a);
    let mut comparison = Comparison { a: a.capture.clone(), b: b.capture.clone(), ..Comparison::default() };
    let mut shifts = Lateness::default();
    for pair in &pairs {
        comparison.sessions += 1;
        pair.judge(a, &origins, &mut comparison, &mut shifts);
    }
    comparison.timing_shift = shifts.quantiles();
    comparison.differences.sort_by_key(|one| (one.session, one.copy, one.a, one.b, one.kind));
    comparison.empty = comparison.differences.is_empty();
    comparison
}

fn all(script: &Script) -> impl Iterator<Item = At<'_>> {
    script
        .connections
        .iter()
        .flat_map(|connection| connection.exchanges.iter().map(move |exchange| (connection, exchange)))
}

/// By what the replay wrote down: connection by connection, request by request.
fn by_record<'s>(a: &'s Script, b: &'s Script, record: &Record) -> Vec<Pair<'s>> {
    // Of connections with one client address, the first is the first.
    let mut by_client: BTreeMap<String, Vec<&Connection>> = BTreeMap::new();
    for connection in b.connections.iter().rev() {
        by_client.entry(connection.client.clone()).or_default().push(connection);
    }
    let mut made: BTreeMap<(u32, ConnectionId), Vec<&Connection>> = BTreeMap::new();
    let mut copies: BTreeSet<u32> = BTreeSet::new();
    let mut replayed: BTreeSet<SessionId> = BTreeSet::new();
    for trail in &record.connections {
        copies.insert(trail.copy);
        replayed.insert(trail.session);
        let found = by_client.get_mut(&trail.client.to_string()).and_then(Vec::pop);
        made.entry((trail.copy, trail.of)).or_default().extend(found);
    }
    let mut pairs: BTreeMap<(u32, usize), Pair<'_>> = BTreeMap::new();
    for copy in copies {
        for connection in &a.connections {
            let mut theirs = made.remove(&(copy, connection.id)).unwrap_or_default();
            theirs.sort_by_key(|connection| connection.opened);
            let mut theirs = theirs.into_iter().flat_map(|other| other.exchanges.iter().map(move |one| (other, one)));
            let owner = connection.exchanges.first().map_or(0, |exchange| exchange.session);
            let session = a.sessions.get(owner).map(|session| session.id);
            // A session that was not chosen for the replay is not missed.
            if session.is_none_or(|session| !replayed.contains(&session)) {
                continue;
            }
            let pair = pairs.entry((copy, owner)).or_insert_with(|| Pair::new(session, copy));
            for exchange in &connection.exchanges {
                match theirs.next() {
                    Some(other) => pair.both.push(((connection, exchange), other)),
                    None => pair.only_a.push((connection, exchange)),
                }
            }
            pair.only_b.extend(theirs);
        }
    }
    let mut pairs: Vec<Pair<'_>> = pairs.into_values().collect();
    // What was on no connection of the replay's.
    let foreign: Vec<At<'_>> =
        by_client.into_values().flatten().flat_map(|c| c.exchanges.iter().map(move |one| (c, one))).collect();
    if !foreign.is_empty() {
        pairs.push(Pair { only_b: foreign, ..Pair::new(None, 0) });
    }
    pairs
}

/// By what they look like: sessions with the same requests first, the others in their order.
fn by_likeness<'s>(a: &'s Script, b: &'s Script) -> Vec<Pair<'s>> {
    let sessions = |script: &'s Script| -> Vec<Vec<At<'s>>> {
        let mut found = vec![Vec::new(); script.sessions.len()];
        for at in all(script) {
            if let Some(session) = found.get_mut(at.1.session) {
                session.push(at);
            }
        }
        found.iter_mut().for_each(|session| session.sort_by_key(|(_, exchange)| (exchange.began, exchange.id)));
        found.sort_by_key(|session| session.first().map(|(_, exchange)| exchange.began));
        found
    };
    let ours = sessions(a);
    let mut theirs: Vec<Option<Vec<At<'s>>>> = sessions(b).into_iter().map(Some).collect();
    let look = |session: &[At<'_>]| session.iter().map(|(_, exchange)| shape(exchange)).collect::<Vec<_>>();
    let looks: Vec<Vec<String>> = theirs.iter().flatten().map(|session| look(session)).collect();
    let mut matched: Vec<Option<Vec<At<'s>>>> = Vec::with_capacity(ours.len());
    for session in &ours {
        let own = look(session);
        let like = looks.iter().zip(theirs.iter_mut()).find(|(look, session)| session.is_some() && **look == own);
        matched.push(like.and_then(|(_, session)| session.take()));
    }
    let mut left = theirs.into_iter().flatten();
    let mut pairs = Vec::new();
    for (session, other) in ours.into_iter().zip(matched) {
        let other = other.or_else(|| left.next()).unwrap_or_default();
        pairs.push(Pair::align(a, session, other));
    }
    pairs.extend(left.map(|other| Pair::align(a, Vec::new(), other)));
    pairs
}

/// Method and target with ids taken out.
fn shape(exchange: &Exchange) -> String {
    let message = message_of(exchange);
    let head = message.parsed();
    let target = String::from_utf8_lossy(head.target()).into_owned();
    let parts = target.split(['/', '?', '&', '=', '-', ':']);
    let shapes = parts.map(|part| if part.bytes().any(|b| b.is_ascii_digit()) { "#" } else { part });
    format!("{} {}", exchange.method, shapes.collect::<Vec<_>>().join("/"))
}

fn message_of(exchange: &Exchange) -> Message {
    Message { bytes: exchange.bytes.to_vec(), head: exchange.head, body: exchange.body, cuts: Vec::new() }
}

impl<'s> Pair<'s> {
    fn new(session: Option<SessionId>, copy: u32) -> Self {
        Self { session, copy, both: Vec::new(), only_a: Vec::new(), only_b: Vec::new() }
    }

    /// Matches requests of the same shape in their order; the others are on one side alone.
    fn align(a: &Script, ours: Vec<At<'s>>, theirs: Vec<At<'s>>) -> Self {
        let session = ours.first().and_then(|(_, exchange)| a.sessions.get(exchange.session)).map(|session| session.id);
        let mut pair = Self::new(session, 0);
        let mut left: Vec<Option<(String, At<'s>)>> = theirs.into_iter().map(|at| Some((shape(at.1), at))).collect();
        for at in ours {
            let own = shape(at.1);
            let found = left.iter_mut().find(|other| other.as_ref().is_some_and(|(shape, _)| *shape == own));
            match found.and_then(Option::take) {
                Some((_, other)) => pair.both.push((at, other)),
                None => pair.only_a.push(at),
            }
        }
        pair.only_b.extend(left.into_iter().flatten().map(|(_, at)| at));
        pair
    }

    fn judge(&self, a: &Script, origins: &Origins, comparison: &mut Comparison, shifts: &mut Lateness) {
        let partners: BTreeMap<ExchangeId, &Exchange> =
            self.both.iter().map(|((_, ours), (_, theirs))| (ours.id, *theirs)).collect();
        for (alone, kind) in [(&self.only_a, DifferenceKind::OnlyInA), (&self.only_b, DifferenceKind::OnlyInB)] {
            for (_, exchange) in alone {
                let is_a = kind == DifferenceKind::OnlyInA;
                let (of_a, of_b) = if is_a { (Some(exchange.id), None) } else { (None, Some(exchange.id)) };
                comparison.differences.push(self.difference(
                    kind,
                    of_a,
                    of_b,
                    format!("{} {}", exchange.method, exchange.path),
                ));
            }
        }
        let first = self.both.iter().min_by_key(|((_, ours), _)| (ours.began, ours.id));
        let base = first.map(|((_, ours), (_, theirs))| (ours.began, theirs.began)).unwrap_or_default();
        for ((connection, ours), (other, theirs)) in &self.both {
            comparison.requests += 1;
            let own = a.sessions.get(ours.session).map(|session| session.id).unwrap_or_default();
            let carry = Carry { origins, partners: &partners, session: own, copy: self.copy };
            let (of_a, of_b) = (Some(ours.id), Some(theirs.id));
            match carry.bytes(connection, ours, other, theirs) {
                None => comparison.identical += 1,
                Some(place) => comparison.differences.push(self.difference(DifferenceKind::Bytes, of_a, of_b, place)),
            }
            if ours.status != theirs.status {
                let what = format!("{}, was {}", status(theirs.status), status(ours.status));
                comparison.differences.push(self.difference(DifferenceKind::Status, of_a, of_b, what));
            }
            let (count, difference) = carry.frames(ours, theirs);
            comparison.frames += count;
            comparison
                .differences
                .extend(difference.map(|what| self.difference(DifferenceKind::Frames, of_a, of_b, what)));
            let offset = |at: Timestamp, base: Timestamp| at.signed_since(base);
            shifts.push(offset(theirs.began, base.1).abs_diff(offset(ours.began, base.0)));
        }
        self.order(a, comparison);
    }

    /// Requests that overtook one another.
    fn order(&self, a: &Script, comparison: &mut Comparison) {
        let mut ours: Vec<(&Exchange, &Exchange)> =
            self.both.iter().map(|((_, ours), (_, theirs))| (*ours, *theirs)).collect();
        ours.sort_by_key(|(ours, _)| (ours.began, ours.id));
        // The latest of the second so far, among those that the first surely sent before.
        let mut before: Vec<(&Exchange, &Exchange)> = Vec::new();
        for (own, other) in ours {
            let sequential = a.sessions.get(own.session).is_some_and(|session| session.sequential);
            let surely = |earlier: &Exchange| {
                let caused = sequential && earlier.answered.is_some_and(|answered| answered <= own.began);
                caused || earlier.began.after(std::time::Duration::from_nanos(TOLERANCE_NS)) <= own.began
            };
            let overtaken = before.iter().filter(|(earlier, _)| surely(earlier)).max_by_key(|(_, theirs)| theirs.began);
            if let Some((earlier, _)) = overtaken.filter(|(_, theirs)| theirs.began > other.began) {
                let what = format!("sent before {}, was after it", earlier.id);
                comparison.differences.push(self.difference(DifferenceKind::Order, Some(own.id), Some(other.id), what));
            }
            before.push((own, other));
        }
    }

    fn difference(
        &self,
        kind: DifferenceKind,
        a: Option<ExchangeId>,
        b: Option<ExchangeId>,
        what: String,
    ) -> Difference {
        Difference { kind, session: self.session, copy: self.copy, a, b, what }
    }
}

fn status(status: Option<u16>) -> String {
    status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())
}

/// What is expected of the second, given what its server issued.
struct Carry<'c> {
    origins: &'c Origins,
    partners: &'c BTreeMap<ExchangeId, &'c Exchange>,
    session: SessionId,
    copy: u32,
}

impl Carry<'_> {
    /// The value that the second's server issued in the place of the first's.
    fn value(&self, source: &Source) -> Option<&str> {
        let partner = self.partners.get(&source.exchange)?;
        let issued = partner.issued.iter().chain(partner.messages.iter().flat_map(|(_, issued)| issued));
        issued.into_iter().find(|issued| issued.place == source.place).map(|issued| issued.value.as_str())
    }

    fn edits(&self, bytes: &[u8], at: Timestamp) -> Vec<super::edit::Edit> {
        let uses = self.origins.uses(self.session, bytes, at).into_iter();
        uses.filter_map(|one| {
            let value = self.value(&one.source)?;
            let value = if one.encoded { percent_encoded(value) } else { value.to_owned() };
            Some((one.range, value.into_bytes()))
        })
        .collect()
    }

    /// Where the two requests differ first; `None` where they do not.
    fn bytes(&self, connection: &Connection, ours: &Exchange, other: &Connection, theirs: &Exchange) -> Option<String> {
        let mut expected = message_of(ours);
        let edits = self.edits(&expected.bytes, ours.began);
        expected.edit(edits);
        if connection.authority != other.authority {
            expected.retarget(&connection.authority, &other.authority, other.tls.is_some());
        }
        let mut found = message_of(theirs);
        for message in [&mut expected, &mut found] {
            message.map_header("sec-websocket-key", |_| Some("(fresh)".to_owned()));
        }
        if self.copy > 0 {
            let suffix = format!(" copy {}", self.copy);
            let head = found.parsed();
            let names: BTreeSet<String> =
                head.headers().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
            for name in names {
                found.map_header(&name, |value| value.strip_suffix(&suffix).map(str::to_owned));
            }
            found.bytes = plan::with_same_ids(&found.bytes, &expected.bytes);
        }
        place(&expected, &found)
    }

    /// How many frames were compared, and how they differ first.
    fn frames(&self, ours: &Exchange, theirs: &Exchange) -> (u64, Option<String>) {
        let told = |exchange: &Exchange| {
            exchange.frames.iter().filter(|frame| !frame.answers).cloned().collect::<Vec<Frame>>()
        };
        let (ours, theirs) = (told(ours), told(theirs));
        let count = ours.len().min(theirs.len()) as u64;
        for (nth, (own, other)) in ours.iter().zip(&theirs).enumerate() {
            let first = |frame: &Frame| frame.bytes.first().copied();
            if own.opcode != other.opcode || (own.opcode.is_some() && first(own) != first(other)) {
                return (count, Some(format!("frame {} of the client is of another kind", nth + 1)));
            }
            let content =
                |frame: &Frame| if frame.opcode.is_some() { frame.payload.clone() } else { frame.bytes.clone() };
            let mut expected = Message { bytes: content(own).to_vec(), head: 0, body: 0, cuts: Vec::new() };
            expected.edit(self.edits(&expected.bytes, own.at));
            let mut found = content(other).to_vec();
            if self.copy > 0 {
                found = plan::with_same_ids(&found, &expected.bytes);
            }
            if found != expected.bytes {
                return (count, Some(format!("frame {} of the client has another payload", nth + 1)));
            }
        }
        let difference =
            (ours.len() != theirs.len()).then(|| format!("{} frames of the client, were {}", theirs.len(), ours.len()));
        (count, difference)
    }
}

/// Where two messages differ first, in words and without their bytes.
fn place(expected: &Message, found: &Message) -> Option<String> {
    let equal = expected.bytes.iter().zip(&found.bytes).take_while(|(a, b)| a == b).count();
    if equal == expected.bytes.len() && equal == found.bytes.len() {
        return None;
    }
    let line = |message: &Message| {
        let head = message.parsed();
        let at = u32::try_from(equal).unwrap_or(u32::MAX);
        let field = head.fields.iter().find(|field| field.line.start <= at && at < field.line.end);
        field.map(|field| String::from_utf8_lossy(field.name.of(&head.raw)).into_owned())
    };
    Some(if equal >= expected.body && equal >= found.body {
        format!("what follows the body differs from its byte {} on", equal - expected.body)
    } else if equal >= expected.head && equal >= found.head {
        format!("the body differs from byte {} on", equal - expected.head)
    } else {
        match (line(expected), line(found)) {
            (Some(a), Some(b)) if a == b => format!("the header {a} differs"),
            (Some(a), Some(b)) => format!("the header {b} stands where {a} was"),
            (Some(a), None) => format!("the head ends where the header {a} was"),
            (None, Some(b)) if equal >= expected.head.saturating_sub(2) => format!("there is one more header, {b}"),
            _ => "the request line differs".to_owned(),
        }
    })
}
