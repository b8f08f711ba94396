//! The configuration of a loader.

use crate::augment::view::Views;
use crate::order::{Order, Share};
use crate::{Error, OnBadSample};

/// The pixel format of the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Normalized `f32` values, the network's input.
    Floats,
    /// Bytes, a quarter of the memory, with the normalization of each view, which a GPU applies while it reads them.
    /// Augmentations after normalization (erasing and mixing) are not available.
    Bytes,
}

/// The configuration of a [`DataLoader`](crate::DataLoader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLoaderConfig {
    /// Samples per batch; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// Worker threads, at least 1. Their number affects the speed, never the contents of the batches.
    pub workers: usize,
    /// Maximum number of batches being filled or waiting, at least 1. Workers beyond this number are idle.
    pub prefetch: usize,
    /// Seed of the order and of all augmentation.
    pub seed: u64,
    /// The epoch; the order and the augmentation depend on it.
    pub epoch: u32,
    /// The order of the samples.
    pub order: Order,
    /// The first position of the epoch's order to deliver, to resume after an interruption.
    pub start_sample: usize,
    /// The part of each batch that this process takes, if several processes divide the work.
    pub share: Share,
    /// The views rendered of each image.
    pub views: Views,
    /// The pixel format.
    pub pixels: Pixels,
    /// The reaction to samples that cannot be read or decoded.
    pub on_bad_sample: OnBadSample,
    /// Whether to drop the last batch if it is smaller.
    pub drop_last: bool,
}

impl DataLoaderConfig {
    /// Shuffled, augmented batches of one epoch.
    pub fn train(batch_size: usize, seed: u64, epoch: u32) -> Self {
        Self {
            batch_size,
            workers: 2,
            prefetch: 4,
            seed,
            epoch,
            order: Order::Shuffled,
            start_sample: 0,
            share: Share::WHOLE,
            views: Views::Random,
            pixels: Pixels::Floats,
            on_bad_sample: OnBadSample::Skip,
            drop_last: false,
        }
    }

    /// All samples in their listed order, center crop only.
    pub fn eval(batch_size: usize) -> Self {
        Self { order: Order::Sequential, views: Views::Center, ..Self::train(batch_size, 0, 0) }
    }

    pub(super) fn validate(&self, samples: usize) -> Result<(), Error> {
        let positive = [("batch_size", self.batch_size), ("workers", self.workers), ("prefetch", self.prefetch)];
        for (what, value) in positive {
            if value == 0 {
                return Err(Error::setting(what, value, "it must be at least 1"));
            }
        }
        if self.start_sample > samples {
            return Err(Error::setting("start_sample", self.start_sample, format!("there are {samples} samples")));
        }
        if self.share.rank >= self.share.ranks {
            return Err(Error::setting("rank", self.share.rank, format!("there are {} ranks", self.share.ranks)));
        }
        Ok(())
    }
}
