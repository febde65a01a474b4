//! What relaying and recording did to the traffic, from the facts themselves: how long bytes stayed with us, where traffic
//! was held up, what was not recorded. Counted by the indexer, behind the traffic's back, and kept as
//! `tables/observer.json`, which is derived like the tables and goes with them.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        ConnectionId, Side, Timestamp,
        trace::{Fact, TraceEvent},
    },
    store::CaptureDir,
};

use super::summary::Histogram;

/// What the observer did to a capture, up to its last sealed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// From a chunk's arrival to the return of the write that carried its last byte: upper ends of buckets (within 6 %) in
    /// nanoseconds, ascending, and chunks in each.
    pub added_ns: Vec<(u64, u64)>,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
    /// Places where bytes were not recorded.
    pub gaps: u64,
    /// Bytes that were not recorded.
    pub gap_bytes: u64,
    /// Times when the wall clock was moved.
    pub clock_steps: u64,
}

impl Observed {
    /// What was noted of a capture; `None` where nothing was, or it cannot be read.
    pub fn read(dir: &CaptureDir) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(dir)).ok()?).ok()
    }

    /// A quantile of the delay added, in nanoseconds; `None` where no chunk was timed.
    pub fn added(&self, share: f64) -> Option<u64> {
        let all: u64 = self.added_ns.iter().map(|(_, count)| count).sum();
        let rank = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        self.added_ns.iter().find_map(|(upper, count)| {
            seen += count;
            (seen >= rank).then_some(*upper)
        })
    }

    /// Adds what was noted of another capture.
    pub fn add(&mut self, other: &Self) {
        self.added_ns.extend_from_slice(&other.added_ns);
        self.added_ns.sort_unstable();
        self.stalled_ns += other.stalled_ns;
        self.gaps += other.gaps;
        self.gap_bytes += other.gap_bytes;
        self.clock_steps += other.clock_steps;
    }

    /// Replaces the file, at once.
    pub(super) fn write(&self, dir: &CaptureDir) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.tables_dir())?;
        let path = path(dir);
        let temporary = path.with_extension("json.tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(&serde_json::to_vec(self)?).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn path(dir: &CaptureDir) -> PathBuf {
    dir.tables_dir().join("observer.json")
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    /// Of each connection and side: where the oldest chunk that was not passed on yet ends, and when it arrived.
    waiting: HashMap<ConnectionId, [Option<(u64, Timestamp)>; 2]>,
    added: Histogram,
    sums: Observed,
}

impl Observer {
    pub(super) fn fact(&mut self, event: &TraceEvent<'_>) {
        let side = |from: Side| usize::from(from == Side::Server);
        match &event.fact {
            Fact::Data(chunk) => {
                // Without the kernel's stamp nothing is known of the time before our read.
                let Some(arrived) = chunk.arrived else { return };
                let waiting = self.waiting.entry(event.connection).or_default();
                if let Some(slot) = waiting.get_mut(side(chunk.from)) {
                    slot.get_or_insert((chunk.range().end, arrived));
                }
            }
            Fact::Written(written) => {
                let Some(waiting) = self.waiting.get_mut(&event.connection) else { return };
                let Some(slot) = waiting.get_mut(side(written.from)) else { return };
                if let Some((_, arrived)) = slot.take_if(|(end, _)| *end <= written.upto) {
                    self.added.add(written.written.0.saturating_sub(arrived.0));
                }
            }
            Fact::Closed(_) => {
                self.waiting.remove(&event.connection);
            }
            Fact::Stalled(stalled) => self.sums.stalled_ns += stalled.waited_ns,
            Fact::Gap(gap) => {
                self.sums.gaps += 1;
                self.sums.gap_bytes += gap.range.len();
            }
            Fact::ClockStep(_) => self.sums.clock_steps += 1,
            _ => {}
        }
    }

    pub(super) fn observed(&self) -> Observed {
        Observed { added_ns: self.added.counts().collect(), ..self.sums.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trace::{Chunk, Written};

    #[test]
    fn a_chunk_is_timed_from_its_arrival_to_the_write_that_carried_it() {
        let mut observer = Observer::default();
        let mut see = |fact| observer.fact(&TraceEvent { connection: ConnectionId(1), fact });
        let chunk = |offset, at| Chunk {
            from: Side::Client,
            offset,
            arrived: Some(Timestamp(at)),
            read: Timestamp(at + 5),
            bytes: b"abcd",
        };
        let written = |upto, at| Written { from: Side::Client, upto, begun: Timestamp(at), written: Timestamp(at) };
        see(Fact::Data(chunk(0, 100)));
        see(Fact::Data(chunk(4, 105)));
        see(Fact::Written(written(3, 107)));
        see(Fact::Written(written(8, 110)));
        // Of the other side, and of what never arrived: nothing.
        see(Fact::Written(Written { from: Side::Server, ..written(9, 500) }));
        let observed = observer.observed();
        assert_eq!(observed.added_ns, [(10, 1)]);
        assert_eq!((observed.added(0.5), Observed::default().added(0.5)), (Some(10), None));
    }

    #[test]
    fn quantiles_go_over_several_captures() {
        let of = |added_ns: &[(u64, u64)]| Observed { added_ns: added_ns.to_vec(), ..Observed::default() };
        let mut both = of(&[(10, 98)]);
        both.add(&of(&[(5, 1), (900, 1)]));
        assert_eq!((both.added(0.005), both.added(0.5), both.added(1.0)), (Some(5), Some(10), Some(900)));
    }
}
