//! The exact bytes of one exchange or connection, secrets included. Reads the segments; changes nothing.

use std::{fmt, io::Write, str::FromStr};

use crate::{
    model::{
        Side,
        rows::{ExchangeRow, Extent, Position, Row},
        trace::{ByteRange, Fact},
    },
    store::{CaptureDir, SegmentReader, recovery::OnDamage},
};

use super::{
    Error,
    bytes::{self, Copied, Missing, Replacement, Want},
};

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An exchange's request as the client sent it: head and body with its transfer coding.
    Request,
    /// The same as the server got it: with the relay's changes.
    RequestSent,
    /// An exchange's final response as it came, or as the proxy made it.
    Response,
    /// All plaintext that a connection's client sent.
    Client,
    /// All plaintext that a connection's server sent.
    Server,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Request, Self::RequestSent, Self::Response, Self::Client, Self::Server];

    /// As in `show --raw`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::RequestSent => "request-sent",
            Self::Response => "response",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Part {
    type Err = UnknownPart;
    fn from_str(text: &str) -> Result<Self, UnknownPart> {
        Self::ALL.into_iter().find(|part| part.as_str() == text).ok_or_else(|| UnknownPart(text.to_owned()))
    }
}

/// A text that names no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no part: expected request, request-sent or response (of an exchange), client or server (of a connection)"
)]
pub struct UnknownPart(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ByteRange { from, start, end } = self.range;
        if end == u64::MAX {
            write!(f, "bytes of the {from} from {start} on are missing: {}", self.why)
        } else {
            write!(f, "{} bytes of the {from} at {start} are missing: {}", self.range.len(), self.why)
        }
    }
}

/// Copies the part of what the row stands for. At most `limit` bytes where there is one.
pub(super) fn copy(
    dir: &CaptureDir,
    row: &Row,
    part: Part,
    limit: Option<u64>,
    out: &mut dyn Write,
) -> Result<Copied, Error> {
    match (row, part) {
        (Row::Connection(row), Part::Client | Part::Server) => {
            let from = if part == Part::Client { Side::Client } else { Side::Server };
            let total = if from == Side::Client { row.bytes_from_client } else { row.bytes_from_server };
            // Of one that is closed it is known how many there are; of an open one, what there is by now is all.
            let end = if row.closed_ns.is_some() { total } else { u64::MAX };
            let range = ByteRange { from, start: 0, end };
            let last = if row.closed_ns.is_some() { row.extent.last } else { END };
            let want = Want { connection: row.id, range, extent: Extent { first: row.extent.first, last } };
            bytes::copy(dir, &want, &[], limit, out)
        }
        (Row::Exchange(row), Part::Response) if row.proxy_made => proxy_made(dir, row, limit, out),
        (Row::Exchange(row), Part::Request | Part::RequestSent | Part::Response) => {
            let offsets = row.offsets;
            let range = match part {
                Part::Response => {
                    ByteRange { from: Side::Server, start: offsets.response_start, end: offsets.response_end }
                }
                _ => ByteRange { from: Side::Client, start: offsets.request_start, end: offsets.request_end },
            };
            let want = Want { connection: row.connection, range, extent: extent_of(row) };
            let changes = if part == Part::RequestSent { replacements(dir, &want)? } else { Vec::new() };
            bytes::copy(dir, &want, &changes, limit, out)
        }
        (row, part) => Err(Error::NoSuchPart { of: name(row), part, allowed: allowed(row) }),
    }
}

/// A position behind all others.
const END: Position = Position { segment: u64::MAX, offset: u64::MAX };

/// An exchange that is not over may have bytes behind its last record.
pub(super) fn extent_of(row: &ExchangeRow) -> Extent {
    let last = if row.response_last_byte_ns.is_some() || row.proxy_made { row.extent.last } else { END };
    Extent { first: row.extent.first, last }
}

/// The relay's changes within what is wanted. A change is recorded before what was changed has been written on, which
/// may be before or after the bytes themselves: so it is looked for in the whole extent first.
fn replacements(dir: &CaptureDir, want: &Want) -> Result<Vec<Replacement>, Error> {
    let mut found = Vec::new();
    let oldest = bytes::oldest_segment(dir)?;
    if want.extent.first.segment < oldest {
        return Ok(found);
    }
    let mut reader = SegmentReader::open_with(dir, want.extent.first, OnDamage::Skip)?;
    while let Some((position, event)) = reader.next()? {
        if position > want.extent.last {
            break;
        }
        let Fact::Rewritten(fact, with) = &event.fact else { continue };
        let within = fact.range.from == want.range.from
            && fact.range.start >= want.range.start
            && fact.range.end <= want.range.end;
        if event.connection == want.connection && within {
            found.push(Replacement { range: fact.range, with: with.to_vec() });
        }
    }
    found.sort_by_key(|replacement| replacement.range.start);
    Ok(found)
}

/// A response of ours is no byte of the server's: it stands in a fact of its own.
fn proxy_made(dir: &CaptureDir, row: &ExchangeRow, limit: Option<u64>, out: &mut dyn Write) -> Result<Copied, Error> {
    let mut copied = Copied::default();
    let mut made = None;
    if row.extent.first.segment >= bytes::oldest_segment(dir)? {
        let mut reader = SegmentReader::open_with(dir, row.extent.first, OnDamage::Skip)?;
        while let Some((position, event)) = reader.next()? {
            if position > row.extent.last {
                break;
            }
            if let Fact::ProxyMade(fact, bytes) = &event.fact
                && event.connection == row.connection
                && !fact.to_connect
            {
                made = Some(bytes.to_vec());
            }
        }
    }
    match made {
        Some(made) => {
            let take = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).min(made.len());
            out.write_all(made.get(..take).unwrap_or_default()).map_err(Error::Write)?;
            copied.bytes = take as u64;
            copied.limited = take < made.len();
        }
        None => copied.missing.push(Missing {
            range: ByteRange { from: Side::Server, start: 0, end: u64::MAX },
            why: "the proxy's own answer is not in the segments any more".to_owned(),
            after: 0,
        }),
    }
    Ok(copied)
}

fn allowed(row: &Row) -> &'static str {
    match row {
        Row::Connection(_) => "client or server",
        Row::Exchange(_) => "request, request-sent or response",
        Row::Frame(_) | Row::Session(_) | Row::Flag(_) => {
            "no raw bytes of its own; its exchange and its connection have"
        }
    }
}

fn name(row: &Row) -> String {
    match row {
        Row::Connection(row) => row.id.to_string(),
        Row::Exchange(row) => row.id.to_string(),
        Row::Frame(row) => row.id.to_string(),
        Row::Session(row) => row.id.to_string(),
        Row::Flag(row) => format!("the flag on {}", row.subject),
    }
}
