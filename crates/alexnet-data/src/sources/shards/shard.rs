//! An open shard: its list of images, and its bytes if they can be memory-mapped.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::entry::Entry;
use super::mapping::Mapping;
use super::{index, scan};
use crate::Error;

/// A shard and its list of images.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Created on first use; `None` if the shard cannot be mapped.
    mapping: OnceLock<Option<Mapping>>,
}

impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.entries) == (&other.path, &other.entries)
    }
}

impl Eq for Shard {}

impl Shard {
    /// Opens `x.tar`, with `x.index` if it exists.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Malformed`] if the two are inconsistent or the archive is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let index = path.with_extension(index::EXTENSION);
        let entries = if index.is_file() { index::read(&index, path)? } else { scan::entries(path)? };
        Ok(Self { path: path.to_owned(), entries, mapping: OnceLock::new() })
    }

    /// The path of the archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The images, in stored order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of an image, if its shard can be memory-mapped and is intact.
    pub(crate) fn mapped(&self, number: u32) -> Option<&[u8]> {
        let entry = self.entries.get(number as usize)?;
        let start = usize::try_from(entry.offset).ok()?;
        let mapping = self.mapping.get_or_init(|| Mapping::of(&self.path)).as_ref()?;
        mapping.bytes(start..start.checked_add(entry.len as usize)?)
    }
}
