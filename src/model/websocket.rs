//! WebSocket frames and the life of a socket (RFC 6455).

use serde::{Deserialize, Serialize};

use super::{
    ConnectionId, ExchangeId, FrameId, Side, Timestamp,
    trace::{ByteRange, Closer},
};

/// What became of an exchange whose upgrade was granted. OPEN has several instants, never one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Socket {
    /// The last byte of the server's 101 head arrived.
    pub server_open: Option<Timestamp>,
    /// Clock read just before the write that carried the 101's last byte to the client.
    pub open_write_begun: Option<Timestamp>,
    /// That write returned.
    pub client_open_written: Option<Timestamp>,
    /// The first byte of the client's first frame arrived.
    pub first_frame_from_client: Option<Timestamp>,
    /// The first byte of the server's first frame arrived.
    pub first_frame_from_server: Option<Timestamp>,
    /// Frames that the client sent.
    pub frames_from_client: u64,
    /// Frames that the server sent.
    pub frames_from_server: u64,
    /// Who sent the first Close frame, or else ended the connection.
    pub closed_by: Option<Closer>,
    /// The first Close frame's status; 1005 where it bore none; `None` where there was no Close frame.
    pub close_code: Option<u16>,
    /// Whether `permessage-deflate` was agreed.
    pub deflate: bool,
    /// When the connection under it ended.
    pub ended: Option<Timestamp>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Counted over the capture in the order in which frames were complete.
    pub id: FrameId,
    /// Its connection.
    pub connection: ConnectionId,
    /// The exchange that opened its socket.
    pub exchange: ExchangeId,
    /// Who sent it.
    pub from: Side,
    /// The opcode's number, whatever it is.
    pub opcode: u8,
    /// Whether it ends its message.
    pub fin: bool,
    /// RSV1 under `permessage-deflate`.
    pub compressed: bool,
    /// Whether it was masked.
    pub masked: bool,
    /// Payload bytes as sent.
    pub bytes: u64,
    /// Where the frame stood, header included.
    pub range: ByteRange,
    /// When its first byte arrived.
    pub first_byte: Timestamp,
    /// When its last byte arrived.
    pub arrived: Timestamp,
    /// When its last byte had been written to the other side.
    pub written: Option<Timestamp>,
}

/// The opcodes of RFC 6455, 11.8.
pub mod opcode {
    /// A further frame of a fragmented message.
    pub const CONTINUATION: u8 = 0;
    /// UTF-8 text.
    pub const TEXT: u8 = 1;
    /// Bytes.
    pub const BINARY: u8 = 2;
    /// The first of the two that end a socket in order.
    pub const CLOSE: u8 = 8;
    /// Asks for a pong.
    pub const PING: u8 = 9;
    /// Answers a ping.
    pub const PONG: u8 = 10;
}
