//! A memory-mapped shard, for images that need no decoding: a copy by the system would add half of the time of their
//! remaining processing.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

/// A whole shard, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    bytes: Mmap,
    path: PathBuf,
}

impl Mapping {
    /// `None` if mapping fails, or on systems on which an unreadable page cannot be detected.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let file = File::open(path).ok()?;
        // SAFETY: The pages are mapped read-only and accessed as bytes, for which every value is valid. As for every mapped
        // file, users must not change it during training: a change while it is read alters an image. `bytes` detects a
        // truncation; a truncation while an image is borrowed is not detected, and accessing the page ends the process.
        #[allow(unsafe_code)]
        let bytes = unsafe { Mmap::map(&file) }.ok()?;
        Some(Self { bytes, path: path.to_owned() })
    }

    /// The bytes at `range`, if the system confirms that they can be read; otherwise `None`: reading the file then reports
    /// the error.
    pub(super) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        let bytes = self.bytes.get(range.clone())?;
        // In a truncated file, the rest of the last page is zeros.
        if std::fs::metadata(&self.path).ok()?.len() < self.bytes.len() as u64 {
            return None;
        }
        // Reads the pages from the disk. Without this, an unreadable page (a bad sector, a truncated file) would end the
        // process by a signal; with it, this call fails. Linux before 5.14 does not support it and returns an error.
        #[cfg(target_os = "linux")]
        self.bytes.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()).ok()?;
        Some(bytes)
    }
}
