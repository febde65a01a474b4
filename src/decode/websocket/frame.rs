//! Frame headers and masking (RFC 6455, 5). Bytes in, values out; nothing here keeps state.

use serde::{Deserialize, Serialize};

use crate::model::{Side, websocket::opcode};

/// The longest header: two bytes, eight of length, four of key.
pub(super) const MAX_HEADER: usize = 14;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub fin: bool,
    pub rsv1: bool,
    /// RSV2 or RSV3, which no extension of ours uses.
    pub rsv23: bool,
    pub opcode: u8,
    /// The masking key, where the frame is masked.
    pub key: Option<[u8; 4]>,
    /// Payload bytes announced; the highest bit may be set, which is illegal.
    pub length: u64,
    /// Whether the length is written in the fewest bytes that hold it.
    pub minimal: bool,
    /// Bytes of the header itself.
    pub size: u8,
}

impl Header {
    /// The header at the front of `bytes`; `None` where it is not all there yet.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, minimal, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = u64::from(u16::from_be_bytes(*length));
                (length, length > 125, rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                let length = u64::from_be_bytes(*length);
                (length, length > u64::from(u16::MAX), rest)
            }
            short => (u64::from(short), true, rest),
        };
        let (key, rest) = match second & 0x80 {
            0 => (None, rest),
            _ => rest.split_first_chunk::<4>().map(|(key, rest)| (Some(*key), rest))?,
        };
        Some(Self {
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            rsv23: first & 0x30 != 0,
            opcode: first & 0x0f,
            key,
            length,
            minimal,
            size: (bytes.len() - rest.len()) as u8,
        })
    }

    /// Whether the length has its highest bit set, so that the frame's end is nowhere.
    pub(super) fn is_endless(&self) -> bool {
        self.length >> 63 != 0
    }

    /// Close, ping, pong and the reserved opcodes beside them.
    pub(super) fn is_control(&self) -> bool {
        self.opcode >= opcode::CLOSE
    }

    /// The opcodes that begin a message.
    pub(super) fn begins_message(&self) -> bool {
        matches!(self.opcode, opcode::TEXT | opcode::BINARY)
    }

    /// Whether bits or opcode are ones that the standard reserves; `deflate` is whether `permessage-deflate` was agreed,
    /// which uses RSV1 on the first frame of a message (RFC 7692, 6).
    pub(super) fn is_reserved(&self, deflate: bool) -> bool {
        self.rsv23
            || (self.rsv1 && !(deflate && self.begins_message()))
            || !matches!(self.opcode, opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG)
    }

    /// Whether it is masked as frames of that side must be (RFC 6455, 5.1).
    pub(super) fn is_masked_rightly(&self, from: Side) -> bool {
        self.key.is_some() == (from == Side::Client)
    }

    /// Whether it is a control frame as control frames must not be: long or fragmented (RFC 6455, 5.5).
    pub(super) fn is_bad_control(&self) -> bool {
        self.is_control() && (self.length > 125 || !self.fin)
    }
}

/// Where the payload begins of a frame that is all there, and its mask (zeros where it has none); `None` where the header is
/// not all there.
pub fn header_of(frame: &[u8]) -> Option<(usize, [u8; 4])> {
    let header = Header::parse(frame)?;
    Some((header.size.into(), header.key.unwrap_or_default()))
}

/// The payload of such a frame, without its mask.
pub fn unmasked(frame: &[u8]) -> Option<Vec<u8>> {
    let (begin, mask) = header_of(frame)?;
    let mut payload = frame.get(begin..)?.to_vec();
    unmask(&mut payload, mask, 0);
    Some(payload)
}

/// Takes the mask off `bytes`, which stand at `position` of their payload (or puts it on: it is its own inverse).
pub(super) fn unmask(bytes: &mut [u8], key: [u8; 4], position: u64) {
    let [a, b, c, d] = key;
    let [a, b, c, d] = match position % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    };
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// Whether a Close frame may bear this status: registered with IANA and meant for the wire, or private (RFC 6455, 7.4).
pub(super) fn may_close_with(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether `bytes` are UTF-8; a character cut off at the end is forgiven where the bytes are not `whole`.
pub(super) fn is_text(bytes: &[u8], whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn headers_need_all_their_bytes() {
        let cases: [(&[u8], u64, bool); 7] = [
            (&[0x81, 0x05], 5, true),
            (&[0x82, 0x85, 1, 2, 3, 4], 5, true),
            (&[0x81, 126, 0, 126], 126, true),
            (&[0x81, 126, 0, 125], 125, false),
            (&[0x81, 0xfe, 1, 0, 9, 9, 9, 9], 256, true),
            (&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65536, true),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], 65535, false),
        ];
        for (bytes, length, minimal) in cases {
            for cut in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..cut]), None, "{bytes:?} up to {cut}");
            }
            let header = Header::parse(&[bytes, &[0xaa; 3]].concat()).unwrap();
            assert_eq!((header.length, header.minimal, header.size as usize), (length, minimal, bytes.len()));
        }
    }

    #[test]
    fn the_highest_bit_makes_a_length_endless() {
        let mut bytes = [0x81, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        assert!(!Header::parse(&bytes).unwrap().is_endless());
        bytes[2] = 0x80;
        assert!(Header::parse(&bytes).unwrap().is_endless());
    }

    #[test]
    fn masks_come_off_from_any_position() {
        let plain: Vec<u8> = (0..61).collect();
        let key = [0x11, 0x22, 0x44, 0x88];
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for cut in 0..plain.len() {
            let (mut head, mut tail) = (masked[..cut].to_vec(), masked[cut..].to_vec());
            unmask(&mut head, key, 0);
            unmask(&mut tail, key, cut as u64);
            assert_eq!([head, tail].concat(), plain, "cut at {cut}");
        }
    }

    #[test]
    fn close_codes() {
        for (code, legal) in [
            (0, false),
            (999, false),
            (1000, true),
            (1003, true),
            (1004, false),
            (1005, false),
            (1006, false),
            (1007, true),
            (1014, true),
            (1015, false),
            (2999, false),
            (3000, true),
            (4999, true),
            (5000, false),
        ] {
            assert_eq!(may_close_with(code), legal, "{code}");
        }
    }
}
