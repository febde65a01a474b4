//! What relaying and recording did to the traffic, from the facts themselves: how long bytes stayed with us, where traffic
//! was held up, what was not recorded. Counted by the indexer, behind the traffic's back, and kept as
//! `tables/observer.json`, which is derived like the tables and goes with them.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        ConnectionId, Side, Timestamp,
        hash::QuickMap,
        trace::{Fact, TraceEvent},
    },
    store::CaptureDir,
};

use super::{derived, summary::Histogram};

const FILE: &str = "observer.json";

/// What the observer did to a capture, up to its last sealed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// From a chunk's arrival to the return of the write that carried its last byte, without what was not ours: our dial
    /// and handshake with the server, which a client would make itself, and a receiver that took nothing. Upper ends of
    /// buckets (within 6 %) in nanoseconds, ascending, and chunks in each.
    pub added_ns: Vec<(u64, u64)>,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
    /// Places where bytes were not recorded.
    pub gaps: u64,
    /// Bytes that were not recorded.
    pub gap_bytes: u64,
    /// Times when the wall clock was moved.
    pub clock_steps: u64,
    /// Of the recorder's process, in its busiest second: thousandths of a core. 0 where that was not recorded.
    #[serde(default)]
    pub cpu_millicores: u64,
    /// How many cores it could use.
    #[serde(default)]
    pub cores: u32,
}

impl Observed {
    /// What was noted of a capture; `None` where nothing was, or it cannot be read.
    pub fn read(dir: &CaptureDir) -> Option<Self> {
        derived::read(dir, FILE)
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
        self.cpu_millicores = self.cpu_millicores.max(other.cpu_millicores);
        self.cores = self.cores.max(other.cores);
    }

    /// Replaces the file, at once.
    pub(super) fn write(&self, dir: &CaptureDir) -> io::Result<()> {
        derived::write(dir, FILE, self)
    }
}

const HALF_A_SECOND_NS: u64 = 500_000_000;

/// A write that takes longer waits for its receiver.
const WRITE: Duration = Duration::from_millis(1);

/// A connection's part.
#[derive(Clone, Copy, Debug, Default)]
struct Lanes {
    sides: [Lane; 2],
    /// When the server was reached.
    ready: Timestamp,
}

/// One side's bytes on their way through.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// Where the oldest chunk that was not passed on yet ends, and when it arrived.
    waiting: Option<(u64, Timestamp)>,
    /// Until when the receiver took nothing, the last time.
    taken: Timestamp,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    connections: QuickMap<ConnectionId, Lanes>,
    added: Histogram,
    sums: Observed,
    /// The CPU time that was told last, and when.
    cpu: Option<(Timestamp, u64)>,
}

impl Observer {
    pub(super) fn fact(&mut self, event: &TraceEvent<'_>) {
        let side = |from: Side| usize::from(from == Side::Server);
        match &event.fact {
            Fact::Data(chunk) => {
                // Without the kernel's stamp nothing is known of the time before our read.
                let Some(arrived) = chunk.arrived else { return };
                let lanes = self.connections.entry(event.connection).or_default();
                if let Some(lane) = lanes.sides.get_mut(side(chunk.from)) {
                    lane.waiting.get_or_insert_with(|| (chunk.range().end, arrived));
                }
            }
            Fact::Dialed(dialed) => self.reached(event.connection, dialed.end),
            Fact::Tls(tls) if tls.side == Side::Server => self.reached(event.connection, tls.end),
            Fact::Written(written) => {
                let Some(lanes) = self.connections.get_mut(&event.connection) else { return };
                let ready = if written.from == Side::Client { lanes.ready } else { Timestamp(0) };
                let Some(lane) = lanes.sides.get_mut(side(written.from)) else { return };
                let ours = written.written.min(written.begun.after(WRITE));
                if let Some((_, arrived)) = lane.waiting.take_if(|(end, _)| *end <= written.upto) {
                    let since = arrived.max(ready).max(lane.taken);
                    self.added.add(ours.0.saturating_sub(since.0));
                }
                if ours < written.written {
                    lane.taken = written.written;
                }
            }
            Fact::Closed(_) => {
                self.connections.remove(&event.connection);
            }
            Fact::Stalled(stalled) => self.sums.stalled_ns += stalled.waited_ns,
            Fact::Gap(gap) => {
                self.sums.gaps += 1;
                self.sums.gap_bytes += gap.range.len();
            }
            Fact::ClockStep(_) => self.sums.clock_steps += 1,
            Fact::Cpu(cpu) => {
                // Before the first there is the begin, when nothing had been used.
                let (since, before) = self.cpu.replace((cpu.at, cpu.used_ns)).unwrap_or_default();
                let (used, took) = (cpu.used_ns.saturating_sub(before), cpu.at.0.saturating_sub(since.0));
                // The end of a recording comes soon after the last whole second: little of it says little.
                if took >= HALF_A_SECOND_NS || self.sums.cores == 0 {
                    let share = used.saturating_mul(1000).checked_div(took).unwrap_or(0);
                    self.sums.cpu_millicores = self.sums.cpu_millicores.max(share);
                }
                self.sums.cores = cpu.cores;
            }
            _ => {}
        }
    }

    fn reached(&mut self, connection: ConnectionId, at: Timestamp) {
        self.connections.entry(connection).or_default().ready = at;
    }

    pub(super) fn observed(&self) -> Observed {
        Observed { added_ns: self.added.counts().collect(), ..self.sums.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trace::{Chunk, Cpu, Dialed, Written};

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
    fn what_dialing_and_slow_receivers_take_is_not_ours() {
        const MS: u64 = 1_000_000;
        let mut observer = Observer::default();
        let mut see = |fact| observer.fact(&TraceEvent { connection: ConnectionId(1), fact });
        let chunk = |from, offset, at: u64| {
            let (arrived, read) = (Some(Timestamp(at)), Timestamp(at));
            Fact::Data(Chunk { from, offset, arrived, read, bytes: b"abcd" })
        };
        let written = |from, upto, begun, at| {
            Fact::Written(Written { from, upto, begun: Timestamp(begun), written: Timestamp(at) })
        };
        see(chunk(Side::Client, 0, 0));
        see(Fact::Dialed(Dialed {
            begin: Timestamp(1),
            end: Timestamp(30 * MS),
            authority: String::new(),
            address: None,
            local: None,
            error: None,
        }));
        see(written(Side::Client, 4, 30 * MS, 30 * MS + 10));
        // The client takes nothing for half a second; meanwhile more has come.
        see(chunk(Side::Server, 0, 40 * MS));
        see(written(Side::Server, 4, 40 * MS + 10, 540 * MS));
        see(chunk(Side::Server, 4, 50 * MS));
        see(written(Side::Server, 8, 540 * MS, 540 * MS + 10));
        let added = observer.observed();
        assert_eq!((added.added(0.6), added.added(1.0).map(|most| most / MS)), (Some(10), Some(1)), "{added:?}");
    }

    #[test]
    fn the_busiest_second_is_kept() {
        let mut observer = Observer::default();
        for (at_ms, used_ms) in [(1_000, 300), (2_000, 1_800), (60_000, 2_000), (60_100, 2_200)] {
            let fact = Fact::Cpu(Cpu { at: Timestamp(at_ms * 1_000_000), used_ns: used_ms * 1_000_000, cores: 2 });
            observer.fact(&TraceEvent { connection: ConnectionId::CAPTURE, fact });
        }
        let observed = observer.observed();
        assert_eq!((observed.cpu_millicores, observed.cores), (1500, 2));
    }

    #[test]
    fn quantiles_go_over_several_captures() {
        let of = |added_ns: &[(u64, u64)]| Observed { added_ns: added_ns.to_vec(), ..Observed::default() };
        let mut both = of(&[(10, 98)]);
        both.add(&of(&[(5, 1), (900, 1)]));
        assert_eq!((both.added(0.005), both.added(0.5), both.added(1.0)), (Some(5), Some(10), Some(900)));
    }
}
