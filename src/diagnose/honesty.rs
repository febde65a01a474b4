//! What the observer did to what it observed: the numbers, what they forbid to claim, and what could not be seen.

use crate::model::{
    columns::{Columns, Outcome, UNKNOWN},
    finding::Honesty,
};

/// A delay of ours below this is nobody's bottleneck. What matters is a share of the traffic, not its worst moments: where
/// one read in ten stays with us for longer than the median answer takes, a fifth of the exchanges do.
const HARMLESS_DELAY_NS: i64 = 5_000_000;
/// Recording that holds traffic up for more than this share of the connections' time is a bottleneck.
const STALLED_SHARE: f64 = 0.05;
/// From this share of the machine on the proxy competes with clients and servers beside it.
const BUSY_SHARE: f64 = 0.8;
/// Holes in more than this share of the units leave too many outcomes in doubt.
const GAP_SHARE: f64 = 0.01;

/// The numbers, and what a reader must know.
pub(super) fn of(columns: &Columns) -> Honesty {
    let observer = &columns.observer;
    let known = |ns: i64| u64::try_from(ns).ok();
    let uncounted = columns.units.outcome.iter().filter(|outcome| **outcome == Outcome::Uncounted).count() as u64;
    let mut notes = columns.notes.clone();
    if observer.gaps > 0 {
        notes.push(format!(
            "{} bytes in {} places were not recorded: what stood there is neither counted nor flagged",
            observer.gap_bytes, observer.gaps
        ));
    }
    if observer.undecoded_connections > 0 {
        notes.push(format!(
            "{} relayed and not decoded: their requests count neither as load nor as refused",
            connections_were(observer.undecoded_connections)
        ));
    }
    if observer.clock_steps > 0 {
        notes.push(format!(
            "the wall clock jumped {} times: durations are right, times of day may not be",
            observer.clock_steps
        ));
    }
    if let Some(median) = median_answer_ns(columns)
        && observer.added_p99_ns > median.max(HARMLESS_DELAY_NS)
    {
        notes.push(format!(
            "this proxy held one read in a hundred back for {:.1} ms and more, as long as answers take ({:.1} ms, median): \
             thresholds may be off by that much time, or the load of it",
            observer.added_p99_ns as f64 / 1e6,
            median as f64 / 1e6
        ));
    }
    if observer.added_p99_ns == UNKNOWN {
        let why = "no chunk bears the kernel's stamp (other platforms than Linux have none)";
        notes.push(format!("how long this proxy held bytes back is not known: {why}"));
    }
    if let Some(cores) = observer.cpu_cores
        && cores > BUSY_SHARE * f64::from(observer.cores)
        && observer.cores > 0
    {
        notes.push(format!(
            "this proxy alone used {cores:.1} of the machine's {} cores in its busiest second: what was slow then may be \
             its doing",
            observer.cores
        ));
    }
    if columns.connections.iter().all(|connection| connection.server_rtt_ns == UNKNOWN) {
        notes.push(
            "the round trip to the server is not known: counts are as this proxy saw them, not as the server did"
                .to_owned(),
        );
    }
    if !columns.complete {
        notes.push("the capture is not whole: this covers what is in it".to_owned());
    }
    Honesty {
        added_p50_ns: known(observer.added_p50_ns),
        added_p99_ns: known(observer.added_p99_ns),
        stalled_ns: observer.stalled_ns,
        gaps: observer.gaps,
        gap_bytes: observer.gap_bytes,
        clock_steps: observer.clock_steps,
        undecoded_connections: observer.undecoded_connections,
        cpu_cores: observer.cpu_cores,
        complete: columns.complete,
        until_ns: known(columns.until_ns).unwrap_or_default(),
        uncounted,
        notes,
    }
}

fn connections_were(number: u64) -> String {
    if number == 1 { "1 connection was".to_owned() } else { format!("{number} connections were") }
}

/// Why the verdict must be withheld, each in a sentence: the observer was the bottleneck. Empty where it was not.
pub(super) fn bottleneck(columns: &Columns) -> Vec<String> {
    let observer = &columns.observer;
    let mut why = Vec::new();
    if let Some(median) = median_answer_ns(columns)
        && observer.added_p90_ns > median.max(HARMLESS_DELAY_NS)
    {
        why.push(format!(
            "this proxy held one read in ten back for {:.1} ms and more, while half of the answers took less than \
             {:.1} ms: the load was its own; give it more CPU, or the clients less",
            observer.added_p90_ns as f64 / 1e6,
            median as f64 / 1e6
        ));
    }
    let open_ns: f64 = columns.connections.iter().filter_map(|c| span_ns(c.opened_ns, c.closed_ns, columns)).sum();
    if open_ns > 0.0 && observer.stalled_ns as f64 > STALLED_SHARE * open_ns {
        why.push(format!(
            "recording held traffic up for {:.1} s of {:.1} s that connections were open: the disk was the bottleneck",
            observer.stalled_ns as f64 / 1e9,
            open_ns / 1e9
        ));
    }
    if observer.gaps as f64 > GAP_SHARE * columns.units.len() as f64 {
        why.push(format!(
            "{} holes in the record of {} requests: too many outcomes are not known",
            observer.gaps,
            columns.units.len()
        ));
    }
    why
}

fn span_ns(opened: i64, closed: i64, columns: &Columns) -> Option<f64> {
    let closed = if closed == UNKNOWN { columns.until_ns } else { closed };
    (opened != UNKNOWN && closed > opened).then(|| (closed - opened) as f64)
}

fn median_answer_ns(columns: &Columns) -> Option<i64> {
    let units = &columns.units;
    let mut took: Vec<i64> = (units.offered_ns.iter().zip(&units.answered_ns))
        .filter(|(offered, answered)| **offered != UNKNOWN && **answered != UNKNOWN)
        .map(|(offered, answered)| answered.saturating_sub(*offered))
        .collect();
    if took.is_empty() {
        return None;
    }
    let middle = took.len() / 2;
    Some(*took.select_nth_unstable(middle).1)
}
