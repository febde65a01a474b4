//! The data model: plain types and their invariants, nothing else.
//!
//! *Facts* ([`trace`]) are what happened on the wire, stored and never rewritten. *Views* ([`connection`], [`exchange`],
//! [`websocket`], [`session`], [`flag`]) are derived from facts by a fold and can be derived again at any time.
//! [`observation`] is the one stream of views that rules, tables and live subscribers listen to; [`rows`] is what a
//! script sees, [`columns`] what the diagnosis reads, and [`finding`] what it says. PURE: no IO, no clock, no log, no global state.

pub mod again;
pub mod anomaly;
pub mod columns;
pub mod connection;
pub mod exchange;
pub mod finding;
pub mod flag;
pub mod hash;
pub mod headers;
pub mod http;
pub mod id;
pub mod observation;
pub mod rows;
pub mod session;
pub mod side;
pub mod time;
pub mod trace;
pub mod websocket;

pub use id::{ConnectionId, ExchangeId, FrameId, SessionId};
pub use side::Side;
pub use time::{Timestamp, WallAnchor};
