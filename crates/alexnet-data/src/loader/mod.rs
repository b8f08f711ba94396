//! Batches, prepared ahead by worker threads.
//!
//! Each worker fills a whole batch by itself and takes the next one that nobody has begun. So the pixels are written
//! once, straight to where the batch has them; no lock is taken per image; and what a batch holds cannot depend on the
//! number of workers. The price is that the first batch comes after the time one worker needs for it, a fraction of a
//! second for 128 photographs, as with PyTorch's `DataLoader`.
//!
//! Memory is bounded by [`DataLoaderConfig::prefetch`]: no more batches than that are being filled or waiting to be taken,
//! besides those the caller holds. The loader of the next epoch can be made before the last batch of this one is used;
//! then its first batch is ready by the time it is asked for.

pub(crate) mod batch;
pub(crate) mod config;
mod ordered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::augment::view::Views;
use crate::order::{Batching, EpochOrder};
use crate::pipeline::{Pipeline, Scratch};
use crate::read_ahead::read_ahead;
use crate::{BadSample, Error, OnBadSample, Sample};
use batch::{Batch, BatchImages, Bytes};
use config::{DataLoaderConfig, Pixels};
use ordered::{Job, Ordered};

/// Delivers the batches of one epoch in order. Each covers `batch_size` positions of the epoch's order, whether all
/// samples in it are usable or not.
///
/// Dropping it early ends the workers, after the image each is at.
pub struct DataLoader {
    batches: Ordered<Batch, Buffer>,
}

impl DataLoader {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number of `config` is out of its range.
    pub fn new(samples: Arc<[Sample]>, pipeline: Arc<Pipeline>, config: DataLoaderConfig) -> Result<Self, Error> {
        let len = u32::try_from(samples.len());
        let len = len.map_err(|_| Error::setting("number of samples", samples.len(), "it must fit in 32 bits"))?;
        config.validate(samples.len())?;
        if config.pixels == Pixels::Bytes && config.views == Views::Random && !pipeline.augment().ends_in_bytes() {
            return Err(Error::setting("pixels", "bytes", "images that are erased or mixed are delivered as floats"));
        }
        let DataLoaderConfig { order, seed, epoch, batch_size, start_sample, share, drop_last, .. } = config;
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

    /// Gives the memory of a batch's images back, for a later one to be written to. Not necessary, but it saves the system
    /// from clearing tens of megabytes per batch. What waits to be used again comes on top of [`DataLoaderConfig::prefetch`],
    /// at most as much once more.
    pub fn recycle(&mut self, images: BatchImages) {
        self.batches.recycle(Some(images));
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

impl Iterator for DataLoader {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

/// Memory of an earlier batch, where there is some.
type Buffer = Option<BatchImages>;

/// What one worker needs.
struct Filler {
    samples: Arc<[Sample]>,
    pipeline: Arc<Pipeline>,
    order: Arc<EpochOrder>,
    config: DataLoaderConfig,
    scratch: Scratch,
}

impl Filler {
    fn fill(&mut self, job: Job<'_, Buffer>) -> Result<Batch, Error> {
        let DataLoaderConfig { views: which, pixels, seed, epoch, on_bad_sample, .. } = self.config;
        let positions = self.order.batch(job.number);
        read_ahead(self.order.entering(job.number).iter().map(|&index| &self.samples[index as usize].location));
        let length = which.count() * self.pipeline.preprocess().view_len();
        let mut batch = Batch {
            images: images(pixels, job.buffer, positions.len() * length),
            labels: Vec::with_capacity(positions.len()),
            indices: Vec::with_capacity(positions.len()),
            views: which.count(),
            bad: Vec::new(),
            own_share: None,
        };
        for index in positions {
            if stopped(job.stop) {
                break;
            }
            let sample = &self.samples[index as usize];
            let views = self.pipeline.views(which, seed, epoch, index);
            let (from, place) = (&sample.location, batch.labels.len() * length..(batch.labels.len() + 1) * length);
            let scratch = &mut self.scratch;
            let loaded = match &mut batch.images {
                BatchImages::Floats(floats) => self.pipeline.load_into(from, &views, scratch, &mut floats[place]),
                BatchImages::Bytes(Bytes { pixels, numbers }) => {
                    let loaded = self.pipeline.load_bytes_into(from, &views, scratch, &mut pixels[place]);
                    loaded.map(|()| numbers.extend(views.iter().map(|view| self.pipeline.numbers(view))))
                }
            };
            match loaded {
                Ok(()) => {
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
        let len = batch.labels.len() * length;
        match &mut batch.images {
            BatchImages::Floats(floats) => {
                floats.truncate(len);
                if which == Views::Random {
                    let side = self.pipeline.preprocess().crop_size;
                    let position = self.order.position(job.number) as u32;
                    let mix = self.pipeline.augment().mixing.draw(seed, epoch, position, side);
                    mix.iter().for_each(|mix| mix.apply(floats, length, side as usize));
                    batch.own_share = mix.map(|mix| mix.lambda());
                }
            }
            // Which are not mixed: `DataLoader::new` refuses that.
            BatchImages::Bytes(bytes) => bytes.pixels.truncate(len),
        }
        Ok(batch)
    }
}

/// `len` values to be overwritten, in an earlier batch's memory if it was of the same kind. Clears only what that did not
/// have.
fn images(pixels: Pixels, buffer: Buffer, len: usize) -> BatchImages {
    match (pixels, buffer) {
        (Pixels::Floats, buffer) => {
            let mut floats = match buffer {
                Some(BatchImages::Floats(floats)) => floats,
                _ => Vec::new(),
            };
            floats.resize(len, 0.0);
            BatchImages::Floats(floats)
        }
        (Pixels::Bytes, buffer) => {
            let mut bytes = match buffer {
                Some(BatchImages::Bytes(bytes)) => bytes,
                _ => Bytes::default(),
            };
            bytes.pixels.resize(len, 0);
            bytes.numbers.clear();
            BatchImages::Bytes(bytes)
        }
    }
}

/// The batch is thrown away when this is true, so it need not be complete.
fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
