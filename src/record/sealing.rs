//! What happens when a segment has been indexed to its end: its tables, its entry in the catalogue; then retention. What
//! is written is derived: what cannot be written is reported, and `reindex` makes it later.

use std::{fs, sync::Arc};

use crate::{
    clock,
    model::{ConnectionId, Timestamp, trace::Fact},
    store::{
        CaptureDir, Error, PackedRows,
        catalogue::{self, Catalogue, SegmentEntry},
        retention, tables,
    },
};

use super::{fold::Fold, indexed::Indexed, summary::Totals, tap::Tap, trail::Trail};

pub(super) struct Sealing {
    dir: CaptureDir,
    to: To,
    /// The last segment that was ended.
    finished: u64,
}

enum To {
    /// Tables and catalogue.
    Disk { catalogue: Option<Catalogue>, indexed: Indexed, retention: Option<Box<Retention>> },
    /// Nowhere but here; rows that are in tables already are dropped.
    Memory { rows: Vec<Arc<PackedRows>>, indexed: Indexed },
}

/// What a running recorder needs for dropping oldest segments.
pub(super) struct Retention {
    pub(super) options: retention::Options,
    pub(super) trail: Trail,
    /// Takes the fact.
    pub(super) tap: Tap,
    pub(super) kept: retention::Kept,
}

/// What is known of a segment at its end.
pub(super) struct Ended<'r> {
    pub(super) segment: u64,
    /// Its rows.
    pub(super) rows: &'r mut PackedRows,
    /// Event time after its first and after its last record.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

impl Sealing {
    /// For a running recorder, and for `reindex`, which drops nothing.
    pub(super) fn disk(dir: CaptureDir, retention: Option<Retention>) -> Self {
        let retention = retention.map(Box::new);
        let catalogue = Catalogue::rebuild(&dir).inspect_err(going_on).ok();
        Self { dir, to: To::Disk { catalogue, indexed: Indexed::default(), retention }, finished: 0 }
    }

    /// For readers, which write nothing: keeps the rows of the segments that have no tables.
    pub(super) fn memory(dir: CaptureDir, indexed: Indexed) -> Self {
        Self { dir, to: To::Memory { rows: Vec::new(), indexed }, finished: 0 }
    }

    /// None yet, for [`Self::end_segment`]. Those that end in tables wait beside them.
    pub(super) fn rows(&self) -> PackedRows {
        match self.to {
            To::Disk { .. } => PackedRows::waiting_in(self.dir.tables_dir()),
            To::Memory { .. } => PackedRows::default(),
        }
    }

    /// Takes a segment's rows. `false`: they have no tables.
    pub(super) fn end_segment(&mut self, ended: Ended<'_>, fold: &Fold) -> bool {
        self.finished = ended.segment;
        let (catalogue, indexed) = match &mut self.to {
            To::Disk { catalogue, indexed, .. } => (catalogue, indexed),
            To::Memory { rows, indexed } => {
                if !indexed.has(ended.segment) && !ended.rows.is_empty() {
                    rows.push(Arc::new(std::mem::take(ended.rows)));
                }
                return false;
            }
        };
        let written = tables::write_packed(&self.dir, ended.segment, ended.rows);
        if let Err(error) = &written {
            tracing::error!("segment {} has no tables (hint: `firstframe reindex` later): {error}", ended.segment);
            // Half of them would be taken for all.
            let _ = tables::remove_tables(&self.dir, ended.segment);
        } else if let Some(open) = catalogue
            && let Err(error) = enter(open, &self.dir, &ended, fold)
        {
            going_on(&error);
            *catalogue = None;
        }
        if written.is_ok() {
            tracing::info!("segment {} has its tables: {} rows", ended.segment, ended.rows.len());
        }
        indexed.ended(ended.segment, written.is_ok());
        if let Err(error) = indexed.write(&self.dir) {
            tracing::warn!("that segment {} has tables cannot be noted: {error}", ended.segment);
        }
        if let Err(error) = fold.tally.observer.observed().write(&self.dir) {
            tracing::warn!("what recording did to the traffic cannot be noted: {error}");
        }
        written.is_ok()
    }

    /// Drops oldest segments where retention says so. The last one that went.
    pub(super) fn retire(&mut self) -> Option<u64> {
        let To::Disk { catalogue, retention: Some(retention), .. } = &mut self.to else { return None };
        let Retention { options, trail, tap, kept } = &mut **retention;
        let due = kept.due(&self.dir, options, self.finished, clock::wall_unix_ns());
        let upto = due.unwrap_or_else(|error| {
            tracing::warn!("retention cannot tell what is due: {error}");
            None
        })?;
        let at = tap.clock().now();
        let dropped = trail.advance(upto).and_then(|retained| {
            retention::write_retained(&self.dir, &retained)?;
            retention::drop_upto(&self.dir, upto, at)
        });
        match dropped {
            Ok(dropped) => {
                kept.gone(upto);
                tracing::info!("retention dropped the segments up to {upto} ({} bytes)", dropped.bytes);
                tap.record(ConnectionId::CAPTURE, Fact::Dropped(dropped));
            }
            Err(error) => {
                tracing::warn!("segments up to {upto} are due but stay: {error}");
                return None;
            }
        }
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
            going_on(&error);
        }
    }

    /// What was collected in memory.
    pub(super) fn into_rows(self) -> Vec<Arc<PackedRows>> {
        match self.to {
            To::Memory { rows, .. } => rows,
            To::Disk { .. } => Vec::new(),
        }
    }
}

fn going_on(error: &Error) {
    tracing::warn!("going on without a catalogue, reading is slower: {error}");
}

fn enter(catalogue: &Catalogue, dir: &CaptureDir, ended: &Ended<'_>, fold: &Fold) -> Result<(), Error> {
    let Ended { segment, rows, span } = ended;
    let bytes = fs::metadata(dir.segment_path(*segment)).map_or(0, |metadata| metadata.len());
    let entry = SegmentEntry::of(*segment, bytes, span.map(|span| span.0), span.map(|span| span.1), rows);
    catalogue.put_segment(&entry, &rows.extents)?;
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
