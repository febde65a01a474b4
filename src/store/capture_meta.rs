//! What `capture.json` says: enough to know what the segments beside it are, whoever opens them and when.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{Timestamp, WallAnchor};

use super::format::Version;

/// Tells one capture's segments from another's. 32 hexadecimal digits; unique, not secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CaptureId(pub u128);

impl CaptureId {
    /// A new one.
    pub fn random() -> Self {
        // The standard library seeds these from the system's randomness, which is as unique as an id has to be.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        Self(half() << 64 | half())
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for CaptureId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Some(text)
            .filter(|text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| u128::from_str_radix(text, 16).ok())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a capture's id: expected 32 hexadecimal digits"))
    }
}

impl Serialize for CaptureId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CaptureId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `capture.json`. Fields that a newer minor version added are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureMeta {
    /// The format of all files of the capture.
    pub format: Version,
    /// Which firstframe recorded it.
    pub tool_version: String,
    /// In every segment's header as well.
    pub id: CaptureId,
    /// The wall time at zero of the capture's clock.
    pub anchor: WallAnchor,
    /// The same for people, RFC 3339 in UTC.
    pub started_at: String,
    /// Which redaction key the fingerprints were made with; a hash of it, not the key.
    pub redaction_key: Option<String>,
    /// The effective options.
    pub options: serde_json::Value,
    /// How far it got.
    pub state: State,
    /// The last segment, where it was stopped in order; `None` before that, and where an older version recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_segment: Option<u64>,
}

impl CaptureMeta {
    /// Of a capture that begins now, with a new id and this program's versions.
    pub fn new(anchor: WallAnchor, options: serde_json::Value, redaction_key: Option<String>) -> Self {
        Self {
            format: Version::CURRENT,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            id: CaptureId::random(),
            anchor,
            started_at: anchor.rfc3339(Timestamp(0)),
            redaction_key,
            options,
            state: State::Recording,
            last_segment: None,
        }
    }
}

/// How far a capture got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its recorder runs, or was killed: the lock tells which.
    Recording,
    /// Stopped in order; the last segment is sealed.
    Clean,
    /// Not everything is in it.
    Incomplete {
        /// From when on, on the capture's clock; `null` where that is not known.
        from_ns: Option<Timestamp>,
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    #[test]
    fn ids_differ_and_round_trip() {
        let (a, b) = (CaptureId::random(), CaptureId::random());
        assert_ne!(a, b);
        assert_eq!(a.to_string().parse(), Ok(a));
        for wrong in ["", "1", "+0000000000000000000000000000000", "g0000000000000000000000000000000"] {
            assert!(wrong.parse::<CaptureId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_shape_of_the_state() {
        let json = |state: &State| serde_json::to_string(state).expect("it serialises");
        assert_eq!(json(&State::Clean), r#""clean""#);
        let incomplete = State::Incomplete { from_ns: Some(Timestamp(7)), why: "disk full".into() };
        assert_eq!(json(&incomplete), r#"{"incomplete":{"from_ns":7,"why":"disk full"}}"#);
    }
}
