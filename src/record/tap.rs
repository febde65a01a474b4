//! What every connection holds: it turns facts into records. Nothing here waits, fails, or touches a file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use crate::{
    clock::Clock,
    model::{
        ConnectionId,
        trace::{Fact, TraceEvent},
    },
};

use super::queue::Queue;

/// The recorder's end that the connections hold. Cheap to clone.
#[derive(Clone)]
pub struct Tap(Arc<Inner>);

struct Inner {
    queue: Arc<Queue>,
    clock: Clock,
    connections: AtomicU64,
}

impl Tap {
    pub(super) fn new(queue: Arc<Queue>, clock: Clock) -> Self {
        Self(Arc::new(Inner { queue, clock, connections: AtomicU64::new(0) }))
    }

    /// The next connection's id, from `c1`.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.0.connections.fetch_add(1, Relaxed) + 1)
    }

    /// The capture's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Records a fact. The order of calls, over all connections, is the order of the capture. Never blocks on a disk and
    /// never fails: beyond the queue's bound facts are still taken, and `Data` according to [`super::Overflow`].
    pub fn record(&self, connection: ConnectionId, fact: Fact<'_>) {
        self.0.queue.push(&TraceEvent { connection, fact });
    }

    /// Ready when the queue has room: to be asked before each read. Otherwise the task is woken once there is. Under
    /// [`super::Overflow::Gap`], and after recording failed, always ready. Whoever waited records
    /// [`Stalled`](crate::model::trace::Stalled).
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.queue.poll_room(cx)
    }
}
