//! record/mod: being built. A placeholder with the signatures of the tap; collects facts in memory.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use crate::{
    clock::Clock,
    model::{
        ConnectionId,
        trace::{Chunk, Fact},
    },
};

/// The recorder's end that the connections hold.
#[derive(Clone, Debug)]
pub struct Tap(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    connections: AtomicU64,
    facts: Mutex<Vec<(ConnectionId, Fact<'static>)>>,
}

impl Tap {
    /// A tap that keeps what it is told.
    pub fn collecting(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, connections: AtomicU64::new(0), facts: Mutex::default() }))
    }

    /// What it was told so far.
    pub fn collected(&self) -> Vec<(ConnectionId, Fact<'static>)> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next connection's id.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.0.connections.fetch_add(1, Relaxed) + 1)
    }

    /// The capture's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Records a fact.
    pub fn record(&self, connection: ConnectionId, fact: Fact<'_>) {
        let kept = |bytes: &[u8]| -> &'static [u8] { Box::leak(Box::from(bytes)) };
        let fact = match fact {
            Fact::Data(chunk) => Fact::Data(Chunk { bytes: kept(chunk.bytes), ..chunk }),
            Fact::Connect(fact, bytes) => Fact::Connect(fact, kept(bytes)),
            Fact::Rewritten(fact, bytes) => Fact::Rewritten(fact, kept(bytes)),
            Fact::ProxyMade(fact, bytes) => Fact::ProxyMade(fact, kept(bytes)),
            Fact::Opened(fact) => Fact::Opened(fact),
            Fact::Dialed(fact) => Fact::Dialed(fact),
            Fact::Tls(fact) => Fact::Tls(fact),
            Fact::Written(fact) => Fact::Written(fact),
            Fact::SteppedAside(fact) => Fact::SteppedAside(fact),
            Fact::Ended(fact) => Fact::Ended(fact),
            Fact::Closed(fact) => Fact::Closed(fact),
            Fact::ServerRtt(fact) => Fact::ServerRtt(fact),
            Fact::Stalled(fact) => Fact::Stalled(fact),
            Fact::Gap(fact) => Fact::Gap(fact),
            Fact::ClockStep(fact) => Fact::ClockStep(fact),
            Fact::Dropped(fact) => Fact::Dropped(fact),
        };
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner).push((connection, fact));
    }

    /// Ready when there is room.
    pub fn poll_room(&self, _: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
