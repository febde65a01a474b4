//! The flusher thread: `fdatasync` at most once per interval, and only where something was written. It has a thread of
//! its own because an `fdatasync` may take as long as the disk likes: in the writer's thread it would fill the queue and
//! so stall the traffic, in the indexer's it would hold back live events.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::{model::rows::Position, store::CaptureDir};

use super::progress::{Progress, Who};

pub(super) struct Flusher {
    /// Segments that were sealed and not yet synced.
    sealed: Mutex<Vec<(PathBuf, File)>>,
}

impl Flusher {
    pub(super) fn new() -> Self {
        Self { sealed: Mutex::new(Vec::new()) }
    }

    /// These are to be synced next time.
    pub(super) fn sealed(&self, mut files: Vec<(PathBuf, File)>) {
        if !files.is_empty() {
            self.sealed.lock().unwrap_or_else(PoisonError::into_inner).append(&mut files);
        }
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
            if let Err((path, error)) = result
                && !std::mem::replace(&mut warned, true)
            {
                tracing::warn!("{} cannot be brought to the disk now: {error}", path.display());
            }
        }
    }

    fn sync(&self, dir: &CaptureDir, upto: Position) -> Result<(), (PathBuf, std::io::Error)> {
        let sealed = std::mem::take(&mut *self.sealed.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, file) in sealed {
            file.sync_data().map_err(|error| (path, error))?;
        }
        let path = dir.segment_path(upto.segment);
        // A segment that is not there yet has nothing to sync.
        let Ok(file) = OpenOptions::new().append(true).open(&path) else { return Ok(()) };
        file.sync_data().map_err(|error| (path, error))
    }
}
