//! Content codings (RFC 9110, 8.4), taken off a copy of a collected body, never more than a cap of output. PURE.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// How many codings in a row are followed; each multiplies what a few bytes can become.
const MAX_CODINGS: usize = 4;

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All of it.
    Whole(Vec<u8>),
    /// Its beginning: there is more than the cap allows.
    Capped(Vec<u8>),
    /// Its beginning: behind it the coding is damaged, or the body ends too early.
    Damaged(Vec<u8>),
    /// A coding that is not known here, in lower case.
    Unsupported(String),
}

impl Decoded {
    /// What there is of it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) | Self::Capped(bytes) | Self::Damaged(bytes) => bytes,
            Self::Unsupported(_) => &[],
        }
    }
}

/// Takes the codings that `encoding` (the value of `Content-Encoding`, a list in the order of their application) names
/// off `body`: `gzip`, `x-gzip`, `deflate` (zlib's, or bare as some servers send it) and `identity`. No output, and
/// nothing in between, grows beyond `cap` bytes.
pub fn decode_content(encoding: &[u8], body: &[u8], cap: usize) -> Decoded {
    let names: Vec<String> = encoding
        .split(|b| *b == b',')
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if names.len() > MAX_CODINGS {
        return Decoded::Unsupported(names.join(", "));
    }
    let mut codings = Vec::with_capacity(names.len());
    for name in names.into_iter().rev() {
        match name.as_str() {
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            _ => return Decoded::Unsupported(name),
        }
    }
    let Some((first, further)) = codings.split_first() else {
        return match body.get(..cap) {
            Some(beginning) if body.len() > cap => Decoded::Capped(beginning.to_vec()),
            _ => Decoded::Whole(body.to_vec()),
        };
    };
    let mut decoded = first.take_off(body, cap);
    for coding in further {
        // The beginning of a coded body gives the beginning of what is in it, and no more can be whole.
        decoded = match decoded {
            Decoded::Whole(bytes) => coding.take_off(&bytes, cap),
            Decoded::Capped(bytes) => Decoded::Capped(coding.take_off(&bytes, cap).bytes().to_vec()),
            Decoded::Damaged(bytes) => Decoded::Damaged(coding.take_off(&bytes, cap).bytes().to_vec()),
            Decoded::Unsupported(name) => return Decoded::Unsupported(name),
        };
    }
    decoded
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    fn take_off(self, body: &[u8], cap: usize) -> Decoded {
        match self {
            Self::Gzip => read(MultiGzDecoder::new(body), cap),
            // RFC 9110 means zlib's format (its first byte says method 8, its first two are a multiple of 31).
            Self::Deflate => match body {
                [first, second, ..]
                    if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31) =>
                {
                    read(ZlibDecoder::new(body), cap)
                }
                _ => read(DeflateDecoder::new(body), cap),
            },
        }
    }
}

fn read(decoder: impl Read, cap: usize) -> Decoded {
    let mut bytes = Vec::new();
    let whole = decoder.take(cap as u64 + 1).read_to_end(&mut bytes).is_ok();
    if bytes.len() > cap {
        bytes.truncate(cap);
        Decoded::Capped(bytes)
    } else if whole {
        Decoded::Whole(bytes)
    } else {
        Decoded::Damaged(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const TEXT: &[u8] = br#"{"error":"metadata was sent before the socket was open"}"#;

    #[test]
    fn codings_come_off() {
        let whole = Decoded::Whole(TEXT.to_vec());
        for (encoding, body) in [
            ("", TEXT.to_vec()),
            ("identity", TEXT.to_vec()),
            ("gzip", gzip(TEXT)),
            ("X-GZIP", gzip(TEXT)),
            (" gzip , identity", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("deflate", bare(TEXT)),
            ("deflate, gzip", gzip(&zlib(TEXT))),
            ("gzip", [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat()),
        ] {
            assert_eq!(decode_content(encoding.as_bytes(), &body, 1000), whole, "{encoding:?}");
        }
    }

    #[test]
    fn unknown_codings_are_named() {
        assert_eq!(decode_content(b"gzip, Br", b"x", 10), Decoded::Unsupported("br".into()));
        assert_eq!(decode_content(b"zstd", b"x", 10), Decoded::Unsupported("zstd".into()));
        assert!(matches!(decode_content(b"gzip,gzip,gzip,gzip,gzip", b"", 10), Decoded::Unsupported(_)));
    }

    #[test]
    fn output_never_exceeds_the_cap() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert_eq!(decode_content(b"gzip", &bomb, 1000), Decoded::Capped(vec![0; 1000]));
        assert_eq!(decode_content(b"gzip", &gzip(&[7; 10]), 10), Decoded::Whole(vec![7; 10]));
        assert_eq!(decode_content(b"gzip", &gzip(&[7; 11]), 10), Decoded::Capped(vec![7; 10]));
        assert_eq!(decode_content(b"", &[7; 11], 10), Decoded::Capped(vec![7; 10]));
        assert!(matches!(decode_content(b"gzip, gzip", &gzip(&bomb), 600), Decoded::Capped(_)));
    }

    #[test]
    fn a_cut_body_gives_its_beginning() {
        let noise: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let body = gzip(&noise);
        let Decoded::Damaged(beginning) = decode_content(b"gzip", &body[..body.len() / 2], 10_000) else {
            panic!("half a body passed as whole")
        };
        assert!(!beginning.is_empty() && noise.starts_with(&beginning));
        assert_eq!(decode_content(b"gzip", b"not gzip", 10), Decoded::Damaged(vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(body in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, flip in any::<u8>()) {
            let mut coded = gzip(&body);
            if let Some(byte) = coded.get_mut(at) { *byte ^= flip; }
            for encoding in ["gzip", "deflate", "gzip, deflate"] {
                prop_assert!(decode_content(encoding.as_bytes(), &coded, 100).bytes().len() <= 100);
                prop_assert!(decode_content(encoding.as_bytes(), &body, 100).bytes().len() <= 100);
            }
        }
    }
}
