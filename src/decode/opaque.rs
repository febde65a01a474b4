//! The decoder of what is not decoded: it counts, and has no events.

use serde::{Deserialize, Serialize};

use crate::model::{
    Side, Timestamp,
    side::Sides,
    trace::{ByteRange, Chunk},
};

use super::{Decoder, Sink};

/// Counts what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    /// Bytes that came.
    pub bytes: Sides<u64>,
    /// Bytes that were not recorded.
    pub lost: Sides<u64>,
}

impl Decoder for Opaque {
    fn push(&mut self, chunk: &Chunk<'_>, _out: &mut Sink<'_>) {
        *self.bytes.of_mut(chunk.from) += chunk.bytes.len() as u64;
    }

    fn lost(&mut self, range: ByteRange, _at: Timestamp, _out: &mut Sink<'_>) {
        *self.lost.of_mut(range.from) += range.len();
    }

    fn end(&mut self, _from: Side, _at: Timestamp, _out: &mut Sink<'_>) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn it_counts_and_says_nothing() {
        let mut opaque = Opaque::default();
        let mut out = |event: crate::decode::Event<'_>| panic!("{event:?}");
        let chunk = Chunk { from: Side::Server, offset: 0, arrived: None, read: Timestamp(1), bytes: b"\x16\x03" };
        opaque.push(&chunk, &mut out);
        opaque.lost(ByteRange { from: Side::Server, start: 2, end: 9 }, Timestamp(2), &mut out);
        opaque.end(Side::Server, Timestamp(3), &mut out);
        assert_eq!((opaque.bytes.server, opaque.lost.server, opaque.bytes.client), (2, 7, 0));
    }
}
