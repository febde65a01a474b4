//! The work of the indexer over what is on disk: for good ([`reindex`]), or for one reader's eyes ([`index_tail`]).

use crate::{
    model::rows::Position,
    store::{
        CaptureDir, SegmentReader, State,
        recovery::{DamagedRange, OnDamage},
        retention,
    },
};

use super::{
    Error, Inspection,
    fold::Fold,
    index::Snapshot,
    indexed::Indexed,
    sealing::Sealing,
    summary::{RouteTotal, Totals},
    work::Work,
};

/// What [`reindex`] came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reindexed {
    /// All counts over what is retained.
    pub totals: Totals,
    /// Exchanges by route and status, most frequent first.
    pub routes: Vec<RouteTotal>,
    /// Places in the segments that could not be read, and were passed over.
    pub damage: Vec<DamagedRange>,
    /// Bytes behind the last whole record: what a killed recorder left of its last write.
    pub torn_tail: u64,
}

/// Makes tables and catalogue anew from the segments, as the recorder would have: the same records give the same rows.
/// The tables that are there are replaced at the end, and stay where anything fails. Where retention has dropped
/// segments, it begins with the state in `retained.json`: what ended since has its row, and rules begin anew. A capture whose recorder was killed says from then on that it is
/// incomplete, and from when. `progress` is told each segment's number as it begins. Takes the capture's lock meanwhile.
///
/// # Errors
/// Where the capture is being written, or files cannot be read or written. Damage in the segments is no error; it is
/// passed over and told.
pub fn reindex(dir: CaptureDir, inspection: &Inspection, progress: &mut dyn FnMut(u64)) -> Result<Reindexed, Error> {
    let mut dir = dir.lock()?;
    // Its recorder may have ended between the opening and the lock.
    dir.reload()?;
    let (segment, fold) = oldest(&dir, inspection)?;
    // What is there stands until there is something better: the disk may be full.
    let beside = dir.with_new_tables()?;
    let work = Work::offline(fold, segment, Sealing::disk(beside, None));
    let read = match read_all(&dir, segment, work, progress) {
        Ok(read) if read.work.without_tables().is_none() => read,
        failed => {
            let _ = dir.remove_new_tables();
            let read = failed?;
            return Err(Error::NoTables { segment: read.work.without_tables().unwrap_or_default() });
        }
    };
    dir.take_new_tables()?;
    if dir.meta().state == State::Recording {
        // Nobody else will say it: with the lock in our hand, its recorder is gone.
        let why = "its recorder ended without sealing it (killed, or the machine went down)".to_owned();
        dir.set_state(State::Incomplete { from_ns: read.work.now(), why })?;
    }
    let routes = read.work.routes();
    let totals = read.work.into_tally().totals().clone();
    Ok(Reindexed { totals, routes, damage: read.damage, torn_tail: read.torn_tail })
}

/// The rows of a capture whose recorder was killed: which tables are there, and in memory the rows of the segments that
/// have none. Writes nothing.
///
/// Where all segments have tables it costs nothing. Else all segments are read, whatever has tables already, since what
/// a row, a session or a rule's flag is made of may begin anywhere before: some seconds per GiB, until [`reindex`] does
/// it for good.
///
/// # Errors
/// Where segments cannot be read.
pub fn index_tail(dir: &CaptureDir, inspection: &Inspection) -> Result<Snapshot, Error> {
    let segments = dir.segments()?;
    let indexed = Indexed::read(dir);
    let tables: Vec<u64> = segments.iter().copied().filter(|segment| indexed.has(*segment)).collect();
    if tables.len() == segments.len() {
        return Ok(Snapshot { tables, ..Snapshot::default() });
    }
    let (segment, fold) = oldest(dir, inspection)?;
    let work = Work::offline(fold, segment, Sealing::memory(dir.clone(), indexed));
    let read = read_all(dir, segment, work, &mut |_| {})?;
    let observed = Some(read.work.observed());
    let recent = read.work.into_rows();
    Ok(Snapshot { tables, recent, upto: read.upto, observed, ..Snapshot::default() })
}

/// What reading to the end gave.
struct Read {
    work: Work,
    damage: Vec<DamagedRange>,
    torn_tail: u64,
    upto: Position,
}

fn read_all(dir: &CaptureDir, segment: u64, mut work: Work, progress: &mut dyn FnMut(u64)) -> Result<Read, Error> {
    let mut reader = SegmentReader::open_with(dir, Position { segment, offset: 0 }, OnDamage::Skip)?;
    let mut at = 0;
    while let Some((position, event)) = reader.next()? {
        if position.segment != at {
            at = position.segment;
            progress(at);
        }
        work.event(position, &event);
    }
    let (upto, torn_tail) = (reader.position(), reader.tail()?);
    work.finish();
    // A kill can come between the making of a segment and its first record.
    work.skip_upto(dir.segments()?.last().copied().unwrap_or(0));
    work.close();
    Ok(Read { work, damage: reader.take_damage(), torn_tail, upto })
}

/// The oldest segment that can be begun with, and the fold as it stands before it.
fn oldest(dir: &CaptureDir, inspection: &Inspection) -> Result<(u64, Fold), Error> {
    let first = dir.segments()?.first().copied().unwrap_or(1);
    match retention::read_retained(dir)? {
        // A crash between saving the state and dropping leaves both: then all that is there is read.
        Some(retained) if first > 1 => Ok((retained.segment, Fold::restore(inspection, retained.state)?)),
        _ => Ok((first, Fold::new(inspection)?)),
    }
}
