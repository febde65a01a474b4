//! Text in UTF-16, which .NET and Windows send now and then, as UTF-8: whoever looks for something in a text would not
//! find it there. PURE.

/// Bytes that are looked at to tell such a text by the zeros in it.
const LOOKED_AT: usize = 64;
/// Shorter ones are none.
const SHORTEST: usize = 8;

/// The text, where the bytes begin with a mark of byte order, or every other of the first ones is zero.
pub fn utf16(bytes: &[u8]) -> Option<String> {
    let zeros = |first: usize| bytes.iter().take(LOOKED_AT).skip(first).step_by(2).all(|b| *b == 0);
    let (little, begin) = match bytes {
        [0xff, 0xfe, ..] => (true, 2),
        [0xfe, 0xff, ..] => (false, 2),
        _ if bytes.len() < SHORTEST || zeros(0) == zeros(1) => return None,
        _ => (zeros(1), 0),
    };
    let (pairs, _) = bytes.get(begin..)?.as_chunks::<2>();
    let unit = |pair: &[u8; 2]| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
    let chars = char::decode_utf16(pairs.iter().map(unit));
    Some(chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_with_and_without_a_mark() {
        for little in [true, false] {
            let coded = |text: &str| -> Vec<u8> {
                let units = text.encode_utf16();
                units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
            };
            let marked = "{\"k\":\"ä€😀\"}";
            assert_eq!(utf16(&coded(&format!("\u{feff}{marked}"))).as_deref(), Some(marked));
            let plain = format!("{{\"k\":\"{}\"}}", "x".repeat(40));
            assert_eq!(utf16(&coded(&plain)), Some(plain));
        }
    }

    #[test]
    fn what_is_none() {
        for bytes in [&b""[..], b"{\"a\":1}", &[0; 32], b"a\0b\0", &[1, 0, 2, 3, 4, 0, 5, 6, 7]] {
            assert_eq!(utf16(bytes), None, "{bytes:?}");
        }
    }
}
