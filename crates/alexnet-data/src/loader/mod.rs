//! Batches, prefetched by worker threads.
//!
//! Each worker fills a whole batch, then takes the next one that has not been started. The pixels are therefore written
//! once, directly into the batch; no lock is taken per image; and the contents of a batch cannot depend on the number of
//! workers. The cost is that the first batch takes as long as one worker needs for it, a fraction of a second for 128
//! photographs, as with PyTorch's `DataLoader`.
//!
//! Memory is bounded by [`DataLoaderConfig::prefetch`], the maximum number of batches being filled or waiting, in addition
//! to those held by the caller. The loader of the next epoch can be created before the last batch of the current one is
//! used; its first batch is then ready in time.

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

/// Delivers the batches of one epoch in order. Each covers `batch_size` positions of the epoch's order, whether or not all
/// of its samples are usable.
///
/// Dropping it early stops each worker after its current image.
pub struct DataLoader {
    batches: Ordered<Batch, Buffer>,
}

impl DataLoader {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`Error::Setting`] if a value of `config` is out of range.
    pub fn new(samples: Arc<[Sample]>, pipeline: Arc<Pipeline>, config: DataLoaderConfig) -> Result<Self, Error> {
        let len = u32::try_from(samples.len());
        let len = len.map_err(|_| Error::setting("number of samples", samples.len(), "it must fit in 32 bits"))?;
        config.validate(samples.len())?;
        if config.pixels == Pixels::Bytes && config.views == Views::Random && !pipeline.augment().ends_in_bytes() {
            return Err(Error::setting(
                "pixels",
                "bytes",
                "images with random erasing or mixing must be delivered as floats",
            ));
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

    /// Returns the memory of a batch's images for reuse by a later batch. This is optional, but saves the system from
    /// zeroing tens of megabytes per batch. Memory waiting for reuse adds to that of [`DataLoaderConfig::prefetch`], and is
    /// at most as large again.
    pub fn recycle(&mut self, images: BatchImages) {
        self.batches.recycle(Some(images));
    }

    /// Whether the next batch is ready, so that `next` returns immediately. False if there is no next batch.
    pub fn is_ready(&mut self) -> bool {
        self.batches.is_ready()
    }

    /// Number of batches left.
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

/// Memory of an earlier batch, if available.
type Buffer = Option<BatchImages>;

/// The state of one worker.
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
            // Never mixed: `DataLoader::new` rejects this combination.
            BatchImages::Bytes(bytes) => bytes.pixels.truncate(len),
        }
        Ok(batch)
    }
}

/// `len` values to be overwritten, in the memory of an earlier batch if it has the same pixel format. Zeroes only values
/// beyond that memory's length.
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

/// Whether the batch will be discarded, so that it need not be completed.
fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
