//! A capture on disk: the segments, which are the evidence, and what is derived from them. docs/format.md specifies
//! every byte.
//!
//! - [`mod@format`]: the bytes of a segment's header and records; pure functions.
//! - [`capture_dir`]: a capture's folder, its lock and its `capture.json` ([`capture_meta`]).
//! - [`segment_writer`] and [`segment_reader`]: append, follow, seek, resynchronise; [`ranges`]: a side's bytes again.
//! - [`recovery`]: what a killed or damaged capture still holds; `verify`. [`ends`]: whether all segments are there.
//! - [`tables`]: Parquet tables of derived rows, one file per sealed segment and kind.
//! - [`catalogue`]: the directory of all that; the only user of sled.
//! - [`retention`]: dropping whole oldest segments.
//!
//! Nothing here decodes traffic, decides what is recorded, or changes a byte of a segment that was written whole. What is
//! read from disk is taken as hostile: memory is bounded and nothing panics.

pub mod capture_dir;
pub mod capture_meta;
pub mod catalogue;
pub mod ends;
pub mod error;
pub mod format;
pub mod ranges;
pub mod recovery;
pub mod retention;
pub mod segment_reader;
pub mod segment_writer;
pub mod tables;

mod blocks;
mod files;

pub use capture_dir::{CaptureDir, LockState};
pub use capture_meta::{CaptureMeta, State};
pub use error::Error;
pub use segment_reader::SegmentReader;
pub use segment_writer::SegmentWriter;
pub use tables::{PackedRows, Rows};
