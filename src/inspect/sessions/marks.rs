//! A token or an address by which exchanges are put together, and whether it still can be.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{SessionId, Timestamp};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where it leads.
    pub(super) session: SessionId,
    /// Whether more than one user bears it.
    pub(super) ambiguous: bool,
    address: IpAddr,
    /// Sockets that are asked for or open, and the last instant at which one closed.
    sockets: Lane,
    /// Other requests that are not answered, likewise.
    requests: Lane,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    open: u32,
    last_left: Timestamp,
}

impl Mark {
    pub(super) fn new(session: SessionId, address: IpAddr) -> Self {
        Self { session, ambiguous: false, address, sockets: Lane::default(), requests: Lane::default() }
    }

    /// Whether one user alone can bear it, if a request came from `address` at that instant as well.
    pub(super) fn is_clear(&self, address: IpAddr, socket: bool, at: Timestamp) -> bool {
        let lane = if socket { &self.sockets } else { &self.requests };
        !self.ambiguous && self.address == address && lane.open == 0 && lane.last_left <= at
    }

    pub(super) fn enter(&mut self, socket: bool) {
        self.lane(socket).open += 1;
    }

    pub(super) fn leave(&mut self, socket: bool, at: Timestamp) {
        let lane = self.lane(socket);
        lane.open = lane.open.saturating_sub(1);
        lane.last_left = lane.last_left.max(at);
    }

    fn lane(&mut self, socket: bool) -> &mut Lane {
        if socket { &mut self.sockets } else { &mut self.requests }
    }
}
