//! Redaction in two passes, for what leaves the house: first all secret values of a capture are collected
//! ([`Collector`]), then they are replaced wherever they stand ([`Scrubber`]).

use std::{borrow::Cow, ops::Range};

use super::{
    DIGITS, Digest, Digests, Options, is_unresolved, known,
    known::{Gathered, Known},
    merged,
    places::{Places, Secret},
    push_fingerprint,
};

/// Collects the secrets of a capture. Give it everything that was said, in any order.
pub struct Collector {
    digests: Digests,
    places: Places,
    gathered: Gathered,
}

impl Collector {
    /// With the key of the fingerprints, and further places.
    pub fn new(key: [u8; 32], options: &Options) -> Self {
        Self { digests: Digests::new(key), places: Places::new(options), gathered: Gathered::default() }
    }

    /// A header.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        let mut named = Vec::new();
        self.places.in_header(name, value, &mut named);
        self.take(value, &named);
    }

    /// A request's target.
    pub fn target(&mut self, target: &[u8]) {
        let mut named = Vec::new();
        self.places.in_target(target, &mut named);
        self.take(target, &named);
    }

    /// A body or a frame. Whether it names a secret.
    pub fn text(&mut self, text: &[u8]) -> bool {
        let mut named = Vec::new();
        self.places.text(text, &mut named);
        self.take(text, &named);
        !named.is_empty()
    }

    /// A value that is known for a secret, wherever it was said.
    pub fn value(&mut self, kind: &'static str, value: &[u8]) {
        if is_unresolved(value) {
            return;
        }
        let digest = self.digests.of(value);
        self.gathered.add(kind, value, digest, value);
    }

    /// How many different values there are so far.
    pub fn len(&self) -> usize {
        self.gathered.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All is collected.
    pub fn finish(self, lengths: Lengths) -> Scrubber {
        Scrubber { digests: self.digests, places: self.places, known: self.gathered.finish(), lengths, off: false }
    }

    fn take(&mut self, bytes: &[u8], named: &[Secret]) {
        for secret in named {
            let value = bytes.get(secret.range.clone()).unwrap_or_default();
            // A number's few digits, a cookie's `1`: nothing that could be searched for.
            if (value.len() < known::SHORTEST && !secret.has_inner()) || is_unresolved(value) {
                continue;
            }
            // What is percent-encoded or escaped here may stand plain elsewhere.
            let plain = secret.plain(value);
            let plain = plain.as_deref().unwrap_or(value);
            let digest = self.digests.of(plain);
            self.gathered.add(secret.kind, plain, digest, value);
            for inner in self.places.inner(secret, value).into_iter().filter(|inner| !is_unresolved(inner)) {
                let digest = self.digests.of(&inner);
                self.gathered.add(secret.kind, &inner, digest, &inner);
            }
        }
    }
}

/// What becomes of lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// A fingerprint is as long as it is.
    #[default]
    Free,
    /// A fingerprint is cut or filled to the length of what it stands for.
    Kept,
}

/// Replaces secrets wherever they stand.
pub struct Scrubber {
    digests: Digests,
    places: Places,
    known: Known,
    lengths: Lengths,
    off: bool,
}

/// One secret's place, and what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub range: Range<usize>,
    /// What its fingerprint begins with.
    pub kind: &'static str,
    /// Of its value.
    pub digest: Digest,
}

impl Scrubber {
    /// One that leaves everything as it is, for those who said so.
    pub fn off() -> Self {
        let digests = Digests::new([0; 32]);
        let places = Places::new(&Options::default());
        Self { digests, places, known: Known::default(), lengths: Lengths::Free, off: true }
    }

    /// Whether it leaves everything as it is.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// A header's value as it may leave.
    pub fn header<'b>(&mut self, name: &[u8], value: &'b [u8]) -> Cow<'b, [u8]> {
        let places = self.in_header(name, value);
        self.render(value, places)
    }

    /// A request's target.
    pub fn target<'b>(&mut self, target: &'b [u8]) -> Cow<'b, [u8]> {
        let places = self.in_target(target);
        self.render(target, places)
    }

    /// A body, a frame, or any other text.
    pub fn text<'b>(&mut self, text: &'b [u8]) -> Cow<'b, [u8]> {
        let places = self.in_text(text);
        self.render(text, places)
    }

    /// What has no named places (a row's JSON, whose own are redacted already): known values alone.
    pub fn values<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let places = self.in_values(bytes);
        self.render(bytes, places)
    }

    /// The secrets in a header's value, in order and without overlaps.
    pub fn in_header(&mut self, name: &[u8], value: &[u8]) -> Vec<Place> {
        let mut named = Vec::new();
        if !self.off {
            self.places.in_header(name, value, &mut named);
        }
        self.places_of(value, named)
    }

    /// The secrets in a request's target.
    pub fn in_target(&mut self, target: &[u8]) -> Vec<Place> {
        let mut named = Vec::new();
        if !self.off {
            self.places.in_target(target, &mut named);
        }
        self.places_of(target, named)
    }

    /// The secrets in a text.
    pub fn in_text(&mut self, text: &[u8]) -> Vec<Place> {
        let mut named = Vec::new();
        if !self.off {
            self.places.text(text, &mut named);
        }
        self.places_of(text, named)
    }

    /// The known values in bytes, wherever they stand.
    pub fn in_values(&mut self, bytes: &[u8]) -> Vec<Place> {
        self.places_of(bytes, Vec::new())
    }

    /// What stands for a secret, of exactly that length: its digits first of all.
    pub fn filling(place: &Place) -> Vec<u8> {
        let mut shown = String::new();
        push_fingerprint(&mut shown, place.kind, place.digest);
        fit(&shown, place.range.len())
    }

    fn places_of(&mut self, bytes: &[u8], mut secrets: Vec<Secret>) -> Vec<Place> {
        let named = secrets.len();
        self.known.find(bytes, &mut secrets);
        if secrets.is_empty() {
            return Vec::new();
        }
        if secrets.len() > named || named > 1 {
            secrets = merged(secrets);
        }
        secrets
            .into_iter()
            .map(|secret| {
                let value = bytes.get(secret.range.clone()).unwrap_or_default();
                let digest = secret.digest.unwrap_or_else(|| match secret.plain(value) {
                    Some(plain) => self.digests.of(&plain),
                    None => self.digests.of(value),
                });
                Place { range: secret.range, kind: secret.kind, digest }
            })
            .collect()
    }

    fn render<'b>(&self, bytes: &'b [u8], places: Vec<Place>) -> Cow<'b, [u8]> {
        if places.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for place in places {
            shown.extend_from_slice(bytes.get(done..place.range.start).unwrap_or_default());
            match self.lengths {
                Lengths::Kept => shown.extend_from_slice(&Self::filling(&place)),
                Lengths::Free => {
                    let mut text = String::new();
                    push_fingerprint(&mut text, place.kind, place.digest);
                    shown.extend_from_slice(text.as_bytes());
                }
            }
            done = place.range.end;
        }
        shown.extend_from_slice(bytes.get(done..).unwrap_or_default());
        Cow::Owned(shown)
    }
}

/// A fingerprint in so many bytes: the kind goes first, then digits; what is left is filled with `-`.
fn fit(fingerprint: &str, length: usize) -> Vec<u8> {
    let mut bytes = fingerprint.as_bytes().to_vec();
    if length < bytes.len() {
        let digits = bytes.len().saturating_sub(DIGITS);
        bytes.drain(..digits);
    }
    bytes.resize(length, b'-');
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn scrubber(collect: impl FnOnce(&mut Collector)) -> Scrubber {
        let mut collector = Collector::new(KEY, &Options::default());
        collect(&mut collector);
        collector.finish(Lengths::Free)
    }

    fn shown(scrubber: &mut Scrubber, text: &str) -> String {
        String::from_utf8(scrubber.text(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_value_named_once_is_gone_everywhere_in_all_its_forms() {
        let token = "a+very/secret=token\"7";
        let mut scrubber = scrubber(|all| all.header(b"Authorization", format!("Bearer {token}").as_bytes()));
        for form in [
            token.to_owned(),
            "a%2Bvery%2Fsecret%3Dtoken%227".to_owned(),
            "a%2bvery%2fsecret%3dtoken%227".to_owned(),
            "a+very/secret=token\\\"7".to_owned(),
            "a+very\\/secret=token\\\"7".to_owned(),
            "a+very/secret\\u003dtoken\\\"7".to_owned(),
            STANDARD.encode(token),
            STANDARD.encode(format!("u{token}")),
            STANDARD.encode(format!("us{token} and more")),
        ] {
            let out = shown(&mut scrubber, &format!("<{form}>"));
            assert!(out.contains("token:"), "{form} -> {out}");
            assert!(!out.contains(&form), "{form} -> {out}");
        }
        assert_eq!(shown(&mut scrubber, "nothing of it"), "nothing of it");
    }

    #[test]
    fn the_password_in_basic_and_in_sasl_is_known_alone() {
        let plain = STANDARD.encode("\0agent@example.org\0correcthorse");
        let mut scrubber = scrubber(|all| {
            all.header(b"Authorization", b"Basic dXNlcjpiYXR0ZXJ5c3RhcGxl"); // user:batterystaple
            all.text(
                format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>").as_bytes(),
            );
        });
        for gone in ["batterystaple", "correcthorse", &plain] {
            assert!(!shown(&mut scrubber, &format!("[{gone}]")).contains(gone), "{gone}");
        }
    }

    #[test]
    fn a_jwt_is_a_secret_by_its_shape() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl";
        let mut scrubber = scrubber(|_| {});
        let out = scrubber.target(format!("/ws/{jwt}/open?x=1").as_bytes()).into_owned();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("/ws/token:") && out.ends_with("/open?x=1"), "{out}");
        assert_eq!(shown(&mut scrubber, "eyJ is no token, and eyJa.b is none"), "eyJ is no token, and eyJa.b is none");
    }

    #[test]
    fn a_value_that_looks_escaped_is_known_as_it_was_said() {
        let mut scrubber = scrubber(|all| all.header(b"X-Api-Key", b"\\naA##0a"));
        assert!(!shown(&mut scrubber, "<\\naA##0a>").contains("aA##0a"));
        assert!(!shown(&mut scrubber, &STANDARD.encode("\\naA##0a")).contains("hQSMjM"));
    }

    #[test]
    fn lengths_are_kept_where_that_is_asked() {
        let mut collector = Collector::new(KEY, &Options::default());
        collector.header(b"X-Api-Key", b"0123456789abcdef0123456789abcdef");
        let mut scrubber = collector.finish(Lengths::Kept);
        for text in ["k=0123456789abcdef0123456789abcdef.", "password=abc&x=1"] {
            let out = scrubber.text(text.as_bytes()).into_owned();
            assert_eq!(out.len(), text.len());
            assert_ne!(out, text.as_bytes());
        }
    }

    #[test]
    fn values_that_are_each_others_ends_cost_no_more_than_they_may() {
        let long = "x".repeat(8000);
        let mut scrubber = scrubber(|all| {
            for length in 8..1500 {
                all.header(b"X-Api-Key", long.get(..length).unwrap().as_bytes());
            }
        });
        assert!(!shown(&mut scrubber, &long).contains("xxxxxxxx"));
    }

    #[test]
    fn off_leaves_everything() {
        let mut scrubber = Scrubber::off();
        assert_eq!(&*scrubber.header(b"Authorization", b"Bearer abcdefgh"), b"Bearer abcdefgh");
        assert_eq!(&*scrubber.target(b"/?token=abc"), b"/?token=abc");
        assert_eq!(shown(&mut scrubber, "password=abc"), "password=abc");
    }

    proptest! {
        #[test]
        fn no_value_survives_anywhere(
            secrets in proptest::collection::vec("[ -~]{8,60}", 1..6),
            before in ".{0,20}", after in ".{0,20}", shift in 0_usize..3,
        ) {
            let mut scrubber = scrubber(|all| for secret in &secrets { all.header(b"X-Api-Key", secret.as_bytes()); });
            for secret in &secrets {
                let out = shown(&mut scrubber, &format!("{before}{secret}{after}"));
                prop_assert!(!out.contains(secret.as_str()), "{out}");
                let coded = STANDARD.encode(format!("{}{secret}{after}", &"abc"[..shift]));
                let out = shown(&mut scrubber, &coded);
                let plain = STANDARD.decode(&out).unwrap_or_default();
                prop_assert!(!String::from_utf8_lossy(&plain).contains(secret.as_str()), "{coded} -> {out}");
            }
        }
    }
}
