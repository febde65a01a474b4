//! Bytes of connections out of the segments: exact, in order, in bounded memory. Nothing here redacts.

use std::collections::BTreeMap;
use std::io::Write;

use crate::{
    model::{
        ConnectionId,
        rows::{Extent, Position},
        trace::{ByteRange, Fact, TraceEvent},
    },
    store::{
        CaptureDir, SegmentReader,
        recovery::{DamagedRange, OnDamage},
    },
};

use super::Error;

/// Records that are read on past rather than sought over, in bytes.
const NEAR: u64 = 1 << 20;
/// Records between two looks at what waits for nothing more; so many waiting connections are looked at each time.
const SWEEP: u64 = 256;
const FEW: usize = 8;

/// Bytes that are wanted: of one side of one connection, and between which records they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) connection: ConnectionId,
    pub(super) range: ByteRange,
    pub(super) extent: Extent,
}

/// What was found of what was wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    /// The bytes, up to the first that is missing.
    pub(super) bytes: Vec<u8>,
    /// Whether these are all.
    pub(super) whole: bool,
}

/// Fetches many small ranges in one pass over the segments; the answers come in the order of `wants`. What is missing
/// (dropped by retention, lost in a gap) is missing in the answer.
pub(super) fn fetch(dir: &CaptureDir, wants: &[Want]) -> Result<Vec<Got>, Error> {
    let mut got: Vec<Got> = wants.iter().map(|want| Got { bytes: Vec::new(), whole: want.range.is_empty() }).collect();
    let oldest = oldest_segment(dir)?;
    let mut queue: Vec<usize> = (0..wants.len()).collect();
    queue.retain(|at| {
        wants.get(*at).is_some_and(|want| !want.range.is_empty() && want.extent.first.segment >= oldest.max(1))
    });
    let first = |at: &usize| wants.get(*at).map(|want| want.extent.first).unwrap_or_default();
    queue.sort_by_key(first);
    let mut queue = queue.into_iter().peekable();
    while let Some(start) = queue.peek().map(first) {
        let mut reader = SegmentReader::open_with(dir, start, OnDamage::Skip)?;
        let mut active: BTreeMap<ConnectionId, Vec<usize>> = BTreeMap::new();
        let mut events = 0_u64;
        while let Some((position, event)) = reader.next()? {
            while let Some(at) = queue.next_if(|at| first(at) <= position) {
                if let Some(want) = wants.get(at) {
                    active.entry(want.connection).or_default().push(at);
                }
            }
            // What is past its last record is looked for now and then: many may wait, and records are many more.
            events += 1;
            if events.is_multiple_of(SWEEP) || active.len() <= FEW {
                active.retain(|_, waiting| {
                    waiting.retain(|at| wants.get(*at).is_some_and(|want| want.extent.last >= position));
                    !waiting.is_empty()
                });
            }
            if active.is_empty() && queue.peek().is_none_or(|next| is_far(position, first(next))) {
                break;
            }
            let Some(waiting) = active.get_mut(&event.connection) else { continue };
            waiting.retain(|at| match (wants.get(*at), got.get_mut(*at)) {
                (Some(want), Some(got)) => want.extent.last >= position && take(want, &event, got),
                _ => false,
            });
            if waiting.is_empty() {
                active.remove(&event.connection);
            }
        }
        // Where the segments ended before the rest began, there is nothing to be had for it.
        if active.is_empty() && queue.peek().is_some_and(|next| first(next) <= start) {
            queue.next();
        }
        if !active.is_empty() {
            break;
        }
    }
    Ok(got)
}

/// Adds what the event has of what is wanted; false once there is nothing more to be had.
fn take(want: &Want, event: &TraceEvent<'_>, got: &mut Got) -> bool {
    let Fact::Data(chunk) = &event.fact else { return true };
    if chunk.from != want.range.from {
        return true;
    }
    let next = want.range.start + got.bytes.len() as u64;
    let here = chunk.range();
    if here.end <= next {
        return true;
    }
    if here.start > next {
        return false;
    }
    got.bytes.extend_from_slice(part(chunk.bytes, here.start, next, want.range.end));
    got.whole = got.bytes.len() as u64 == want.range.len();
    !got.whole
}

/// The bytes of a chunk that begins at `base` which lie within `from..to`.
fn part(bytes: &[u8], base: u64, from: u64, to: u64) -> &[u8] {
    let clamp = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(clamp(from)..clamp(to)).unwrap_or_default()
}

fn is_far(here: Position, next: Position) -> bool {
    next.segment != here.segment || next.offset.saturating_sub(here.offset) > NEAR
}

/// The oldest segment that is retained; 1 where there is none at all.
pub(super) fn oldest_segment(dir: &CaptureDir) -> Result<u64, Error> {
    Ok(dir.segments()?.into_iter().min().unwrap_or(1))
}

/// A change to be made in bytes on their way out.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    pub(super) range: ByteRange,
    pub(super) with: Vec<u8>,
}

/// Bytes that should have been there and were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub range: ByteRange,
    /// Why, in words.
    pub why: String,
    /// How many bytes had been written before.
    pub after: u64,
}

/// What was written and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes written.
    pub bytes: u64,
    /// Holes in them, in order.
    pub missing: Vec<Missing>,
    /// Whether writing ended at the limit, before the end.
    pub limited: bool,
}

/// Copies a range to a writer, however long it is, in the memory of one record. `want.range.end` may be `u64::MAX`: then
/// all there is. At most `limit` bytes.
pub(super) fn copy(
    dir: &CaptureDir,
    want: &Want,
    replacements: &[Replacement],
    limit: Option<u64>,
    out: &mut dyn Write,
) -> Result<Copied, Error> {
    let mut pen = Pen { out, left: limit.unwrap_or(u64::MAX), copied: Copied::default() };
    let range = want.range;
    if range.is_empty() {
        return Ok(pen.copied);
    }
    let mut next = range.start;
    let mut why = None;
    let oldest = oldest_segment(dir)?;
    let mut start = want.extent.first;
    if start.segment < oldest {
        why = Some(format!("dropped by retention: the oldest segment is {oldest:06}"));
        start = Position { segment: oldest, offset: 0 };
    }
    if want.extent.last.segment >= oldest {
        let mut reader = SegmentReader::open_with(dir, start, OnDamage::Skip)?;
        let mut changes = replacements.iter().peekable();
        loop {
            // Damage is told behind the event that follows it.
            pen.explain(reason(&reader.take_damage()));
            let Some((position, event)) = reader.next()? else { break };
            if position > want.extent.last || pen.left == 0 {
                break;
            }
            if event.connection != want.connection {
                continue;
            }
            let chunk = match &event.fact {
                Fact::Gap(gap) if gap.range.from == range.from && gap.range.end > next => {
                    why = Some(gap.why.clone());
                    continue;
                }
                Fact::Data(chunk) if chunk.from == range.from => chunk,
                _ => continue,
            };
            let here = chunk.range();
            let upto = here.end.min(range.end);
            if upto <= next {
                if here.start >= range.end {
                    break;
                }
                continue;
            }
            if here.start > next {
                pen.miss(ByteRange { from: range.from, start: next, end: here.start.min(range.end) }, why.take());
                next = here.start;
            }
            while next < upto && pen.left > 0 {
                while changes.next_if(|change| is_past(change, next)).is_some() {}
                match changes.peek() {
                    Some(change) if change.range.start <= next && change.range.end > next => {
                        // Where the beginning of the replaced bytes is missing, so is what came in their place.
                        if change.range.start == next {
                            pen.write(&change.with)?;
                        }
                        next = change.range.end.min(upto);
                        if next == change.range.end {
                            changes.next();
                        }
                    }
                    Some(change) if change.range.start < upto => {
                        let stop = change.range.start.max(next);
                        pen.write(part(chunk.bytes, here.start, next, stop))?;
                        next = stop;
                        if change.range.is_empty() {
                            pen.write(&change.with)?;
                            changes.next();
                        }
                    }
                    _ => {
                        pen.write(part(chunk.bytes, here.start, next, upto))?;
                        next = upto;
                    }
                }
            }
            if next >= range.end {
                break;
            }
        }
    }
    if next < range.end && (range.end != u64::MAX || why.is_some()) && pen.left > 0 {
        pen.miss(ByteRange { from: range.from, start: next, end: range.end }, why);
    }
    Ok(pen.copied)
}

/// Why bytes are missing where the segments are damaged.
fn reason(damage: &[DamagedRange]) -> Option<String> {
    let first = damage.first()?;
    Some(format!("segment {:06} is damaged at byte {}: {}", first.segment, first.start, first.damage))
}

/// Whether a change lies wholly before `next`. An insertion right there does not.
fn is_past(change: &Replacement, next: u64) -> bool {
    change.range.end < next || (change.range.end == next && !change.range.is_empty())
}

/// Why bytes are missing where nothing says so.
const UNEXPLAINED: &str = "not in the segments (yet)";

struct Pen<'w> {
    out: &'w mut dyn Write,
    left: u64,
    copied: Copied,
}

impl Pen<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.out.write_all(bytes.get(..take).unwrap_or_default()).map_err(Error::Write)?;
        self.left -= take as u64;
        self.copied.bytes += take as u64;
        self.copied.limited |= take < bytes.len();
        Ok(())
    }

    fn miss(&mut self, range: ByteRange, why: Option<String>) {
        let why = why.unwrap_or_else(|| UNEXPLAINED.to_owned());
        self.copied.missing.push(Missing { range, why, after: self.copied.bytes });
    }

    /// A reason that came after what it is the reason of.
    fn explain(&mut self, why: Option<String>) {
        if let (Some(why), Some(last)) = (why, self.copied.missing.last_mut())
            && last.why == UNEXPLAINED
        {
            last.why = why;
        }
    }
}
