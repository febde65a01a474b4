//! Content codings (RFC 9110, 8.4), taken off a copy of a collected body, never more than a cap of output. PURE.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// No decoder may keep more than 8 MiB of what went before: what RFC 9659 allows for HTTP, as a power of two.
const ZSTD_WINDOW: u32 = 23;
/// What begins a brotli stream whose window may be a gigabyte, which RFC 7932 (9.1) does not allow.
const BROTLI_LARGE_WINDOW: u8 = 0b001_0001;

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
/// off `body`: `gzip`, `x-gzip`, `deflate` (zlib's, or bare as some servers send it), `br`, `zstd` and `identity`. No
/// output, and nothing in between, grows beyond `cap` bytes.
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
            "br" => codings.push(Coding::Brotli),
            "zstd" => codings.push(Coding::Zstd),
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

/// The coding that the bytes themselves begin with, whatever a head says of them: a client may compress and not say so,
/// or call the whole of it a file (`Content-Type: application/gzip`). `zip` is an archive, which nothing here takes off.
pub fn begins_coded(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        // The window that every zlib writes, and its four levels: a multiple of 31, and no text begins so but `x^`.
        [0x78, 0x01 | 0x9c | 0xda, ..] => Some("deflate"),
        [0x78, 0x5e, third, ..] if !third.is_ascii_graphic() => Some("deflate"),
        [b'P', b'K', 3, 4, ..] => Some("zip"),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
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
            Self::Brotli if body.first().is_some_and(|first| first & 0x7f == BROTLI_LARGE_WINDOW) => {
                Decoded::Damaged(Vec::new())
            }
            Self::Brotli => read(brotli_decompressor::Decompressor::new(body, 4096), cap),
            Self::Zstd => match zstd(body) {
                Ok(decoder) => read(decoder, cap),
                Err(_) => Decoded::Damaged(Vec::new()),
            },
        }
    }
}

fn zstd(body: &[u8]) -> std::io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW)?;
    Ok(decoder)
}

fn read(decoder: impl Read, cap: usize) -> Decoded {
    let mut bytes = Vec::new();
    let whole = decoder.take((cap as u64).saturating_add(1)).read_to_end(&mut bytes).is_ok();
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

    #[test]
    fn coded_bodies_are_told_by_their_first_bytes() {
        assert_eq!(begins_coded(&gzip(b"{}")), Some("gzip"));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"{}").unwrap();
        assert_eq!(begins_coded(&zlib.finish().unwrap()), Some("deflate"));
        assert_eq!(begins_coded(&zstd::stream::encode_all(&b"{}"[..], 0).unwrap()), Some("zstd"));
        assert_eq!(begins_coded(b"PK\x03\x04..."), Some("zip"));
        for plain in ["", "x", "x^2", "{}", "PK", "\u{1f}"] {
            assert_eq!(begins_coded(plain.as_bytes()), None, "{plain}");
        }
    }

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

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    /// As Node's zlib writes [`TEXT`].
    const BROTLI: &str = "8b1b807b226572726f72223a226d65746164617461207761732073656e74206265666f72652074686520736f636b657420776173206f70656e227d03";
    /// A megabyte of zeros, as Node's zlib writes it.
    const BROTLI_BOMB: &str = "5bffff8f7f02201e0b0472ef1f00";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
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
            ("br", unhex(BROTLI)),
            ("br, gzip", gzip(&unhex(BROTLI))),
            ("zstd", zstd(TEXT)),
            ("zstd", [zstd(&TEXT[..9]), zstd(&TEXT[9..])].concat()),
        ] {
            assert_eq!(decode_content(encoding.as_bytes(), &body, 1000), whole, "{encoding:?}");
        }
    }

    #[test]
    fn unknown_codings_are_named() {
        assert_eq!(decode_content(b"gzip, Compress", b"x", 10), Decoded::Unsupported("compress".into()));
        assert_eq!(decode_content(b"dcz", b"x", 10), Decoded::Unsupported("dcz".into()));
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
        assert_eq!(decode_content(b"br", &unhex(BROTLI_BOMB), 1000), Decoded::Capped(vec![0; 1000]));
        assert_eq!(decode_content(b"zstd", &zstd(&vec![0; 1 << 20]), 1000), Decoded::Capped(vec![0; 1000]));
    }

    #[test]
    fn windows_beyond_what_http_allows_are_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(TEXT).unwrap();
        assert_eq!(decode_content(b"zstd", &encoder.finish().unwrap(), 1000), Decoded::Damaged(vec![]));
        assert_eq!(decode_content(b"br", &[0x11, 0x1e, 0, 0, 0], 1000), Decoded::Damaged(vec![]));
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
        let brotli = unhex(BROTLI);
        for (encoding, body) in
            [("br", &brotli[..brotli.len() / 2]), ("zstd", &zstd(&noise)[..300]), ("zstd", b"no zstd")]
        {
            let decoded = decode_content(encoding.as_bytes(), body, 10_000);
            assert!(matches!(decoded, Decoded::Damaged(_)), "{encoding}: {decoded:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(body in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, flip in any::<u8>()) {
            let mut coded = gzip(&body);
            if let Some(byte) = coded.get_mut(at) { *byte ^= flip; }
            for encoding in ["gzip", "deflate", "gzip, deflate", "br", "zstd"] {
                prop_assert!(decode_content(encoding.as_bytes(), &coded, 100).bytes().len() <= 100);
                prop_assert!(decode_content(encoding.as_bytes(), &body, 100).bytes().len() <= 100);
            }
        }
    }
}
