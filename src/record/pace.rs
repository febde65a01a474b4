//! When the indexer gives way: a thread that works behind the traffic sees by itself whether the processors are all
//! taken, and stays away for a while then. A lower priority alone would leave it a share at each moment, and a very low
//! one would leave it without a processor while it holds what others wait for; who stays away by itself holds nothing.
//! PURE: instants and figures are handed in.

use std::time::Duration;

use crate::{clock::ThreadUse, model::Timestamp};

/// Of its time, the part that it works while others want the processors: enough for totals that move on.
const SHARE: u32 = 64;
/// Nobody waits longer for totals that move on.
const LONGEST: Duration = Duration::from_millis(200);
/// Less work than this tells nothing.
const LEAST: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    began: Option<(Timestamp, ThreadUse)>,
    /// What it worked since it was away. Who comes back has a processor to itself for a moment, whoever else wants it.
    worked: Duration,
}

impl Pace {
    /// Work begins, or goes on behind a wait.
    pub(super) fn begin(&mut self, now: Timestamp, used: Option<ThreadUse>) {
        self.began = used.map(|used| (now, used));
        self.worked = Duration::ZERO;
    }

    /// How long to stay away, after some work: where this thread had less than half of a processor because others had
    /// it. A thread that waited for a disk was not preempted.
    pub(super) fn gives_way(&mut self, now: Timestamp, used: Option<ThreadUse>) -> Option<Duration> {
        let (Some((since, before)), Some(used)) = (self.began, used) else { return None };
        let worked = Duration::from_nanos(used.cpu_ns.saturating_sub(before.cpu_ns));
        if worked < LEAST {
            return None;
        }
        self.began = Some((now, used));
        self.worked += worked;
        let crowded = used.preempted > before.preempted && now.since(since) > worked.saturating_mul(2);
        crowded.then(|| self.worked.saturating_mul(SHARE - 1).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn after(wall_ms: u64, cpu_ms: u64, preempted: u64) -> Option<Duration> {
        let mut pace = Pace::default();
        pace.begin(Timestamp(MS), Some(ThreadUse { cpu_ns: 7 * MS, preempted: 3 }));
        let used = ThreadUse { cpu_ns: (7 + cpu_ms) * MS, preempted: 3 + preempted };
        pace.gives_way(Timestamp((1 + wall_ms) * MS), Some(used))
    }

    #[test]
    fn who_has_a_processor_goes_on() {
        assert_eq!(after(2, 2, 0), None);
        assert_eq!(after(3, 2, 1), None, "one that was interrupted once has had more than half of it");
    }

    #[test]
    fn who_has_to_share_one_stays_away_for_longer_than_it_worked() {
        assert_eq!(after(9, 2, 2), Some(Duration::from_millis(126)));
        assert_eq!(after(90, 20, 9), Some(LONGEST));
    }

    #[test]
    fn who_waited_for_a_disk_goes_on() {
        assert_eq!(after(50, 2, 0), None);
    }

    #[test]
    fn little_work_tells_nothing_and_is_added_to_the_next() {
        let mut pace = Pace::default();
        pace.begin(Timestamp(0), Some(ThreadUse::default()));
        let used = |cpu_us: u64| Some(ThreadUse { cpu_ns: cpu_us * 1000, preempted: 1 });
        assert_eq!(pace.gives_way(Timestamp(5 * MS), used(900)), None);
        assert_eq!(pace.gives_way(Timestamp(6 * MS), used(1_000)), Some(Duration::from_millis(63)));
    }

    #[test]
    fn what_was_worked_before_others_came_counts_until_it_stays_away() {
        let mut pace = Pace::default();
        let used = |cpu_ms: u64, preempted: u64| Some(ThreadUse { cpu_ns: cpu_ms * MS, preempted });
        pace.begin(Timestamp(0), used(0, 0));
        assert_eq!(pace.gives_way(Timestamp(MS), used(1, 0)), None);
        assert_eq!(pace.gives_way(Timestamp(8 * MS), used(2, 1)), Some(Duration::from_millis(126)));
        pace.begin(Timestamp(134 * MS), used(2, 1));
        assert_eq!(pace.gives_way(Timestamp(141 * MS), used(3, 2)), Some(Duration::from_millis(63)));
    }

    #[test]
    fn nothing_is_known_where_the_system_does_not_tell() {
        let mut pace = Pace::default();
        pace.begin(Timestamp(0), None);
        assert_eq!(pace.gives_way(Timestamp(MS), None), None);
    }
}
