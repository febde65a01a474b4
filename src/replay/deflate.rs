//! Messages deflated anew, as `permessage-deflate` has it (RFC 7692, 7.2.1), such that they can be read whatever was sent
//! before them: nothing refers to an earlier message, and nothing farther back than the agreed window. PURE.

use flate2::{Compress, Compression, FlushCompress};

use crate::decode::DeflateParameters;

/// What a sync flush ends with and a sender takes off.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What stands for an empty message (RFC 7692, 7.2.3.6).
const EMPTY: [u8; 1] = [0x00];

/// A client's message, deflated. `None` where the compressor fails, which it does not.
pub(super) fn deflated(message: &[u8], agreed: DeflateParameters) -> Option<Vec<u8>> {
    if message.is_empty() {
        return Some(EMPTY.to_vec());
    }
    // A compressor knows one window alone, the largest: a smaller one is kept to by beginning anew.
    let window = 1 << agreed.client_max_window_bits.unwrap_or(15).clamp(8, 15);
    let mut out = Vec::new();
    for part in message.chunks(window) {
        let mut compress = Compress::new(Compression::default(), false);
        // More than what cannot be compressed takes: it is done in one call.
        out.reserve(part.len() + part.len() / 8 + 128);
        compress.compress_vec(part, &mut out, FlushCompress::Sync).ok()?;
        if compress.total_in() != part.len() as u64 || !out.ends_with(&TAIL) {
            return None;
        }
    }
    out.truncate(out.len() - TAIL.len());
    Some(out)
}

/// A payload in as many pieces as there are lengths, each of its length as far as there is something left; the last is
/// what remains.
pub(super) fn pieces(payload: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = payload;
    let mut cut = Vec::with_capacity(lengths.len());
    for (nth, length) in lengths.iter().enumerate() {
        let length = if nth + 1 == lengths.len() { rest.len() } else { *length };
        let (piece, more) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        cut.push(piece.to_vec());
        rest = more;
    }
    cut
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::{
        decode::{
            Decoder as _, Event, WebSocketEvent,
            websocket::{Options, WebSocket},
        },
        model::{Side, Timestamp, trace::Chunk},
        replay::edit::reframe,
    };

    /// What the product's own decoder makes of such messages, one after the other.
    fn read(messages: &[Vec<u8>], agreed: DeflateParameters) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        for message in messages {
            let payload = deflated(message, agreed).unwrap();
            bytes.extend(reframe(&[0xc2, 0x80], &payload, [1, 2, 3, 4]).unwrap());
        }
        let mut socket = WebSocket::new(Some(agreed), Options::default());
        let mut out = Vec::new();
        let at = Timestamp(1);
        let chunk = Chunk { from: Side::Client, offset: 0, arrived: None, read: at, bytes: &bytes };
        socket.push(&chunk, &mut |event| {
            if let Event::WebSocket(WebSocketEvent::Message { payload, .. }) = event {
                out.push(payload.bytes.to_vec());
            }
        });
        out
    }

    proptest! {
        #[test]
        fn what_is_deflated_is_inflated_to_the_same(
            messages in proptest::collection::vec(
                prop_oneof!["[a-f]{0,2000}".prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..3000)], 1..5),
            bits in proptest::option::of(8_u8..=15), forgets: bool,
        ) {
            let agreed = DeflateParameters {
                client_no_context_takeover: forgets, client_max_window_bits: bits, ..DeflateParameters::default()
            };
            prop_assert_eq!(read(&messages, agreed), messages);
        }

        #[test]
        fn pieces_are_all_of_it(payload: Vec<u8>, lengths in proptest::collection::vec(0_usize..20, 1..6)) {
            let cut = pieces(&payload, &lengths);
            prop_assert_eq!(cut.len(), lengths.len());
            prop_assert_eq!(cut.concat(), payload);
        }
    }

    #[test]
    fn a_long_message_keeps_to_a_small_window() {
        let message = b"0123456789abcdef".repeat(20_000);
        let agreed = DeflateParameters { client_max_window_bits: Some(9), ..DeflateParameters::default() };
        let coded = deflated(&message, agreed).unwrap();
        assert!(coded.len() < message.len() / 4, "{}", coded.len());
        assert_eq!(read(std::slice::from_ref(&message), agreed), [message]);
    }
}
