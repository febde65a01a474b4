//! The one stream that rules, tables and live subscribers listen to.
//!
//! The inspector makes observations from trace events, in record order; everything in them was known at that point of
//! the record, so that a rule gives the same flags live and offline.

use super::{
    ConnectionId, Timestamp, anomaly::Anomaly, connection::Connection, exchange::Exchange, session::Session,
    websocket::Frame,
};

/// One thing that became known.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The event time at which it became known: that of the fact that made it known.
    pub at: Timestamp,
    /// Where.
    pub connection: ConnectionId,
    /// The session that it belongs to, as far as known at this point.
    pub session: Option<&'a Session>,
    /// What.
    pub what: What<'a>,
}

/// What became known. Exchanges and connections come as they stand at that moment.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A connection was accepted.
    ConnectionOpened(&'a Connection),
    /// A connection was closed; nothing more comes of it.
    ConnectionClosed(&'a Connection),
    /// A request's head is complete.
    RequestHead(&'a Exchange),
    /// A request is complete, or was cut off (`request_body.complete` tells).
    Request(&'a Exchange, Collected<'a>),
    /// A final response's head is complete.
    ResponseHead(&'a Exchange),
    /// A 101's last byte was written to the client: `websocket.open_write_begun` and `client_open_written` stand.
    Open(&'a Exchange),
    /// A frame is complete. Its payload is unmasked, not inflated.
    Frame(&'a Exchange, &'a Frame, Collected<'a>),
    /// A message is complete: its last frame, its opcode (text or binary, which is that of its first frame), and its whole
    /// payload, inflated.
    Message(&'a Exchange, &'a Frame, u8, Collected<'a>),
    /// An exchange is over; its row is final. A WebSocket's comes when its connection ends.
    Exchange(&'a Exchange, Collected<'a>),
    /// A session is over; its row is final. The observation's `session` is it.
    SessionEnded(&'a Session),
    /// A decoder met trouble; in the exchange that was open, if one was.
    Anomaly(Option<&'a Exchange>, &'a Anomaly),
    /// Event time moved on; nothing else happened. At most one a second, so that rules can let deadlines pass.
    Tick,
    /// The capture ends; whatever waits is to be decided now.
    End,
}

/// What an observation is of, without what it holds: what a rule says that it listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// [`What::ConnectionOpened`]
    ConnectionOpened,
    /// [`What::ConnectionClosed`]
    ConnectionClosed,
    /// [`What::RequestHead`]
    RequestHead,
    /// [`What::Request`]
    Request,
    /// [`What::ResponseHead`]
    ResponseHead,
    /// [`What::Open`]
    Open,
    /// [`What::Frame`]
    Frame,
    /// [`What::Message`]
    Message,
    /// [`What::Exchange`]
    Exchange,
    /// [`What::SessionEnded`]
    SessionEnded,
    /// [`What::Anomaly`]
    Anomaly,
    /// [`What::Tick`]
    Tick,
    /// [`What::End`]
    End,
}

impl Heard {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::ConnectionOpened,
        Self::ConnectionClosed,
        Self::RequestHead,
        Self::Request,
        Self::ResponseHead,
        Self::Open,
        Self::Frame,
        Self::Message,
        Self::Exchange,
        Self::SessionEnded,
        Self::Anomaly,
        Self::Tick,
        Self::End,
    ];
}

impl What<'_> {
    /// What it is of.
    pub fn kind(&self) -> Heard {
        match self {
            Self::ConnectionOpened(..) => Heard::ConnectionOpened,
            Self::ConnectionClosed(..) => Heard::ConnectionClosed,
            Self::RequestHead(..) => Heard::RequestHead,
            Self::Request(..) => Heard::Request,
            Self::ResponseHead(..) => Heard::ResponseHead,
            Self::Open(..) => Heard::Open,
            Self::Frame(..) => Heard::Frame,
            Self::Message(..) => Heard::Message,
            Self::Exchange(..) => Heard::Exchange,
            Self::SessionEnded(..) => Heard::SessionEnded,
            Self::Anomaly(..) => Heard::Anomaly,
            Self::Tick => Heard::Tick,
            Self::End => Heard::End,
        }
    }
}

/// Payload bytes that were collected on the way, up to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// There was more than the cap allows; this is its beginning.
    TooLarge(&'a [u8]),
    /// It was not collected (no rule needs it, or bytes were lost).
    Not,
}

impl<'a> Collected<'a> {
    /// All of it, if all of it is there.
    pub fn whole(self) -> Option<&'a [u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::TooLarge(_) | Self::Not => None,
        }
    }
}
