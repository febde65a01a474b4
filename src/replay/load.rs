//! Reads from a capture what its clients did ([`Script`]): which requests and sockets make a session from the tables,
//! every byte and instant from the segments. Requests of no session are sessions here, one for each connection. What cannot
//! be replayed in full is refused, and what is missing is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use bytes::Bytes;

use crate::{
    decode::{DeflateParameters, websocket::unmasked},
    model::{
        ConnectionId, ExchangeId, SessionId, Side, Timestamp,
        exchange::{self, Scheme},
        http::{Body, Head},
        rows::{ConnectionRow, ExchangeRow, Position, Row},
        trace::{Fact, TraceEvent},
        websocket::opcode,
    },
    profile::{Gate, Metadata, Profile, Refused},
    query::{Capture, Error as QueryError, Filter, Kind, Query},
    store::{SegmentReader, recovery::OnDamage},
};

use super::{
    Error,
    conversation::{Conversation, Heard},
    script::{Coding, Connection, End, Exchange, Frame, Script, Session, Tls},
    values,
};

/// Bytes of clients that are held in memory for a replay.
const MOST_BYTES: usize = 1 << 30;

/// Which sessions are wanted, and what is to be known of their requests.
pub struct Wanted<'w> {
    /// These; all where there is none.
    pub sessions: &'w [SessionId],
    /// Only sessions with an exchange for which this holds.
    pub filter: Option<&'w Filter>,
    /// What metadata is, of requests.
    pub metadata: &'w Metadata,
    /// Which messages are metadata, and what the gate is.
    pub profile: Option<&'w Profile>,
    /// What counts as refused.
    pub refused: &'w Refused,
}

/// Reads sessions from a capture.
///
/// # Errors
/// Where there is none, one cannot be replayed in full, or the capture cannot be read.
pub fn load(capture: &Capture, wanted: &Wanted<'_>) -> Result<Script, Error> {
    let rows = Rows::read(capture, wanted)?;
    let mut tapes = listen(capture, &rows, wanted.profile)?;
    let mut script = Script { capture: capture.dir().name(), ..Script::default() };
    let mut index = BTreeMap::new();
    for session in &rows.sessions {
        index.insert(session.id, script.sessions.len());
        script.sessions.push(session.clone());
    }
    for (id, row) in &rows.connections {
        let Some(tape) = tapes.remove(id) else { continue };
        let exchanges = rows.exchanges.values().filter(|exchange| exchange.connection == *id).collect::<Vec<_>>();
        script.connections.push(connection(row, &exchanges, tape, &index)?);
    }
    script.connections.sort_by_key(|connection| (connection.opened, connection.id));
    for connection in &mut script.connections {
        for exchange in &mut connection.exchanges {
            exchange.refused = exchange.status.is_none_or(|status| wanted.refused.contains(status));
        }
    }
    mark_metadata(&mut script, wanted.metadata);
    script.left_out = rows.left_out;
    Ok(script)
}

/// What the tables say.
struct Rows {
    /// In the order of ids.
    sessions: Vec<Session>,
    /// Each with its session.
    exchanges: BTreeMap<ExchangeId, ExchangeRow>,
    connections: BTreeMap<ConnectionId, ConnectionRow>,
    left_out: Vec<String>,
}

impl Rows {
    fn read(capture: &Capture, wanted: &Wanted<'_>) -> Result<Self, Error> {
        let mut sessions: BTreeMap<SessionId, Session> = BTreeMap::new();
        let mut members: BTreeMap<ExchangeId, SessionId> = BTreeMap::new();
        each(capture, Kind::Sessions, None, |row| {
            if let Row::Session(row) = row {
                members.extend(row.sockets.iter().chain(&row.exchanges).map(|id| (*id, row.id)));
                let sequential = matches!(row.correlated_by.as_str(), "header" | "key" | "token");
                sessions.insert(row.id, Session { id: row.id, sequential });
            }
        })?;
        let mut left_out = Vec::new();
        lonely(capture, &mut sessions, &mut members, &mut left_out)?;
        for id in wanted.sessions {
            if !sessions.contains_key(id) {
                let range = sessions.keys().next().copied().zip(sessions.keys().next_back().copied());
                return Err(Error::NoSession { id: *id, capture: capture.dir().name(), range });
            }
        }
        if !wanted.sessions.is_empty() {
            sessions.retain(|id, _| wanted.sessions.contains(id));
        }
        if let Some(filter) = wanted.filter {
            let mut taken: BTreeSet<SessionId> = BTreeSet::new();
            each(capture, Kind::Exchanges, Some(filter), |row| {
                if let Row::Exchange(row) = row {
                    taken.extend(members.get(&row.id));
                }
            })?;
            sessions.retain(|id, _| taken.contains(id));
        }
        if sessions.is_empty() {
            return Err(Error::Nothing { capture: capture.dir().name(), why: Self::why_nothing(capture)? });
        }
        members.retain(|_, session| sessions.contains_key(session));
        let mut exchanges = BTreeMap::new();
        each(capture, Kind::Exchanges, None, |row| {
            if let Row::Exchange(row) = row
                && members.contains_key(&row.id)
            {
                exchanges.insert(row.id, *row);
            }
        })?;
        for (id, session) in &members {
            match exchanges.get_mut(id) {
                Some(row) => row.session = Some(*session),
                None => return Err(Error::gone(*session, format!("{id} is not in the capture any more"))),
            }
        }
        let used: BTreeSet<ConnectionId> = exchanges.values().map(|row: &ExchangeRow| row.connection).collect();
        let mut connections = BTreeMap::new();
        let mut silent = (0_u64, 0_u64);
        each(capture, Kind::Connections, None, |row| {
            let Row::Connection(row) = row else { return };
            if row.alpn.as_deref() == Some("h2") {
                silent.0 += 1;
            } else if row.exchanges == 0 && row.bytes_from_client > 0 {
                silent.1 += 1;
            }
            if used.contains(&row.id) {
                connections.insert(row.id, row);
            }
        })?;
        if !wanted.sessions.is_empty() || wanted.filter.is_some() {
            left_out.clear();
        } else {
            let (http2, opaque) = silent;
            left_out.extend((http2 > 0).then(|| format!("{http2} connections spoke HTTP/2, which is not decoded")));
            left_out.extend((opaque > 0).then(|| format!("{opaque} connections were not HTTP/1")));
        }
        Ok(Self { sessions: sessions.into_values().collect(), exchanges, connections, left_out })
    }

    /// What else the capture holds, where it holds no session that is wanted.
    fn why_nothing(capture: &Capture) -> Result<String, Error> {
        let mut connections = 0_u64;
        let mut http2 = 0_u64;
        each(capture, Kind::Connections, None, |row| {
            if let Row::Connection(row) = row {
                connections += 1;
                http2 += u64::from(row.alpn.as_deref() == Some("h2"));
            }
        })?;
        Ok(match (connections, http2) {
            (0, _) => "it has no connections".to_owned(),
            (all, 0) => format!("it has {all} connections, and no session that is wanted has a request"),
            (all, http2) => format!("of its {all} connections {http2} spoke HTTP/2, which is not decoded"),
        })
    }
}

/// Makes sessions of the requests that are of none, one for each of their connections: nothing that a client sent is left
/// out because nobody knows whose it was. Their ids follow those of the capture, the same each time.
fn lonely(
    capture: &Capture,
    sessions: &mut BTreeMap<SessionId, Session>,
    members: &mut BTreeMap<ExchangeId, SessionId>,
    left_out: &mut Vec<String>,
) -> Result<(), Error> {
    let oldest = capture.dir().segments()?.into_iter().min().unwrap_or(1);
    let mut lonely: BTreeMap<ConnectionId, Vec<ExchangeId>> = BTreeMap::new();
    each(capture, Kind::Exchanges, None, |row| {
        if let Row::Exchange(row) = row
            && !members.contains_key(&row.id)
        {
            lonely.entry(row.connection).or_default().push(row.id);
        }
    })?;
    let mut begun_before = 0;
    each(capture, Kind::Connections, None, |row| {
        if let Row::Connection(row) = row
            && row.extent.first.segment < oldest
        {
            begun_before += lonely.remove(&row.id).map_or(0, |exchanges| exchanges.len());
        }
    })?;
    if begun_before > 0 {
        left_out.push(format!(
            "{begun_before} requests of no session are on connections whose beginning was dropped by retention"
        ));
    }
    let before = sessions.keys().next_back().map_or(0, |id| id.0);
    for (id, exchanges) in (before + 1..).map(SessionId).zip(lonely.into_values()) {
        sessions.insert(id, Session { id, sequential: false });
        members.extend(exchanges.into_iter().map(|exchange| (exchange, id)));
    }
    Ok(())
}

fn each(capture: &Capture, kind: Kind, filter: Option<&Filter>, mut take: impl FnMut(Row)) -> Result<(), QueryError> {
    capture.list(kind, Query { filter, ..Query::default() }, &mut |row| {
        take(row);
        Ok(ControlFlow::Continue(()))
    })
}

/// What was heard on one connection.
struct Tape<'w> {
    profile: Option<&'w Profile>,
    began: bool,
    connect: Option<Bytes>,
    tls: Option<Tls>,
    client: Vec<u8>,
    /// Offsets of the client's bytes and when they arrived, ascending.
    pieces: Vec<(u64, Timestamp)>,
    conversation: Conversation,
    requests: BTreeMap<u32, (Head, Timestamp, Option<Body>)>,
    answers: BTreeMap<u32, Vec<values::Issued>>,
    open: Option<(u32, Option<DeflateParameters>)>,
    frames: Vec<super::conversation::Frame>,
    /// What is known of the client's compressed frames, by their place in `frames`.
    coded: BTreeMap<usize, (Coding, Bytes)>,
    /// Those of the client's frames that begin metadata, by their place in `frames`.
    metadata: BTreeSet<usize>,
    /// The server's messages: when each was complete, and its values.
    messages: Vec<(Timestamp, Vec<values::Issued>)>,
    /// When the gate opened, where it is one that passes here.
    ready: Option<Timestamp>,
    end: Option<End>,
    lost: Option<String>,
}

impl<'w> Tape<'w> {
    fn new(profile: Option<&'w Profile>) -> Self {
        Self {
            profile,
            began: false,
            connect: None,
            tls: None,
            client: Vec::new(),
            pieces: Vec::new(),
            conversation: Conversation::new(),
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            open: None,
            frames: Vec::new(),
            coded: BTreeMap::new(),
            metadata: BTreeSet::new(),
            messages: Vec::new(),
            ready: None,
            end: None,
            lost: None,
        }
    }

    fn take(&mut self, fact: &Fact<'_>) {
        let mut heard = Vec::new();
        match fact {
            Fact::Opened(_) => self.began = true,
            Fact::Connect(_, head) => self.connect = Some(Bytes::copy_from_slice(head)),
            Fact::Tls(tls) if tls.side == Side::Client && tls.error.is_none() => {
                self.tls = Some(Tls { sni: tls.sni.clone(), alpn: tls.alpn.clone() });
            }
            Fact::Data(chunk) => {
                if chunk.from == Side::Client && chunk.offset == self.client.len() as u64 {
                    self.pieces.push((chunk.offset, chunk.at()));
                    self.client.extend_from_slice(chunk.bytes);
                }
                self.conversation.push(chunk, &mut heard);
            }
            Fact::Gap(gap) if gap.range.from == Side::Client => {
                let lost = format!("{} bytes of its client were not recorded: {}", gap.range.len(), gap.why);
                self.lost.get_or_insert(lost);
            }
            Fact::Ended(ended) => self.conversation.end(ended.from, ended.at, &mut heard),
            Fact::Closed(closed) => {
                self.end = Some(End { at: closed.at, by: closed.by, how: closed.how });
                for side in [Side::Client, Side::Server] {
                    self.conversation.end(side, closed.at, &mut heard);
                }
            }
            _ => {}
        }
        heard.into_iter().for_each(|heard| self.hear(heard));
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Request { n, head, began } => {
                self.requests.insert(n, (head, began, None));
            }
            Heard::RequestEnded { n, body } => {
                if let Some((_, _, of)) = self.requests.get_mut(&n) {
                    *of = Some(body);
                }
            }
            Heard::Answered { n, head: Some(head), body, .. } => {
                self.answers.insert(n, values::in_answer(&head, &body));
            }
            Heard::Answered { head: None, .. } => {}
            Heard::Open { n, deflate } => self.open = Some((n, deflate)),
            Heard::Frame(frame) => {
                if frame.range.from == Side::Server && matches!(self.gate(), Some(Gate::FirstServerFrame)) {
                    self.ready.get_or_insert(frame.began);
                }
                self.frames.push(frame);
            }
            Heard::Said { payload } => self.said(payload),
            Heard::Message { text, at } => {
                let opens = |text: &String| matches!(self.gate(), Some(Gate::Frame(gate)) if gate.matches(text));
                if text.as_ref().is_some_and(opens) {
                    self.ready.get_or_insert(at);
                }
                let nth = self.messages.len();
                let issued = text.map(|text| values::in_message(nth, &text)).unwrap_or_default();
                self.messages.push((at, issued));
            }
        }
    }
}

impl Tape<'_> {
    fn gate(&self) -> Option<&Gate> {
        self.profile.map(|profile| &profile.gate)
    }

    /// A message of the client's has ended with the last of its frames: whether it is metadata, and what it says, where that is
    /// compressed.
    fn said(&mut self, payload: Option<Vec<u8>>) {
        let mut members = Vec::new();
        for (nth, frame) in self.frames.iter().enumerate().rev() {
            if frame.range.from != Side::Client || frame.opcode >= opcode::CLOSE {
                continue;
            }
            members.push((nth, frame.length));
            if frame.opcode != opcode::CONTINUATION {
                break;
            }
        }
        members.reverse();
        if let (Some((first, _)), Some(matcher)) =
            (members.first(), self.profile.and_then(|it| it.metadata_frame.as_ref()))
            && self.frames.get(*first).is_some_and(|frame| frame.opcode == opcode::TEXT)
            && payload
                .as_deref()
                .and_then(|text| std::str::from_utf8(text).ok())
                .is_some_and(|text| matcher.matches(text))
        {
            self.metadata.insert(*first);
        }
        let (Some((first, _)), Some((_, Some(agreed)))) = (members.first().copied(), self.open) else { return };
        if self.frames.get(first).is_none_or(|frame| !frame.rsv1) {
            return;
        }
        let Some(payload) = payload else {
            // As they were: a continuation does not say that it is compressed.
            for (nth, _) in members {
                self.coded.insert(nth, (Coding::Opaque, Bytes::new()));
            }
            return;
        };
        let lengths = members.iter().map(|(_, length)| *length).collect();
        for (nth, _) in members.into_iter().skip(1) {
            self.coded.insert(nth, (Coding::Continued, Bytes::new()));
        }
        self.coded.insert(first, (Coding::Deflated { lengths, agreed }, payload.into()));
    }
}

/// Listens to the connections that are wanted, in one pass over the segments.
fn listen<'w>(
    capture: &Capture,
    rows: &Rows,
    profile: Option<&'w Profile>,
) -> Result<BTreeMap<ConnectionId, Tape<'w>>, Error> {
    let oldest = capture.dir().segments()?.into_iter().min().unwrap_or(1);
    let mut tapes: BTreeMap<ConnectionId, Tape<'w>> = BTreeMap::new();
    let mut first = Position { segment: u64::MAX, offset: 0 };
    let mut last = Position::default();
    for (id, row) in &rows.connections {
        if row.extent.first.segment < oldest {
            let why = format!(
                "the beginning of {id} was dropped by retention: it stood in segment {:06}, the oldest retained is {oldest:06}",
                row.extent.first.segment
            );
            return Err(rows.gone(*id, why));
        }
        first = first.min(row.extent.first);
        // What an open connection goes on with stands behind its row's last record.
        last =
            if row.closed_ns.is_some() { last.max(row.extent.last) } else { Position { segment: u64::MAX, offset: 0 } };
        tapes.insert(*id, Tape::new(profile));
    }
    let mut reader = SegmentReader::open_with(capture.dir(), first, OnDamage::Skip)?;
    let mut held = 0;
    while let Some((position, TraceEvent { connection, fact })) = reader.next()? {
        if position > last {
            break;
        }
        let Some(tape) = tapes.get_mut(&connection) else { continue };
        let before = tape.client.len();
        tape.take(&fact);
        held += tape.client.len() - before;
        if held > MOST_BYTES {
            return Err(Error::TooLarge { most: MOST_BYTES });
        }
    }
    if let Some(damage) = reader.take_damage().first() {
        let why = format!("segment {:06} is damaged at byte {}: {}", damage.segment, damage.start, damage.damage);
        return Err(Error::Damaged { why });
    }
    for (id, tape) in &tapes {
        let row = rows.connections.get(id);
        let have = tape.client.len() as u64;
        let all = row.filter(|row| row.closed_ns.is_some()).map_or(have, |row| row.bytes_from_client);
        if let Some(lost) = &tape.lost {
            return Err(rows.gone(*id, format!("{lost} ({id})")));
        }
        if !tape.began || have < all {
            return Err(rows.gone(*id, format!("bytes {have} to {all} of the client of {id} are not in the segments")));
        }
    }
    Ok(tapes)
}

impl Rows {
    /// Which session suffers from what is missing of a connection.
    fn gone(&self, connection: ConnectionId, why: String) -> Error {
        let session = self.exchanges.values().find(|row| row.connection == connection).and_then(|row| row.session);
        Error::gone(session.unwrap_or_default(), why)
    }
}

fn connection(
    row: &ConnectionRow,
    exchanges: &[&ExchangeRow],
    mut tape: Tape<'_>,
    sessions: &BTreeMap<SessionId, usize>,
) -> Result<Connection, Error> {
    let client = Bytes::from(std::mem::take(&mut tape.client));
    let starts: BTreeMap<u32, u64> = tape.requests.iter().map(|(n, (head, ..))| (*n, head.range.start)).collect();
    let socket_start =
        tape.frames.iter().filter(|frame| frame.range.from == Side::Client).map(|frame| frame.range.start).min();
    let mut authority = row.authority.clone();
    let mut done = Vec::with_capacity(exchanges.len());
    for exchange in exchanges {
        let Some((head, began, body)) = tape.requests.get(&exchange.index) else {
            let why = format!("the head of {} was not found again in the segments", exchange.id);
            return Err(Error::gone(exchange.session.unwrap_or_default(), why));
        };
        authority.get_or_insert_with(|| exchange.authority.clone());
        let upgraded = tape.open.filter(|(n, _)| *n == exchange.index);
        // What stands before the first request belongs to it.
        let start = if starts.keys().next() == Some(&exchange.index) { 0 } else { head.range.start };
        let body_end = body.as_ref().and_then(|body| body.range).map_or(head.range.end, |range| range.end);
        let next = starts.range(exchange.index + 1..).next().map(|(_, start)| *start);
        let end = match (upgraded, next) {
            (Some(_), _) => socket_start.unwrap_or(client.len() as u64).max(body_end),
            (None, Some(next)) => next,
            (None, None) => client.len() as u64,
        };
        let bytes = slice(&client, start, end);
        let at = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(bytes.len()).min(bytes.len());
        let pieces = pieces_of(&tape.pieces, start, end);
        let frames = if upgraded.is_some() { frames(&client, &tape, end) } else { Vec::new() };
        done.push(Exchange {
            id: exchange.id,
            session: exchange.session.and_then(|id| sessions.get(&id)).copied().unwrap_or_default(),
            head: at(head.range.end),
            body: at(body_end),
            bytes,
            pieces,
            method: exchange.method.clone(),
            path: exchange.path.clone(),
            authority: exchange.authority.clone(),
            began: exchange.request_first_byte_ns.min(*began),
            answered: exchange.response_last_byte_ns,
            status: exchange.status,
            refused: false,
            upgrade: head.asks_for_websocket(),
            open: exchange.websocket.as_ref().and_then(|socket| {
                // A prompt reply arrives before our write of the OPEN has returned; none before it began.
                socket.open_write_begun_ns.or(socket.client_open_written_ns).or(socket.server_open_ns)
            }),
            ready: tape.ready.filter(|_| upgraded.is_some()),
            metadata: false,
            issued: if exchange.proxy_made {
                Vec::new()
            } else {
                tape.answers.get(&exchange.index).cloned().unwrap_or_default()
            },
            frames,
            messages: if upgraded.is_some() { tape.messages.clone() } else { Vec::new() },
        });
    }
    done.sort_by_key(|exchange| exchange.id);
    Ok(Connection {
        id: row.id,
        mode: row.mode.clone(),
        client: row.client.clone(),
        authority: authority.unwrap_or_default(),
        opened: row.opened_ns,
        connect: tape.connect.take(),
        tls: tape.tls.take(),
        exchanges: done,
        end: tape.end,
    })
}

fn slice(bytes: &Bytes, start: u64, end: u64) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(start)..at(end).max(at(start)))
}

/// The reads that held the bytes of a range, with offsets within it; those of one instant are one.
fn pieces_of(all: &[(u64, Timestamp)], start: u64, end: u64) -> Vec<(usize, Timestamp)> {
    let first = all.partition_point(|(offset, _)| *offset <= start).saturating_sub(1);
    let mut found: Vec<(usize, Timestamp)> = Vec::new();
    for (offset, at) in all.get(first..).unwrap_or_default().iter().take_while(|(offset, _)| *offset < end) {
        let within = usize::try_from(offset.saturating_sub(start)).unwrap_or_default();
        match found.last() {
            // Closer together than a timer can tell: it was one write, or nobody can know better.
            Some((_, before)) if at.since(*before).as_micros() < 1000 => {}
            _ => found.push((within, *at)),
        }
    }
    found
}

/// What the client sent on a socket from an offset on: frames, and bytes that are none.
fn frames(client: &Bytes, tape: &Tape<'_>, from: u64) -> Vec<Frame> {
    let Tape { frames: heard, pieces, messages, .. } = tape;
    let arrived = |offset: u64| {
        let at = pieces.partition_point(|(begin, _)| *begin <= offset).checked_sub(1);
        at.and_then(|at| pieces.get(at)).map(|(_, at)| *at).unwrap_or_default()
    };
    let loose = |start: u64, end: u64| Frame {
        bytes: slice(client, start, end),
        opcode: None,
        coding: Coding::Plain,
        payload: Bytes::new(),
        at: arrived(start),
        after_messages: messages.partition_point(|(at, _)| *at <= arrived(start)),
        answers: false,
        metadata: false,
    };
    let mut found = Vec::new();
    let mut next = from;
    let (mut pings, mut closes) = (0_u32, 0_u32);
    for (nth, frame) in heard.iter().enumerate() {
        if frame.range.from == Side::Server {
            pings += u32::from(frame.opcode == opcode::PING);
            closes += u32::from(frame.opcode == opcode::CLOSE);
            continue;
        }
        if frame.range.start < from {
            continue;
        }
        if frame.range.start > next {
            found.push(loose(next, frame.range.start));
        }
        next = frame.range.end;
        let answers = match frame.opcode {
            opcode::PONG if pings > 0 => {
                pings -= 1;
                true
            }
            opcode::CLOSE => closes > 0,
            _ => false,
        };
        let bytes = slice(client, frame.range.start, frame.range.end);
        let (coding, payload) = tape.coded.get(&nth).cloned().unwrap_or_else(|| {
            let coding = if frame.rsv1 { Coding::Opaque } else { Coding::Plain };
            (coding, unmasked(&bytes).unwrap_or_default().into())
        });
        found.push(Frame {
            bytes,
            opcode: Some(frame.opcode),
            coding,
            payload,
            at: frame.began,
            after_messages: messages.partition_point(|(at, _)| *at <= frame.began),
            answers,
            metadata: tape.metadata.contains(&nth),
        });
    }
    if next < client.len() as u64 {
        found.push(loose(next, client.len() as u64));
    }
    found
}

/// Finds the metadata among the requests: what the matcher takes, or else of each socket the first request with an
/// unsafe method that its session sent after asking for it, as the rules have it.
fn mark_metadata(script: &mut Script, metadata: &Metadata) {
    match metadata {
        Metadata::Matches(matches) => {
            for connection in &mut script.connections {
                for exchange in &mut connection.exchanges {
                    exchange.metadata =
                        matches(&as_model(connection.id, &connection.authority, connection.tls.is_some(), exchange));
                }
            }
        }
        Metadata::FirstAfterUpgrade => {
            let mut order: Vec<(usize, Timestamp, bool, ExchangeId)> = Vec::new();
            for exchange in script.connections.iter().flat_map(|connection| &connection.exchanges) {
                let safe = matches!(exchange.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
                if exchange.upgrade || !safe {
                    order.push((exchange.session, exchange.began, exchange.upgrade, exchange.id));
                }
            }
            order.sort();
            let mut found = BTreeSet::new();
            let mut waiting: BTreeSet<usize> = BTreeSet::new();
            for (session, _, upgrade, id) in order {
                if upgrade {
                    waiting.insert(session);
                } else if waiting.remove(&session) {
                    found.insert(id);
                }
            }
            for exchange in script.connections.iter_mut().flat_map(|connection| &mut connection.exchanges) {
                exchange.metadata = found.contains(&exchange.id);
            }
        }
    }
}

/// As the profile's matcher wants it: a request whose head is complete.
fn as_model(id: ConnectionId, authority: &str, tls: bool, exchange: &Exchange) -> exchange::Exchange {
    let message = super::edit::Message {
        bytes: exchange.bytes.get(..exchange.head).unwrap_or_default().to_vec(),
        head: exchange.head,
        body: exchange.head,
        cuts: Vec::new(),
    };
    exchange::Exchange {
        id: exchange.id,
        connection: id,
        index: 0,
        scheme: match (tls, exchange.upgrade) {
            (true, false) => Scheme::Https,
            (true, true) => Scheme::Wss,
            (false, false) => Scheme::Http,
            (false, true) => Scheme::Ws,
        },
        authority: authority.to_owned(),
        request: message.parsed(),
        request_body: Body::default(),
        response: None,
        response_body: Body::default(),
        interim: Vec::new(),
        request_first_byte: exchange.began,
        request_last_byte: None,
        response_first_byte: None,
        response_last_byte: None,
        proxy_made: None,
        rewritten: Vec::new(),
        websocket: None,
        borne: Default::default(),
        done: false,
    }
}
