//! The images of one split of a data set.

use std::path::PathBuf;

use crate::{Location, Sample};

/// The images of one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The folder they are in, or the shard.
    pub path: PathBuf,
    /// Names of the classes in the order of the labels: of class folders, sorted, or what a prepared set's manifest lists.
    /// A name that is not UTF-8 is shown with replacement characters.
    pub classes: Vec<String>,
    /// The images: in folders sorted by class and within it by path, in shards as they lie there.
    pub samples: Vec<Sample>,
    /// Files that are not images by their extension and were passed over. Hidden files are not counted.
    pub ignored: usize,
}

impl Split {
    /// Whether the classes are called by their numbers, because the files do not say their names.
    pub fn is_unnamed(&self) -> bool {
        let in_folders = self.samples.iter().any(|sample| matches!(sample.location, Location::File(_)));
        !in_folders && (0u32..).zip(&self.classes).all(|(number, name)| *name == number.to_string())
    }
}
