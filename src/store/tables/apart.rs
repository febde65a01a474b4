//! A heap of its own for work that needs much for a moment.
//!
//! To encode a group of rows takes half a megabyte in pieces of all sizes. Where they come from between what stays, the
//! allocator can give little of them back: a recorder grew by as much again within its first segments. Where a thread does
//! nothing else, its heap is as empty behind the work as before it: but for what the allocator keeps at hand for a thread,
//! which stands in the way of the rest and goes when the thread ends. So it ends with each segment. (A thread for each
//! piece of work will not do: it gets the heap of whichever thread ended last.)

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{self, SendError, Sender},
    },
    thread,
};

type Work = Box<dyn FnOnce() + Send>;

/// The thread, which begins with its first work, at the priority of who gives it, and ends with the last clone of this.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart(Arc<OnceLock<Option<Sender<Work>>>>);

impl Apart {
    /// Does the work there and waits for it; where there can be no thread, here. `None`: it panicked.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::channel();
        let work: Work = Box::new(move || {
            // Who waits for it is still there.
            let _ = done.send(work());
        });
        match self.0.get_or_init(begin) {
            None => work(),
            Some(worker) => {
                if let Err(SendError(work)) = worker.send(work) {
                    work();
                }
            }
        }
        result.recv().ok()
    }
}

fn begin() -> Option<Sender<Work>> {
    let (sender, works) = mpsc::channel::<Work>();
    let thread = thread::Builder::new().name("tables".to_owned());
    let work_off = move || {
        for work in works {
            // What it panicked over is its caller's to say; the next caller's work is none of it.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    };
    thread.spawn(work_off).ok()?;
    Some(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_is_done_in_one_thread_that_ends_with_its_owner() {
        let apart = Apart::default();
        let clone = apart.clone();
        let first = apart.run(|| (1, thread::current().id())).unwrap();
        let second = clone.run(|| (2, thread::current().id())).unwrap();
        assert_eq!((first.0, second.0), (1, 2));
        assert!(first.1 == second.1 && first.1 != thread::current().id());
        let (held, gone) = mpsc::channel::<()>();
        // What the thread has in its hand is dropped when it ends.
        thread_local!(static HELD: OnceLock<Sender<()>> = const { OnceLock::new() });
        apart.run(move || HELD.with(|cell| cell.set(held))).unwrap().unwrap();
        drop((apart, clone));
        let waited = gone.recv_timeout(std::time::Duration::from_secs(30));
        assert_eq!(waited, Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_panics_gives_nothing_and_the_next_is_done_all_the_same() {
        let apart = Apart::default();
        assert_eq!(apart.run(|| if true { panic!("as asked") } else { 1 }), None);
        assert_eq!(apart.run(|| 2), Some(2));
    }
}
