//! What a decoder met and could not take as it stands. Never an error: decoding goes on, or turns opaque.

use serde::{Deserialize, Serialize};

use super::{Timestamp, trace::ByteRange};

/// Trouble in the bytes, with its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What.
    pub kind: AnomalyKind,
    /// Where.
    pub range: ByteRange,
    /// When its last byte arrived.
    pub at: Timestamp,
    /// Whether decoding of this connection went opaque over it, for good.
    pub opaque: bool,
}

/// The kinds of trouble. Each names what the standard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AnomalyKind {
    /// The bytes are not HTTP/1 at all.
    NotHttp,
    /// The start line has not three parts, or a target with spaces (RFC 9112, 3).
    StartLine,
    /// A header line without a colon, with an illegal name, or folded (RFC 9112, 5).
    HeaderLine,
    /// Lines end with a bare LF or bear a bare CR (RFC 9112, 2.2).
    LineEnd,
    /// A head larger than the cap.
    HeadTooLarge,
    /// `Content-Length` that is no number, or several that differ (RFC 9112, 6.3).
    ContentLength,
    /// `Transfer-Encoding` together with `Content-Length`, or not ending in `chunked` (RFC 9112, 6.3).
    TransferEncoding,
    /// A chunk-size line that is none (RFC 9112, 7.1).
    ChunkSize,
    /// A message ended before its body did.
    CutShort,
    /// Bytes where a request should begin do not look like one; the bytes follow a body.
    BytesAfterBody,
    /// A response came for which there was no request.
    UnaskedResponse,
    /// A whole response behind another one, for which there is no request: a client takes it for its next one's.
    SurplusResponse,
    /// A status that is not three digits (RFC 9112, 4).
    Status,
    /// The WebSocket frame has a reserved opcode or reserved bits (RFC 6455, 5.2).
    ReservedBits,
    /// A client's frame without mask, or a server's with one (RFC 6455, 5.1).
    Masking,
    /// A control frame longer than 125 bytes or fragmented (RFC 6455, 5.5).
    ControlFrame,
    /// A continuation without a beginning, or a new message within one (RFC 6455, 5.4).
    Fragmentation,
    /// Text that is not UTF-8 (RFC 6455, 8.1).
    NotUtf8,
    /// A message that does not inflate (RFC 7692).
    Deflate,
    /// A message larger than is handed out.
    MessageTooLarge,
    /// A message that inflates to more than is handed out, or with those before it to more than is inflated at all.
    InflatesTooLarge,
    /// A frame length with its highest bit set (then decoding turns opaque), or in more bytes than it needs (RFC 6455,
    /// 5.2).
    FrameLength,
    /// A Close frame with one byte of payload or an illegal code (RFC 6455, 7.4).
    CloseFrame,
    /// Bytes were not recorded here.
    Gap,
    /// More requests, or bytes behind an upgrade, wait for their answer than are kept.
    TooMuchWaiting,
}

impl AnomalyKind {
    /// A kebab-case name, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotHttp => "not-http",
            Self::StartLine => "start-line",
            Self::HeaderLine => "header-line",
            Self::LineEnd => "line-end",
            Self::HeadTooLarge => "head-too-large",
            Self::ContentLength => "content-length",
            Self::TransferEncoding => "transfer-encoding",
            Self::ChunkSize => "chunk-size",
            Self::CutShort => "cut-short",
            Self::BytesAfterBody => "bytes-after-body",
            Self::UnaskedResponse => "unasked-response",
            Self::SurplusResponse => "surplus-response",
            Self::Status => "status",
            Self::ReservedBits => "reserved-bits",
            Self::Masking => "masking",
            Self::ControlFrame => "control-frame",
            Self::Fragmentation => "fragmentation",
            Self::NotUtf8 => "not-utf8",
            Self::Deflate => "deflate",
            Self::MessageTooLarge => "message-too-large",
            Self::InflatesTooLarge => "inflates-too-large",
            Self::FrameLength => "frame-length",
            Self::CloseFrame => "close-frame",
            Self::Gap => "gap",
            Self::TooMuchWaiting => "too-much-waiting",
        }
    }
}
