//! Batches, prepared ahead by worker threads.
//!
//! Each worker fills a whole batch by itself and takes the next one that nobody has begun. So the pixels are written
//! once, straight to where the batch has them; no lock is taken per image; and what a batch holds cannot depend on the
//! number of workers. The price is that the first batch comes after the time one worker needs for it, a fraction of a
//! second for 128 photographs, as with PyTorch's `DataLoader`.
//!
//! Memory is bounded by [`LoaderConfig::prefetch`]: no more batches than that are being filled or waiting to be taken,
//! besides those the caller holds. The loader of the next epoch can be made before the last batch of this one is used;
//! then its first batch is ready by the time it is asked for.

mod ordered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::normalize::ViewNumbers;
use crate::order::{Batching, EpochOrder, Order, Share};
use crate::pipeline::{Mode, Pipeline, Scratch};
use crate::sources::Sample;
use crate::sources::read_ahead::read_ahead;
use crate::{BadSample, Error, OnBadSample};
use ordered::{Job, Ordered};

/// As what the images of a batch are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// The numbers that a network sees.
    Floats,
    /// Bytes, a quarter of the memory, and what makes those numbers of them: for a GPU, which does it while they are read.
    /// What is done to images after that, erasing and mixing, is not to be had.
    Bytes,
}

/// The images of a batch as bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bytes {
    /// `[n, views, crop_size, crop_size, 3]`: red, green and blue.
    pub pixels: Vec<u8>,
    /// What makes of each view what a network sees.
    pub numbers: Vec<ViewNumbers>,
}

/// What a [`Loader`] delivers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples per batch; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// Worker threads, at least 1. They change how fast batches come, never what is in them.
    pub workers: usize,
    /// Batches that may be in work or waiting at any time, at least 1. Workers beyond this number stand idle.
    pub prefetch: usize,
    /// Seed of the order, the crops, the flips and the colours.
    pub seed: u64,
    /// The epoch, which changes the same.
    pub epoch: u32,
    /// In which order the samples come.
    pub order: Order,
    /// The first position of the epoch's order to deliver, where it goes on after an interruption.
    pub start_sample: usize,
    /// Which part of each batch this process takes, where several divide the work.
    pub share: Share,
    /// What is made of each image.
    pub mode: Mode,
    /// As what it is delivered.
    pub pixels: Pixels,
    /// What happens when a file is not the image it should be.
    pub on_bad_sample: OnBadSample,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
}

impl LoaderConfig {
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
            mode: Mode::Train,
            pixels: Pixels::Floats,
            on_bad_sample: OnBadSample::Skip,
            drop_last: false,
        }
    }

    /// All samples in their listed order, each seen once from the centre.
    pub fn eval(batch_size: usize) -> Self {
        Self { order: Order::Sequential, mode: Mode::Eval, ..Self::train(batch_size, 0, 0) }
    }

    fn validate(&self, samples: usize) -> Result<(), Error> {
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

/// Some samples of an epoch, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[n, views, 3, crop_size, crop_size]`, contiguous; empty where they are delivered as bytes.
    pub images: Vec<f32>,
    /// The same with [`Pixels::Bytes`], else empty.
    pub bytes: Bytes,
    /// The n classes.
    pub labels: Vec<u32>,
    /// The n samples' indices in the list given to the loader.
    pub indices: Vec<u32>,
    /// Views per image, 1 or 10.
    pub views: usize,
    /// Samples that belong to this batch and could not be used. The batch is smaller by these, and may be empty.
    pub bad: Vec<BadSample>,
    /// Where the images are [mixed](crate::Mixing), the share of each that is its own, 0–1; the rest belongs to the image
    /// before it, that of the first to the last, and so do their labels.
    pub own_share: Option<f32>,
}

impl Batch {
    /// What the network should say, `[n, classes]`: the labels' probabilities, mixed as the images are, and with
    /// `label_smoothing` of it spread evenly over all classes.
    ///
    /// # Errors
    /// [`Error::Setting`] where a label is not below `classes` or the smoothing not from 0 to below 1.
    ///
    /// # Source
    /// Szegedy et al. 2016, *Rethinking the Inception architecture*, section 7; PyTorch, `CrossEntropyLoss`.
    pub fn targets(&self, classes: usize, label_smoothing: f32) -> Result<Vec<f32>, Error> {
        if !(0.0..1.0).contains(&label_smoothing) {
            return Err(Error::setting("label smoothing", label_smoothing, "it must be from 0 to below 1"));
        }
        if let Some(label) = self.labels.iter().find(|&&label| label as usize >= classes) {
            return Err(Error::setting("label", label, format!("there are {classes} classes")));
        }
        let own = self.own_share.unwrap_or(1.0);
        let mut targets = vec![label_smoothing / classes as f32; self.labels.len() * classes];
        let neighbours = self.labels.iter().cycle().skip(self.labels.len().saturating_sub(1));
        for ((row, &label), &neighbour) in targets.chunks_exact_mut(classes.max(1)).zip(&self.labels).zip(neighbours) {
            row[label as usize] += (1.0 - label_smoothing) * own;
            row[neighbour as usize] += (1.0 - label_smoothing) * (1.0 - own);
        }
        Ok(targets)
    }
}

/// Delivers the batches of one epoch in order. Each covers `batch_size` positions of the epoch's order, whether all
/// samples in it are usable or not.
///
/// Dropping it early ends the workers, after the image each is at.
pub struct Loader {
    batches: Ordered<Batch, Buffer>,
}

impl Loader {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number of `config` is out of its range.
    pub fn new(samples: Arc<[Sample]>, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self, Error> {
        let len = u32::try_from(samples.len());
        let len = len.map_err(|_| Error::setting("number of samples", samples.len(), "it must fit in 32 bits"))?;
        config.validate(samples.len())?;
        if config.pixels == Pixels::Bytes && config.mode == Mode::Train && !pipeline.augment().ends_in_bytes() {
            return Err(Error::setting("pixels", "bytes", "images that are erased or mixed are delivered as floats"));
        }
        let LoaderConfig { order, seed, epoch, batch_size, start_sample, share, drop_last, .. } = config;
        let batching = Batching { batch_size, start_sample, share, drop_last };
        let order = Arc::new(EpochOrder::new(order, len, seed, epoch, batching));
        let batches = Ordered::start(0, order.batches(), config.workers, config.prefetch, || {
            let mut filler = Filler {
                samples: samples.clone(),
                pipeline: pipeline.clone(),
                order: order.clone(),
                config,
                scratch: Scratch::default(),
            };
            move |job: Job<'_, Buffer>| filler.fill(job)
        })?;
        Ok(Self { batches })
    }

    /// Gives the memory of a batch back, for a later one to be written to. Not necessary, but it saves the system from
    /// clearing tens of megabytes per batch. What waits to be used again comes on top of [`LoaderConfig::prefetch`], at
    /// most as much once more.
    pub fn recycle(&mut self, images: Vec<f32>) {
        self.batches.recycle(Buffer { floats: images, ..Buffer::default() });
    }

    /// As [`Loader::recycle`], for [`Bytes::pixels`].
    pub fn recycle_bytes(&mut self, pixels: Vec<u8>) {
        self.batches.recycle(Buffer { bytes: pixels, ..Buffer::default() });
    }

    /// Whether the next batch is there already, so that asking for it takes no time. False when there is none.
    pub fn is_ready(&mut self) -> bool {
        self.batches.is_ready()
    }

    /// Batches still to come.
    pub fn remaining(&self) -> usize {
        self.batches.remaining()
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

/// Memory of an earlier batch.
#[derive(Default)]
struct Buffer {
    floats: Vec<f32>,
    bytes: Vec<u8>,
}

/// What one worker needs.
struct Filler {
    samples: Arc<[Sample]>,
    pipeline: Arc<Pipeline>,
    order: Arc<EpochOrder>,
    config: LoaderConfig,
    scratch: Scratch,
}

impl Filler {
    fn fill(&mut self, job: Job<'_, Buffer>) -> Result<Batch, Error> {
        let LoaderConfig { mode, pixels, seed, epoch, on_bad_sample, .. } = self.config;
        let positions = self.order.batch(job.number);
        read_ahead(self.order.entering(job.number).iter().map(|&index| &self.samples[index as usize].location));
        let length = mode.views() * self.pipeline.preprocess().view_len();
        let mut batch = Batch {
            images: job.buffer.floats,
            bytes: Bytes { pixels: job.buffer.bytes, numbers: Vec::new() },
            labels: Vec::with_capacity(positions.len()),
            indices: Vec::with_capacity(positions.len()),
            views: mode.views(),
            bad: Vec::new(),
            own_share: None,
        };
        // Clears only what an earlier batch did not have: everything that stays is overwritten below.
        match pixels {
            Pixels::Floats => batch.images.resize(positions.len() * length, 0.0),
            Pixels::Bytes => batch.bytes.pixels.resize(positions.len() * length, 0),
        }
        for index in positions {
            if stopped(job.stop) {
                break;
            }
            let sample = &self.samples[index as usize];
            let views = self.pipeline.views(mode, seed, epoch, index);
            let (from, place) = (&sample.location, batch.labels.len() * length..(batch.labels.len() + 1) * length);
            let loaded = match pixels {
                Pixels::Floats => self.pipeline.load_into(from, &views, &mut self.scratch, &mut batch.images[place]),
                Pixels::Bytes => {
                    let output = &mut batch.bytes.pixels[place];
                    self.pipeline.load_bytes_into(from, &views, &mut self.scratch, output)
                }
            };
            match loaded {
                Ok(()) => {
                    if pixels == Pixels::Bytes {
                        batch.bytes.numbers.extend(views.iter().map(|view| self.pipeline.numbers(view)));
                    }
                    batch.labels.push(sample.label);
                    batch.indices.push(index);
                }
                Err(error) if on_bad_sample == OnBadSample::Fail => return Err(error),
                Err(error) => {
                    let (path, reason) = (sample.location.path(), error.to_string());
                    batch.bad.push(BadSample { index, path, reason });
                }
            }
        }
        batch.images.truncate(batch.labels.len() * length);
        batch.bytes.pixels.truncate(batch.labels.len() * length);
        if mode == Mode::Train {
            let side = self.pipeline.preprocess().crop_size;
            let position = self.order.position(job.number) as u32;
            let mix = self.pipeline.augment().mixing.draw(seed, epoch, position, side);
            mix.iter().for_each(|mix| mix.apply(&mut batch.images, length, side as usize));
            batch.own_share = mix.map(|mix| mix.lambda());
        }
        Ok(batch)
    }
}

/// The batch is thrown away when this is true, so it need not be complete.
fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
