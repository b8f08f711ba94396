//! The state of a preparation, from which it resumes after an interruption at any point.
//!
//! `unfinished.json` lists the complete shards; the statistics' sums up to that point are in a separate file, named in the
//! JSON. Both are written after each shard, the JSON last, and replace the previous ones atomically. A shard that was
//! being written, or is not listed yet, is written again with the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::shard_writer::write_whole;
use crate::Error;
use crate::sources::shards::UNFINISHED;
use crate::sources::shards::manifest::SplitManifest;
use crate::statistics::Sums;
use crate::statistics::cache;

/// Prefix of the names of the files of sums.
pub(super) const STATISTICS: &str = ".statistics-";

/// An image that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadImage {
    /// Its name in the archive, or its path.
    pub file: String,
    /// The reason.
    pub reason: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SplitProgress {
    /// The identity of the input.
    pub(super) input: String,
    /// Number of blocks of `images_per_shard` images that have been read completely.
    pub(super) blocks: u64,
    /// Number of images that have been read.
    pub(super) read: u64,
    pub(super) complete: bool,
    pub(super) manifest: SplitManifest,
    pub(super) bad: Vec<BadImage>,
}

impl SplitProgress {
    pub(super) fn of(input: &str) -> Self {
        Self { input: input.to_owned(), ..Self::default() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) settings: String,
    pub(super) splits: BTreeMap<String, SplitProgress>,
    /// Number in the name of the file of sums; 0 if there are no sums yet.
    sums: u64,
}

impl Progress {
    pub(super) fn new(settings: String) -> Self {
        Self { settings, splits: BTreeMap::new(), sums: 0 }
    }

    pub(super) fn path(output: &Path) -> PathBuf {
        output.join(UNFINISHED)
    }

    fn sums_path(output: &Path, number: u64) -> PathBuf {
        output.join(format!("{STATISTICS}{number}"))
    }

    /// The state that an earlier run left in `output`, if any.
    pub(super) fn read(output: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(output);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        serde_json::from_slice(&text).map(Some).map_err(|error| malformed(error.to_string()))
    }

    /// The sums that belong to this state, for squares of side `size`.
    pub(super) fn read_sums(&self, output: &Path, size: u32) -> Result<Sums, Error> {
        if self.sums == 0 {
            return Ok(Sums::new(size));
        }
        let path = Self::sums_path(output, self.sums);
        cache::read(&path, self.sums, size).ok_or_else(|| {
            let reason = format!("it does not belong to {UNFINISHED}; remove the folder and start again");
            Error::Malformed { path, reason }
        })
    }

    /// Resets the sums.
    pub(super) fn forget_sums(&mut self) {
        self.sums = 0;
    }

    /// Writes the state, and `sums` if they have changed.
    pub(super) fn write(&mut self, output: &Path, sums: Option<&Sums>) -> Result<(), Error> {
        let before = self.sums;
        if let Some(sums) = sums {
            self.sums += 1;
            let path = Self::sums_path(output, self.sums);
            cache::write(&path, self.sums, sums).map_err(|source| Error::Write { path, source })?;
        }
        let path = Self::path(output);
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|error| Error::Write { path: path.clone(), source: io::Error::other(error) })?;
        write_whole(&path, &text)?;
        if before != self.sums {
            // Best effort: the file is no longer used.
            let _ = fs::remove_file(Self::sums_path(output, before));
        }
        Ok(())
    }
}
