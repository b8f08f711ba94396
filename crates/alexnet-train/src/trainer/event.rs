//! Events of a run.

use std::path::PathBuf;

use alexnet_data::BadSample;

use crate::checkpoint::State;
use crate::data::RunData;
use crate::pretrained::Pretrained;
use crate::results::{EpochRecord, StepRecord};

/// An event of a run, reported to [observers](crate::Observer).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Progress of reading the training images for their mean and color statistics.
    Statistics {
        /// Images read.
        done: usize,
        /// In all.
        total: usize,
    },
    /// The data is ready, and training starts or resumes.
    Started {
        /// The data of the run.
        data: &'a RunData,
        /// The state that training starts or resumes from.
        state: &'a State,
        /// Steps per epoch.
        steps: usize,
        /// The pretrained weights, if the run starts now and uses them.
        pretrained: Option<&'a Pretrained>,
        /// The layers that are frozen in the current epoch.
        frozen: &'a [&'a str],
    },
    /// A step is complete.
    Step {
        /// Results of the step.
        record: &'a StepRecord,
        /// Complete steps of the epoch, and steps per epoch.
        done: [usize; 2],
        /// Number of images in this step.
        images: usize,
    },
    /// Files that could not be read and were skipped.
    BadSamples(&'a [BadSample]),
    /// Progress of validation.
    Validating {
        /// Images evaluated.
        done: usize,
        /// In all.
        total: usize,
    },
    /// An epoch is complete.
    Epoch {
        /// Its results.
        record: &'a EpochRecord,
        /// Whether it is the best epoch so far.
        best: bool,
        /// All epochs so far.
        epochs: &'a [EpochRecord],
    },
    /// A checkpoint is about to be written.
    Checkpoint,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The best epoch, unless none was completed.
    pub best: Option<EpochRecord>,
    /// The last epoch, unless none was completed.
    pub last: Option<EpochRecord>,
    /// Steps taken.
    pub steps: u64,
    /// The model of the best epoch, if there is one.
    pub model: Option<PathBuf>,
    /// Training time in seconds.
    pub seconds: f64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
}
