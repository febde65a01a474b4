//! How far the writer got, for those who follow it: the indexer and the flusher. They sleep without a timeout when there
//! is nothing to follow, and the writer pays a wake-up only then.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
};

use crate::model::rows::Position;

/// The end of what is on disk.
#[derive(Default)]
pub(super) struct Progress {
    position: Mutex<Position>,
    ended: AtomicBool,
    followers: [Follower; 2],
}

/// Who follows.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Indexer,
    Flusher,
}

#[derive(Default)]
struct Follower {
    thread: Mutex<Option<Thread>>,
    parked: AtomicBool,
}

impl Progress {
    pub(super) fn position(&self) -> Position {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the writer has gone: nothing will be published any more.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    pub(super) fn publish(&self, position: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
        for follower in &self.followers {
            if follower.parked.swap(false, SeqCst) {
                follower.wake();
            }
        }
    }

    pub(super) fn end(&self) {
        self.ended.store(true, SeqCst);
        self.followers.iter().for_each(Follower::wake);
    }

    /// Wakes the follower, whatever it waits for.
    pub(super) fn wake(&self, who: Who) {
        self.follower(who).wake();
    }

    /// Names the calling thread as that follower, from now on.
    pub(super) fn follow(&self, who: Who) {
        *self.follower(who).thread() = Some(thread::current());
    }

    /// Sleeps until there is more than `seen`, the writer has gone, or [`Progress::wake`]; may return early.
    pub(super) fn wait(&self, who: Who, seen: Position) {
        let follower = self.follower(who);
        follower.parked.store(true, SeqCst);
        if self.position() == seen && !self.is_ended() {
            thread::park();
        }
        follower.parked.store(false, SeqCst);
    }

    fn follower(&self, who: Who) -> &Follower {
        let [indexer, flusher] = &self.followers;
        match who {
            Who::Indexer => indexer,
            Who::Flusher => flusher,
        }
    }
}

impl Follower {
    fn wake(&self) {
        if let Some(thread) = &*self.thread() {
            thread.unpark();
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
