//! A data set, independent of its storage format.

use crate::{Labels, PreparedStatistics, Split};

/// A data set: training images, and validation images if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Training images.
    pub train: Split,
    /// Validation images, of the same classes.
    pub val: Option<Split>,
    /// The classes.
    pub labels: Labels,
    /// Statistics of the training images, if the prepared data set contains them.
    pub statistics: Option<PreparedStatistics>,
}
