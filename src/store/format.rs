//! The bytes of a segment: its header and its records. docs/format.md has the same in words; change both.
//!
//! Pure functions over byte slices. All integers are little-endian. No file is touched here, and nothing that comes from
//! disk can panic or allocate more than it brings.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::{
    ConnectionId, Side, Timestamp,
    trace::{Chunk, Fact, TraceEvent, Written},
};

/// The version of the format. A reader takes any minor version of a major one that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Changes where older readers would misread.
    pub major: u16,
    /// Changes where something was added that older readers may skip.
    pub minor: u16,
}

impl Version {
    /// What this program writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// Whether this program can read it.
    pub fn is_readable(self) -> bool {
        (1..=Self::CURRENT.major).contains(&self.major)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The first bytes of every segment.
pub const MAGIC: [u8; 8] = *b"\x89FFtrace";
/// Length of the header that this version writes.
pub const HEADER_LEN: usize = 80;
/// The longest header that a newer minor version may write.
pub const MAX_HEADER: usize = 4096;
/// Length of what stands before every record's body.
pub const PREFIX_LEN: usize = 12;
/// The largest body of a record.
pub const MAX_BODY: usize = 16 << 20;
/// The largest payload of one `Data` record; longer chunks become several records.
const MAX_DATA: usize = MAX_BODY - DATA_FIXED;
/// Connection, offset, read, and at most eight bytes of `arrived`.
const DATA_FIXED: usize = 32;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// A segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the program that wrote it.
    pub version: Version,
    /// Random, the same in all of a capture's segments and in its `capture.json`.
    pub capture: u128,
    /// From 1.
    pub number: u64,
    /// What the segment before was sealed with; zeros in the first.
    pub previous: Hash,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.major.to_le_bytes());
        out.extend_from_slice(&self.version.minor.to_le_bytes());
        out.extend_from_slice(&(HEADER_LEN as u32).to_le_bytes());
        out.extend_from_slice(&self.capture.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header and tells where the first record stands. `None`: the file is shorter than its header.
    ///
    /// All versions begin with magic, version and the header's length, and end the header with its CRC, so that a newer
    /// version can be told from a damaged one. Of a newer major version nothing but `version` means anything: test
    /// [`Version::is_readable`] first.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, u64)>, Damage> {
        let mut fields = Fields(bytes);
        let Some(magic) = fields.array::<8>() else { return Ok(None) };
        if magic != MAGIC {
            return Err(Damage::Magic);
        }
        let (Some(major), Some(minor), Some(length)) = (fields.u16(), fields.u16(), fields.u32()) else {
            return Ok(None);
        };
        let length = length as usize;
        if !(HEADER_LEN..=MAX_HEADER).contains(&length) {
            return Err(Damage::Header);
        }
        let Some(header) = bytes.get(..length) else { return Ok(None) };
        let Some((checked, crc)) = header.split_last_chunk::<4>() else { return Err(Damage::Header) };
        if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
            return Err(Damage::Header);
        }
        let (Some(capture), Some(number), Some(previous)) = (fields.array(), fields.u64(), fields.array()) else {
            return Err(Damage::Header);
        };
        let version = Version { major, minor };
        let header = Self { version, capture: u128::from_le_bytes(capture), number, previous };
        Ok(Some((header, length as u64)))
    }
}

/// Why bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file does not begin as a segment does.
    #[error("not a segment: it does not begin with the magic bytes of one")]
    Magic,
    /// The segment's header fails its CRC.
    #[error("the segment's header fails its checksum")]
    Header,
    /// A record's prefix fails its check, so that its length means nothing.
    #[error("a record's prefix fails its checksum")]
    Prefix,
    /// A record's prefix is sound but names a length that is not allowed.
    #[error("a record claims {found} bytes; at most {MAX_BODY} are allowed")]
    Length {
        /// What it claims.
        found: u32,
    },
    /// A record fails its CRC.
    #[error("a record fails its checksum")]
    Crc,
    /// A record with a sound CRC is not built as its kind demands.
    #[error("a record of kind {kind} is not built as its kind demands: {why}")]
    Shape {
        /// Its kind.
        kind: u8,
        /// What is wrong.
        why: String,
    },
    /// A segment ends within a record, though another segment follows.
    #[error("the segment ends within a record, though it is not the last")]
    CutShort,
    /// A segment goes on after its seal.
    #[error("bytes follow the segment's seal")]
    AfterSeal,
}

/// The kinds of records.
mod kind {
    pub(super) const DATA: u8 = 1;
    pub(super) const WRITTEN: u8 = 2;
    pub(super) const OPENED: u8 = 16;
    pub(super) const CONNECT: u8 = 17;
    pub(super) const DIALED: u8 = 18;
    pub(super) const TLS: u8 = 19;
    pub(super) const REWRITTEN: u8 = 20;
    pub(super) const PROXY_MADE: u8 = 21;
    pub(super) const STEPPED_ASIDE: u8 = 22;
    pub(super) const ENDED: u8 = 23;
    pub(super) const CLOSED: u8 = 24;
    pub(super) const SERVER_RTT: u8 = 25;
    pub(super) const STALLED: u8 = 26;
    pub(super) const GAP: u8 = 27;
    pub(super) const CLOCK_STEP: u8 = 28;
    pub(super) const DROPPED: u8 = 29;
    pub(super) const CPU: u8 = 30;
    pub(super) const SEAL: u8 = 255;
}

/// The flags of `Data` and `Written` records.
mod flag {
    /// The server sent the bytes, not the client.
    pub(super) const SERVER: u8 = 1;
    /// `Data`: `arrived` is known, stored as `read − arrived` in four bytes.
    pub(super) const ARRIVED: u8 = 2;
    /// The earlier of the two stamps is stored whole, in eight bytes, since it does not lie within 4.29 s before the
    /// later one.
    pub(super) const WIDE: u8 = 4;
}

/// A whole record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A fact.
    Event(TraceEvent<'a>),
    /// The last record of a sealed segment.
    Seal(Seal),
    /// A kind that a newer minor version added.
    Unknown(u8),
}

/// What seals a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// BLAKE3 of all the file's bytes before the seal.
    pub hash: Hash,
    /// How many records stand before it.
    pub records: u64,
}

/// Where a record ends, and what it holds; its CRC is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Prefix and body.
    pub len: usize,
    kind: u8,
    flags: u8,
}

impl Frame {
    /// Whether this is the record that seals a segment.
    pub fn is_seal(self) -> bool {
        self.kind == kind::SEAL
    }

    /// Whether this program knows the record's kind.
    pub fn is_known(self) -> bool {
        matches!(self.kind, kind::DATA | kind::WRITTEN | kind::OPENED..=kind::CPU | kind::SEAL)
    }
}

/// Appends one whole record, prefix and CRC included (a chunk above 16 MiB becomes several). On the hot path: copies the
/// payload once and allocates nothing but `out`'s room.
pub fn encode(event: &TraceEvent<'_>, out: &mut Vec<u8>) {
    let connection = event.connection;
    match &event.fact {
        Fact::Data(chunk) => {
            let mut offset = chunk.offset;
            let mut rest = chunk.bytes;
            loop {
                let (bytes, more) = rest.split_at(rest.len().min(MAX_DATA));
                encode_data(connection, &Chunk { offset, bytes, ..*chunk }, out);
                if more.is_empty() {
                    break;
                }
                offset = offset.wrapping_add(bytes.len() as u64);
                rest = more;
            }
        }
        Fact::Written(written) => encode_written(connection, written, out),
        Fact::Opened(meta) => encode_json(kind::OPENED, connection, meta, &[], out),
        Fact::Connect(meta, bytes) => encode_json(kind::CONNECT, connection, meta, bytes, out),
        Fact::Dialed(meta) => encode_json(kind::DIALED, connection, meta, &[], out),
        Fact::Tls(meta) => encode_json(kind::TLS, connection, meta, &[], out),
        Fact::Rewritten(meta, bytes) => encode_json(kind::REWRITTEN, connection, meta, bytes, out),
        Fact::ProxyMade(meta, bytes) => encode_json(kind::PROXY_MADE, connection, meta, bytes, out),
        Fact::SteppedAside(meta) => encode_json(kind::STEPPED_ASIDE, connection, meta, &[], out),
        Fact::Ended(meta) => encode_json(kind::ENDED, connection, meta, &[], out),
        Fact::Closed(meta) => encode_json(kind::CLOSED, connection, meta, &[], out),
        Fact::ServerRtt(meta) => encode_json(kind::SERVER_RTT, connection, meta, &[], out),
        Fact::Stalled(meta) => encode_json(kind::STALLED, connection, meta, &[], out),
        Fact::Gap(meta) => encode_json(kind::GAP, connection, meta, &[], out),
        Fact::ClockStep(meta) => encode_json(kind::CLOCK_STEP, connection, meta, &[], out),
        Fact::Dropped(meta) => encode_json(kind::DROPPED, connection, meta, &[], out),
        Fact::Cpu(meta) => encode_json(kind::CPU, connection, meta, &[], out),
    }
}

/// Appends the record that seals a segment.
pub fn encode_seal(seal: &Seal, out: &mut Vec<u8>) {
    let start = begin(out, kind::SEAL, 0, 40);
    out.extend_from_slice(&seal.hash);
    out.extend_from_slice(&seal.records.to_le_bytes());
    finish(out, start);
}

/// The first fact in `bytes` and how many bytes to go on by. Seals and records of kinds that are not known are passed
/// over. `None`: the bytes end before a whole fact does.
pub fn decode(bytes: &[u8]) -> Result<Option<(TraceEvent<'_>, usize)>, Damage> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(frame) = frame(rest)? else { break };
        let record = rest.get(..frame.len).unwrap_or_default();
        at += frame.len;
        if let Record::Event(event) = parse(frame, record)? {
            return Ok(Some((event, at)));
        }
    }
    Ok(None)
}

/// How long the record that begins here is, by its prefix alone. `None`: the prefix is not whole.
pub fn record_len(bytes: &[u8]) -> Result<Option<usize>, Damage> {
    let mut fields = Fields(bytes);
    let (Some(_crc), Some(length), Some(kind), Some(flags), Some(check)) =
        (fields.u32(), fields.u32(), fields.u8(), fields.u8(), fields.u16())
    else {
        return Ok(None);
    };
    if prefix_check(length, kind, flags) != check {
        return Err(Damage::Prefix);
    }
    if length as usize > MAX_BODY {
        return Err(Damage::Length { found: length });
    }
    Ok(Some(PREFIX_LEN + length as usize))
}

/// The record that begins here, its checksum tested. `None`: it is not whole.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame>, Damage> {
    let Some(len) = record_len(bytes)? else { return Ok(None) };
    let Some(record) = bytes.get(..len) else { return Ok(None) };
    let Some((crc, checked)) = record.split_first_chunk::<4>() else { return Ok(None) };
    if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
        return Err(Damage::Crc);
    }
    let (Some(kind), Some(flags)) = (record.get(8), record.get(9)) else { return Ok(None) };
    Ok(Some(Frame { len, kind: *kind, flags: *flags }))
}

/// What a record says; `record` is exactly what `frame` measured.
pub fn parse(frame: Frame, record: &[u8]) -> Result<Record<'_>, Damage> {
    if !frame.is_known() {
        return Ok(Record::Unknown(frame.kind));
    }
    let body = record.get(PREFIX_LEN..).unwrap_or_default();
    let short = || Damage::Shape { kind: frame.kind, why: "it is too short".to_owned() };
    if frame.is_seal() {
        let mut fields = Fields(body);
        let (Some(hash), Some(records)) = (fields.array(), fields.u64()) else { return Err(short()) };
        return Ok(Record::Seal(Seal { hash, records }));
    }
    let mut fields = Fields(body);
    let connection = ConnectionId(fields.u64().ok_or_else(short)?);
    let fact = match frame.kind {
        kind::DATA => Fact::Data(parse_data(frame.flags, fields).ok_or_else(short)?),
        kind::WRITTEN => Fact::Written(parse_written(frame.flags, fields).ok_or_else(short)?),
        _ => parse_json(frame.kind, fields)?,
    };
    Ok(Record::Event(TraceEvent { connection, fact }))
}

fn encode_data(connection: ConnectionId, chunk: &Chunk<'_>, out: &mut Vec<u8>) {
    let (stamp_flag, stamp, width) = match chunk.arrived {
        None => (0, 0, 0),
        Some(arrived) => {
            let (wide, stamp, width) = earlier(arrived, chunk.read);
            (flag::ARRIVED | wide, stamp, width)
        }
    };
    let start = begin(out, kind::DATA, side_flag(chunk.from) | stamp_flag, 24 + width + chunk.bytes.len());
    out.extend_from_slice(&connection.0.to_le_bytes());
    out.extend_from_slice(&chunk.offset.to_le_bytes());
    out.extend_from_slice(&chunk.read.0.to_le_bytes());
    push_low(out, stamp, width);
    out.extend_from_slice(chunk.bytes);
    finish(out, start);
}

fn parse_data<'a>(flags: u8, mut fields: Fields<'a>) -> Option<Chunk<'a>> {
    let offset = fields.u64()?;
    let read = Timestamp(fields.u64()?);
    let arrived = if flags & flag::ARRIVED == 0 { None } else { Some(parse_earlier(flags, read, &mut fields)?) };
    Some(Chunk { from: side_of(flags), offset, arrived, read, bytes: fields.0 })
}

fn encode_written(connection: ConnectionId, written: &Written, out: &mut Vec<u8>) {
    let (wide, stamp, width) = earlier(written.begun, written.written);
    let start = begin(out, kind::WRITTEN, side_flag(written.from) | wide, 24 + width);
    out.extend_from_slice(&connection.0.to_le_bytes());
    out.extend_from_slice(&written.upto.to_le_bytes());
    out.extend_from_slice(&written.written.0.to_le_bytes());
    push_low(out, stamp, width);
    finish(out, start);
}

fn parse_written(flags: u8, mut fields: Fields<'_>) -> Option<Written> {
    let upto = fields.u64()?;
    let written = Timestamp(fields.u64()?);
    let begun = parse_earlier(flags, written, &mut fields)?;
    Some(Written { from: side_of(flags), upto, begun, written })
}

/// How a stamp that is nearly always shortly before `later` is stored: flag, value, width in bytes.
fn earlier(stamp: Timestamp, later: Timestamp) -> (u8, u64, usize) {
    match later.0.checked_sub(stamp.0) {
        Some(ago) if ago <= u64::from(u32::MAX) => (0, ago, 4),
        _ => (flag::WIDE, stamp.0, 8),
    }
}

fn parse_earlier(flags: u8, later: Timestamp, fields: &mut Fields<'_>) -> Option<Timestamp> {
    if flags & flag::WIDE != 0 {
        return fields.u64().map(Timestamp);
    }
    let ago = fields.u32()?;
    Some(Timestamp(later.0.saturating_sub(u64::from(ago))))
}

fn encode_json(kind: u8, connection: ConnectionId, meta: &impl Serialize, payload: &[u8], out: &mut Vec<u8>) {
    let start = begin(out, kind, 0, 12 + 256 + payload.len());
    out.extend_from_slice(&connection.0.to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let written = serde_json::to_writer(&mut *out, meta);
    // The facts are plain structs, which always serialise. Were one not to, its record says so when it is read.
    debug_assert!(written.is_ok(), "{written:?}");
    let length = (out.len() - length_at - 4) as u32;
    patch(out, length_at, &length.to_le_bytes());
    // Heads are capped far below this; what is longer than a record may be is cut rather than unreadable.
    let room = MAX_BODY.saturating_sub(out.len() - start - PREFIX_LEN);
    out.extend_from_slice(payload.get(..room).unwrap_or(payload));
    finish(out, start);
}

fn parse_json(kind: u8, mut fields: Fields<'_>) -> Result<Fact<'_>, Damage> {
    let shape = |why: &str| Damage::Shape { kind, why: why.to_owned() };
    let length = fields.u32().ok_or_else(|| shape("it is too short"))?;
    let meta = fields.take(length as usize).ok_or_else(|| shape("its JSON is cut"))?;
    let payload = fields.0;
    fn json<T: DeserializeOwned>(kind: u8, meta: &[u8]) -> Result<T, Damage> {
        serde_json::from_slice(meta).map_err(|error| Damage::Shape { kind, why: error.to_string() })
    }
    Ok(match kind {
        kind::OPENED => Fact::Opened(json(kind, meta)?),
        kind::CONNECT => Fact::Connect(json(kind, meta)?, payload),
        kind::DIALED => Fact::Dialed(json(kind, meta)?),
        kind::TLS => Fact::Tls(json(kind, meta)?),
        kind::REWRITTEN => Fact::Rewritten(json(kind, meta)?, payload),
        kind::PROXY_MADE => Fact::ProxyMade(json(kind, meta)?, payload),
        kind::STEPPED_ASIDE => Fact::SteppedAside(json(kind, meta)?),
        kind::ENDED => Fact::Ended(json(kind, meta)?),
        kind::CLOSED => Fact::Closed(json(kind, meta)?),
        kind::SERVER_RTT => Fact::ServerRtt(json(kind, meta)?),
        kind::STALLED => Fact::Stalled(json(kind, meta)?),
        kind::GAP => Fact::Gap(json(kind, meta)?),
        kind::CLOCK_STEP => Fact::ClockStep(json(kind, meta)?),
        kind::DROPPED => Fact::Dropped(json(kind, meta)?),
        kind::CPU => Fact::Cpu(json(kind, meta)?),
        _ => return Err(shape("its kind is not known")),
    })
}

/// Writes a prefix whose length and checksums [`finish`] fills in.
fn begin(out: &mut Vec<u8>, kind: u8, flags: u8, expected: usize) -> usize {
    out.reserve(PREFIX_LEN + expected);
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind, flags, 0, 0]);
    start
}

fn finish(out: &mut [u8], start: usize) {
    let Some(record) = out.get_mut(start..) else { return };
    let length = (record.len() - PREFIX_LEN) as u32;
    let (Some(kind), Some(flags)) = (record.get(8).copied(), record.get(9).copied()) else { return };
    patch(record, 4, &length.to_le_bytes());
    patch(record, 10, &prefix_check(length, kind, flags).to_le_bytes());
    let crc = crc32fast::hash(record.get(4..).unwrap_or_default());
    patch(record, 0, &crc.to_le_bytes());
}

/// The low half of the CRC-32 of length, kind and flags: tells a damaged length from a record that is not yet whole.
fn prefix_check(length: u32, kind: u8, flags: u8) -> u16 {
    let [a, b, c, d] = length.to_le_bytes();
    (crc32fast::hash(&[a, b, c, d, kind, flags]) & 0xffff) as u16
}

fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(slot) = out.get_mut(at..at + bytes.len()) {
        slot.copy_from_slice(bytes);
    }
}

fn push_low(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(value.to_le_bytes().get(..width).unwrap_or_default());
}

fn side_flag(side: Side) -> u8 {
    match side {
        Side::Client => 0,
        Side::Server => flag::SERVER,
    }
}

fn side_of(flags: u8) -> Side {
    if flags & flag::SERVER == 0 { Side::Client } else { Side::Server }
}

/// Takes little-endian integers off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
