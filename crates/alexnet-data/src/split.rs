//! The images of one split of a data set.

use std::path::PathBuf;

use crate::{Location, Sample};

/// The images of one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The folder or file that contains them.
    pub path: PathBuf,
    /// Names of the classes in the order of the labels: the sorted class folders, or the classes of a prepared set's
    /// manifest. Names that are not UTF-8 contain replacement characters.
    pub classes: Vec<String>,
    /// The images: from folders, sorted by class, then by path; from shards, in stored order.
    pub samples: Vec<Sample>,
    /// Number of files ignored because their extension is not that of an image. Hidden files are not counted.
    pub ignored: usize,
}

impl Split {
    /// Whether the classes are named by their numbers because the files contain no names.
    pub fn is_unnamed(&self) -> bool {
        let in_folders = self.samples.iter().any(|sample| matches!(sample.location, Location::File(_)));
        !in_folders && (0u32..).zip(&self.classes).all(|(number, name)| *name == number.to_string())
    }
}
