//! The shapes that scripts see: `--json`, the capture's socket and the tables all use these. Additions only.
//!
//! `*_ns` are nanoseconds on the capture's monotonic clock; unknown is `null`. Secrets in them are fingerprints already.

use serde::{Deserialize, Serialize};

use super::{ConnectionId, ExchangeId, FrameId, SessionId, Side, Timestamp, headers::Headers};

/// Where a row's facts lie in the segments, for readers that want its bytes. Not part of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The segment's number, from 1; 0 is unknown.
    pub segment: u64,
    /// The record's offset in the segment's file.
    pub offset: u64,
}

/// The positions of the first and the last record that a row was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Inclusive.
    pub first: Position,
    /// Inclusive.
    pub last: Position,
}

/// When a phase began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its begin.
    pub begin_ns: Timestamp,
    /// Its end.
    pub end_ns: Option<Timestamp>,
}

/// The phases of a connection's setup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// From accept to the first byte.
    pub accept: Option<Phase>,
    /// From the CONNECT's first byte to our answer.
    pub connect: Option<Phase>,
    /// Name lookup and TCP connection to the server.
    pub dial: Option<Phase>,
    /// The server leg's handshake.
    pub server_tls: Option<Phase>,
    /// The client leg's handshake.
    pub client_tls: Option<Phase>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct ConnectionRow {
    pub id: ConnectionId,
    pub mode: String,
    pub client: String,
    pub server: Option<String>,
    pub authority: Option<String>,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub client_tls: Option<String>,
    pub server_tls: Option<String>,
    pub opened_ns: Timestamp,
    pub phases: Phases,
    pub closed_ns: Option<Timestamp>,
    pub closed_by: Option<String>,
    pub how: Option<String>,
    pub bytes_from_client: u64,
    pub bytes_from_server: u64,
    pub exchanges: u64,
    pub frames: u64,
    pub gaps: u64,
    pub proxy_error: Option<String>,
    pub server_rtt_ns: Option<u64>,
    pub opaque: Option<String>,
    #[serde(skip)]
    pub extent: Extent,
}

/// A change that the relay made in a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct RewrittenRow {
    pub kind: String,
    pub from: String,
    pub to: String,
}

/// The socket of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct SocketRow {
    pub server_open_ns: Option<Timestamp>,
    pub open_write_begun_ns: Option<Timestamp>,
    pub client_open_written_ns: Option<Timestamp>,
    pub first_frame_from_client_ns: Option<Timestamp>,
    pub first_frame_from_server_ns: Option<Timestamp>,
    pub closed_by: Option<String>,
    pub close_code: Option<u16>,
    pub frames_from_client: u64,
    pub frames_from_server: u64,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct ExchangeRow {
    pub id: ExchangeId,
    pub connection: ConnectionId,
    pub session: Option<SessionId>,
    pub server: Option<String>,
    pub index: u32,
    pub method: String,
    pub target: String,
    pub scheme: String,
    pub authority: String,
    pub path: String,
    pub http: String,
    pub request_headers: Headers,
    pub request_body_bytes: u64,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub response_headers: Option<Headers>,
    pub response_body_bytes: Option<u64>,
    pub request_first_byte_ns: Timestamp,
    pub request_last_byte_ns: Option<Timestamp>,
    pub response_first_byte_ns: Option<Timestamp>,
    pub response_last_byte_ns: Option<Timestamp>,
    pub proxy_made: bool,
    pub rewritten: Vec<RewrittenRow>,
    pub websocket: Option<SocketRow>,
    pub flags: Vec<String>,
    /// Where the request's bytes begin and end among the client's, and the response's among the server's.
    #[serde(skip)]
    pub offsets: Offsets,
    #[serde(skip)]
    pub extent: Extent,
}

/// The byte ranges of an exchange: head and body with their transfer coding. Equal ends mean none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "four offsets")]
pub struct Offsets {
    pub request_start: u64,
    pub request_head_end: u64,
    pub request_end: u64,
    pub response_start: u64,
    pub response_head_end: u64,
    pub response_end: u64,
}

/// A frame. `text` is the payload of a text frame that is whole, uncompressed UTF-8 of modest size; tables hold `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct FrameRow {
    pub id: FrameId,
    pub connection: ConnectionId,
    pub exchange: ExchangeId,
    pub from: Side,
    pub opcode: u8,
    pub fin: bool,
    pub compressed: bool,
    pub bytes: u64,
    pub arrived_ns: Timestamp,
    pub written_ns: Option<Timestamp>,
    pub text: Option<String>,
    /// Whether it ends a message that is metadata, by the profile. Said where it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metadata: bool,
    /// The frame's place among its side's bytes, header included.
    #[serde(skip)]
    pub start: u64,
    #[serde(skip)]
    pub end: u64,
    #[serde(skip)]
    pub extent: Extent,
}

/// One piece of a flag's evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct EvidenceRow {
    pub id: String,
    pub side: Option<Side>,
    pub offset: Option<u64>,
    pub length: Option<u64>,
    pub at_ns: Timestamp,
}

impl EvidenceRow {
    /// Appends it as JSON, as [`Serialize`] does; where one token is all users', a flag is raised with each request.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Self { id, side, offset, length, at_ns } = self;
        if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            // Plain values always serialise.
            let written = serde_json::to_writer(out, self);
            debug_assert!(written.is_ok(), "{written:?}");
            return;
        }
        let mut digits = itoa::Buffer::new();
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put("{\"id\":\"");
        put(id);
        put("\",\"side\":");
        put(match side {
            Some(Side::Client) => "\"client\"",
            Some(Side::Server) => "\"server\"",
            None => "null",
        });
        for (key, number) in [(",\"offset\":", *offset), (",\"length\":", *length), (",\"at_ns\":", Some(at_ns.0))] {
            put(key);
            put(number.map_or("null", |number| digits.format(number)));
        }
        put("}");
    }
}

/// A flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct FlagRow {
    pub rule: String,
    pub severity: String,
    pub subject: String,
    pub session: Option<SessionId>,
    pub message: String,
    pub evidence: Vec<EvidenceRow>,
    pub at_ns: Timestamp,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract; docs/format.md says what each means")]
pub struct SessionRow {
    pub id: SessionId,
    pub correlated_by: String,
    pub sure: bool,
    pub sockets: Vec<ExchangeId>,
    pub exchanges: Vec<ExchangeId>,
    pub flags: Vec<String>,
    /// Whether rows of it went with dropped segments. No table holds it: it is found when read.
    #[serde(default)]
    pub dropped: bool,
}

/// Any row.
#[expect(clippy::large_enum_variant, reason = "made, moved a few times and gone; a box would cost more than the moves")]
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A connection.
    Connection(ConnectionRow),
    /// An exchange.
    Exchange(Box<ExchangeRow>),
    /// A frame.
    Frame(FrameRow),
    /// A session.
    Session(SessionRow),
    /// A flag.
    Flag(FlagRow),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_written_as_it_is_read() {
        for (id, side, offset, length) in [
            ("x1", Some(Side::Client), Some(0), Some(u64::MAX)),
            ("f12", Some(Side::Server), Some(7), None),
            ("s3", None, None, None),
            ("no \"id\"", None, None, Some(1)),
        ] {
            let row = EvidenceRow { id: id.to_owned(), side, offset, length, at_ns: Timestamp(u64::MAX) };
            let mut written = Vec::new();
            row.write_json(&mut written);
            assert_eq!(written, serde_json::to_vec(&row).unwrap());
        }
    }
}
