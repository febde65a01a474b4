//! The recorder: from the connections' taps to segments on disk, to rows, to whoever watches.
//!
//! ```text
//! Tap ── Queue ── writer thread ── segments ── indexer thread ── tables, catalogue
//!  (every connection)   └ flusher (fdatasync)     └ Index (recent and open rows), Live (subscribers)
//! ```
//!
//! - [`tap`], [`queue`]: facts become records in one buffer, bounded; no wake-up per record.
//! - [`writer`], [`flusher`]: drain, append, publish; the disk's slowness stays with the flusher.
//! - [`fold`], [`work`], [`sealing`]: inspect, flag, collect; tables, catalogue and retention ([`trail`]) at each
//!   segment's end; [`indexed`] says which are complete.
//! - [`indexer`], [`index`]: follow the segments behind the writer, and answer readers.
//! - [`mod@reindex`]: the same work over what is on disk. [`socket`]: where readers knock.
//! - [`live`]: the fan-out. [`summary`]: what it adds up to. [`observer`]: what we did to it.
//!
//! What must not happen here: traffic waiting for a decoder, a table, or a reader; a loss that is not stored as a fact;
//! anything derived that cannot be made again from the segments.

mod derived;
mod flusher;
mod fold;
mod index;
mod indexed;
mod indexer;
mod live;
mod observer;
mod pace;
mod progress;
mod queue;
mod reindex;
mod routes;
mod sealing;
pub mod socket;
mod summary;
mod tap;
mod trail;
mod work;
mod writer;

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    inspect, profile, rules,
    shutdown::{self, Shutdown},
    store::{self, CaptureDir},
};

pub use index::{Failure, Index, Snapshot, Status};
pub use live::{Kinds, Live, Message, Subscription, UnknownKind};
pub use observer::Observed;
pub use queue::{Overflow, QueueState};

pub use reindex::{Reindexed, index_tail, reindex};
pub use routes::template;
pub use summary::{RouteTotal, RuleTotal, SocketTimes, Times, Totals};
pub use tap::Tap;

/// What the recorder can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of records that may wait for the disk. What is already being read when it fills still comes on top: at
    /// most one read per direction of each connection.
    pub queue_bytes: usize,
    /// How long records gather before they are written, and how stale a reader of the files may find them.
    pub linger: Duration,
    /// What happens to traffic when the queue is full.
    pub overflow: Overflow,
    /// What happens when the disk refuses.
    pub on_record_error: OnRecordError,
    /// How much a power failure may cost. Zero: left to the system.
    pub sync_interval: Duration,
    /// How segments are written.
    pub segments: store::segment_writer::Options,
    /// When oldest segments go.
    pub retention: store::retention::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_bytes: 8 << 20,
            linger: Duration::from_millis(5),
            overflow: Overflow::default(),
            on_record_error: OnRecordError::default(),
            sync_interval: Duration::from_secs(1),
            segments: store::segment_writer::Options::default(),
            retention: store::retention::Options::default(),
        }
    }
}

/// What happens when records cannot be written any more (disk full).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRecordError {
    /// Traffic goes on unrecorded; the capture says incomplete, and from where.
    #[default]
    Continue,
    /// The same, and [`Recorder::failed`] says stop.
    Stop,
}

/// How facts are turned into rows and flags. The same values give the same rows.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// For the fold.
    pub inspector: inspect::Options,
    /// For the rules.
    pub rules: rules::Options,
    /// What counts as refused.
    pub refused: profile::Refused,
}

/// What a capture came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// All counts.
    pub totals: Totals,
    /// Exchanges by route and status, most frequent first.
    pub routes: Vec<RouteTotal>,
    /// How long opened sockets took to open, and to their first frames.
    pub sockets: SocketTimes,
    /// Whether everything that passed is recorded, or a stored gap.
    pub complete: bool,
    /// When and why recording failed, if it did.
    pub failure: Option<Failure>,
    /// Bytes of traffic that are neither recorded nor in a stored gap, since recording failed before.
    pub unrecorded_bytes: u64,
    /// How full the queue became.
    pub queue: QueueState,
    /// Segments whose tables could not be written; `reindex` makes them.
    pub without_tables: Vec<u64>,
}

/// A recorder at work: its threads, and what they share with readers.
pub struct Recorder {
    dir: CaptureDir,
    queue: Arc<queue::Queue>,
    index: Arc<Index>,
    failed: Shutdown,
    threads: Option<Threads>,
}

struct Threads {
    writer: JoinHandle<()>,
    flusher: Option<JoinHandle<()>>,
    indexer: JoinHandle<summary::Tally>,
}

/// What can go wrong in starting, ending or repeating a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// On disk.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The retained state.
    #[error(transparent)]
    Restore(#[from] inspect::RestoreError),
    /// A rule that is to be off is none.
    #[error(transparent)]
    Rule(#[from] rules::UnknownRule),
    /// Tables could not be written; the log says why.
    #[error("the tables of segment {segment} cannot be written (hint: is the disk full?)")]
    NoTables {
        /// The first such segment.
        segment: u64,
    },
    /// No thread could be had.
    #[error("cannot start the thread {name:?}: {source} (hint: ulimit -u)")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A thread of ours ended with a panic.
    #[error("the thread {name:?} has panicked; what it had written stands, `reindex` makes the rest anew")]
    Panicked {
        /// Which.
        name: &'static str,
    },
}

impl Recorder {
    /// Begins to record into a new capture, whose lock `dir` holds.
    ///
    /// # Errors
    /// Where the first segment or a thread cannot be made, or a rule that is to be off does not exist.
    pub fn start(
        dir: CaptureDir,
        clock: Clock,
        options: Options,
        inspection: Inspection,
    ) -> Result<(Tap, Self), Error> {
        let mut segment_options = options.segments;
        // Zero would be "after each batch" there; here it is "not before the end", and few files are to be kept open.
        segment_options.sync_every = options.sync_interval.max(Duration::from_millis(100));
        let retention = options.retention.within_free_space(&dir)?;
        segment_options.segment_bytes = retention.fitting(segment_options.segment_bytes);
        let segments = store::SegmentWriter::create(&dir, &segment_options)?;
        let queue = Arc::new(queue::Queue::new(options.queue_bytes, options.linger, options.overflow));
        let progress = Arc::new(progress::Progress::default());
        progress.publish(segments.position());
        let live = Live::default();
        let segment_bytes = segment_options.segment_bytes;
        let (index, asks) = Index::new(Arc::clone(&progress), Arc::clone(&queue), clock, live, segment_bytes);
        let tap = Tap::new(Arc::clone(&queue), clock);
        let (trigger, failed) = shutdown::channel();
        let flusher = (options.sync_interval > Duration::ZERO).then(|| Arc::new(flusher::Flusher::new()));

        let kept_bytes = retention.max_bytes;
        let retention = sealing::Retention {
            options: retention,
            trail: trail::Trail::new(dir.clone(), inspection.inspector.clone(), segments.position().segment),
            tap: tap.clone(),
            kept: store::retention::Kept::default(),
        };
        let sealing = sealing::Sealing::disk(dir.clone(), Some(retention));
        let (follow, shown) = (Arc::clone(&progress), Arc::clone(&index));
        let indexer = indexer::Indexer::new(&dir, &inspection, shown, follow, asks, sealing, kept_bytes)?;
        let indexer = spawn("indexing", move || indexer.run())?;
        let flusher_thread = match flusher.clone() {
            None => None,
            Some(flusher) => {
                let (dir, progress, interval) = (dir.clone(), Arc::clone(&progress), options.sync_interval);
                Some(spawn("flusher", move || flusher.run(&dir, &progress, interval))?)
            }
        };
        let writer = writer::Writer {
            dir: dir.clone(),
            segments,
            queue: Arc::clone(&queue),
            progress,
            flusher,
            index: Arc::clone(&index),
            clock,
            on_error: options.on_record_error,
            failed: trigger,
        };
        let writer = spawn("writer", move || writer.run())?;
        let threads = Some(Threads { writer, flusher: flusher_thread, indexer });
        Ok((tap, Self { dir, queue, index, failed, threads }))
    }

    /// What readers and the status line ask.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// Where rows go out as they become final.
    pub fn live(&self) -> Live {
        self.index.live().clone()
    }

    /// Says stop where recording failed under [`OnRecordError::Stop`], and once the recorder has stopped.
    pub fn failed(&self) -> Shutdown {
        self.failed.clone()
    }

    /// Ends the recording: writes what waits, seals, indexes to the end, and notes in `capture.json` how it went. What
    /// taps record from now on is lost, so the connections come first. Blocks until it is done.
    ///
    /// # Errors
    /// Where `capture.json` cannot be written, or a thread had panicked.
    pub fn stop(mut self) -> Result<Summary, Error> {
        self.queue.close();
        let Some(threads) = self.threads.take() else { return Err(Error::Panicked { name: "recorder" }) };
        threads.writer.join().map_err(|_| Error::Panicked { name: "writer" })?;
        if let Some(flusher) = threads.flusher {
            flusher.join().map_err(|_| Error::Panicked { name: "flusher" })?;
        }
        let tally = threads.indexer.join().map_err(|_| Error::Panicked { name: "indexer" })?;
        self.index.live().close();
        let status = self.index.status();
        let state = match &status.failure {
            None => store::State::Clean,
            Some(failure) => {
                store::State::Incomplete { from_ns: Some(failure.complete_until_ns), why: failure.why.clone() }
            }
        };
        // A failure was said when it came, and on a full disk cannot be said again.
        if self.dir.reload().map_or(true, |meta| meta.state != state)
            && let Err(error) = self.dir.set_state(state)
        {
            match &status.failure {
                None => return Err(error.into()),
                Some(_) => tracing::error!("the failure cannot be noted: {error}"),
            }
        }
        let recorded = status.totals.bytes_from_client + status.totals.bytes_from_server;
        Ok(Summary {
            unrecorded_bytes: status.queue.offered_bytes.saturating_sub(recorded),
            totals: status.totals,
            routes: tally.routes(),
            sockets: tally.sockets(),
            complete: status.complete,
            failure: status.failure,
            queue: status.queue,
            without_tables: status.without_tables,
        })
    }
}

impl Drop for Recorder {
    /// Without [`Recorder::stop`] the threads end by themselves, and the capture looks like one that was killed.
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|source| Error::Thread { name, source })
}
