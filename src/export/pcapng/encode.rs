//! pcapng blocks (draft-ietf-opsawg-pcapng) and the packets in them: Ethernet, IPv4 or IPv6, TCP. Bytes in, bytes out.

use std::net::{IpAddr, SocketAddr};

/// Payload bytes of one packet: what an IPv4 packet can hold beside its headers.
pub(super) const LARGEST: usize = 65_535 - 20 - 20;

/// TCP's flags (RFC 9293, 3.1).
pub(super) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}

const LINKTYPE_ETHERNET: u16 = 1;
const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'p> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) payload: &'p [u8],
}

/// The section header, with the program's name and a comment.
pub(super) fn section(out: &mut Vec<u8>, application: &str, comment: &str) {
    block(out, 0x0a0d_0d0a, |out| {
        out.extend(0x1a2b_3c4d_u32.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend((-1_i64).to_le_bytes());
        option(out, OPT_COMMENT, comment.as_bytes());
        option(out, SHB_USERAPPL, application.as_bytes());
        option(out, OPT_END, &[]);
    });
}

/// The one interface: Ethernet, nanoseconds.
pub(super) fn interface(out: &mut Vec<u8>, name: &str) {
    block(out, 1, |out| {
        out.extend(LINKTYPE_ETHERNET.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        option(out, IF_NAME, name.as_bytes());
        option(out, IF_TSRESOL, &[9]);
        option(out, OPT_END, &[]);
    });
}

/// TLS keys, in the format of `SSLKEYLOGFILE`. They must come before the packets that they open.
pub(super) fn secrets(out: &mut Vec<u8>, key_log: &[u8]) {
    block(out, 10, |out| {
        out.extend(TLS_KEY_LOG.to_le_bytes());
        out.extend(u32::try_from(key_log.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(key_log);
        pad(out, key_log.len());
    });
}

/// A packet at an instant (nanoseconds since 1970), with comments.
pub(super) fn packet(out: &mut Vec<u8>, at: u64, segment: &Segment<'_>, comments: &[String]) {
    block(out, 6, |out| {
        let length = frame_len(segment);
        out.extend(0_u32.to_le_bytes());
        out.extend(((at >> 32) as u32).to_le_bytes());
        out.extend((at as u32).to_le_bytes());
        for _ in 0..2 {
            out.extend((length as u32).to_le_bytes());
        }
        frame(out, segment);
        pad(out, length);
        if !comments.is_empty() {
            comments.iter().for_each(|comment| option(out, OPT_COMMENT, comment.as_bytes()));
            option(out, OPT_END, &[]);
        }
    });
}

/// Type, length, what is in it, length.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    fill(out);
    let length = u32::try_from(out.len() - begin + 4).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(begin + 4..begin + 8) {
        place.copy_from_slice(&length);
    }
    out.extend(length);
}

/// An option's length has sixteen bits: longer texts are cut.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(0xfff0)).unwrap_or_default();
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

/// Up to the next multiple of four.
fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend(std::iter::repeat_n(0, length.next_multiple_of(4) - length));
}

fn frame_len(segment: &Segment<'_>) -> usize {
    let ip = if v4(segment).is_some() { 20 } else { 40 };
    14 + ip + 20 + segment.payload.len()
}

/// Both addresses, where both are IPv4.
fn v4(segment: &Segment<'_>) -> Option<([u8; 4], [u8; 4])> {
    match (segment.from.ip(), segment.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some((from.octets(), to.octets())),
        _ => None,
    }
}

fn v6(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A locally administered hardware address that is the same for the same IP address.
fn hardware(out: &mut Vec<u8>, address: SocketAddr) {
    let tail = v6(address);
    out.extend([0x02, 0x00]);
    out.extend_from_slice(tail.get(12..).unwrap_or_default());
}

fn frame(out: &mut Vec<u8>, segment: &Segment<'_>) {
    hardware(out, segment.to);
    hardware(out, segment.from);
    let tcp_len = 20 + segment.payload.len();
    // The sum of the pseudo header (RFC 9293, 3.1).
    let mut sum = 6 + tcp_len as u64;
    match v4(segment) {
        Some((from, to)) => {
            out.extend(0x0800_u16.to_be_bytes());
            let begin = out.len();
            out.extend([0x45, 0]);
            out.extend(((20 + tcp_len) as u16).to_be_bytes());
            out.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            out.extend(from);
            out.extend(to);
            let header = fold(add(0, out.get(begin..).unwrap_or_default()));
            if let Some(place) = out.get_mut(begin + 10..begin + 12) {
                place.copy_from_slice(&header.to_be_bytes());
            }
            sum = add(add(sum, &from), &to);
        }
        None => {
            out.extend(0x86dd_u16.to_be_bytes());
            out.extend([0x60, 0, 0, 0]);
            out.extend((tcp_len as u16).to_be_bytes());
            out.extend([6, 64]);
            let (from, to) = (v6(segment.from), v6(segment.to));
            out.extend(from);
            out.extend(to);
            sum = add(add(sum, &from), &to);
        }
    }
    let begin = out.len();
    out.extend(segment.from.port().to_be_bytes());
    out.extend(segment.to.port().to_be_bytes());
    out.extend(segment.seq.to_be_bytes());
    out.extend(segment.ack.to_be_bytes());
    out.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend_from_slice(segment.payload);
    let checksum = fold(add(sum, out.get(begin..).unwrap_or_default()));
    if let Some(place) = out.get_mut(begin + 16..begin + 18) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Adds up sixteen-bit words (RFC 1071), four at a time; the carries wait in the upper half.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut total = sum;
    for word in words {
        let word = u64::from_be_bytes(*word);
        total += (word >> 32) + (word & 0xffff_ffff);
    }
    let mut last = [0; 8];
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    let word = u64::from_be_bytes(last);
    total + (word >> 32) + (word & 0xffff_ffff)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 as it is written: words of sixteen bits, the carry added at once.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    /// Takes a packet block apart again, checking every length and checksum on the way; the payload and the comments.
    fn parse(block: &[u8]) -> (Vec<u8>, Vec<String>, u64) {
        assert_eq!(number(&block[..4]), 6);
        assert_eq!(number(&block[4..8]), block.len() as u64);
        assert_eq!(number(&block[block.len() - 4..]), block.len() as u64);
        let at = number(&block[12..16]) << 32 | number(&block[16..20]);
        let length = number(&block[20..24]) as usize;
        assert_eq!(number(&block[24..28]) as usize, length);
        let frame = &block[28..28 + length];
        let (ip, rest) = match frame[12..14] {
            [0x08, 0x00] => (&frame[14..34], &frame[34..]),
            [0x86, 0xdd] => (&frame[14..54], &frame[54..]),
            _ => panic!("{frame:?}"),
        };
        let addresses = if ip.len() == 20 {
            assert_eq!(slow(ip), 0xffff, "the header's checksum");
            assert_eq!(usize::from(ip[2]) << 8 | usize::from(ip[3]), ip.len() + rest.len());
            &ip[12..]
        } else {
            assert_eq!(usize::from(ip[4]) << 8 | usize::from(ip[5]), rest.len());
            &ip[8..]
        };
        let pseudo = [addresses, &(rest.len() as u32).to_be_bytes(), &[0, 0, 0, 6], rest].concat();
        assert_eq!(slow(&pseudo), 0xffff, "TCP's checksum");
        let mut comments = Vec::new();
        let mut options = &block[28 + length.next_multiple_of(4)..block.len() - 4];
        while options.len() >= 4 {
            let (code, length) = (number(&options[..2]), number(&options[2..4]) as usize);
            if code == 1 {
                comments.push(String::from_utf8(options[4..4 + length].to_vec()).unwrap());
            }
            options = &options[4 + length.next_multiple_of(4)..];
        }
        assert!(options.is_empty());
        (rest[20..].to_vec(), comments, at)
    }

    proptest! {
        #[test]
        fn packets_are_what_the_standards_say(
            payload in proptest::collection::vec(any::<u8>(), 0..3000),
            from: (u32, u16), to: (u128, u16), six: bool, seq: u32, ack: u32, at: u64,
            comments in proptest::collection::vec("[a-zä ]{0,20}", 0..3),
        ) {
            let v4 = |ip: u32| IpAddr::from(ip.to_be_bytes());
            let (from, to) = if six {
                (SocketAddr::from((v4(from.0), from.1)), SocketAddr::from((IpAddr::from(to.0.to_be_bytes()), to.1)))
            } else {
                (SocketAddr::from((v4(from.0), from.1)), SocketAddr::from((v4(to.0 as u32), to.1)))
            };
            let segment = Segment { from, to, seq, ack, flags: flag::ACK | flag::PSH, payload: &payload };
            let mut out = Vec::new();
            packet(&mut out, at, &segment, &comments);
            prop_assert_eq!(parse(&out), (payload, comments, at));
        }

        #[test]
        fn blocks_are_multiples_of_four(keys in proptest::collection::vec(any::<u8>(), 0..50), name in ".{0,20}") {
            let mut out = Vec::new();
            section(&mut out, &name, &name);
            interface(&mut out, &name);
            secrets(&mut out, &keys);
            let mut rest = out.as_slice();
            let mut kinds = Vec::new();
            while !rest.is_empty() {
                let length = number(&rest[4..8]) as usize;
                prop_assert_eq!(length % 4, 0);
                prop_assert_eq!(number(&rest[length - 4..length]) as usize, length);
                kinds.push(number(&rest[..4]));
                rest = &rest[length..];
            }
            prop_assert_eq!(kinds, vec![0x0a0d_0d0a, 1, 10]);
        }
    }
}
