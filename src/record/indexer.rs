//! The indexer thread: reads the segments behind the writer, folds, hands rows to the index and to live subscribers, and
//! at each segment's end to its tables. It holds nobody up but those who ask for rows.
//!
//! Where processors are scarce the traffic comes first: the indexer works at a lower priority, stays away while the
//! processors are taken (see `pace`) and nobody watches, and so may fall behind. Only when it is *far* behind does it
//! work as an equal until it has caught up some, so that neither what is yet to be shown nor the wait at the end grows
//! without bound. (A thread may lower its priority but not raise it again: hence two.)

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::{
    clock,
    model::{Timestamp, rows::Position},
    store::{CaptureDir, SegmentReader},
};

use super::{
    Error, Inspection,
    index::{Ask, Index},
    live::Kinds,
    pace::Pace,
    progress::{Progress, Who},
    sealing::Sealing,
    summary::Tally,
    work::Work,
};

/// How long records gather before they are read, while they keep coming. A flag is on the wire to its watchers within
/// the writer's linger plus this.
const LINGER: Duration = Duration::from_millis(25);
/// So many bytes behind it works as an equal, or a part of what retention keeps. It takes some seconds to read them.
const FAR_BEHIND: u64 = 512 << 20;
const FAR_BEHIND_PART: u64 = 4;
/// Records between two publications of rows and totals, when there is much to read.
const PUBLISH_EVERY: u32 = 4096;
/// Records between two looks at whether others want the processor: some 2 ms of work.
const LOOK_EVERY: u32 = 512;
/// Who asked for rows is likely to ask again.
const WATCHED_FOR: Duration = Duration::from_secs(5);

pub(super) struct Indexer {
    reader: SegmentReader,
    work: Work,
    index: Arc<Index>,
    progress: Arc<Progress>,
    asks: mpsc::Receiver<Ask>,
    /// Up to where the last turn's rows are to be seen.
    published: Position,
    /// So many bytes behind it works as an equal.
    far: u64,
    pace: Pace,
    /// Until then somebody is taken to watch.
    watched_until: Timestamp,
}

/// How the calling thread works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Behind the traffic: gives way to it, until it is far behind.
    Behind,
    /// Like the traffic, until some of that is made good. (All of it would make turns of long seconds, each with another
    /// cost to the traffic.)
    Equal,
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
        kept_bytes: u64,
    ) -> Result<Self, Error> {
        let start = Position { segment: progress.position().segment, offset: 0 };
        let reader = SegmentReader::open(dir, start)?;
        let work = Work::live(inspection, start.segment, sealing, Arc::clone(&index))?;
        let far = FAR_BEHIND.min(kept_bytes / FAR_BEHIND_PART);
        let (published, pace, watched_until) = Default::default();
        Ok(Self { reader, work, index, progress, asks, published, far, pace, watched_until })
    }

    /// Runs until the writer has gone and everything is read.
    pub(super) fn run(mut self) -> Tally {
        while !self.follow_apart(Rank::Behind) && !self.follow_apart(Rank::Equal) {}
        self.work.finish();
        self.work.close();
        self.work.publish(self.reader.position());
        self.work.into_tally()
    }

    /// Follows in a thread of that rank. (Each has one of its own: the allocator hands the heap of a thread that has ended
    /// to the next, where a thread that waits for its turn would keep another.)
    fn follow_apart(&mut self, rank: Rank) -> bool {
        let joined = thread::scope(|scope| {
            let follow = || {
                if rank == Rank::Behind {
                    step_back();
                }
                self.follow(rank)
            };
            let thread = thread::Builder::new().name("indexer".to_owned()).spawn_scoped(scope, follow).ok()?;
            Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        // Better as an equal than not at all.
        joined.unwrap_or_else(|| self.follow(Rank::Equal))
    }

    /// Follows until the writer has gone and everything is read (true), or a thread of the other rank is to go on
    /// (false).
    fn follow(&mut self, rank: Rank) -> bool {
        self.progress.follow(Who::Indexer);
        loop {
            // Both before reading: what comes after them is read the next time.
            let ended = self.progress.is_ended();
            let seen = self.progress.position();
            match self.turn(rank) {
                Turn::Left => return false,
                Turn::Nothing if ended => return true,
                Turn::Nothing => self.progress.wait(Who::Indexer, seen),
                Turn::Some if self.leaves(rank, self.published) => return false,
                Turn::Some => thread::park_timeout(LINGER),
            }
        }
    }

    /// Whether, with everything read up to there, a thread of the other rank is to go on.
    fn leaves(&self, rank: Rank, upto: Position) -> bool {
        let behind = self.index.behind(upto);
        match rank {
            Rank::Behind => behind > self.far,
            Rank::Equal => behind <= self.far - self.far / 8,
        }
    }

    /// Stays away for a while where others want the processor, unless somebody waits for what this thread does.
    fn give_way(&mut self) {
        let clock = *self.index.clock();
        let Some(pause) = self.pace.gives_way(clock.now(), clock::thread_use()) else { return };
        let watched = self.index.live().wanted() != Kinds::NONE || clock.now() < self.watched_until;
        if !watched && !self.progress.is_ended() {
            thread::park_timeout(pause);
            self.pace.begin(clock.now(), clock::thread_use());
        }
    }

    /// Reads all that there is.
    fn turn(&mut self, rank: Rank) -> Turn {
        self.pace.begin(self.index.clock().now(), clock::thread_use());
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
                        if self.leaves(rank, upto) {
                            return Turn::Left;
                        }
                    }
                    if rank == Rank::Behind && records.is_multiple_of(LOOK_EVERY) {
                        self.give_way();
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
        let until =
            self.index.clock().now().0.saturating_add(u64::try_from(WATCHED_FOR.as_nanos()).unwrap_or(u64::MAX));
        self.watched_until = Timestamp(until);
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
