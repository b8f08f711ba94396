//! Where images come from.

pub(crate) mod folder;
pub(crate) mod hold_out;
pub mod shapes;

use std::path::PathBuf;

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image file.
    pub path: PathBuf,
    /// Index of the class in the sorted list of class folders.
    pub label: u32,
}
