//! The text of WebSocket frames, which tables do not hold: read from the segments, with fingerprints for secrets.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    decode::websocket::unmasked,
    model::{rows::FrameRow, trace::ByteRange, websocket::opcode},
    redact::{Redactor, Scrubber, lossy},
};

use super::{
    Error,
    bytes::{self, Want},
    known,
    list::Secrets,
    source::Shelf,
};

/// Longer payloads are not shown as text; `show --raw` has them.
const LARGEST: u64 = 64 << 10;

/// Which secrets are looked for, beside those that a frame names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the capture: for lists of everything.
    Capture,
    /// Those around each frame's connection.
    Connection,
}

/// Fills in the text of frames.
pub(super) struct Filler<'s> {
    shelf: Shelf<'s>,
    redactor: Option<Redactor>,
    scope: Scope,
    /// By connection; of the whole capture under zero, which no connection has.
    known: BTreeMap<u64, Scrubber>,
}

impl<'s> Filler<'s> {
    /// One that shows fingerprints, or secrets.
    pub(super) fn new(shelf: Shelf<'s>, secrets: Secrets, scope: Scope) -> Self {
        let redactor = (secrets == Secrets::Fingerprints).then(|| shelf.redactor());
        Self { shelf, redactor, scope, known: BTreeMap::new() }
    }

    /// Fills in what can be had. A frame whose bytes were lost or dropped, and one that is no text, keeps `null`.
    pub(super) fn fill(&mut self, rows: &mut [FrameRow]) {
        let mut at = Vec::new();
        let mut wants = Vec::new();
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| may_have_text(row)) {
            let range = ByteRange { from: row.from, start: row.start, end: row.end };
            at.push(index);
            wants.push(Want { connection: row.connection, range, extent: row.extent });
        }
        // Damage in the segments is told by `verify` and `show --raw`; here it only leaves texts unknown.
        let Ok(got) = bytes::fetch(self.shelf.dir, &wants) else { return };
        for (index, got) in at.into_iter().zip(got) {
            let Some(row) = rows.get_mut(index).filter(|_| got.whole) else { continue };
            let Some(payload) = payload(&got.bytes, row.bytes) else { continue };
            let Ok(text) = String::from_utf8(payload) else { continue };
            // What is to be hidden in it must be known.
            row.text = self.shown(row, text).ok();
        }
    }

    fn shown(&mut self, row: &FrameRow, text: String) -> Result<String, Error> {
        let Some(redactor) = &mut self.redactor else { return Ok(text) };
        let text = redactor.text(&text);
        let of = if self.scope == Scope::Capture { 0 } else { row.connection.0 };
        let known = match self.known.entry(of) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(match self.scope {
                Scope::Capture => known::everywhere(&self.shelf, self.shelf.collector())?,
                Scope::Connection => known::around(&self.shelf, row.connection, self.shelf.collector())?,
            }),
        };
        Ok(lossy(&known.values(text.as_bytes())))
    }
}

fn may_have_text(row: &FrameRow) -> bool {
    row.text.is_none() && row.opcode == opcode::TEXT && row.fin && !row.compressed && row.bytes <= LARGEST
}

/// The unmasked payload of a frame, if it is `expected` bytes long and all there.
pub(super) fn payload(frame: &[u8], expected: u64) -> Option<Vec<u8>> {
    unmasked(frame).filter(|payload| payload.len() as u64 == expected)
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn payloads_are_unmasked_at_every_length() {
        assert_eq!(payload(b"\x81\x05hello", 5).as_deref(), Some(&b"hello"[..]));
        // RFC 6455, 5.7: a single-frame masked text message.
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(payload(&masked, 5).as_deref(), Some(&b"Hello"[..]));
        let mut long = vec![0x81, 126, 0x01, 0x00];
        long.extend([b'x'; 256]);
        assert_eq!(payload(&long, 256).map(|text| text.len()), Some(256));
        for end in 0..masked.len() {
            assert_eq!(payload(&masked[..end], 5), None, "cut at {end}");
        }
    }
}
