//! `tables/indexed.json`: which segments have their tables, all of them. Written after them, so that readers of a killed
//! capture know which to trust: a segment without rows of a kind has no table of it, and one may have been cut off
//! between two kinds. It is derived like the tables, lies among them and goes with them.

use std::{collections::BTreeSet, io};

use serde::{Deserialize, Serialize};

use crate::store::CaptureDir;

use super::derived;

const FILE: &str = "indexed.json";

/// The segments with tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Indexed {
    /// All of those up to this one that are there …
    upto: u64,
    /// … but for these, whose tables could not be written.
    except: BTreeSet<u64>,
}

impl Indexed {
    /// What was written; nothing where it cannot be read.
    pub(super) fn read(dir: &CaptureDir) -> Self {
        derived::read(dir, FILE).unwrap_or_default()
    }

    pub(super) fn has(&self, segment: u64) -> bool {
        segment <= self.upto && !self.except.contains(&segment)
    }

    /// The next segment has its tables, or cannot have them.
    pub(super) fn ended(&mut self, segment: u64, written: bool) {
        self.upto = segment;
        if !written {
            self.except.insert(segment);
        }
    }

    /// Replaces the file, at once.
    pub(super) fn write(&self, dir: &CaptureDir) -> io::Result<()> {
        derived::write(dir, FILE, self)
    }
}
