//! A file seen through one buffer: large sequential reads, slices without copies, memory bounded by what is asked for.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    /// The bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// Where the file's cursor stands.
    cursor: u64,
}

impl Blocks {
    /// Reads into that buffer, whatever it holds.
    pub(super) fn new(file: File, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { file, buffer, base: 0, cursor: 0 }
    }

    /// The buffer, for the next file. (To free it and make another costs more than time: from pieces of that size glibc
    /// learns to keep twice as much free room for each thread.)
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes at `at`: at least `need` of them, or all that there are up to the file's present end. Bytes before `at`
    /// are forgotten where room is needed.
    pub(super) fn at(&mut self, at: u64, need: usize) -> io::Result<&[u8]> {
        if self.held(at).len() < need {
            self.fill(at, need)?;
        }
        Ok(self.held(at))
    }

    /// What the buffer holds from `at` on.
    pub(super) fn held(&self, at: u64) -> &[u8] {
        at.checked_sub(self.base)
            .and_then(|skip| usize::try_from(skip).ok())
            .and_then(|skip| self.buffer.get(skip..))
            .unwrap_or_default()
    }

    /// Forgets what was read, so that it is read again.
    pub(super) fn forget(&mut self) {
        self.buffer.clear();
    }

    /// The file's present length.
    pub(super) fn file_len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    /// How much memory it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn fill(&mut self, at: u64, need: usize) -> io::Result<()> {
        let keep = self.held(at).len();
        if keep == 0 {
            self.buffer.clear();
        } else {
            let skip = self.buffer.len() - keep;
            self.buffer.drain(..skip);
        }
        self.base = at;
        if need <= BLOCK && self.buffer.capacity() > 2 * BLOCK {
            // It was grown for one big record.
            self.buffer.shrink_to(BLOCK.max(keep));
        }
        let wanted = need.max(BLOCK);
        let from = at + keep as u64;
        if self.cursor != from {
            self.cursor = self.file.seek(SeekFrom::Start(from))?;
        }
        self.buffer.reserve_exact(wanted.saturating_sub(keep));
        let more = wanted.saturating_sub(keep) as u64;
        let result = (&mut self.file).take(more).read_to_end(&mut self.buffer);
        // Also after an error some bytes may have come.
        self.cursor = self.base + self.buffer.len() as u64;
        result.map(|_| ())
    }
}
