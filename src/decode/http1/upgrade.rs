//! What a 101 says about the protocol that follows.

use crate::{
    decode::{DeflateParameters, SwitchedTo},
    model::http::Head,
};

/// What a granting response switched to. A 101 without `Upgrade` (which it must have, RFC 9110, 15.2.2) is taken as
/// granting what was asked.
pub(super) fn switched_to(response: &Head, asked_for_websocket: bool) -> SwitchedTo {
    let websocket = match response.header("upgrade") {
        Some(_) => response.asks_for_websocket(),
        None => asked_for_websocket,
    };
    if websocket { SwitchedTo::WebSocket { deflate: deflate(response) } } else { SwitchedTo::Other }
}

fn deflate(response: &Head) -> Option<DeflateParameters> {
    response.all("sec-websocket-extensions").find_map(deflate_of)
}

/// The first `permessage-deflate` in a value of `Sec-WebSocket-Extensions` (RFC 7692, 7.1). Window bits that are no
/// number of 8 to 15 count as not given.
pub fn deflate_of(extensions: &[u8]) -> Option<DeflateParameters> {
    extensions.split(|b| *b == b',').find_map(|extension| {
        let mut items = extension.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        if !items.next().is_some_and(|name| name.eq_ignore_ascii_case(b"permessage-deflate")) {
            return None;
        }
        let mut agreed = DeflateParameters::default();
        for item in items {
            let (name, value) = match item.iter().position(|b| *b == b'=') {
                Some(at) => (item.get(..at), item.get(at + 1..)),
                None => (Some(item), None),
            };
            match name.unwrap_or_default().trim_ascii().to_ascii_lowercase().as_slice() {
                b"server_no_context_takeover" => agreed.server_no_context_takeover = true,
                b"client_no_context_takeover" => agreed.client_no_context_takeover = true,
                b"server_max_window_bits" => agreed.server_max_window_bits = value.and_then(window_bits),
                b"client_max_window_bits" => agreed.client_max_window_bits = value.and_then(window_bits),
                _ => {}
            }
        }
        Some(agreed)
    })
}

fn window_bits(value: &[u8]) -> Option<u8> {
    let value = value.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    let bits = str::from_utf8(bare).ok()?.parse().ok()?;
    (8..=15).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use crate::{
        decode::http1::head::{Kind, parse_head},
        model::{Side, trace::ByteRange},
    };

    use super::*;

    fn response(lines: &str) -> Head {
        let raw = format!("HTTP/1.1 101 x\r\n{lines}\r\n");
        let range = ByteRange { from: Side::Server, start: 0, end: raw.len() as u64 };
        parse_head(raw.as_bytes(), range, Kind::Response).0
    }

    #[test]
    fn the_agreed_extension_is_read() {
        let websocket = |extensions: &str| {
            let head = response(&format!("Upgrade: WebSocket\r\n{extensions}"));
            match switched_to(&head, true) {
                SwitchedTo::WebSocket { deflate } => deflate,
                SwitchedTo::Other => panic!("not a WebSocket"),
            }
        };
        assert_eq!(websocket(""), None);
        assert_eq!(websocket("Sec-WebSocket-Extensions: x-other\r\n"), None);
        let plain = DeflateParameters::default();
        assert_eq!(websocket("Sec-WebSocket-Extensions: permessage-deflate\r\n"), Some(plain));
        assert_eq!(
            websocket(
                "Sec-WebSocket-Extensions: x, PerMessage-Deflate ; server_no_context_takeover;\
                 client_max_window_bits=\"10\"; server_max_window_bits = 9\r\n"
            ),
            Some(DeflateParameters {
                server_no_context_takeover: true,
                client_max_window_bits: Some(10),
                server_max_window_bits: Some(9),
                ..plain
            })
        );
        assert_eq!(
            websocket(
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits=99\r\n"
            ),
            Some(plain)
        );
    }

    #[test]
    fn the_response_says_to_what_it_switched() {
        let plain = SwitchedTo::WebSocket { deflate: None };
        assert_eq!(switched_to(&response("Upgrade: h2c\r\n"), true), SwitchedTo::Other);
        assert_eq!(switched_to(&response("Upgrade: websocket\r\n"), false), plain);
        assert_eq!(switched_to(&response(""), true), plain);
        assert_eq!(switched_to(&response(""), false), SwitchedTo::Other);
    }
}
