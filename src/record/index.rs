//! What a running recorder knows beyond its tables: the shared end of the indexer. Readers never touch the fold or its
//! rows: they ask the indexer's thread, which answers between two records.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
    mpsc,
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    model::{Timestamp, rows::Position},
    store::{PackedRows, Rows},
};

use super::{
    live::Live,
    observer::Observed,
    progress::{Progress, Who},
    queue::{Queue, QueueState},
    summary::{RouteTotal, Totals},
};

/// The rows and counts of a running capture.
pub struct Index {
    state: Mutex<State>,
    asks: mpsc::Sender<Ask>,
    asked: AtomicBool,
    progress: Arc<Progress>,
    queue: Arc<Queue>,
    clock: Clock,
    live: Live,
    segment_bytes: u64,
}

#[derive(Default)]
struct State {
    tables: Vec<u64>,
    without_tables: Vec<u64>,
    totals: Totals,
    upto: Position,
    failure: Option<Failure>,
}

/// What is asked of the indexer's thread.
pub(super) enum Ask {
    /// Everything that a reader of rows needs, as it stands.
    Snapshot(mpsc::SyncSender<Snapshot>),
    /// The figures per route.
    Routes(mpsc::SyncSender<Vec<RouteTotal>>),
    /// What recording did to the traffic.
    Observed(mpsc::SyncSender<Observed>),
}

/// One look at the rows of a running capture. The tables named, `recent` and `open` hold each row once.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The segments whose tables hold what was final by their end, ascending.
    pub tables: Vec<u64>,
    /// Final rows that are in no table yet, in the order in which they became final.
    pub recent: Vec<Arc<PackedRows>>,
    /// What is not final, as it stands.
    pub open: Rows,
    /// The last record that these rows include.
    pub upto: Position,
    /// What recording did to the traffic, where all was read to know the rows.
    pub observed: Option<Observed>,
}

/// When and why recording failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Everything recorded before this instant is on disk.
    pub complete_until_ns: Timestamp,
    /// Why, in words.
    pub why: String,
}

/// How the recorder does, for a status line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Now.
    pub at_ns: Timestamp,
    /// Counts over what was indexed.
    #[serde(flatten)]
    pub totals: Totals,
    /// The queue between traffic and disk.
    #[serde(flatten)]
    pub queue: QueueState,
    /// Bytes on disk that are not indexed yet.
    pub lag_bytes: u64,
    /// How far the index is behind the traffic; 0 where it has caught up.
    pub lag_ns: u64,
    /// Whether everything that passed is recorded, or a stored gap.
    pub complete: bool,
    /// When and why recording failed, if it did.
    pub failure: Option<Failure>,
    /// Segments whose tables could not be written; `reindex` makes them.
    pub without_tables: Vec<u64>,
}

impl Index {
    pub(super) fn new(
        progress: Arc<Progress>,
        queue: Arc<Queue>,
        clock: Clock,
        live: Live,
        segment_bytes: u64,
    ) -> (Arc<Self>, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel();
        let state = Mutex::new(State::default());
        let asked = AtomicBool::new(false);
        (Arc::new(Self { state, asks, asked, progress, queue, clock, live, segment_bytes }), receiver)
    }

    /// The rows as they stand. Waits for the indexer to come between two records (it may be writing a segment's tables):
    /// not to be called from an async task.
    pub fn snapshot(&self) -> Snapshot {
        // A dropped answer means that the indexer has ended: nothing is open then, and what it left stands in the state.
        self.ask(Ask::Snapshot).unwrap_or_else(|| self.with_rows(PackedRows::default(), Rows::default()))
    }

    /// The figures per route, most frequent first; empty once the recorder has stopped (they are in its summary). Waits
    /// as [`Index::snapshot`] does.
    pub fn routes(&self) -> Vec<RouteTotal> {
        self.ask(Ask::Routes).unwrap_or_default()
    }

    /// What recording did to the traffic so far; nothing once the recorder has stopped (it is noted then). Waits as
    /// [`Index::snapshot`] does.
    pub fn observed(&self) -> Option<Observed> {
        self.ask(Ask::Observed)
    }

    /// Counts, lag and health. Cheap, never waits for the indexer.
    pub fn status(&self) -> Status {
        let now = self.clock.now();
        let written = self.progress.position();
        let state = self.lock();
        let lag_bytes = self.distance(state.upto, written);
        let lag_ns = if lag_bytes == 0 { 0 } else { now.0.saturating_sub(state.totals.indexed_upto_ns.0) };
        Status {
            at_ns: now,
            totals: state.totals.clone(),
            queue: self.queue.state(),
            lag_bytes,
            lag_ns,
            complete: state.failure.is_none(),
            failure: state.failure.clone(),
            without_tables: state.without_tables.clone(),
        }
    }

    /// Where rows go out as they become final.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The capture's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Bytes on disk behind that place.
    pub(super) fn behind(&self, upto: Position) -> u64 {
        self.distance(upto, self.progress.position())
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Relaxed) && self.asked.swap(false, Relaxed)
    }

    /// What is known, with the rows that are in no table.
    pub(super) fn with_rows(&self, recent: PackedRows, open: Rows) -> Snapshot {
        let state = self.lock();
        let recent = if recent.is_empty() { Vec::new() } else { vec![Arc::new(recent)] };
        Snapshot { tables: state.tables.clone(), recent, open, upto: state.upto, observed: None }
    }

    /// Notes the counts, and how far the fold is.
    pub(super) fn publish(&self, totals: &Totals, upto: Position) {
        let mut state = self.lock();
        state.totals.clone_from(totals);
        state.upto = upto;
    }

    /// The rows of `segment` are in its tables now, or could not be written.
    pub(super) fn sealed(&self, segment: u64, written: bool) {
        let mut state = self.lock();
        if written {
            state.tables.push(segment);
        } else {
            state.without_tables.push(segment);
        }
    }

    /// The segments up to `segment` are gone.
    pub(super) fn dropped(&self, upto: u64) {
        let mut state = self.lock();
        state.tables.retain(|segment| *segment > upto);
        state.without_tables.retain(|segment| *segment > upto);
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    fn ask<T>(&self, ask: impl FnOnce(mpsc::SyncSender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.asks.send(ask(reply)).ok()?;
        self.asked.store(true, Relaxed);
        self.progress.wake(Who::Indexer);
        answer.recv().ok()
    }

    /// Bytes between two places; whole segments between count with their nominal size.
    fn distance(&self, from: Position, to: Position) -> u64 {
        match to.segment.saturating_sub(from.segment) {
            0 => to.offset.saturating_sub(from.offset),
            segments => (segments * self.segment_bytes + to.offset).saturating_sub(from.offset),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
