//! Handling of samples that cannot be read or decoded.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A sample that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSample {
    /// Index in the list of samples.
    pub index: u32,
    /// The file.
    pub path: PathBuf,
    /// The error message, including the file's path.
    pub reason: String,
}

/// The loader's reaction to a bad sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadSample {
    /// Leave it out of its batch and list it in [`Batch::bad`](crate::Batch::bad).
    Skip,
    /// End the epoch with an error that names the file.
    Fail,
}

/// Counts an epoch's bad samples and returns an error if there are too many: a few damaged files do no harm, while many
/// suggest that the data set is not the intended one.
///
/// ```
/// use alexnet_data::{BadSample, BadSampleBudget};
///
/// let bad = BadSample { index: 3, path: "a.jpg".into(), reason: "a.jpg: the file is empty".into() };
/// let mut budget = BadSampleBudget::one_percent(200);
/// assert!(budget.spend(&[bad.clone(), bad.clone()]).is_ok());
/// assert!(budget.spend(&[bad]).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSampleBudget {
    count: usize,
    total: usize,
    limit: usize,
}

impl BadSampleBudget {
    /// Allows `limit` bad samples out of `total`.
    pub fn new(total: usize, limit: usize) -> Self {
        Self { count: 0, total, limit }
    }

    /// Allows 1 % of `total`, rounded down: none for fewer than 100 samples.
    pub fn one_percent(total: usize) -> Self {
        Self::new(total, total / 100)
    }

    /// Starts with `count` bad samples already counted, for an epoch resumed after an interruption.
    pub fn resumed(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Bad samples so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Counts the bad samples of a batch.
    ///
    /// # Errors
    /// [`Error::TooManyBadSamples`] once there are more than allowed.
    pub fn spend(&mut self, bad: &[BadSample]) -> Result<(), Error> {
        self.count += bad.len();
        match bad.last() {
            Some(last) if self.count > self.limit => Err(Error::TooManyBadSamples {
                count: self.count,
                total: self.total,
                limit: self.limit,
                last: last.reason.clone(),
            }),
            _ => Ok(()),
        }
    }
}
