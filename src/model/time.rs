//! One monotonic clock per capture, and one anchor to wall time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds on the capture's monotonic clock since the capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long after `earlier`; zero where it was not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The signed distance `self − earlier` in nanoseconds.
    pub fn signed_since(self, earlier: Self) -> i64 {
        i64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(i64::MAX)
    }

    /// This instant later by `by`.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The wall time at which a capture's monotonic clock stood at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallAnchor {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub unix_ns: i64,
}

impl WallAnchor {
    /// Nanoseconds since 1970 at `at`.
    pub fn unix_ns(self, at: Timestamp) -> i128 {
        i128::from(self.unix_ns) + i128::from(at.0)
    }

    /// RFC 3339 in UTC with nine digits: `2026-11-22T18:25:55.123456789Z`.
    pub fn rfc3339(self, at: Timestamp) -> String {
        match jiff::Timestamp::from_nanosecond(self.unix_ns(at)) {
            Ok(instant) => format!("{instant:.9}"),
            Err(_) => format!("{} ns after 1970", self.unix_ns(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_has_nine_digits() {
        let anchor = WallAnchor { unix_ns: 1_700_000_000_000_000_000 };
        assert_eq!(anchor.rfc3339(Timestamp(1_500)), "2023-11-14T22:13:20.000001500Z");
    }

    #[test]
    fn differences_do_not_wrap() {
        assert_eq!(Timestamp(3).since(Timestamp(5)), Duration::ZERO);
        assert_eq!(Timestamp(3).signed_since(Timestamp(5)), -2);
    }
}
