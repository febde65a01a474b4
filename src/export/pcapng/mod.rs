//! pcapng: what client and server said to each other, decrypted, as TCP segments between their real addresses at the
//! instants of arrival, in nanoseconds. Wireshark and tshark read it, follow its streams and dissect HTTP and WebSocket.
//!
//! - One TCP connection for each pair of client and server, with handshake, FIN or RST; sequence numbers count bytes.
//! - A packet is one read of ours; what was not captured leaves a hole in the sequence numbers, as a real loss would.
//! - Flags are packet comments. TLS keys, where they are given, stand before the packets.
//! - CONNECT and TLS are not shown: they are not between these two ends.
//!
//! `encode` makes bytes; `covers` says what of a connection's bytes must not be read.

mod covers;
mod encode;

use std::{collections::BTreeMap, io::Write, net::SocketAddr, ops::ControlFlow};

use crate::{
    model::{
        ConnectionId, Side, Timestamp,
        rows::{Position, Row},
        side::Sides,
        trace::{Ending, Fact},
    },
    query::Kind,
    store::{SegmentReader, recovery::OnDamage},
};

use super::{Error, Format, Job, Report};

use covers::Covers;
use encode::{LARGEST, Segment, flag};

pub(super) const FORMAT: Format =
    Format { id: "pcapng", summary: "decrypted packets for Wireshark and tshark", extension: "pcapng", write };

/// Bytes that wait for the server's address to be known.
const EARLY: usize = 1 << 20;
/// Bytes that are written at once.
const FLUSH: usize = 1 << 18;

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let mut report = std::mem::take(&mut job.report);
    let wanted = wanted(job)?;
    let comments = comments(job, &mut report)?;
    let covers = if job.options.keep_secrets { None } else { Some(Covers::read(job, &mut report)?) };
    let mut bytes = Vec::with_capacity(2 * FLUSH);
    let application = concat!("firstframe ", env!("CARGO_PKG_VERSION"));
    let redacted = if covers.is_some() {
        "fingerprints and blanks stand in the place of secrets"
    } else {
        "secrets are as they were sent"
    };
    encode::section(&mut bytes, application, &format!("capture {}; decrypted; {redacted}", job.capture.dir().name()));
    encode::interface(&mut bytes, "firstframe");
    if let Some(keys) = &job.options.tls_keys {
        encode::secrets(&mut bytes, keys);
    }
    let anchor = job.capture.anchor();
    let mut packets = Packets {
        out: bytes,
        unix_ns: anchor.unix_ns,
        count: 0,
        payload: 0,
        comments,
        covers,
        covered: Vec::new(),
        blanked: 0,
    };
    let mut wires: BTreeMap<u64, Wire> = BTreeMap::new();
    let first = job.capture.dir().segments()?.first().copied().unwrap_or(1);
    let mut reader =
        SegmentReader::open_with(job.capture.dir(), Position { segment: first, offset: 0 }, OnDamage::Skip)?;
    while let Some((_, event)) = reader.next()? {
        let id = event.connection;
        if id == ConnectionId::CAPTURE || wanted.as_ref().is_some_and(|wanted| wanted.binary_search(&id.0).is_err()) {
            continue;
        }
        if let Fact::Opened(opened) = &event.fact {
            wires.insert(id.0, Wire::new(id, opened.client, opened.listener, opened.at));
            continue;
        }
        let Some(wire) = wires.get_mut(&id.0) else {
            if let Fact::Data(chunk) = &event.fact {
                report
                    .left_out("bytes of connections that began before the retained segments", chunk.bytes.len() as u64);
            }
            continue;
        };
        wire.fact(&event.fact, &mut packets, &mut report);
        if matches!(event.fact, Fact::Closed(_)) {
            wires.remove(&id.0);
            if let Some(covers) = &mut packets.covers {
                covers.forget(id);
            }
            report.wrote("connections", 1);
            (job.progress)(*report.written.get("connections").unwrap_or(&0));
        }
        if packets.out.len() >= FLUSH {
            out.write_all(&packets.out)?;
            packets.out.clear();
        }
    }
    // Those that were open at the end.
    for wire in wires.values_mut() {
        wire.establish(None, &mut packets);
        report.wrote("connections", 1);
    }
    out.write_all(&packets.out)?;
    report.left_out("bytes that are blanked: they belong to no exchange and no frame", packets.blanked);
    report.wrote("packets", packets.count);
    report.wrote("bytes of payload", packets.payload);
    job.report = report;
    Ok(())
}

/// The connections with exchanges that are wanted; `None` for all.
fn wanted(job: &Job<'_>) -> Result<Option<Vec<u64>>, Error> {
    if job.filter.is_none() && job.about.is_none() {
        return Ok(None);
    }
    let mut wanted = Vec::new();
    job.capture.list(Kind::Exchanges, job.query(), &mut |row| {
        if let Row::Exchange(row) = row {
            wanted.push(row.connection.0);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    wanted.sort_unstable();
    wanted.dedup();
    Ok(Some(wanted))
}

/// Texts for the packet that holds a place in one side's bytes, ascending.
type Comments = BTreeMap<(u64, bool), Vec<(u64, String)>>;

/// The flags, each at the place of its first piece of evidence.
fn comments(job: &Job<'_>, report: &mut Report) -> Result<Comments, Error> {
    let mut flags = Vec::new();
    let query = crate::query::Query::default();
    job.capture.list(Kind::Flags, query, &mut |row| {
        if let Row::Flag(row) = row {
            flags.push(row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut comments = Comments::new();
    if flags.is_empty() {
        return Ok(comments);
    }
    let mut subjects: BTreeMap<String, Option<(u64, Side, u64)>> = BTreeMap::new();
    for flag in &flags {
        subjects.insert(flag.subject.clone(), None);
        flag.evidence.iter().for_each(|evidence| {
            subjects.insert(evidence.id.clone(), None);
        });
    }
    for kind in [Kind::Exchanges, Kind::Frames] {
        job.capture.list(kind, query, &mut |row| {
            let (id, place) = match row {
                Row::Exchange(row) => (row.id.to_string(), (row.connection.0, Side::Client, row.offsets.request_start)),
                Row::Frame(row) => (row.id.to_string(), (row.connection.0, row.from, row.start)),
                _ => return Ok(ControlFlow::Continue(())),
            };
            if let Some(subject) = subjects.get_mut(&id) {
                *subject = Some(place);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let mut scrubber = job.scrubber.borrow_mut();
    for flag in flags {
        let evidence = flag.evidence.iter().find_map(|evidence| {
            let (connection, side, start) = (*subjects.get(&evidence.id)?)?;
            match (evidence.side, evidence.offset) {
                (Some(side), Some(offset)) => Some((connection, side, offset)),
                _ => Some((connection, side, start)),
            }
        });
        let place = evidence.or_else(|| *subjects.get(&flag.subject)?);
        let Some((connection, side, offset)) = place else {
            report.left_out("flags on what is in no packet", 1);
            continue;
        };
        let text = format!("{} {}: {}", flag.severity, flag.rule, flag.message);
        let text = String::from_utf8_lossy(&scrubber.values(text.as_bytes())).into_owned();
        comments.entry((connection, side == Side::Server)).or_default().push((offset, text));
    }
    comments.values_mut().for_each(|texts| texts.sort());
    Ok(comments)
}

/// Where packets go.
struct Packets {
    out: Vec<u8>,
    unix_ns: i64,
    count: u64,
    payload: u64,
    comments: Comments,
    covers: Option<Covers>,
    /// A chunk as it may leave; kept for the next one.
    covered: Vec<u8>,
    blanked: u64,
}

impl Packets {
    fn put(&mut self, at: Timestamp, segment: &Segment<'_>, comments: &[String]) {
        let unix = u64::try_from(self.unix_ns).unwrap_or(0).saturating_add(at.0);
        encode::packet(&mut self.out, unix, segment, comments);
        self.count += 1;
        self.payload += segment.payload.len() as u64;
    }

    /// The comments on what lies before `upto`.
    fn comments(&mut self, connection: ConnectionId, from: Side, upto: u64) -> Vec<String> {
        let Some(texts) = self.comments.get_mut(&(connection.0, from == Side::Server)) else { return Vec::new() };
        let here = texts.partition_point(|(offset, _)| *offset < upto);
        texts.drain(..here).map(|(_, text)| text).collect()
    }
}

/// One side's bytes in the making.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// Its first sequence number.
    isn: u32,
    /// The offset at which this TCP connection began: a client's may have several, one after the other.
    base: u64,
    /// One past the last byte that was sent.
    next: u64,
    /// Bytes that were sent and are not the side's own: the proxy's answers.
    extra: u64,
    ended: bool,
}

impl Lane {
    fn seq(&self, offset: u64) -> u32 {
        let fin = u64::from(self.ended && offset == self.next);
        // Sequence numbers wrap (RFC 9293, 3.4).
        self.isn.wrapping_add(1).wrapping_add((offset - self.base + self.extra + fin) as u32)
    }
}

/// One TCP connection as it is shown.
struct Wire {
    id: ConnectionId,
    client: SocketAddr,
    listener: SocketAddr,
    server: Option<SocketAddr>,
    opened: Timestamp,
    lanes: Sides<Lane>,
    /// What came before the server was known.
    early: Vec<(Timestamp, Side, u64, Vec<u8>)>,
    early_bytes: usize,
    note: Option<String>,
    over: bool,
}

impl Wire {
    fn new(id: ConnectionId, client: SocketAddr, listener: SocketAddr, opened: Timestamp) -> Self {
        // Different for each connection and side, the same each time.
        let isn = (id.0 as u32).wrapping_mul(0x9e37_79b9);
        let lane = |isn| Lane { isn, ..Lane::default() };
        let lanes = Sides { client: lane(isn), server: lane(isn.rotate_left(16) ^ 0x5555_5555) };
        Self {
            id,
            client,
            listener,
            server: None,
            opened,
            lanes,
            early: Vec::new(),
            early_bytes: 0,
            note: None,
            over: false,
        }
    }

    fn fact(&mut self, fact: &Fact<'_>, packets: &mut Packets, report: &mut Report) {
        match fact {
            Fact::Dialed(dialed) => {
                let Some(address) = dialed.address.filter(|_| dialed.error.is_none()) else { return };
                match self.server {
                    Some(server) if server == address => {}
                    Some(_) => self.next_server(address, dialed.end, packets),
                    None => self.establish(Some((address, dialed.begin, dialed.end)), packets),
                }
            }
            Fact::Data(chunk) if self.server.is_none() && self.early_bytes < EARLY => {
                self.early_bytes += chunk.bytes.len();
                self.early.push((chunk.at(), chunk.from, chunk.offset, chunk.bytes.to_vec()));
            }
            Fact::Data(chunk) => {
                self.establish(None, packets);
                self.data(chunk.at(), chunk.from, chunk.offset, chunk.bytes, packets);
            }
            Fact::ProxyMade(made, bytes) if !made.to_connect => {
                self.establish(None, packets);
                self.note = Some(format!("made by the proxy, not by the server: {}", made.cause));
                self.made(made.at, bytes, packets);
            }
            Fact::ProxyMade(..) => report.left_out("answers of the proxy to CONNECT", 1),
            Fact::Gap(gap) => {
                report.left_out("bytes that were not recorded", gap.range.len());
                self.note = Some(format!("{} bytes before this are not in the capture: {}", gap.range.len(), gap.why));
            }
            Fact::Ended(ended) => self.end(ended.at, ended.from, ended.how, packets),
            Fact::Closed(closed) => {
                self.establish(None, packets);
                let by = match closed.by {
                    crate::model::trace::Closer::Server => Side::Server,
                    _ => Side::Client,
                };
                self.end(closed.at, by, closed.how, packets);
                if !self.over {
                    self.end(closed.at, by.other(), Ending::Fin, packets);
                    self.ack(closed.at, by, packets);
                }
            }
            _ => {}
        }
    }

    /// The handshake, and what was said before it was known with whom.
    fn establish(&mut self, dialed: Option<(SocketAddr, Timestamp, Timestamp)>, packets: &mut Packets) {
        if self.server.is_some() {
            return;
        }
        let (address, begin, end) = dialed.unwrap_or((self.listener, self.opened, self.opened));
        self.server = Some(address);
        let early = std::mem::take(&mut self.early);
        let first = early.first().map_or(end, |(at, ..)| *at);
        self.handshake(begin.min(first), end.min(first), packets);
        for (at, from, offset, bytes) in early {
            self.data(at, from, offset, &bytes, packets);
        }
    }

    fn handshake(&mut self, begin: Timestamp, end: Timestamp, packets: &mut Packets) {
        let (client, server) = (self.lanes.client.isn, self.lanes.server.isn);
        for (at, from, flags, seq, ack) in [
            (begin, Side::Client, flag::SYN, client, 0),
            (end, Side::Server, flag::SYN | flag::ACK, server, client.wrapping_add(1)),
            (end, Side::Client, flag::ACK, client.wrapping_add(1), server.wrapping_add(1)),
        ] {
            let (from, to) = self.ends(from);
            packets.put(at, &Segment { from, to, seq, ack, flags, payload: &[] }, &[]);
        }
    }

    /// A plain-HTTP client goes on with another server: another TCP connection.
    fn next_server(&mut self, address: SocketAddr, at: Timestamp, packets: &mut Packets) {
        for side in Side::BOTH {
            self.end(at, side, Ending::Fin, packets);
        }
        self.server = Some(address);
        self.over = false;
        for side in Side::BOTH {
            let lane = self.lanes.of_mut(side);
            *lane =
                Lane { isn: lane.isn.wrapping_add(0x0100_0000), base: lane.next, next: lane.next, ..Lane::default() };
        }
        self.handshake(at, at, packets);
    }

    fn ends(&self, from: Side) -> (SocketAddr, SocketAddr) {
        let server = self.server.unwrap_or(self.listener);
        match from {
            Side::Client => (self.client, server),
            Side::Server => (server, self.client),
        }
    }

    fn data(&mut self, at: Timestamp, from: Side, offset: u64, bytes: &[u8], packets: &mut Packets) {
        let mut covered = std::mem::take(&mut packets.covered);
        let mut bytes = bytes;
        if let Some(covers) = &mut packets.covers {
            covered.clear();
            covered.extend_from_slice(bytes);
            packets.blanked += covers.apply(self.id, from, offset, &mut covered).blanked;
            bytes = &covered;
        }
        let mut start = offset;
        let (source, to) = self.ends(from);
        for part in bytes.chunks(LARGEST) {
            let end = start + part.len() as u64;
            let mut comments = packets.comments(self.id, from, end);
            comments.extend(self.note.take());
            let lane = self.lanes.of_mut(from);
            lane.next = lane.next.max(end);
            let seq = lane.seq(start.max(lane.base));
            let other = self.lanes.of(from.other());
            let segment = Segment {
                from: source,
                to,
                seq,
                ack: other.seq(other.next),
                flags: flag::ACK | flag::PSH,
                payload: part,
            };
            packets.put(at, &segment, &comments);
            start = end;
        }
        packets.covered = covered;
    }

    /// Bytes of ours in the server's place.
    fn made(&mut self, at: Timestamp, bytes: &[u8], packets: &mut Packets) {
        let (from, to) = self.ends(Side::Server);
        for part in bytes.chunks(LARGEST) {
            let comments: Vec<String> = self.note.take().into_iter().collect();
            let lane = self.lanes.of_mut(Side::Server);
            let seq = lane.seq(lane.next);
            lane.extra += part.len() as u64;
            let client = self.lanes.of(Side::Client);
            let segment =
                Segment { from, to, seq, ack: client.seq(client.next), flags: flag::ACK | flag::PSH, payload: part };
            packets.put(at, &segment, &comments);
        }
    }

    fn end(&mut self, at: Timestamp, from: Side, how: Ending, packets: &mut Packets) {
        if self.over || self.server.is_none() {
            return;
        }
        let rst = how == Ending::Rst;
        if self.lanes.of(from).ended && !rst {
            return;
        }
        let lane = *self.lanes.of(from);
        let other = *self.lanes.of(from.other());
        let flags = if rst { flag::RST | flag::ACK } else { flag::FIN | flag::ACK };
        let (source, to) = self.ends(from);
        let segment =
            Segment { from: source, to, seq: lane.seq(lane.next), ack: other.seq(other.next), flags, payload: &[] };
        packets.put(at, &segment, &[]);
        self.lanes.of_mut(from).ended = true;
        self.over = rst;
    }

    fn ack(&mut self, at: Timestamp, from: Side, packets: &mut Packets) {
        let (source, to) = self.ends(from);
        let (lane, other) = (*self.lanes.of(from), *self.lanes.of(from.other()));
        let segment = Segment {
            from: source,
            to,
            seq: lane.seq(lane.next),
            ack: other.seq(other.next),
            flags: flag::ACK,
            payload: &[],
        };
        packets.put(at, &segment, &[]);
    }
}
