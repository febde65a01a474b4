//! The indexer thread: reads the segments behind the writer, folds, hands rows to the index and to live subscribers, and
//! at each segment's end to its tables. It holds nobody up but those who ask for rows.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::{
    model::rows::Position,
    store::{CaptureDir, SegmentReader},
};

use super::{
    Error, Inspection,
    index::{Ask, Index},
    progress::{Progress, Who},
    sealing::Sealing,
    summary::Tally,
    work::Work,
};

/// How long records gather before they are read, while they keep coming. A flag is on the wire to its watchers within
/// the writer's linger plus this.
const LINGER: Duration = Duration::from_millis(25);
/// Records between two publications of rows and totals, when there is much to read.
const PUBLISH_EVERY: u32 = 4096;

pub(super) struct Indexer {
    reader: SegmentReader,
    work: Work,
    index: Arc<Index>,
    progress: Arc<Progress>,
    asks: mpsc::Receiver<Ask>,
    /// Up to where the last turn's rows are to be seen.
    published: Position,
}

impl Indexer {
    pub(super) fn new(
        dir: &CaptureDir,
        inspection: &Inspection,
        index: Arc<Index>,
        progress: Arc<Progress>,
        asks: mpsc::Receiver<Ask>,
        sealing: Sealing,
    ) -> Result<Self, Error> {
        let start = Position { segment: progress.position().segment, offset: 0 };
        let reader = SegmentReader::open(dir, start)?;
        let work = Work::live(inspection, start.segment, sealing, Arc::clone(&index))?;
        Ok(Self { reader, work, index, progress, asks, published: Position::default() })
    }

    /// Runs until the writer has gone and everything is read.
    pub(super) fn run(mut self) -> Tally {
        self.progress.follow(Who::Indexer);
        loop {
            // Both before reading: what comes after them is read the next time.
            let ended = self.progress.is_ended();
            let seen = self.progress.position();
            let worked = self.turn();
            if ended && !worked {
                break;
            }
            if worked {
                thread::park_timeout(LINGER);
            } else {
                self.progress.wait(Who::Indexer, seen);
            }
        }
        self.work.finish();
        self.work.close();
        self.work.publish(self.reader.position());
        self.work.into_tally()
    }

    /// Reads all that there is. Whether there was anything.
    fn turn(&mut self) -> bool {
        let mut records = 0_u32;
        loop {
            if self.index.was_asked() {
                self.work.publish(self.reader.position());
                self.answer();
            }
            match self.reader.next() {
                Ok(Some((position, event))) => {
                    self.work.event(position, &event);
                    records = records.wrapping_add(1);
                    if records.is_multiple_of(PUBLISH_EVERY) {
                        self.work.publish(self.reader.position());
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!("the index passes over what it cannot read: {error}");
                    match self.reader.resync() {
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
        }
        // A segment's header is no record, but who has read it has caught up.
        let upto = self.reader.position();
        if records > 0 || upto != self.published {
            self.published = upto;
            self.work.publish(upto);
        }
        records > 0
    }

    fn answer(&mut self) {
        while let Ok(ask) = self.asks.try_recv() {
            // Who asked may have gone.
            match ask {
                Ask::Snapshot(reply) => {
                    let _ = reply.send(self.work.snapshot(&self.index));
                }
                Ask::Routes(reply) => {
                    let _ = reply.send(self.work.routes());
                }
            }
        }
    }
}
