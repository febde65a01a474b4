//! The writer thread: takes batches from the queue, appends them, tells who follows. It looks at no record, and waits for
//! nothing but `write`: `fdatasync` is the flusher's.

use std::sync::Arc;

use crate::{
    clock::{self, Clock},
    model::{
        ConnectionId, Timestamp,
        trace::{ClockStep, Cpu, Fact, TraceEvent},
    },
    shutdown::Trigger,
    store::{CaptureDir, Error, SegmentWriter, State, format},
};

use super::{
    OnRecordError,
    flusher::Flusher,
    index::{Failure, Index},
    progress::Progress,
    queue::{self, Queue},
};

/// A change of the wall clock against ours that is worth a fact.
const STEP_NS: i64 = 5_000_000;
/// How often the wall clock and the CPU time are looked at, while there is something to write.
const STEP_INTERVAL_NS: u64 = 1_000_000_000;

/// How often it is looked whether the capture is still there, while there is something to write.
const LOOK_INTERVAL_NS: u64 = 500_000_000;

/// What the thread works with.
pub(super) struct Writer {
    pub(super) dir: CaptureDir,
    pub(super) segments: SegmentWriter,
    pub(super) queue: Arc<Queue>,
    pub(super) progress: Arc<Progress>,
    /// None where nothing is to be brought to the disk before the end.
    pub(super) flusher: Option<Arc<Flusher>>,
    pub(super) index: Arc<Index>,
    pub(super) clock: Clock,
    pub(super) on_error: OnRecordError,
    pub(super) failed: Trigger,
}

impl Writer {
    /// Runs until the queue is closed and empty; then seals.
    pub(super) fn run(mut self) {
        let mut steps = Steps::default();
        let mut effort = Effort::begin();
        let mut looked = Timestamp(0);
        let mut batch = queue::buffer();
        // Everything pushed before this instant is on disk.
        let mut complete_until = self.clock.now();
        loop {
            let more = self.queue.take(&mut batch);
            let taken_at = self.clock.now();
            if !more {
                break;
            }
            match self.segments.append(&batch) {
                Ok(()) => complete_until = taken_at,
                Err(error) => self.fail(complete_until, &error),
            }
            if taken_at.0.saturating_sub(looked.0) >= LOOK_INTERVAL_NS {
                looked = taken_at;
                if let Err(error) = self.segments.check_there() {
                    // Nothing of it can be relied on.
                    self.fail(Timestamp(0), &error);
                }
            }
            self.progress.publish(self.segments.position());
            self.hand_over(taken_at);
            self.queue.done(batch.len());
            batch.clear();
            if let Some(by_ns) = steps.check(taken_at, || self.clock.wall_drift_ns()) {
                let fact = Fact::ClockStep(ClockStep { at: taken_at, by_ns });
                self.queue.push(&TraceEvent { connection: ConnectionId::CAPTURE, fact });
            }
            if effort.is_due(taken_at) {
                let fact = Fact::Cpu(effort.tell(taken_at));
                self.queue.push(&TraceEvent { connection: ConnectionId::CAPTURE, fact });
            }
        }
        if self.index.failure().is_none() {
            // How much the last part of a second took.
            let fact = Fact::Cpu(effort.tell(self.clock.now()));
            format::encode(&TraceEvent { connection: ConnectionId::CAPTURE, fact }, &mut batch);
            if let Err(error) = self.segments.append(&batch) {
                self.fail(complete_until, &error);
            }
        }
        // Also after a failure, as far as it goes: the end of what is there is worth a seal.
        if let Err(error) = self.segments.seal().and_then(|()| self.segments.sync()) {
            self.fail(complete_until, &error);
        }
        self.progress.publish(self.segments.position());
        self.progress.end();
    }

    /// Lets the flusher wait for the disk.
    fn hand_over(&mut self, now: Timestamp) {
        match self.segments.unsynced_if_due(now) {
            Ok(Some(unsynced)) => {
                if let Some(flusher) = &self.flusher {
                    flusher.give(unsynced);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("what is recorded cannot be brought to the disk now: {error}"),
        }
    }

    fn fail(&mut self, complete_until: Timestamp, error: &Error) {
        self.queue.fail();
        if self.index.failure().is_some() {
            return;
        }
        tracing::error!("recording has failed, traffic goes on unrecorded: {error}");
        let why = error.to_string();
        self.index.failed(Failure { complete_until_ns: complete_until, why: why.clone() });
        if self.on_error == OnRecordError::Stop {
            self.failed.stop();
        }
        // On a full disk this may fail as well; then it is tried again at the end, and "recording" with a free lock is
        // not "clean" either.
        if let Err(error) = self.dir.set_state(State::Incomplete { from_ns: Some(complete_until), why }) {
            tracing::warn!("the failure cannot be noted now: {error}");
        }
    }
}

/// Asks for the CPU time now and then.
struct Effort {
    cores: u32,
    used_before: u64,
    told: Timestamp,
}

impl Effort {
    fn begin() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        Self { cores, used_before: clock::cpu_ns(), told: Timestamp(0) }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.told.0) >= STEP_INTERVAL_NS
    }

    fn tell(&mut self, now: Timestamp) -> Cpu {
        self.told = now;
        Cpu { at: now, used_ns: clock::cpu_ns().saturating_sub(self.used_before), cores: self.cores }
    }
}

/// Looks for steps of the wall clock.
#[derive(Default)]
struct Steps {
    known_ns: i64,
    looked: Timestamp,
}

impl Steps {
    /// The wall clock's distance from the anchor, where it has changed.
    fn check(&mut self, now: Timestamp, drift_ns: impl FnOnce() -> i64) -> Option<i64> {
        if now.0.saturating_sub(self.looked.0) < STEP_INTERVAL_NS {
            return None;
        }
        self.looked = now;
        let drift = drift_ns();
        if drift.saturating_sub(self.known_ns).abs() <= STEP_NS {
            return None;
        }
        self.known_ns = drift;
        Some(drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_once_and_looked_for_once_a_second() {
        let mut steps = Steps::default();
        let at = |ms: u64| Timestamp(ms * 1_000_000);
        assert_eq!(steps.check(at(10), || 9_000_000), None, "too soon");
        assert_eq!(steps.check(at(1_000), || 5_000_000), None, "too small");
        assert_eq!(steps.check(at(2_000), || -7_000_000), Some(-7_000_000));
        assert_eq!(steps.check(at(3_000), || -8_000_000), None, "told already");
        assert_eq!(steps.check(at(3_500), || 60_000_000), None, "too soon");
        assert_eq!(steps.check(at(4_000), || 60_000_000), Some(60_000_000));
        assert_eq!(steps.check(at(5_000), || 0), Some(0), "and back");
    }
}
