//! The results of a step and of an epoch.

use serde::{Deserialize, Serialize};

/// Results of one epoch. Accuracies are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps up to the end of the epoch.
    pub step: u64,
    /// The learning rate of weights at the end of the epoch.
    pub learning_rate: f64,
    /// Mean training loss over the epoch, with dropout and augmentation.
    pub train_loss: f64,
    /// Mean training top-1 over the epoch.
    pub train_top1: f64,
    /// Loss on the validation images after the epoch.
    pub val_loss: f64,
    /// Top-1 on the validation images after the epoch.
    pub val_top1: f64,
    /// Top-5 on the validation images after the epoch.
    pub val_top5: f64,
    /// Training images per second, loading included.
    pub images_per_second: f64,
    /// Seconds since the run began, without pauses.
    pub seconds: f64,
    /// Share of the training time spent waiting for images, from 0 to 1.
    #[serde(default)]
    pub data_wait: f64,
}

/// Results of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Counted from 1, over all epochs.
    pub step: u64,
    /// The learning rate of weights.
    pub learning_rate: f64,
    /// Training loss of this step.
    pub loss: f64,
    /// Share of the epoch's training time so far spent waiting for images, from 0 to 1.
    pub data_wait: f64,
}
