//! Inflating one direction's messages under `permessage-deflate` (RFC 7692, 7.2.2), in bounded memory and time.
//!
//! Every message ends at a block's end once its missing `00 00 FF FF` is put back. So the decompressor begins anew with
//! each message, and what one message hands to the next is the window alone; without context takeover, nothing. A
//! reference to before the window's beginning is an error here, so a sender that agreed to forget its window and does
//! not is noticed.
//!
//! **Memory**: none until the first compressed message; then the decompressor (about 11 KiB) and a window that grows
//! with what passed to 64 KiB. Without context takeover both go when the direction is idle.
//!
//! **Time**: an input byte can stand for at most 1032 bytes of output. On top of that a direction has a credit of
//! [`Limits::burst`] output bytes, which every output byte spends and every input byte refills by [`RATIO`]; so over its
//! life it costs at most `burst + RATIO × input` bytes of inflating. Repeats of a large document stay under a ratio of
//! 160 (a match of 258 bytes needs its distance), only runs of one short pattern reach a thousand. Where the credit is
//! spent the direction is given up for good, whatever was agreed about takeover.

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
    },
};
use serde::{Deserialize, Serialize};

/// Output bytes that each input byte adds to the credit.
pub(super) const RATIO: u64 = 256;

/// How far back deflate can refer.
const WINDOW: usize = 32 * 1024;
/// The window's buffer at first.
const SMALL: usize = 4 * 1024;
/// The window's buffer at last: when it is full, its second half moves to the front.
const LARGE: usize = 2 * WINDOW;
/// The credit is looked at after each so many input bytes of a message, so that chunking does not matter.
const BLOCK: usize = 4 * 1024;
/// What the sender took off the end of each message.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What inflating may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a message that are kept; what exceeds them is inflated for the window's sake and thrown away.
    pub kept: usize,
    /// Output bytes for which input need not have paid.
    pub burst: u64,
}

/// How a message's inflating went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of it was inflated; whether all was kept, its length tells.
    Done,
    /// The bytes are not what the sender's compressor can have made, or the credit is spent. Known first now.
    Failed,
    /// The window is unknown: bytes were lost, an earlier message failed, or the decoder was restored.
    Unknown,
}

/// One direction's inflating.
#[derive(Serialize, Deserialize)]
pub(super) struct Inflation {
    takeover: bool,
    /// Whether the sender's window holds anything by now.
    used: bool,
    state: State,
    /// Output bytes that may still be made; `None` after they were spent once.
    credit: Option<u64>,
    /// Input and output since the credit was last looked at.
    block: (usize, u64),
    /// Output bytes of the message so far.
    produced: u64,
    /// Not stored: after restoring, the window is unknown.
    #[serde(skip)]
    engine: Option<Box<Engine>>,
}

/// Where the message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Good,
    Failed,
    Unknown,
}

struct Engine {
    decompressor: DecompressorOxide,
    /// The window, and behind it the room for more.
    buffer: Vec<u8>,
    /// Where the window ends.
    end: usize,
}

impl Inflation {
    pub(super) fn new(takeover: bool, limits: Limits) -> Self {
        Self {
            takeover,
            used: false,
            state: State::Good,
            credit: Some(limits.burst),
            block: (0, 0),
            produced: 0,
            engine: None,
        }
    }

    /// A compressed message begins.
    pub(super) fn begin(&mut self) {
        if !self.takeover {
            self.forget();
        }
        (self.block, self.produced) = ((0, 0), 0);
        self.state = match (&mut self.engine, self.used, self.credit) {
            (_, _, None) | (None, true, _) => State::Unknown,
            (Some(engine), ..) => {
                engine.decompressor.init();
                State::Good
            }
            (engine @ None, false, Some(_)) => {
                *engine =
                    Some(Box::new(Engine { decompressor: DecompressorOxide::new(), buffer: vec![0; SMALL], end: 0 }));
                State::Good
            }
        };
    }

    /// Inflates further bytes of the message and appends what comes of them to `kept`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>, limits: Limits) {
        while let (State::Good, false) = (self.state, bytes.is_empty()) {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(self.block.0)));
            self.inflate(now, kept, limits);
            self.block.0 = self.block.0.saturating_add(now.len());
            if self.block.0 >= BLOCK {
                self.settle(limits);
            }
            bytes = later;
        }
    }

    /// The message is complete.
    pub(super) fn finish(&mut self, kept: &mut Vec<u8>, limits: Limits) -> Outcome {
        if self.state == State::Good {
            let before = self.produced;
            self.inflate(&TAIL, kept, limits);
            if self.produced != before {
                // The last block had not ended: the compressed bytes are not all there.
                kept.truncate(usize::try_from(before).unwrap_or(usize::MAX));
                self.fail();
            }
            self.settle(limits);
        }
        match self.state {
            State::Good => Outcome::Done,
            State::Failed => Outcome::Failed,
            State::Unknown => Outcome::Unknown,
        }
    }

    /// Bytes that the sender compressed will not be seen.
    pub(super) fn abandon(&mut self) {
        self.used = true;
        self.engine = None;
        self.state = State::Unknown;
    }

    /// Whether further bytes of the message can be inflated.
    pub(super) fn is_good(&self) -> bool {
        self.state == State::Good
    }

    /// Whether the credit was spent, so that nothing more is inflated.
    pub(super) fn is_spent(&self) -> bool {
        self.credit.is_none()
    }

    /// Bytes that the message was inflated to, kept or not.
    pub(super) fn produced(&self) -> u64 {
        self.produced
    }

    /// No message is on its way: gives back what is not needed until the next.
    pub(super) fn rest(&mut self) {
        if !self.takeover {
            self.engine = None;
        }
    }

    /// The sender forgets its window.
    fn forget(&mut self) {
        self.used = false;
        if let Some(engine) = &mut self.engine {
            engine.end = 0;
        }
    }

    fn fail(&mut self) {
        self.abandon();
        self.state = State::Failed;
    }

    fn settle(&mut self, limits: Limits) {
        let (input, output) = std::mem::take(&mut self.block);
        let Some(credit) = self.credit else { return };
        let earned = RATIO.saturating_mul(input as u64);
        self.credit = credit.saturating_add(earned).checked_sub(output).map(|credit| credit.min(limits.burst));
        if self.credit.is_none() && self.state == State::Good {
            self.fail();
        }
    }

    fn inflate(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>, limits: Limits) {
        let Some(engine) = self.engine.as_deref_mut() else {
            self.state = State::Unknown;
            return;
        };
        self.used = true;
        loop {
            engine.make_room();
            let (status, read, written) = decompress(
                &mut engine.decompressor,
                bytes,
                &mut engine.buffer,
                engine.end,
                TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
            );
            bytes = bytes.get(read..).unwrap_or_default();
            let fresh = engine.buffer.get(engine.end..engine.end + written).unwrap_or_default();
            let room = limits.kept.saturating_sub(kept.len());
            kept.extend_from_slice(fresh.get(..room).unwrap_or(fresh));
            engine.end += written;
            self.block.1 = self.block.1.saturating_add(written as u64);
            self.produced = self.produced.saturating_add(written as u64);
            match status {
                TINFLStatus::HasMoreOutput => {}
                // A block marked as the last one (RFC 7692, 7.2.3.4): further blocks may follow it.
                TINFLStatus::Done if !bytes.is_empty() => engine.decompressor.init(),
                TINFLStatus::Done => {
                    engine.decompressor.init();
                    return;
                }
                TINFLStatus::NeedsMoreInput if bytes.is_empty() => return,
                TINFLStatus::NeedsMoreInput if read > 0 || written > 0 => {}
                _ => return self.fail(),
            }
        }
    }
}

impl Engine {
    /// Makes room behind the window: by growing the buffer, then by letting go what deflate can no longer refer to.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        if self.buffer.len() < LARGE {
            self.buffer.resize((self.buffer.len() * 2).min(LARGE), 0);
        } else {
            self.buffer.copy_within(self.end - WINDOW..self.end, 0);
            self.end = WINDOW;
        }
    }
}
