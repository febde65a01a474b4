//! The bounded queue between the connections and the writer thread: one buffer of encoded records, one order for all.
//!
//! Many push, one takes. Nothing here may block on a disk, and a push costs an encode under a short lock: no wake-up
//! per record (a wake-up per chunk was measured at +50 to +90 % CPU on small requests, a fixed 2 ms poll at 1.4 % of a
//! core that has nothing to do). So the writer is woken only when it had gone to sleep for good, or when the buffer
//! crossed its high-water mark; between, it lets records gather for `linger` and takes them in one go.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    model::{
        ConnectionId, Side,
        trace::{Chunk, Fact, Gap, TraceEvent, Written},
    },
    store::format::encode,
};

/// What happens to traffic when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The relay reads no more until there is room: nothing is lost, the traffic is slowed and `Stalled` says so.
    #[default]
    Stall,
    /// The relay goes on; bytes that do not fit are not recorded, and `Gap` says which. What a message begins with is
    /// let in first: a body with a hole in it is worth more than one whose head is not known.
    Gap,
}

/// Under [`Overflow::Gap`], how much of what follows a change of direction (a head, likely) may use the room that is
/// kept for such, a quarter of the queue on top of it; pieces that are not larger are recorded whole or not at all.
const BEGINNING: usize = 4096;

/// A batch is taken at once when so much waits, whatever the linger: it keeps both buffers within the caches.
const HIGH_WATER: usize = 512 << 10;
/// What a buffer may keep of its capacity when the recorder falls idle.
const KEPT_CAPACITY: usize = 128 << 10;
/// What a buffer begins with. So much the allocator maps by itself, and moves by itself when it grows or shrinks: nothing
/// is copied, what was never used takes no memory, and no other thread's memory has a hole where a buffer was.
const FIRST_CAPACITY: usize = 2 * HIGH_WATER;

pub(super) struct Queue {
    state: Mutex<State>,
    /// Bytes pushed and not yet on disk: those in the buffer and those in the writer's hand. Changed under the lock.
    pending: AtomicUsize,
    /// The most that `pending` ever was.
    peak: AtomicUsize,
    discarding: AtomicBool,
    discarded_records: AtomicU64,
    discarded_bytes: AtomicU64,
    writer: OnceLock<Thread>,
    limit: usize,
    high_water: usize,
    linger: Duration,
    overflow: Overflow,
}

struct State {
    buffer: Vec<u8>,
    writer: Writer,
    waiting: BTreeMap<(usize, usize), Waker>,
    gaps: BTreeMap<(ConnectionId, Side), OpenGap>,
    /// Under [`Overflow::Gap`], who spoke last on each connection.
    last: BTreeMap<ConnectionId, Side>,
    offered_bytes: u64,
    closed: bool,
}

/// What the writer thread is doing, as far as a push must know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It writes, or is on its way to the queue.
    Busy,
    /// It sleeps for `linger` at most and looks by itself then.
    Lingering,
    /// It sleeps until it is woken.
    Parked,
}

/// Bytes of one side that are being lost, under [`Overflow::Gap`].
struct OpenGap {
    gap: Gap,
    /// The last write of bytes that are part of the gap; the ones before it say nothing more.
    written: Option<Written>,
}

/// How full the queue is, and what it could not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueueState {
    /// Bytes of traffic that were to be recorded, whatever became of them.
    pub offered_bytes: u64,
    /// Bytes of records that wait to be written.
    pub pending_bytes: u64,
    /// The most that ever waited.
    pub peak_bytes: u64,
    /// Records that came after recording had failed, and were thrown away.
    pub discarded_records: u64,
    /// Bytes of traffic in them.
    pub discarded_bytes: u64,
}

/// An empty buffer for [`Queue::take`].
pub(super) fn buffer() -> Vec<u8> {
    Vec::with_capacity(FIRST_CAPACITY)
}

impl Queue {
    pub(super) fn new(limit: usize, linger: Duration, overflow: Overflow) -> Self {
        Self {
            state: Mutex::new(State {
                buffer: buffer(),
                writer: Writer::Busy,
                waiting: BTreeMap::new(),
                gaps: BTreeMap::new(),
                last: BTreeMap::new(),
                offered_bytes: 0,
                closed: false,
            }),
            pending: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            discarding: AtomicBool::new(false),
            discarded_records: AtomicU64::new(0),
            discarded_bytes: AtomicU64::new(0),
            writer: OnceLock::new(),
            limit,
            high_water: HIGH_WATER.min(limit / 2).max(1),
            linger,
            overflow,
        }
    }

    pub(super) fn state(&self) -> QueueState {
        let discarded_bytes = self.discarded_bytes.load(Relaxed);
        QueueState {
            offered_bytes: self.lock().offered_bytes + discarded_bytes,
            pending_bytes: self.pending.load(Relaxed) as u64,
            peak_bytes: self.peak.load(Relaxed) as u64,
            discarded_records: self.discarded_records.load(Relaxed),
            discarded_bytes,
        }
    }

    /// Takes an event. Never blocks on IO, never fails.
    pub(super) fn push(&self, event: &TraceEvent<'_>) {
        if self.discarding.load(Relaxed) {
            self.discard(event);
            return;
        }
        let wake = {
            let mut state = self.lock();
            // Asked again under the lock: what is pushed after the failure must be counted, not kept.
            if self.discarding.load(Relaxed) {
                drop(state);
                self.discard(event);
                return;
            }
            if let Fact::Data(chunk) = &event.fact {
                state.offered_bytes += chunk.bytes.len() as u64;
            }
            if self.overflow == Overflow::Gap && !self.admit(&mut state, event) {
                return;
            }
            self.append(&mut state, event);
            let full = state.buffer.len() >= self.high_water;
            match state.writer {
                Writer::Parked => {
                    state.writer = if full { Writer::Busy } else { Writer::Lingering };
                    true
                }
                Writer::Lingering if full => {
                    state.writer = Writer::Busy;
                    true
                }
                Writer::Lingering | Writer::Busy => false,
            }
        };
        if wake {
            self.wake_writer();
        }
    }

    /// Ready when there is room; else the waker is called once the queue is below half.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.overflow == Overflow::Gap || self.pending.load(Relaxed) < self.limit {
            return Poll::Ready(());
        }
        let mut state = self.lock();
        if self.pending.load(Relaxed) < self.limit || self.discarding.load(Relaxed) {
            return Poll::Ready(());
        }
        // By identity, so that a task that asks again while it waits is stored once.
        let waker = cx.waker();
        let identity = (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr());
        state.waiting.insert(identity, waker.clone());
        Poll::Pending
    }

    /// For the writer thread: waits for records, lets them gather, swaps them into `batch`, which must be empty and
    /// lends its capacity. `false`: the queue is closed and nothing is left. What was taken stays counted as pending
    /// until [`Queue::done`].
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> bool {
        let _ = self.writer.set(thread::current());
        let mut lingered = false;
        loop {
            let park = {
                let mut state = self.lock();
                if state.closed {
                    self.end_gaps(&mut state, |_| true);
                }
                let some = !state.buffer.is_empty();
                if state.closed || state.buffer.len() >= self.high_water || (some && lingered) {
                    state.writer = Writer::Busy;
                    std::mem::swap(&mut state.buffer, batch);
                    return some;
                }
                if lingered {
                    state.writer = Writer::Parked;
                    state.buffer.shrink_to(KEPT_CAPACITY);
                } else {
                    state.writer = Writer::Lingering;
                }
                lingered
            };
            // A wake-up that was meant for an earlier sleep may shorten this one; that costs one early batch.
            if park {
                batch.shrink_to(KEPT_CAPACITY);
                thread::park();
                lingered = false;
            } else {
                thread::park_timeout(self.linger);
                lingered = true;
            }
        }
    }

    /// For the writer thread: `bytes` of what it took are written.
    pub(super) fn done(&self, bytes: usize) {
        let woken = {
            let mut state = self.lock();
            let pending = self.pending.load(Relaxed).saturating_sub(bytes);
            self.pending.store(pending, Relaxed);
            if pending < self.limit / 2 { std::mem::take(&mut state.waiting) } else { BTreeMap::new() }
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// From now on everything is thrown away (and counted), and whoever waits for room goes on.
    pub(super) fn fail(&self) {
        let woken = {
            let mut state = self.lock();
            self.discarding.store(true, Relaxed);
            state.buffer = Vec::new();
            state.gaps.clear();
            self.pending.store(0, Relaxed);
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// The writer takes what is left and ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake_writer();
    }

    fn append(&self, state: &mut State, event: &TraceEvent<'_>) {
        let before = state.buffer.len();
        encode(event, &mut state.buffer);
        let pending = self.pending.load(Relaxed) + (state.buffer.len() - before);
        self.pending.store(pending, Relaxed);
        if pending > self.peak.load(Relaxed) {
            self.peak.store(pending, Relaxed);
        }
    }

    /// Under [`Overflow::Gap`]: whether the event is to be recorded as it is; else what there was room for has been, and
    /// the rest went into an open gap.
    fn admit(&self, state: &mut State, event: &TraceEvent<'_>) -> bool {
        match &event.fact {
            Fact::Data(chunk) => self.admit_data(state, event.connection, chunk),
            Fact::Written(written) => match state.gaps.get_mut(&(event.connection, written.from)) {
                Some(open) if written.upto > open.gap.range.start => {
                    open.written = Some(*written);
                    false
                }
                _ => true,
            },
            fact => {
                if matches!(fact, Fact::Closed(_)) {
                    state.last.remove(&event.connection);
                }
                self.end_gaps(state, |key| key.0 == event.connection);
                true
            }
        }
    }

    fn admit_data(&self, state: &mut State, connection: ConnectionId, chunk: &Chunk<'_>) -> bool {
        let turned = state.last.insert(connection, chunk.from) != Some(chunk.from);
        let pending = self.pending.load(Relaxed);
        let size = chunk.bytes.len();
        let mut room = if pending == 0 { size } else { self.limit.saturating_sub(pending) };
        // A gap that is open ends where there is room for more than a few bytes.
        if room < size && (size <= BEGINNING || state.gaps.contains_key(&(connection, chunk.from))) {
            room = 0;
        }
        if turned || size <= BEGINNING {
            let kept = (self.limit + self.limit / 4).saturating_sub(pending);
            room = if kept >= size.min(BEGINNING) { room.max(size.min(BEGINNING)) } else { room };
        }
        if room == 0 {
            self.lose(state, connection, chunk);
            return false;
        }
        // Those of the other side too: what is recorded after a gap came after it.
        self.end_gaps(state, |key| key.0 == connection);
        let Some((first, rest)) = chunk.bytes.split_at_checked(room).filter(|(_, rest)| !rest.is_empty()) else {
            return true;
        };
        let first = Chunk { bytes: first, ..*chunk };
        self.append(state, &TraceEvent { connection, fact: Fact::Data(first) });
        let rest = Chunk { offset: first.range().end, bytes: rest, ..*chunk };
        self.lose(state, connection, &rest);
        false
    }

    fn lose(&self, state: &mut State, connection: ConnectionId, chunk: &Chunk<'_>) {
        let key = (connection, chunk.from);
        if let Some(open) = state.gaps.get_mut(&key)
            && open.gap.range.end == chunk.offset
        {
            open.gap.range.end = chunk.range().end;
            return;
        }
        self.end_gaps(state, |other| *other == key);
        let why = format!("the recording queue was full ({} bytes)", self.limit);
        let gap = Gap { at: chunk.read, range: chunk.range(), why };
        state.gaps.insert(key, OpenGap { gap, written: None });
    }

    fn end_gaps(&self, state: &mut State, which: impl Fn(&(ConnectionId, Side)) -> bool) {
        if state.gaps.is_empty() {
            return;
        }
        let ended: Vec<_> = state.gaps.keys().filter(|key| which(key)).copied().collect();
        for key in ended {
            let Some(open) = state.gaps.remove(&key) else { continue };
            self.append(state, &TraceEvent { connection: key.0, fact: Fact::Gap(open.gap) });
            if let Some(written) = open.written {
                self.append(state, &TraceEvent { connection: key.0, fact: Fact::Written(written) });
            }
        }
    }

    fn discard(&self, event: &TraceEvent<'_>) {
        self.discarded_records.fetch_add(1, Relaxed);
        if let Fact::Data(chunk) = &event.fact {
            self.discarded_bytes.fetch_add(chunk.bytes.len() as u64, Relaxed);
        }
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
