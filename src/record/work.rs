//! What is done with each event, live and offline alike: fold it, keep the rows until their segment ends, then hand them
//! to its tables.

use std::sync::Arc;

use crate::{
    model::{
        Timestamp,
        rows::{Position, Row},
        trace::TraceEvent,
    },
    store::PackedRows,
};

use super::{
    Error, Inspection,
    fold::Fold,
    index::{Index, Snapshot},
    live::Kinds,
    observer::Observed,
    sealing::{Ended, Sealing},
    summary::{RouteTotal, Tally},
};

pub(super) struct Work {
    fold: Fold,
    /// The segment that is being read; its rows are not in tables yet.
    segment: u64,
    sealing: Sealing,
    /// Where rows are shown, while a recorder runs.
    index: Option<Arc<Index>>,
    /// Final rows of that segment.
    rows: PackedRows,
    scratch: Vec<Row>,
    /// Event time after the first and after the last record of this segment.
    span: Option<(Timestamp, Timestamp)>,
    /// The first segment whose tables could not be written.
    without_tables: Option<u64>,
}

impl Work {
    pub(super) fn live(
        inspection: &Inspection,
        segment: u64,
        sealing: Sealing,
        index: Arc<Index>,
    ) -> Result<Self, Error> {
        Ok(Self { index: Some(index), ..Self::offline(Fold::new(inspection)?, segment, sealing) })
    }

    pub(super) fn offline(fold: Fold, segment: u64, sealing: Sealing) -> Self {
        Self {
            fold,
            segment,
            rows: sealing.rows(),
            sealing,
            index: None,
            scratch: Vec::new(),
            span: None,
            without_tables: None,
        }
    }

    /// The next event. One of a later segment ends those before it.
    pub(super) fn event(&mut self, position: Position, event: &TraceEvent<'_>) {
        while self.segment < position.segment {
            self.end_segment();
            self.segment += 1;
        }
        self.fold.push(event, position, &mut self.scratch);
        let now = self.fold.now();
        self.span = Some((self.span.map_or(now, |span| span.0), now));
        if !self.scratch.is_empty() {
            self.take_rows();
        }
    }

    /// The capture is over: what is open becomes final, and goes to the last segment's tables.
    pub(super) fn finish(&mut self) {
        self.fold.finish(&mut self.scratch);
        self.take_rows();
        self.end_segment();
    }

    /// The segments after the last record, up to this one, have no rows.
    pub(super) fn skip_upto(&mut self, last: u64) {
        while self.segment < last {
            self.segment += 1;
            self.end_segment();
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.sealing.close();
    }

    /// Tells how far the fold is, and what it adds up to.
    pub(super) fn publish(&mut self, upto: Position) {
        self.fold.mark();
        if let Some(index) = &self.index {
            index.publish(self.fold.tally.totals(), upto);
        }
    }

    /// The rows that are in no table, for who asked.
    pub(super) fn snapshot(&self, index: &Index) -> Snapshot {
        index.with_rows(self.rows.clone(), self.fold.open_rows())
    }

    pub(super) fn routes(&self) -> Vec<RouteTotal> {
        self.fold.tally.routes()
    }

    pub(super) fn observed(&self) -> Observed {
        self.fold.tally.observer.observed()
    }

    /// The instant of the last event, if there was any.
    pub(super) fn now(&self) -> Option<Timestamp> {
        Some(self.fold.now()).filter(|now| *now > Timestamp(0))
    }

    /// The first segment whose tables could not be written, if any.
    pub(super) fn without_tables(&self) -> Option<u64> {
        self.without_tables
    }

    /// What was collected in memory.
    pub(super) fn into_rows(self) -> Vec<Arc<PackedRows>> {
        self.sealing.into_rows()
    }

    pub(super) fn into_tally(self) -> Tally {
        self.fold.tally
    }

    fn take_rows(&mut self) {
        let wanted = self.index.as_ref().map_or(Kinds::NONE, |index| index.live().wanted());
        for mut row in self.scratch.drain(..) {
            // Asked also where nobody watches, so that what is remembered of it goes.
            let flags = self.fold.flags_of(&row);
            if wanted.meets(Kinds::of(&row))
                && let Some(index) = &self.index
            {
                index.live().publish(&Arc::new(with_flags(row.clone(), flags)));
            }
            if let Row::Frame(frame) = &mut row {
                // Tables hold no text, and neither does memory for longer than it takes to show it.
                frame.text = None;
            }
            self.rows.add(&row);
        }
    }

    fn end_segment(&mut self) {
        self.fold.mark();
        let ended = Ended { segment: self.segment, rows: &mut self.rows, span: self.span.take() };
        let written = self.sealing.end_segment(ended, &self.fold);
        self.rows.clear();
        if !written {
            self.without_tables.get_or_insert(self.segment);
        }
        if let Some(index) = &self.index {
            index.sealed(self.segment, written);
            if let Some(upto) = self.sealing.retire() {
                index.dropped(upto);
            }
        }
    }
}

fn with_flags(mut row: Row, flags: Vec<&str>) -> Row {
    let flags = flags.into_iter().map(str::to_owned).collect();
    match &mut row {
        Row::Exchange(row) => row.flags = flags,
        Row::Session(row) => row.flags = flags,
        Row::Connection(_) | Row::Frame(_) | Row::Flag(_) => {}
    }
    row
}
