//! When a socket is ready for metadata, and how long after.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Confidence, FrameMatcher};

/// What must have happened on a socket before its metadata may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// The 101.
    #[default]
    Open,
    /// The server's first frame, whatever it says.
    FirstServerFrame,
    /// A message of the server's.
    Frame(FrameMatcher),
    /// Something that does not pass here, and why not.
    NotObservable {
        /// In a sentence.
        reason: String,
    },
}

impl Gate {
    /// As a profile spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FirstServerFrame => "first-server-frame",
            Self::Frame(_) => "frame",
            Self::NotObservable { .. } => "not-observable",
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind())?;
        match self {
            Self::Frame(frame) => map.serialize_entry("frame", frame)?,
            Self::NotObservable { reason } => map.serialize_entry("reason", reason)?,
            Self::Open | Self::FirstServerFrame => {}
        }
        map.end()
    }
}

/// How long after OPEN metadata is in time. Both ends are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Sooner is too soon.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub min: Option<Duration>,
    /// Later is too late.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub max: Option<Duration>,
    /// How well it is known: what is only reported justifies a hint, never an error.
    pub confidence: Confidence,
}

/// Units of time, the longest first, in nanoseconds.
const UNITS: &[(&str, u64)] =
    &[("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

/// `150ms`, `60s`, `24h`: a whole number and a unit.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, nanos) = UNITS.iter().find(|(known, _)| *known == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*nanos).map(Duration::from_nanos)
}

/// The same, in the longest unit of which it is a whole number.
pub(super) fn duration_text(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let fitting = UNITS.iter().find(|(_, unit)| nanos != 0 && nanos.is_multiple_of(*unit));
    fitting.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", nanos / unit))
}

pub(super) fn as_text<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_str(&duration_text(*duration)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for text in ["150ms", "60s", "24h", "7us", "90s", "0s", "1500ms"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&duration_text(duration)), Some(duration), "{text}");
        }
        assert_eq!(duration_text(Duration::from_secs(60)), "1m");
        for text in ["", "5", "ms", "-1s", "1.5s", "1 s", "1d", "99999999999999999999s", "9999999999999h", "é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
