//! The flusher thread: `fdatasync` at most once per interval, and only where something was written. It has a thread of
//! its own because an `fdatasync` may take as long as the disk likes: in the writer's thread it would fill the queue and
//! so stall the traffic, in the indexer's it would hold back live events.

use std::{
    fs::OpenOptions,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    model::rows::Position,
    store::{CaptureDir, Error, segment_writer::Unsynced},
};

use super::progress::{Progress, Who};

pub(super) struct Flusher {
    /// What the writer handed over since the last time: sealed segments, and the folder that names them.
    given: Mutex<Vec<Unsynced>>,
}

impl Flusher {
    pub(super) fn new() -> Self {
        Self { given: Mutex::new(Vec::new()) }
    }

    /// This is to be synced next time.
    pub(super) fn give(&self, unsynced: Unsynced) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push(unsynced);
    }

    /// Runs until the writer has gone (which syncs what is left).
    pub(super) fn run(self: Arc<Self>, dir: &CaptureDir, progress: &Progress, interval: Duration) {
        progress.follow(Who::Flusher);
        let mut synced = Position::default();
        let mut warned = false;
        while !progress.is_ended() {
            progress.wait(Who::Flusher, synced);
            thread::park_timeout(interval);
            let upto = progress.position();
            if upto == synced {
                continue;
            }
            let result = self.sync(dir, upto);
            synced = upto;
            if let Err(error) = result
                && !std::mem::replace(&mut warned, true)
            {
                tracing::warn!("what is recorded cannot be brought to the disk now: {error}");
            }
        }
    }

    fn sync(&self, dir: &CaptureDir, upto: Position) -> Result<(), Error> {
        for unsynced in std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner)) {
            unsynced.sync()?;
        }
        // What came after the last hand-over, when the writer may have gone to sleep. A segment that is not there yet
        // has nothing to sync.
        let path = dir.segment_path(upto.segment);
        let Ok(file) = OpenOptions::new().append(true).open(&path) else { return Ok(()) };
        file.sync_data().map_err(|source| Error::Io { what: "sync", path, source })
    }
}
