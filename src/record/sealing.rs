//! What happens when a segment has been indexed to its end: its tables, its entry in the catalogue, the state for whoever
//! goes on there; then retention. All of it is derived: what cannot be written is reported, and `reindex` makes it later.

use std::fs;

use crate::{
    clock,
    model::{ConnectionId, Timestamp, trace::Fact},
    store::{
        CaptureDir, Error, Rows,
        catalogue::{self, Catalogue, SegmentEntry},
        retention::{self, Retained},
        tables,
    },
};

use super::{fold::Fold, index::append, states, summary::Totals, tap::Tap};

pub(super) struct Sealing {
    dir: CaptureDir,
    to: To,
    /// The last segment that was ended.
    finished: u64,
}

enum To {
    /// Tables and catalogue.
    Disk { catalogue: Option<Catalogue>, retention: Option<(retention::Options, Tap)> },
    /// Nowhere but here.
    Memory(Rows),
}

/// What is known of a segment at its end.
pub(super) struct Ended {
    pub(super) segment: u64,
    /// Its rows.
    pub(super) rows: Rows,
    /// Event time after its first and after its last record.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

impl Sealing {
    /// For a running recorder.
    pub(super) fn live(dir: CaptureDir, options: retention::Options, tap: Tap) -> Self {
        let options = options.within_free_space(&dir).unwrap_or(options);
        Self { to: To::Disk { catalogue: new_catalogue(&dir), retention: Some((options, tap)) }, dir, finished: 0 }
    }

    /// For `reindex`, which drops nothing.
    pub(super) fn offline(dir: CaptureDir) -> Self {
        Self { to: To::Disk { catalogue: new_catalogue(&dir), retention: None }, dir, finished: 0 }
    }

    /// For readers, which write nothing.
    pub(super) fn memory(dir: CaptureDir) -> Self {
        Self { dir, to: To::Memory(Rows::default()), finished: 0 }
    }

    /// Takes a segment's rows. `false`: they have no tables.
    pub(super) fn end_segment(&mut self, mut ended: Ended, fold: &Fold) -> bool {
        self.finished = ended.segment;
        let catalogue = match &mut self.to {
            To::Disk { catalogue, .. } => catalogue,
            To::Memory(rows) => {
                append(rows, &mut ended.rows);
                return false;
            }
        };
        if let Err(error) = tables::write_tables(&self.dir, ended.segment, &ended.rows) {
            tracing::error!("segment {} has no tables (hint: `firstframe reindex` later): {error}", ended.segment);
            // Half of them would be taken for all.
            let _ = tables::remove_tables(&self.dir, ended.segment);
            return false;
        }
        if let Err(error) = catalogue.as_ref().map_or(Ok(()), |catalogue| enter(catalogue, &self.dir, &ended, fold)) {
            tracing::warn!("going on without a catalogue, reading is slower: {error}");
            *catalogue = None;
        }
        if let Err(error) = states::write(&self.dir, ended.segment + 1, &fold.save()) {
            tracing::warn!("the state behind segment {} cannot be kept: {error}", ended.segment);
        }
        true
    }

    /// Drops oldest segments where retention says so. The last one that went.
    pub(super) fn retire(&mut self) -> Option<u64> {
        let To::Disk { catalogue, retention: Some((options, tap)) } = &self.to else { return None };
        let upto =
            retention::due(&self.dir, options, self.finished, clock::wall_unix_ns()).unwrap_or_else(|error| {
                tracing::warn!("retention cannot tell what is due: {error}");
                None
            })?;
        let state = match states::read(&self.dir, upto + 1) {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(
                    "segments up to {upto} are due but stay, the state behind them is not to be had: {error}"
                );
                return None;
            }
        };
        let at = tap.clock().now();
        let dropped = retention::write_retained(&self.dir, &Retained { segment: upto + 1, state })
            .and_then(|()| retention::drop_upto(&self.dir, upto, at));
        match dropped {
            Ok(dropped) => tap.record(ConnectionId::CAPTURE, Fact::Dropped(dropped)),
            Err(error) => {
                tracing::warn!("segments up to {upto} are due but stay: {error}");
                return None;
            }
        }
        states::remove_upto(&self.dir, upto);
        if let Some(Err(error)) = catalogue.as_ref().map(|catalogue| catalogue.forget_upto(upto)) {
            tracing::warn!("the catalogue still names what was dropped: {error}");
        }
        Some(upto)
    }

    /// No more segments come.
    pub(super) fn close(&mut self) {
        if let To::Disk { catalogue, .. } = &mut self.to
            && let Some(Err(error)) = catalogue.take().map(Catalogue::close)
        {
            tracing::warn!("going on without a catalogue, reading is slower: {error}");
        }
    }

    /// What was collected in memory.
    pub(super) fn into_rows(self) -> Rows {
        match self.to {
            To::Memory(rows) => rows,
            To::Disk { .. } => Rows::default(),
        }
    }
}

fn new_catalogue(dir: &CaptureDir) -> Option<Catalogue> {
    Catalogue::rebuild(dir)
        .inspect_err(|error| tracing::warn!("going on without a catalogue, reading is slower: {error}"))
        .ok()
}

fn enter(catalogue: &Catalogue, dir: &CaptureDir, ended: &Ended, fold: &Fold) -> Result<(), Error> {
    let Ended { segment, rows, span } = ended;
    let bytes = fs::metadata(dir.segment_path(*segment)).map_or(0, |metadata| metadata.len());
    let entry = SegmentEntry::of(*segment, bytes, span.map(|span| span.0), span.map(|span| span.1), rows);
    catalogue.put_segment(&entry, &rows.connections)?;
    catalogue.put_totals(&totals(fold.tally.totals()))
}

fn totals(totals: &Totals) -> catalogue::Totals {
    catalogue::Totals {
        connections: totals.connections,
        exchanges: totals.exchanges,
        refused: totals.refused,
        frames: totals.frames,
        flags: totals.rules.iter().map(|(rule, total)| (rule.clone(), total.count)).collect(),
        gaps: totals.gaps,
        gap_bytes: totals.gap_bytes,
        stalled_ns: totals.stalled_ns,
    }
}
