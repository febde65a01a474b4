//! The indexer thread: reads the segments behind the writer, folds, hands rows to the index and to live subscribers, and
//! at each segment's end to its tables. It holds nobody up but those who ask for rows.
//!
//! Where processors are scarce the traffic comes first: the indexer works at a lower priority, and so may fall behind.
//! Only when it is *far* behind does it work as an equal until it has caught up, so that neither what is yet to be shown
//! nor the wait at the end grows without bound. (A thread may lower its priority but not raise it again: hence two.)

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
/// So many segments behind it works as an equal. It takes some seconds to read them.
const FAR_BEHIND: u64 = 4;
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

/// What a look at the segments brought.
enum Turn {
    /// All that there was is read.
    Some,
    /// There was nothing.
    Nothing,
    /// There is more, for another thread.
    Left,
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
        let caught_up = self.index.segment_bytes() / 8;
        while !self.follow_behind() && !self.follow(|behind| behind <= caught_up) {}
        self.work.finish();
        self.work.close();
        self.work.publish(self.reader.position());
        self.work.into_tally()
    }

    /// Follows in a thread of lower priority, until all has ended (true) or it is far behind.
    fn follow_behind(&mut self) -> bool {
        let far = self.index.segment_bytes().saturating_mul(FAR_BEHIND);
        let follow = || {
            step_back();
            self.follow(|behind| behind > far)
        };
        thread::scope(|scope| match thread::Builder::new().name("indexer".to_owned()).spawn_scoped(scope, follow) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // Better as an equal than not at all.
            Err(_) => false,
        })
    }

    /// Follows until the writer has gone and everything is read (true), or `leave` says of the bytes that it is behind
    /// that another thread is to go on (false).
    fn follow(&mut self, leave: impl Fn(u64) -> bool) -> bool {
        self.progress.follow(Who::Indexer);
        loop {
            // Both before reading: what comes after them is read the next time.
            let ended = self.progress.is_ended();
            let seen = self.progress.position();
            match self.turn(&leave) {
                Turn::Left => return false,
                Turn::Nothing if ended => return true,
                Turn::Nothing => self.progress.wait(Who::Indexer, seen),
                Turn::Some if leave(self.index.behind(self.published)) => return false,
                Turn::Some => thread::park_timeout(LINGER),
            }
        }
    }

    /// Reads all that there is.
    fn turn(&mut self, leave: &impl Fn(u64) -> bool) -> Turn {
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
                        let upto = self.reader.position();
                        self.work.publish(upto);
                        if leave(self.index.behind(upto)) {
                            return Turn::Left;
                        }
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
        if records > 0 { Turn::Some } else { Turn::Nothing }
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
                Ask::Observed(reply) => {
                    let _ = reply.send(self.work.observed());
                }
            }
        }
    }
}

/// Lowers the calling thread's priority. Elsewhere than on Linux it would be the whole process's.
fn step_back() {
    // A third of what a busy thread of the traffic gets.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(5);
}
