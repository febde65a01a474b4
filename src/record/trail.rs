//! A second inspector that trails the first by the whole length of what is kept: when oldest segments are to go, it reads
//! them once more, and its state behind them goes to `retained.json`.
//!
//! The alternative, to save the first inspector's state at every border in case it is needed 20 GiB later, costs every
//! capture something; this costs those that retention touches, and no file with raw heads lies about.

use crate::{
    inspect::{self, Inspector, Output},
    model::rows::{Position, Row},
    store::{CaptureDir, Error, SegmentReader, recovery::OnDamage, retention::Retained},
};

pub(super) struct Trail {
    dir: CaptureDir,
    inspector: Inspector,
    /// The oldest segment that it has not read.
    next: u64,
    /// Exchanges that were over by then.
    exchanges: u64,
}

impl Trail {
    /// Begins with the capture.
    pub(super) fn new(dir: CaptureDir, options: inspect::Options, first: u64) -> Self {
        Self { dir, inspector: Inspector::new(options), next: first, exchanges: 0 }
    }

    /// Reads on to the end of segment `upto`, which must have been sealed, and returns the state behind it.
    pub(super) fn advance(&mut self, upto: u64) -> Result<Retained, Error> {
        let start = Position { segment: self.next, offset: 0 };
        let mut reader = SegmentReader::open_with(&self.dir, start, OnDamage::Skip)?;
        while let Some((position, event)) = reader.next()? {
            if position.segment > upto {
                break;
            }
            self.inspector.push(&event, position, &mut |output| {
                self.exchanges += u64::from(matches!(output, Output::Row(Row::Exchange(_))));
            });
        }
        self.next = upto + 1;
        Ok(Retained {
            segment: self.next,
            exchanges: self.exchanges,
            begins_ns: self.inspector.now(),
            state: self.inspector.save(),
        })
    }
}
