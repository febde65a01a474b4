//! Just enough DER to copy the names out of a server's certificate (X.690; RFC 5280, 4.2.1.6). Hostile input: every
//! read is bounded, and what is not understood ends the list of names, nothing else.

use std::net::IpAddr;

/// A name that a certificate bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A host name, possibly with a wildcard.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// More names than this are not copied: a leaf is sent in every full handshake.
const MAX_NAMES: usize = 256;

/// The subject alternative names of `certificate`.
pub(super) fn alternative_names(certificate: &[u8]) -> Vec<Name> {
    extensions(certificate).and_then(find_san).map(names).unwrap_or_default()
}

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const EXTENSIONS: u8 = 0xa3;
const SAN: &[u8] = &[0x55, 0x1d, 0x11];

fn extensions(certificate: &[u8]) -> Option<&[u8]> {
    let (tag, certificate, _) = value(certificate)?;
    let (inner, to_be_signed, _) = value(certificate)?;
    (tag == SEQUENCE && inner == SEQUENCE).then_some(())?;
    let explicit = Items(to_be_signed).find(|(tag, _)| *tag == EXTENSIONS)?.1;
    value(explicit).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, list, _)| list)
}

fn find_san(list: &[u8]) -> Option<&[u8]> {
    Items(list).find_map(|(_, extension)| {
        let mut parts = Items(extension);
        parts.next().filter(|(tag, id)| *tag == OID && *id == SAN)?;
        // `critical` may stand before the value.
        let (_, value_of_it) = parts.find(|(tag, _)| *tag == OCTET_STRING)?;
        value(value_of_it).map(|(_, names, _)| names)
    })
}

fn names(list: &[u8]) -> Vec<Name> {
    Items(list)
        .filter_map(|(tag, bytes)| match tag {
            0x82 => std::str::from_utf8(bytes).ok().filter(|name| name.is_ascii()).map(|name| Name::Dns(name.into())),
            0x87 => match *bytes {
                [a, b, c, d] => Some(Name::Ip(IpAddr::from([a, b, c, d]))),
                _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Name::Ip(IpAddr::from(bytes))),
            },
            _ => None,
        })
        .take(MAX_NAMES)
        .collect()
}

struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = (u8, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let (tag, inside, rest) = value(self.0)?;
        self.0 = rest;
        Some((tag, inside))
    }
}

/// Tag, contents and what follows. `None` for what is cut off or longer than 4 GiB.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(short & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Vec<u8> {
        let names = ["api.test", "*.api.test", "127.0.0.1", "::1"].map(str::to_owned);
        rcgen::generate_simple_self_signed(names).unwrap().cert.der().to_vec()
    }

    #[test]
    fn names_and_addresses_are_found() {
        let found = alternative_names(&certificate());
        let expected = [
            Name::Dns("api.test".into()),
            Name::Dns("*.api.test".into()),
            Name::Ip([127, 0, 0, 1].into()),
            Name::Ip("::1".parse().unwrap()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn damage_never_panics() {
        let whole = certificate();
        for length in 0..whole.len() {
            assert!(alternative_names(&whole[..length]).len() <= 4);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            alternative_names(&damaged);
        }
    }
}
