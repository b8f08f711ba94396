//! The events of a run.

use std::path::PathBuf;

use alexnet_data::BadSample;

use crate::checkpoint::State;
use crate::data::RunData;
use crate::pretrained::Pretrained;
use crate::record::{EpochRecord, StepRecord};

/// An event of a run, for [observers](crate::Observer).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The training images are being read once, for their mean and colors.
    Statistics {
        /// Images read.
        done: usize,
        /// In all.
        total: usize,
    },
    /// The data is ready, and training begins or goes on.
    Started {
        /// The images.
        data: &'a RunData,
        /// Where it goes on from.
        state: &'a State,
        /// Steps of an epoch.
        steps: usize,
        /// The weights it starts from, where it starts now and not from random ones.
        pretrained: Option<&'a Pretrained>,
        /// The layers of which nothing is trained in the epoch that it starts in.
        frozen: &'a [&'a str],
    },
    /// A step is done.
    Step {
        /// The step.
        record: &'a StepRecord,
        /// Complete steps of the epoch, and steps of an epoch.
        done: [usize; 2],
        /// Images of this step.
        images: usize,
    },
    /// Files could not be read and were left out.
    BadSamples(&'a [BadSample]),
    /// Some of the validation images have been seen.
    Validating {
        /// So many.
        done: usize,
        /// In all.
        total: usize,
    },
    /// An epoch is done.
    Epoch {
        /// Its results.
        record: &'a EpochRecord,
        /// Whether it is the best so far.
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
    /// The model of the best epoch, once there is one.
    pub model: Option<PathBuf>,
    /// Seconds of training.
    pub seconds: f64,
    /// Whether it was asked to stop before its end.
    pub stopped: bool,
}
