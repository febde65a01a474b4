//! The work of the indexer over what is on disk: for good ([`reindex`]), or for one reader's eyes ([`index_tail`]).

use std::{fs, io, sync::Arc};

use crate::{
    model::rows::Position,
    store::{
        self, CaptureDir, SegmentReader,
        recovery::{DamagedRange, OnDamage},
        retention,
    },
};

use super::{
    Error, Inspection,
    fold::Fold,
    index::Snapshot,
    sealing::Sealing,
    states,
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

/// Throws tables and catalogue away and makes them anew from the segments, as the recorder would have: the same records
/// give the same rows. `progress` is told each segment's number as it begins. Takes the capture's lock meanwhile.
///
/// # Errors
/// Where the capture is being written, or files cannot be read or written. Damage in the segments is no error; it is
/// passed over and told.
pub fn reindex(dir: CaptureDir, inspection: &Inspection, progress: &mut dyn FnMut(u64)) -> Result<Reindexed, Error> {
    let dir = dir.lock()?;
    let (segment, fold) = oldest(&dir, inspection)?;
    wipe(&dir)?;
    let work = Work::offline(fold, segment, Sealing::offline(dir.clone()));
    let read = read_all(&dir, segment, work, progress)?;
    let failed = read.work.without_tables();
    if let Some(segment) = failed {
        return Err(Error::NoTables { segment });
    }
    let routes = read.work.routes();
    let totals = read.work.into_tally().totals().clone();
    Ok(Reindexed { totals, routes, damage: read.damage, torn_tail: read.torn_tail })
}

/// The rows of a capture whose recorder was killed: the tables that are there, and in memory the rows of the segments
/// behind them. Writes nothing.
///
/// It begins at the first segment without tables, with the state that the recorder left there, so that it costs the
/// reading of one segment, whatever the capture's size. Rules begin anew there: what one of them waited for across that
/// border is known to [`reindex`] alone. Where that state is missing or unreadable, everything is read.
///
/// # Errors
/// Where segments cannot be read.
pub fn index_tail(dir: &CaptureDir, inspection: &Inspection) -> Result<Snapshot, Error> {
    let segments = dir.segments()?;
    let mut tables = Vec::new();
    let mut start = None;
    for segment in segments {
        if !states::exists(dir, segment + 1) {
            break;
        }
        tables.push(segment);
        start = Some(segment + 1);
    }
    if tables.last().is_some() && tables.last() == dir.segments()?.last() {
        let upto = Position { segment: start.unwrap_or(0), offset: 0 };
        return Ok(Snapshot { tables, upto, ..Snapshot::default() });
    }
    let resumed = start.and_then(|segment| {
        let state = states::read(dir, segment).ok()?;
        Some((segment, Fold::restore(inspection, state).ok()?))
    });
    let (segment, fold) = match resumed {
        Some(resumed) => resumed,
        None => {
            tables.clear();
            oldest(dir, inspection)?
        }
    };
    let work = Work::offline(fold, segment, Sealing::memory(dir.clone()));
    let read = read_all(dir, segment, work, &mut |_| {})?;
    let recent = vec![Arc::new(read.work.into_rows())];
    Ok(Snapshot { tables, recent, upto: read.upto, ..Snapshot::default() })
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

fn wipe(dir: &CaptureDir) -> Result<(), Error> {
    let path = dir.tables_dir();
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(store::Error::Io { what: "remove", path, source }.into())
        }
        _ => Ok(()),
    }
}
