//! Routes without knowledge: which segments of a path look like identifiers, and what is known of the paths that differ
//! in those alone. Bounded, and without allocation for a path that is known.

use std::hash::Hasher;

use crate::model::{
    again::Memo,
    exchange::Exchange,
    hash::{Quick, QuickMap},
};

/// Segments of a path that are looked at; longer paths are not judged.
pub(super) const SEGMENTS: usize = 16;
/// Routes that are remembered; further ones are not judged.
const MOST: usize = 4096;

/// What an identifier looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `8-4-4-4-12`
    Uuid,
    Number,
    /// Hexadecimal digits, long.
    Hex,
    /// Letters and digits, mixed and long.
    Token,
}

impl Shape {
    pub(super) const ALL: [Self; 4] = [Self::Uuid, Self::Number, Self::Hex, Self::Token];

    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "a UUID",
            Self::Number => "a number",
            Self::Hex => "a hexadecimal number",
            Self::Token => "a mixture of letters and digits",
        }
    }

    /// The segment's shape, if it looks like an identifier: `v2` and words do not.
    pub(super) fn of(segment: &[u8]) -> Option<Self> {
        let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let all = |allowed: fn(&u8) -> bool| segment.iter().all(allowed);
        if digits == segment.len() {
            Some(Self::Number)
        } else if is_uuid(segment) {
            Some(Self::Uuid)
        } else if segment.len() >= 12 && all(u8::is_ascii_hexdigit) {
            Some(Self::Hex)
        } else if segment.len() >= 12 && digits >= 4 && all(|b| b.is_ascii_alphanumeric() || b"-_~".contains(b)) {
            Some(Self::Token)
        } else {
            None
        }
    }
}

fn is_uuid(segment: &[u8]) -> bool {
    segment.len() == 36
        && segment.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A path's segments, in place.
pub(super) struct Segments<'p> {
    all: [&'p [u8]; SEGMENTS],
    count: usize,
}

impl<'p> Segments<'p> {
    /// Those behind the leading slash; `None` where there is no slash or there are too many.
    pub(super) fn of(path: &'p [u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/")?;
        let mut segments = Self { all: [b""; SEGMENTS], count: 0 };
        for segment in path.split(|b| *b == b'/') {
            *segments.all.get_mut(segments.count)? = segment;
            segments.count += 1;
        }
        Some(segments)
    }

    pub(super) fn as_slice(&self) -> &[&'p [u8]] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

/// The key of a route: its method and segments, with a mark in the place of identifiers.
pub(super) struct Key(Quick);

impl Key {
    pub(super) fn new(method: &[u8]) -> Self {
        let mut hasher = Quick::default();
        hasher.write(method);
        Self(hasher)
    }

    /// One more segment.
    pub(super) fn push(&mut self, segment: &[u8]) {
        if Shape::of(segment).is_some() {
            self.push_id();
        } else {
            self.0.write_u8(b'/');
            self.0.write(segment);
        }
    }

    /// One more segment, an identifier.
    pub(super) fn push_id(&mut self) {
        self.0.write_u8(0);
    }

    pub(super) fn finish(&self) -> u64 {
        self.0.finish()
    }

    /// The key of all of these.
    pub(super) fn of(method: &[u8], segments: &[&[u8]]) -> u64 {
        let mut key = Self::new(method);
        segments.iter().for_each(|segment| key.push(segment));
        key.finish()
    }
}

/// The keys of requests, found out once of heads that come again.
#[derive(Debug, Default)]
pub(super) struct Keys(Memo<Option<u64>>);

impl Keys {
    /// The key of a request's route; `None` where its path has too many segments.
    pub(super) fn of(&mut self, exchange: &Exchange) -> Option<u64> {
        let (again, method) = (exchange.request.again(), exchange.request.method());
        if let Some(known) = again.and_then(|again| self.0.get(again)) {
            return *known;
        }
        let key = Segments::of(exchange.path()).map(|segments| Key::of(method, segments.as_slice()));
        if let Some(again) = again {
            self.0.put(again, key);
        }
        key
    }
}

/// What is known of each route.
#[derive(Debug)]
pub(super) struct Routes<T>(QuickMap<u64, T>);

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self(QuickMap::default())
    }
}

impl<T: Default> Routes<T> {
    pub(super) fn get(&self, key: u64) -> Option<&T> {
        self.0.get(&key)
    }

    /// What is known of that route, begun if need be; `None` where there are too many.
    pub(super) fn entry(&mut self, key: u64) -> Option<&mut T> {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            return None;
        }
        Some(self.0.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_shapes_and_names_have_none() {
        for (segment, shape) in [
            ("550e8400-e29b-41d4-a716-446655440000", Some(Shape::Uuid)),
            ("550e8400-e29b-41d4-a716-4466554400", Some(Shape::Token)),
            ("42", Some(Shape::Number)),
            ("3f2a9c01d2e4", Some(Shape::Hex)),
            ("usr_8f2Kq01zPq77", Some(Shape::Token)),
            ("v2", None),
            ("oauth2", None),
            ("scripts", None),
            ("feedface", None),
            ("2024-report", None),
            ("", None),
        ] {
            assert_eq!(Shape::of(segment.as_bytes()), shape, "{segment}");
        }
    }

    #[test]
    fn keys_differ_in_all_but_identifiers() {
        let key = |path: &str| Segments::of(path.as_bytes()).map(|segments| Key::of(b"GET", segments.as_slice()));
        assert_eq!(key("/a/1/b"), key("/a/550e8400-e29b-41d4-a716-446655440000/b"));
        assert_ne!(key("/a/1/b"), key("/a/x/b"));
        assert_ne!(key("/ab/c"), key("/a/bc"));
        assert_ne!(key("/a"), key("/a/"));
        assert!(key("a").is_none() && key(&"/a".repeat(17)).is_none() && key(&"/a".repeat(16)).is_some());
    }
}
