//! What the decoder remembers of one side of a connection between two chunks. Nothing here is on the heap while the
//! side is idle or in the midst of a body (but for the first chunk sizes).

use serde::{Deserialize, Serialize};

use crate::model::{
    Side, Timestamp,
    trace::{ByteRange, Chunk},
};

use super::body::BodyScanner;

/// One side.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// The offset that its next byte has.
    pub(super) next: u64,
    pub(super) state: State,
    /// The bytes of a head that spans chunks, or those that are held.
    pub(super) buffer: Buffer,
    /// Empty lines where a message may begin: since which offset, and when the last of them arrived.
    pub(super) blank: Option<(u64, Timestamp)>,
    /// Whether a head was seen.
    pub(super) begun: bool,
    /// When it ended; it may come back, on another server connection.
    pub(super) ended: Option<Timestamp>,
}

/// What the side's next byte is part of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum State {
    /// A new message (or an empty line before it).
    #[default]
    Between,
    /// A head of which something came.
    Head {
        look: Look,
        /// How many of the bytes so far were searched for the head's end.
        scanned: usize,
        /// When it began, where that is not when its first byte arrived (a body's surplus is glued to it).
        dated: Option<Timestamp>,
    },
    Body(Message),
    /// Nothing that can be told yet: what the other side does decides it.
    Holding,
    /// Nothing that is understood (any more: the client's side, the server's answers to the requests before are still
    /// decoded; or since a gap: either side).
    Passing {
        /// Whether requests may have passed unseen, so that further responses cannot be matched.
        unseen: bool,
    },
}

/// What is known of a head's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Look {
    Unsure,
    /// They begin a message.
    Fine,
    /// They cannot, but there were messages before: a body's surplus, which may have a request glued to it.
    Odd,
}

/// A message whose body is on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) exchange: u32,
    pub(super) start: u64,
    /// One past the last byte that came.
    pub(super) end: u64,
    /// When that byte arrived.
    pub(super) last: Timestamp,
    pub(super) scanner: BodyScanner,
}

/// Bytes that had to be kept, with their instants.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Buffer {
    start: u64,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    length: u32,
    arrived: Option<Timestamp>,
    read: Timestamp,
}

/// Beyond this many pieces the last one grows, and takes the later instants: an instant is an upper bound.
const MAX_PIECES: usize = 2048;

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn range(&self, from: Side) -> ByteRange {
        ByteRange { from, start: self.start, end: self.start + self.bytes.len() as u64 }
    }

    /// When the first byte arrived.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.pieces.first().map(|piece| piece.arrived.unwrap_or(piece.read))
    }

    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        if chunk.bytes.is_empty() {
            return;
        }
        if self.bytes.is_empty() {
            self.start = chunk.offset;
        }
        self.bytes.extend_from_slice(chunk.bytes);
        // What is kept is bounded far below 4 GiB.
        let length = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
        let full = self.pieces.len() >= MAX_PIECES;
        match self.pieces.last_mut() {
            Some(last) if full || (last.arrived, last.read) == (chunk.arrived, chunk.read) => {
                *last = Piece { length: last.length.saturating_add(length), arrived: chunk.arrived, read: chunk.read };
            }
            _ => self.pieces.push(Piece { length, arrived: chunk.arrived, read: chunk.read }),
        }
    }

    /// The bytes as they came.
    pub(super) fn chunks(&self, from: Side) -> impl Iterator<Item = Chunk<'_>> {
        let mut at = 0;
        self.pieces.iter().map(move |piece| {
            let start = at;
            at += piece.length as usize;
            Chunk {
                from,
                offset: self.start + start as u64,
                arrived: piece.arrived,
                read: piece.read,
                bytes: self.bytes.get(start..at).unwrap_or_default(),
            }
        })
    }

    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }
}

/// The first `n` bytes of a chunk.
pub(super) fn first<'a>(chunk: &Chunk<'a>, n: usize) -> Chunk<'a> {
    Chunk { bytes: chunk.bytes.get(..n).unwrap_or(chunk.bytes), ..*chunk }
}

/// A chunk without its first `n` bytes.
pub(super) fn after<'a>(chunk: &Chunk<'a>, n: usize) -> Chunk<'a> {
    Chunk { offset: chunk.offset + n as u64, bytes: chunk.bytes.get(n..).unwrap_or_default(), ..*chunk }
}
