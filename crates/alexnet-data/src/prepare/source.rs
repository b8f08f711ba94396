//! What can be prepared: anything that hands its images over in a fixed order.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use crate::Error;
use crate::hash::Hash;

/// A larger file is no photograph.
pub(super) const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Labeled images in a fixed order, in a split `train` and perhaps a split `val`.
///
/// Implement it to prepare what is neither ImageNet's archives nor a data set that [`Dataset::open`](crate::Dataset::open)
/// reads, and hand it to [`prepare_from`](super::prepare_from).
pub trait Source: Sync {
    /// The names of the classes in the order of the labels.
    fn classes(&self) -> Vec<String>;

    /// The content of `labels.txt`, one line per class: its name, a space, and what it is in words, where that is known.
    fn labels_text(&self) -> String {
        self.classes().iter().map(|class| format!("{class}\n")).collect()
    }

    /// Whether there is a split `val`.
    fn has_val(&self) -> bool;

    /// What a split consists of, such as names and sizes, in a few words: the same images have the same.
    ///
    /// # Errors
    /// Those of looking at it.
    fn fingerprint(&self, split: &str) -> Result<String, Error>;

    /// As [`fingerprint`](Self::fingerprint), with what tells a file from another one of its name and size, on this machine.
    ///
    /// # Errors
    /// Those of looking at it.
    fn identity(&self, split: &str) -> Result<String, Error> {
        self.fingerprint(split)
    }

    /// Images of a split, where their number is known.
    fn images(&self, split: &str) -> Option<u64> {
        let _ = split;
        None
    }

    /// Bytes that [`feed`](Self::feed) reads.
    ///
    /// # Errors
    /// Those of looking at it.
    fn bytes(&self, split: &str) -> Result<u64, Error>;

    /// Hands all images of a split to `sink` in their order, without the first `skip`, until it returns false. Meanwhile,
    /// `read` counts the bytes.
    ///
    /// # Errors
    /// What ends the preparation. After [`Error::Checksum`] and [`Error::Malformed`] nothing is left of the split; after
    /// others it goes on there the next time.
    fn feed(
        &self,
        split: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(SourceImage) -> bool,
    ) -> Result<(), Error>;
}

/// An image file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// Its name in the shard: unique in the split, and as [`key_of`](Self::key_of) makes them.
    pub key: String,
    /// Its name where it was found.
    pub file: String,
    /// Index of its class.
    pub label: u32,
    /// Its bytes, or why there are none: then it is listed as a bad image.
    pub bytes: Result<Vec<u8>, String>,
}

impl SourceImage {
    /// A name as `webdataset` can have it: without dots, which end a key, and slashes, and short enough for any tar.
    pub fn key_of(name: &str) -> String {
        let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
        let key: String = name.chars().map(plain).collect();
        if key.len() <= 80 {
            return key;
        }
        let start: String = key.chars().take(16).collect();
        format!("{start}-{:016x}", Hash::new().bytes(name.as_bytes()).finish())
    }
}

/// The names of a source's splits.
pub(super) fn splits(source: &dyn Source) -> &'static [&'static str] {
    if source.has_val() { &["train", "val"] } else { &["train"] }
}

/// When a file was written: one of the same size may have replaced another.
pub(super) fn modified(path: &Path) -> Result<String, Error> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(format!("{modified:?}"))
}

pub(super) fn file_size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_neither_dots_nor_slashes() {
        assert_eq!(SourceImage::key_of("n01440764_10026"), "n01440764_10026");
        assert_eq!(SourceImage::key_of("my cat. no/1 é"), "my_cat__no_1_é");
        let long = SourceImage::key_of(&"é".repeat(100));
        assert!(long.len() < 80 && long != SourceImage::key_of(&"é".repeat(101)), "{long}");
    }
}
