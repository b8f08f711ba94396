//! A data set, whatever the format it was read from.

use crate::{Labels, PreparedStatistics, Split};

/// A data set: training images, and validation images where the folder has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Images to learn from.
    pub train: Split,
    /// Images to measure with, of the same classes.
    pub val: Option<Split>,
    /// The classes.
    pub labels: Labels,
    /// Statistics of the training images, where the set was prepared with some.
    pub statistics: Option<PreparedStatistics>,
}
