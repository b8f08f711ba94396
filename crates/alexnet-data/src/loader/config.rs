//! What a loader delivers, and how.

use crate::augment::view::Views;
use crate::order::{Order, Share};
use crate::{Error, OnBadSample};

/// As what the images of a batch are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// The numbers that a network sees.
    Floats,
    /// Bytes, a quarter of the memory, and what makes those numbers of them: for a GPU, which does it while they are read.
    /// What is done to images after that, erasing and mixing, is not to be had.
    Bytes,
}

/// What a [`DataLoader`](crate::DataLoader) delivers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLoaderConfig {
    /// Samples per batch; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// Worker threads, at least 1. They change how fast batches come, never what is in them.
    pub workers: usize,
    /// Batches that may be in work or waiting at any time, at least 1. Workers beyond this number stand idle.
    pub prefetch: usize,
    /// Seed of the order, the crops, the flips and the colors.
    pub seed: u64,
    /// The epoch, which changes the same.
    pub epoch: u32,
    /// In which order the samples come.
    pub order: Order,
    /// The first position of the epoch's order to deliver, where it goes on after an interruption.
    pub start_sample: usize,
    /// Which part of each batch this process takes, where several divide the work.
    pub share: Share,
    /// Which views are made of each image.
    pub views: Views,
    /// As what it is delivered.
    pub pixels: Pixels,
    /// What happens when a file is not the image it should be.
    pub on_bad_sample: OnBadSample,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
}

impl DataLoaderConfig {
    /// Shuffled, augmented batches of an epoch.
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

    /// All samples in their listed order, each seen once from the center.
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
