//! What a rule remembers of each connection, as long as it is open, and who ended what was cut off on it.

use crate::model::{ConnectionId, Side, Timestamp, connection::Connection, hash::QuickMap, trace::Closer};

/// Further connections are not remembered; what concerns them is not judged.
const MOST: usize = 1 << 18;

/// Who ended what was over, and not complete, at that instant. Over before the connection was closed is what the server
/// ended: a client that goes on asks another one.
pub(super) fn ended_by(connection: &Connection, over: Timestamp) -> Option<Closer> {
    let (closed, by, _) = connection.closed?;
    let client_ended = connection.ended.of(Side::Client).is_some_and(|ended| ended <= over);
    Some(if over < closed && !client_ended { Closer::Server } else { by })
}

/// One `T` for each open connection.
#[derive(Debug)]
pub(super) struct ByConnection<T>(QuickMap<ConnectionId, T>);

impl<T> Default for ByConnection<T> {
    fn default() -> Self {
        Self(QuickMap::default())
    }
}

impl<T> ByConnection<T> {
    /// What is remembered, to be changed.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        self.0.get_mut(&id)
    }

    /// Remembers that, in the place of what was remembered.
    pub(super) fn set(&mut self, id: ConnectionId, value: T) {
        if self.0.len() < MOST || self.0.contains_key(&id) {
            self.0.insert(id, value);
        }
    }

    /// The connection is closed.
    pub(super) fn take(&mut self, id: ConnectionId) -> Option<T> {
        let taken = self.0.remove(&id);
        if self.0.is_empty() && self.0.capacity() > 1024 {
            self.0 = QuickMap::default();
        }
        taken
    }

    /// Everything that is left, in the order of ids.
    pub(super) fn drain(&mut self) -> Vec<(ConnectionId, T)> {
        let mut all: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}

impl<T: Default> ByConnection<T> {
    /// What is remembered, begun if need be; `None` where there are too many.
    pub(super) fn entry(&mut self, id: ConnectionId) -> Option<&mut T> {
        if self.0.len() >= MOST && !self.0.contains_key(&id) {
            return None;
        }
        Some(self.0.entry(id).or_default())
    }
}
