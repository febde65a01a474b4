//! Where a message's body ends (RFC 9112, 6 and 7). Counts, never keeps.

/// The longest chunk-size line with its extensions.
const MAX_SIZE_LINE: u32 = 16 << 10;

/// The scan of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked, and where in it we are.
    Chunked(Chunk),
    /// Ends with the connection.
    UntilClose,
}

/// A place within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In a size line: the size so far, its digits, the line's length, and whether the digits are over.
    Size { size: u64, digits: u8, length: u32, over: bool },
    /// In the data: how much is left, without the line end that follows it.
    Data(u64),
    /// In the line end behind the data; whether its CR was seen.
    DataEnd { cr: bool },
    /// In a trailer line, or the empty line that ends all: how long it is so far, CR not counted.
    Trailer { length: u32 },
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The body goes on behind these bytes.
    More,
    /// It ends before this index.
    Ends(usize),
    /// It is no body of its kind, from this index on.
    Bad(usize),
}

impl Body {
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::START);

    /// Goes over the next bytes.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        match self {
            Self::UntilClose => Scan::More,
            Self::Length(left) => match usize::try_from(*left) {
                Ok(left) if left <= bytes.len() => Scan::Ends(left),
                _ => {
                    *left -= bytes.len() as u64;
                    Scan::More
                }
            },
            Self::Chunked(place) => place.scan(bytes),
        }
    }
}

impl Chunk {
    const START: Self = Self::Size { size: 0, digits: 0, length: 0, over: false };

    fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self {
                Self::Data(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        *self = Self::DataEnd { cr: false };
                    }
                    continue;
                }
                Self::DataEnd { cr } => match byte {
                    b'\r' if !*cr => *cr = true,
                    b'\n' => *self = Self::START,
                    _ => return Scan::Bad(at),
                },
                Self::Size { size, digits, length, over } => {
                    *length += 1;
                    match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) if *digits > 0 => {
                            *self = if *size == 0 { Self::Trailer { length: 0 } } else { Self::Data(*size) };
                        }
                        (_, Some(digit)) if !*over => {
                            *digits += 1;
                            match size.checked_mul(16) {
                                Some(shifted) if *digits <= 16 => *size = shifted + u64::from(digit),
                                _ => return Scan::Bad(at),
                            }
                        }
                        (b';' | b' ' | b'\t' | b'\r', _) if *digits > 0 => *over = true,
                        (b'\n', _) => return Scan::Bad(at),
                        _ if *over && *length < MAX_SIZE_LINE => {}
                        _ => return Scan::Bad(at),
                    }
                }
                Self::Trailer { length } => match byte {
                    b'\n' if *length == 0 => return Scan::Ends(at + 1),
                    b'\n' => *length = 0,
                    b'\r' => {}
                    _ => *length = length.saturating_add(1),
                },
            }
            at += 1;
        }
        Scan::More
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    /// The result of scanning in pieces that are cut at `cut`.
    fn in_two(mut body: Body, bytes: &[u8], cut: usize) -> Scan {
        match body.scan(&bytes[..cut]) {
            Scan::More => match body.scan(&bytes[cut..]) {
                Scan::Ends(at) => Scan::Ends(cut + at),
                Scan::Bad(at) => Scan::Bad(cut + at),
                Scan::More => Scan::More,
            },
            done => done,
        }
    }

    #[test]
    fn the_end_does_not_depend_on_the_cut() {
        for (body, bytes, expected) in [
            (Body::Length(5), &b"hello!"[..], Scan::Ends(5)),
            (Body::Length(5), b"hell", Scan::More),
            (Body::CHUNKED, b"5\r\nhello\r\n0\r\n\r\nGET", Scan::Ends(15)),
            (Body::CHUNKED, b"5;a=\"b\"\r\nhello\r\nA \r\n0123456789\r\n00\r\nX: y\r\n\r\n!", Scan::Ends(46)),
            (Body::CHUNKED, b"5\nhello\n0\n\n!", Scan::Ends(11)),
            (Body::CHUNKED, b"0\r\n\r\n", Scan::Ends(5)),
            (Body::CHUNKED, b"x\r\n", Scan::Bad(0)),
            (Body::CHUNKED, b"\r\n", Scan::Bad(0)),
            (Body::CHUNKED, b"1\r\nabc", Scan::Bad(4)),
            (Body::CHUNKED, b"11111111111111111\r\n", Scan::Bad(16)),
            (Body::CHUNKED, b"-1\r\n", Scan::Bad(0)),
            (Body::UntilClose, b"anything", Scan::More),
        ] {
            for cut in 0..=bytes.len() {
                let text = String::from_utf8_lossy(bytes);
                assert_eq!(in_two(body, bytes, cut), expected, "{text:?} cut at {cut}");
            }
        }
    }
}
