//! The bytes that one side sent, taken out of the segments again.

use std::{io::Write, ops::Range};

use crate::model::{
    ConnectionId, Side,
    rows::{Extent, Position},
    trace::Fact,
};

use super::{CaptureDir, Error, SegmentReader, recovery::OnDamage};

/// What became of a wanted range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many of its bytes were found.
    pub bytes: u64,
    /// What is missing, in order: bytes that were never recorded, were dropped or are damaged.
    pub missing: Vec<Range<u64>>,
}

/// Why a range could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The capture could not be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The bytes could not be handed on.
    #[error("cannot write the bytes: {0}")]
    Output(#[source] std::io::Error),
}

/// The bytes `range` that `from` sent on a connection; the records lie within `extent`. For ranges of modest size.
pub fn read_range(
    dir: &CaptureDir,
    connection: ConnectionId,
    from: Side,
    range: Range<u64>,
    extent: Extent,
) -> Result<(Vec<u8>, Found), Error> {
    let mut bytes = Vec::new();
    match copy_range(dir, connection, from, range, extent, &mut bytes) {
        Ok(found) => Ok((bytes, found)),
        Err(CopyError::Store(error)) => Err(error),
        // Writing into memory does not fail.
        Err(CopyError::Output(_)) => Ok((bytes, Found::default())),
    }
}

/// The same for large ranges: hands the bytes on as they are found, in order; memory stays bounded.
pub fn copy_range(
    dir: &CaptureDir,
    connection: ConnectionId,
    from: Side,
    range: Range<u64>,
    extent: Extent,
    out: &mut dyn Write,
) -> Result<Found, CopyError> {
    let mut found = Found::default();
    // Everything before it was found or is missing.
    let mut next = range.start;
    let mut reader = SegmentReader::open_with(dir, extent.first, OnDamage::Skip)?;
    while next < range.end {
        let Some((position, event)) = reader.next()? else { break };
        if extent.last != Position::default() && position > extent.last {
            break;
        }
        let Fact::Data(chunk) = event.fact else { continue };
        if event.connection != connection || chunk.from != from {
            continue;
        }
        let end = chunk.offset.saturating_add(chunk.bytes.len() as u64).min(range.end);
        if end <= next {
            continue;
        }
        let start = chunk.offset.max(next);
        if start >= range.end {
            // Offsets ascend: nothing of the range comes any more.
            break;
        }
        if start > next {
            found.missing.push(next..start);
        }
        let within = usize::try_from(start - chunk.offset)
            .ok()
            .zip(usize::try_from(end - chunk.offset).ok())
            .and_then(|(start, end)| chunk.bytes.get(start..end))
            .unwrap_or_default();
        out.write_all(within).map_err(CopyError::Output)?;
        found.bytes += within.len() as u64;
        next = end;
    }
    if next < range.end {
        found.missing.push(next..range.end);
    }
    Ok(found)
}
