//! A shard that is open: which images it holds, and its bytes, where they can be mapped.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::entry::Entry;
use super::mapping::Mapping;
use super::{index, scan};
use crate::Error;

/// A shard and the images in it.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Made when it is first asked for, if it can be.
    mapping: OnceLock<Option<Mapping>>,
}

impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.entries) == (&other.path, &other.entries)
    }
}

impl Eq for Shard {}

impl Shard {
    /// Opens `x.tar`, with `x.index` where that is there.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Malformed`] where the two do not fit each other or the archive is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let index = path.with_extension(index::EXTENSION);
        let entries = if index.is_file() { index::read(&index, path)? } else { scan::entries(path)? };
        Ok(Self { path: path.to_owned(), entries, mapping: OnceLock::new() })
    }

    /// The archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its images, in the order in which they lie.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of an image, where its shard can be mapped and is as it should be.
    pub(crate) fn mapped(&self, number: u32) -> Option<&[u8]> {
        let entry = self.entries.get(number as usize)?;
        let start = usize::try_from(entry.offset).ok()?;
        let mapping = self.mapping.get_or_init(|| Mapping::of(&self.path)).as_ref()?;
        mapping.bytes(start..start.checked_add(entry.len as usize)?)
    }
}
