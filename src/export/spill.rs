//! What has to be put in another order than it comes in: pieces go to a file without a name, and are read back by place,
//! so that memory holds sixteen bytes a piece.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Where a piece lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    at: u64,
    len: u32,
}

/// See the module.
pub(super) struct Spill {
    file: BufWriter<File>,
    end: u64,
    /// Removed when it is dropped; at once where the system allows it.
    path: Option<std::path::PathBuf>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Spill {
    /// An empty one, readable by its owner alone.
    pub(super) fn new() -> io::Result<Self> {
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("firstframe-export-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let path = if cfg!(unix) && std::fs::remove_file(&path).is_ok() { None } else { Some(path) };
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), end: 0, path })
    }

    /// Adds a piece. One may be 4 GiB long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Piece> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.file.write_all(bytes)?;
        let piece = Piece { at: self.end, len };
        self.end += u64::from(len);
        Ok(piece)
    }

    /// Reads a piece into `out`, which it clears.
    pub(super) fn read(&mut self, piece: Piece, out: &mut Vec<u8>) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(piece.at))?;
        out.clear();
        out.resize(usize::try_from(piece.len).map_err(io::Error::other)?, 0);
        file.read_exact(out)?;
        file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}
