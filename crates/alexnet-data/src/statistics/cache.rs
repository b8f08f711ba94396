//! Caches the statistics of a data set in a hidden file beside it.
//!
//! After the line `alexnet-statistics 1`, the file contains little-endian 64-bit integers: the key, the side of the
//! squares, the numbers of images counted and skipped, the six sums of products, the sums of the pixels, and a hash of all
//! preceding bytes. A file that does not match in every respect is ignored.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Sums;
use crate::hash::Hash;
use crate::{Preprocess, Sample};

/// The origin of statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Loaded from a file of an earlier run.
    Loaded {
        /// The file.
        path: PathBuf,
    },
    /// Computed, and written to a file for later runs.
    Written {
        /// The file.
        path: PathBuf,
    },
    /// Computed, but not written: the next run will compute them again.
    NotWritten {
        /// The file.
        path: PathBuf,
        /// Why it could not be written.
        reason: String,
    },
}

const MAGIC: &[u8] = b"alexnet-statistics 1\n";

/// Identifies everything the statistics depend on: the files, by name and size, and the preprocessing up to the square.
pub(super) fn key(root: &Path, samples: &[Sample], preprocess: &Preprocess) -> u64 {
    let Preprocess { resize, filter, source_size, centering, .. } = preprocess;
    let mut hash = Hash::new().bytes(format!("{resize:?} {filter:?} {source_size} {centering:?}").as_bytes());
    for sample in samples {
        hash = hash.path(&sample.location.path(), root).number(sample.location.extent());
    }
    hash.number(samples.len() as u64).finish()
}

pub(super) fn path(root: &Path, key: u64) -> PathBuf {
    root.join(format!(".alexnet-statistics-{key:016x}"))
}

pub(crate) fn read(path: &Path, key: u64, size: u32) -> Option<Sums> {
    let bytes = fs::read(path).ok()?;
    let (content, checksum) = bytes.split_last_chunk::<8>()?;
    if Hash::new().bytes(content).finish() != u64::from_le_bytes(*checksum) {
        return None;
    }
    let (numbers, rest) = content.strip_prefix(MAGIC)?.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|&number| u64::from_le_bytes(number));
    if !rest.is_empty() || numbers.next()? != key || numbers.next()? != u64::from(size) {
        return None;
    }
    let mut sums = Sums::new(size);
    sums.images = numbers.next()?;
    sums.skipped = numbers.next()?;
    for sum in sums.products.iter_mut().chain(&mut sums.pixels) {
        *sum = numbers.next()?;
    }
    (numbers.next().is_none() && sums.images > 0).then_some(sums)
}

/// Writes a temporary file and renames it, so that a partial file is never read.
pub(crate) fn write(path: &Path, key: u64, sums: &Sums) -> io::Result<()> {
    let header = [key, u64::from(sums.size), sums.images, sums.skipped];
    let mut bytes = MAGIC.to_vec();
    for number in header.iter().chain(&sums.products).chain(&sums.pixels) {
        bytes.extend(number.to_le_bytes());
    }
    let checksum = Hash::new().bytes(&bytes).finish();
    bytes.extend(checksum.to_le_bytes());
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let fill = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        // Otherwise the file may be empty after a power failure.
        file.sync_all()
    };
    let written = fill().and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: the first error is reported.
        let _ = fs::remove_file(&temporary);
    }
    written
}
