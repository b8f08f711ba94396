//! Where images come from.

pub(crate) mod folder;
pub(crate) mod hold_out;
pub mod shapes;
pub(crate) mod shards;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use shards::Shard;

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where the image is.
    pub location: Location,
    /// Index of the class in the data set's list of classes.
    pub label: u32,
}

/// Where an image's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// They are a file.
    File(PathBuf),
    /// They are part of a shard.
    Entry {
        /// The shard.
        shard: Arc<Shard>,
        /// Which of its images.
        number: u32,
    },
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl Location {
    /// The file's path; for an image in a shard the shard's, followed by the image's name in it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Entry { shard, number } => match shard.entries().get(*number as usize) {
                Some(entry) => shard.path().join(&*entry.name),
                None => shard.path().to_owned(),
            },
        }
    }

    /// Number of bytes, where it can be told.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            Self::Entry { shard, number } => shard.entries().get(*number as usize).map(|entry| u64::from(entry.len)),
        }
    }

    /// Replaces `bytes` by the image's.
    ///
    /// A shard is opened for each read, which is nothing beside decoding, so that any number of shards needs few open
    /// files. It is read rather than mapped: a file that somebody cuts short is then an error, not the end of the process.
    pub(crate) fn read_into(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        let read = match self {
            Self::File(path) => File::open(path).and_then(|mut file| file.read_to_end(bytes).map(|_| ())),
            Self::Entry { shard, number } => {
                let Some(entry) = shard.entries().get(*number as usize) else {
                    let rule = format!("{} has {} images", shard.path().display(), shard.entries().len());
                    return Err(Error::setting("number of an image in a shard", number, rule));
                };
                bytes.resize(entry.len as usize, 0);
                File::open(shard.path()).and_then(|mut file| {
                    file.seek(SeekFrom::Start(entry.offset))?;
                    file.read_exact(bytes)
                })
            }
        };
        read.map_err(|source| Error::Read { path: self.path(), source })
    }
}
