//! The only caller of `now()`. Everything else gets its instants handed in.

use std::time::{Duration, Instant, SystemTime};

use crate::model::{Timestamp, WallAnchor};

/// One capture's clock: monotonic nanoseconds since its start, and the wall time of that start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    anchor: WallAnchor,
}

impl Clock {
    /// A clock that stands at zero now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
    pub fn start() -> Self {
        let start = Instant::now();
        let unix_ns = i64::try_from(since_epoch().as_nanos()).unwrap_or(i64::MAX);
        Self { start, anchor: WallAnchor { unix_ns } }
    }

    /// The wall time at zero.
    pub fn anchor(&self) -> WallAnchor {
        self.anchor
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
    pub fn now(&self) -> Timestamp {
        Timestamp(nanos(Instant::now().saturating_duration_since(self.start)))
    }

    /// Puts an instant that the kernel stamped on its real-time clock (time since 1970) onto this clock, by its distance
    /// from now on that same clock. An upper bound of the arrival; never later than now, never before zero.
    pub fn arrival(&self, stamped: Duration) -> Timestamp {
        self.now_and_arrival(stamped).1
    }

    /// Now, and the same.
    pub fn now_and_arrival(&self, stamped: Duration) -> (Timestamp, Timestamp) {
        // The real-time clock is read first: whatever comes between the two readings makes the result later, not earlier.
        let ago = since_epoch().saturating_sub(stamped);
        let now = self.now();
        (now, Timestamp(now.0.saturating_sub(nanos(ago))))
    }

    /// By how many nanoseconds the wall clock runs ahead of (or, negative, behind) the anchor: not zero where it was
    /// stepped or slewed.
    pub fn wall_drift_ns(&self) -> i64 {
        let wall = i128::try_from(since_epoch().as_nanos()).unwrap_or(i128::MAX);
        i64::try_from(wall - self.anchor.unix_ns(self.now())).unwrap_or(i64::MAX)
    }
}

/// CPU time that this process has used, all its threads together. 0 where the system does not tell.
pub fn cpu_ns() -> u64 {
    #[cfg(unix)]
    {
        use nix::sys::{resource, time::TimeValLike as _};
        let used = resource::getrusage(resource::UsageWho::RUSAGE_SELF);
        used.map_or(0, |used| {
            let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
            u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
        })
    }
    #[cfg(not(unix))]
    0
}

/// What the calling thread has had of the processors so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// CPU time that it used, in nanoseconds.
    pub cpu_ns: u64,
    /// How often another thread was given the processor while it wanted to go on.
    pub preempted: u64,
}

/// That of the calling thread. Nothing where the system does not tell.
pub fn thread_use() -> Option<ThreadUse> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::{resource, time::TimeValLike as _};
        let used = resource::getrusage(resource::UsageWho::RUSAGE_THREAD).ok()?;
        let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
        let cpu_ns = u64::try_from(micros).unwrap_or(0).saturating_mul(1000);
        Some(ThreadUse { cpu_ns, preempted: u64::try_from(used.involuntary_context_switches()).unwrap_or(0) })
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Wall time now, in nanoseconds since 1970. For names and ages of files; never for intervals.
pub fn wall_unix_ns() -> i64 {
    i64::try_from(since_epoch().as_nanos()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_lies_between_zero_and_now() {
        let clock = Clock::start();
        let before = clock.now();
        assert!(clock.arrival(since_epoch()) >= before);
        assert!(
            clock.arrival(since_epoch() + Duration::from_secs(5)) <= clock.now(),
            "a stamp from the future is clamped"
        );
        assert_eq!(clock.arrival(Duration::ZERO), Timestamp(0), "a stamp from before the capture is clamped");
    }
}
