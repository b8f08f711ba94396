//! A shard as memory, for images that need no decoding: a copy by the system would take half as long again as everything
//! else that is done to them.

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
    /// None where the system does not map it, or could not say what is wrong with it.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let file = File::open(path).ok()?;
        // SAFETY: The pages are read only, and as bytes, of which none is invalid. That nobody changes the file is asked of
        // whoever trains from it, as of every program that maps: what changes while it is read shows in an image. If it is
        // cut short, `bytes` notices; for as long as an image is borrowed after that, nobody does, and the process ends.
        #[allow(unsafe_code)]
        let bytes = unsafe { Mmap::map(&file) }.ok()?;
        Some(Self { bytes, path: path.to_owned() })
    }

    /// The bytes at `range`, of which the system has said that they are there; none where it said anything else. Then they
    /// are to be read, which tells what is wrong.
    pub(super) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        let bytes = self.bytes.get(range.clone())?;
        // Beyond the end of a file that was cut short, the rest of a page is zeros.
        if std::fs::metadata(&self.path).ok()?.len() < self.bytes.len() as u64 {
            return None;
        }
        // Brings the pages from the disk. Without this, one that cannot be had (a bad sector, a file cut short) would end
        // the process by a signal; with it, it is an error here. Linux before 5.14 answers that it does not know how.
        #[cfg(target_os = "linux")]
        self.bytes.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()).ok()?;
        Some(bytes)
    }
}
