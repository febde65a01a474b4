//! Messages of one direction: put together from their frames, inflated, each up to a cap.

use serde::{Deserialize, Serialize};

use super::{
    Options, as_base64,
    deflate::{Inflation, Limits, Outcome},
    frame::{Header, is_text},
};
use crate::{
    decode::{Event, Payload, Sink, WebSocketEvent},
    model::{
        Side, Timestamp,
        anomaly::{Anomaly, AnomalyKind},
        trace::ByteRange,
        websocket::opcode,
    },
};

/// What a frame is to its direction's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// A whole message, whose payload is the frame's.
    Alone,
    /// A part of one that is put together here.
    Part,
    /// A control frame, a reserved one, or a continuation of nothing.
    Apart,
}

/// The messages of one direction.
#[derive(Serialize, Deserialize)]
pub(super) struct Assembly {
    open: Option<Open>,
    /// What is kept of the open message.
    #[serde(with = "as_base64")]
    kept: Vec<u8>,
    /// Where `permessage-deflate` was agreed.
    inflation: Option<Inflation>,
}

/// A message on its way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Open {
    opcode: u8,
    /// Where its first frame began.
    start: u64,
    compressed: bool,
    /// Its bytes so far, kept or not; of a compressed one the inflater counts.
    bytes: u64,
    /// Whether some were not recorded.
    holed: bool,
}

impl Assembly {
    pub(super) fn new(takeover: Option<bool>, options: &Options) -> Self {
        Self {
            open: None,
            kept: Vec::new(),
            inflation: takeover.map(|takeover| Inflation::new(takeover, options.limits())),
        }
    }

    /// Whether `permessage-deflate` was agreed.
    pub(super) fn deflates(&self) -> bool {
        self.inflation.is_some()
    }

    /// Where the first frame of the message on its way began.
    pub(super) fn open_since(&self) -> Option<u64> {
        self.open.map(|open| open.start)
    }

    /// A frame begins at `start`. Its role, and whether its place among the frames is a right one.
    pub(super) fn admit(&mut self, header: &Header, start: u64, options: &Options) -> (Role, bool) {
        if header.opcode == opcode::CONTINUATION {
            return if self.open.is_some() { (Role::Part, true) } else { (Role::Apart, false) };
        }
        if !header.begins_message() {
            return (Role::Apart, true);
        }
        let interrupts = self.open.is_some();
        if interrupts {
            self.hole();
            self.close();
        }
        let compressed = header.rsv1 && self.inflation.is_some();
        let collectable = (options.frame_bytes as u64).saturating_add(1)..=options.message_bytes as u64;
        if header.fin && !compressed && !collectable.contains(&header.length) {
            return (Role::Alone, !interrupts);
        }
        if let (Some(inflation), true) = (&mut self.inflation, compressed) {
            inflation.begin();
        }
        self.open = Some(Open { opcode: header.opcode, start, compressed, bytes: 0, holed: false });
        (Role::Part, !interrupts)
    }

    /// Unmasked payload bytes of a [`Role::Part`].
    pub(super) fn feed(&mut self, bytes: &[u8], options: &Options) {
        let Some(open) = &mut self.open else { return };
        open.bytes = open.bytes.saturating_add(bytes.len() as u64);
        if open.holed {
            return;
        }
        match &mut self.inflation {
            Some(inflation) if open.compressed => inflation.feed(bytes, &mut self.kept, options.limits()),
            _ => {
                let room = options.message_bytes.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
        }
    }

    /// Whether further bytes of a [`Role::Part`] would change anything.
    pub(super) fn wants_more(&self, options: &Options) -> bool {
        self.open.is_some_and(|open| match &self.inflation {
            _ if open.holed => false,
            Some(inflation) if open.compressed => inflation.is_good(),
            _ => self.kept.len() < options.message_bytes,
        })
    }

    /// Payload bytes of a [`Role::Part`] that need not be fed: [`Self::wants_more`] said so, or they were lost.
    pub(super) fn skip(&mut self, bytes: u64) {
        if let Some(open) = &mut self.open {
            open.bytes = open.bytes.saturating_add(bytes);
        }
    }

    /// Bytes of the message on its way were lost.
    pub(super) fn hole(&mut self) {
        if let Some(open) = &mut self.open {
            open.holed = true;
            if let (Some(inflation), true) = (&mut self.inflation, open.compressed) {
                inflation.abandon();
            }
        }
    }

    /// The last frame of the message on its way is complete.
    pub(super) fn finish(&mut self, from: Side, end: u64, at: Timestamp, options: &Options, out: &mut Sink<'_>) {
        let Some(open) = self.open else { return };
        let (outcome, bytes) = match &mut self.inflation {
            Some(inflation) if open.compressed => {
                (inflation.finish(&mut self.kept, options.limits()), inflation.produced())
            }
            _ => (Outcome::Done, open.bytes),
        };
        let whole = outcome == Outcome::Done && !open.holed && self.kept.len() as u64 == bytes;
        let payload = Payload { bytes: &self.kept, whole };
        out(Event::WebSocket(WebSocketEvent::Message { from, opcode: open.opcode, payload, at }));
        // Its inflating may have been given up for that, which is no fault of the bytes.
        let spent = outcome == Outcome::Failed && self.inflation.as_ref().is_some_and(Inflation::is_spent);
        let too_large = (spent || bytes > options.message_bytes as u64).then_some(match open.compressed {
            true => AnomalyKind::InflatesTooLarge,
            false => AnomalyKind::MessageTooLarge,
        });
        let trouble = match outcome {
            Outcome::Failed if too_large.is_none() => Some(AnomalyKind::Deflate),
            _ if open.opcode == opcode::TEXT && !is_text(&self.kept, whole) => Some(AnomalyKind::NotUtf8),
            _ => None,
        };
        for kind in too_large.into_iter().chain(trouble) {
            let range = ByteRange { from, start: open.start, end };
            out(Event::Anomaly(Anomaly { kind, range, at, opaque: false }));
        }
        self.close();
    }

    /// The direction is idle: gives back what it can.
    pub(super) fn rest(&mut self, keep: usize) {
        if self.open.is_none() {
            if self.kept.capacity() > keep {
                self.kept = Vec::new();
            }
            if let Some(inflation) = &mut self.inflation {
                inflation.rest();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.kept.capacity()
    }

    fn close(&mut self) {
        self.open = None;
        self.kept.clear();
    }
}

impl Options {
    fn limits(&self) -> Limits {
        Limits { kept: self.message_bytes, burst: self.inflate_burst_bytes }
    }
}
