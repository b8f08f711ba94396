//! The input of a preparation: any source of images in a fixed order.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use crate::Error;
use crate::hash::Hash;

/// Maximum size of an image file.
pub(super) const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Labeled images in a fixed order, in a split `train` and optionally a split `val`.
///
/// Implement this trait to prepare data other than ImageNet's archives and the data sets that
/// [`Dataset::open`](crate::Dataset::open) reads, and pass it to [`prepare_from`](super::prepare_from).
pub trait Source: Sync {
    /// The names of the classes in the order of the labels.
    fn classes(&self) -> Vec<String>;

    /// The content of `labels.txt`, one line per class: its name, and optionally a space and a description in words.
    fn labels_text(&self) -> String {
        self.classes().iter().map(|class| format!("{class}\n")).collect()
    }

    /// Whether the source has a split `val`.
    fn has_val(&self) -> bool;

    /// A short description of a split's contents, such as names and sizes, that is the same for the same images.
    ///
    /// # Errors
    /// Those of reading the source.
    fn fingerprint(&self, split: &str) -> Result<String, Error>;

    /// The [`fingerprint`](Self::fingerprint), extended by data that distinguishes files of the same name and size on
    /// this machine.
    ///
    /// # Errors
    /// Those of reading the source.
    fn identity(&self, split: &str) -> Result<String, Error> {
        self.fingerprint(split)
    }

    /// Number of images of a split, if known.
    fn images(&self, split: &str) -> Option<u64> {
        let _ = split;
        None
    }

    /// Number of bytes that [`feed`](Self::feed) reads.
    ///
    /// # Errors
    /// Those of reading the source.
    fn bytes(&self, split: &str) -> Result<u64, Error>;

    /// Passes all images of a split except the first `skip` to `sink` in order, until it returns false. Adds the number of
    /// bytes read to `read`.
    ///
    /// # Errors
    /// Any error ends the preparation. After [`Error::Checksum`] or [`Error::Malformed`], the output of the split is
    /// deleted; after other errors, the next run resumes it.
    fn feed(
        &self,
        split: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(SourceImage) -> bool,
    ) -> Result<(), Error>;
}

/// An image file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// Its name in the shard, unique in the split, in the form of [`key_of`](Self::key_of).
    pub key: String,
    /// Its name in the source.
    pub file: String,
    /// The label: index of its class.
    pub label: u32,
    /// Its bytes, or the reason why they are missing; the image is then listed as bad.
    pub bytes: Result<Vec<u8>, String>,
}

impl SourceImage {
    /// Converts a name to a valid `webdataset` key: without dots, which end a key, without slashes, and short enough for
    /// any tar format.
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

/// The modification time of a file, which distinguishes it from a replacement of the same size.
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
