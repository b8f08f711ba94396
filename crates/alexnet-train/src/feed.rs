//! Transfers the images of a batch to a network: as floats to the CPU, as bytes to a GPU.
//!
//! A GPU converts the bytes to the network's input on the fly; converting on the CPU would take four times the memory
//! and bus traffic.

use std::sync::Arc;

use alexnet_data::{
    Batch, BatchImages, Bytes, DataLoader, DataLoaderConfig, Pipeline, Pixels, Sample, ViewNumbers, Views,
};
use alexnet_kernels::pixels::{NUMBERS, PixelsParams, normalize_into};
use alexnet_kernels::transfer::Upload;
use alexnet_model::Network;
use candle_core::{Device, Tensor};

use crate::error::Result;

/// Feeds the batches of an epoch to a network.
pub struct Feed {
    loader: DataLoader,
    pixels: Pixels,
    device: Device,
    channels: [usize; 3],
    mean: Option<Tensor>,
    upload: Upload,
    /// A batch whose bytes are being copied to the GPU while the GPU processes the previous one.
    ahead: Option<Result<Batch>>,
    /// The images of the last batch.
    images: Option<Tensor>,
}

impl Feed {
    /// Chooses bytes or floats by the network's device and the augmentation; `config.pixels` is ignored.
    ///
    /// # Errors
    /// As [`DataLoader::new`]; a device that is out of memory.
    pub fn new(
        network: &Network,
        samples: Arc<[Sample]>,
        pipeline: &Arc<Pipeline>,
        config: DataLoaderConfig,
    ) -> Result<Self> {
        let bytes = config.views != Views::Random || pipeline.augment().ends_in_bytes();
        let pixels = if bytes && !network.input_device().is_cpu() { Pixels::Bytes } else { Pixels::Floats };
        Self::with(network, samples, pipeline, DataLoaderConfig { pixels, ..config })
    }

    fn with(
        network: &Network,
        samples: Arc<[Sample]>,
        pipeline: &Arc<Pipeline>,
        config: DataLoaderConfig,
    ) -> Result<Self> {
        let device = network.input_device().clone();
        let mean = match config.pixels {
            Pixels::Floats => None,
            Pixels::Bytes => pipeline.scaled_mean(),
        };
        Ok(Self {
            loader: DataLoader::new(samples, pipeline.clone(), config)?,
            pixels: config.pixels,
            channels: pipeline.preprocess().channel_order.of_rgb(),
            mean: mean.map(|(values, size)| Tensor::from_slice(values, (3, size, size), &device)).transpose()?,
            upload: Upload::new(&device)?,
            ahead: None,
            device,
            images: None,
        })
    }

    /// Whether [`Feed::next`] returns without waiting for a batch to be loaded.
    pub fn is_ready(&mut self) -> bool {
        self.ahead.is_some() || self.loader.is_ready()
    }

    /// The next batch and its images as network input, `[n · views, 3, height, width]`; no images if none of the batch
    /// could be read. On a GPU, the next call overwrites the images.
    ///
    /// # Errors
    /// Errors of loading; a device that is out of memory.
    pub fn next(&mut self, network: &Network) -> Result<Option<(Batch, Option<Tensor>)>> {
        let batch = match self.ahead.take() {
            Some(batch) => batch?,
            None => match self.loader.next() {
                Some(batch) => self.send(batch?)?,
                None => return Ok(None),
            },
        };
        self.images(network, batch).map(Some)
    }

    /// If images are transferred as bytes, starts the transfer of the next batch if it is loaded. Call it after queuing
    /// the work on the current batch. [`Feed::next`] reports errors.
    pub fn look_ahead(&mut self) {
        if self.pixels == Pixels::Bytes && self.ahead.is_none() && self.loader.is_ready() {
            self.ahead = self.loader.next().map(|batch| self.send(batch?));
        }
    }

    /// Starts the transfer of a batch's bytes and returns their memory to the loader.
    fn send(&mut self, mut batch: Batch) -> Result<Batch> {
        if let BatchImages::Bytes(bytes) = &mut batch.images {
            if !bytes.pixels.is_empty() {
                self.upload.start(&bytes.pixels)?;
            }
            let pixels = std::mem::take(&mut bytes.pixels);
            self.loader.recycle(BatchImages::Bytes(Bytes { pixels, numbers: Vec::new() }));
        }
        Ok(batch)
    }

    fn images(&mut self, network: &Network, mut batch: Batch) -> Result<(Batch, Option<Tensor>)> {
        let n = batch.labels.len() * batch.views;
        let [c, h, w] = network.spec().input_size();
        if n == 0 {
            return Ok((batch, None));
        }
        let numbers: Vec<f32> = match &mut batch.images {
            BatchImages::Floats(floats) => {
                // On the CPU, this takes over the loader's memory without a copy.
                let images = Tensor::from_vec(std::mem::take(floats), (n, c, h, w), &self.device)?;
                return Ok((batch, Some(images)));
            }
            BatchImages::Bytes(bytes) => bytes.numbers.iter().flat_map(row).collect(),
        };
        let numbers = Tensor::from_vec(numbers, (n, NUMBERS), &self.device)?;
        let images = match self.images.take().filter(|images| images.dims() == [n, h, w, c]) {
            Some(images) => images,
            None => Tensor::zeros((n, h, w, c), network.precision().activations(&self.device), &self.device)?,
        };
        let params = PixelsParams { channels: self.channels, mean: self.mean.as_ref() };
        self.upload.read(|bytes| normalize_into(&bytes.reshape((n, h, w, c))?, &numbers, &params, &images))?;
        self.images = Some(images.clone());
        Ok((batch, Some(images.permute((0, 3, 1, 2))?)))
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Feed of {:?} to {:?}", self.pixels, self.device)
    }
}

/// The parameters of a view in the layout of the kernel.
fn row(numbers: &ViewNumbers) -> [f32; NUMBERS] {
    let ViewNumbers { scale: [s0, s1, s2], offset: [o0, o1, o2], divisor, mean_at: [x, y], flip, flip_mean } = *numbers;
    let flag = |set| if set { 1.0 } else { 0.0 };
    [s0, s1, s2, o0, o1, o2, divisor, x as f32, y as f32, flag(flip), flag(flip_mean)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alexnet_data::{Augment, ChannelOrder, ColorNoise, Dataset, Mean, MeanImage, Preprocess, shapes};
    use alexnet_kernels::with_host_kernels;
    use alexnet_testing::{assert_same_bits, skip, uniform};

    /// For all kinds of means, channel orders and views, the GPU kernel converts bytes to the same floats as the
    /// loader.
    #[test]
    fn bytes_become_the_very_floats() {
        let folder = tempfile::tempdir().unwrap();
        let config = shapes::ShapesConfig { train: 20, val: 10, ..Default::default() };
        shapes::prepare(folder.path(), &config, 2, &|_, _| {}).unwrap();
        let samples: Arc<[Sample]> = Dataset::open(folder.path()).unwrap().train.samples.into();
        let network = Network::new(alexnet_model::build("alexnet", 10).unwrap(), 0, &[Device::Cpu]).unwrap();
        let image = |size: u32| {
            let values = uniform("mean image", 0, 3 * (size * size) as usize).into_iter().map(|v| 127.0 * (v + 1.0));
            Arc::new(MeanImage { size, values: values.collect() })
        };
        let noise = Augment { color_noise: Some(ColorNoise::IMAGENET), ..Augment::CROP_AND_FLIP };
        let base = Preprocess::ALEXNET_2012;
        let with_mean = |mean| Preprocess { mean, ..base };
        let cases = [
            ("2012", with_mean(Mean::CenterOfImage), noise, Views::Random),
            ("Caffe", Preprocess { channel_order: ChannelOrder::Bgr, ..with_mean(Mean::Image) }, noise, Views::Random),
            ("channels", Preprocess { mean: Mean::Channels([120.0, 115.0, 100.0]), ..base }, noise, Views::Random),
            ("no mean", Preprocess { mean: Mean::None, ..base }, Augment::NONE, Views::Center),
            ("ten views", with_mean(Mean::Image), Augment::NONE, Views::Ten),
        ];
        let compared = with_host_kernels(false, || {
            for (name, preprocess, augment, views) in cases {
                let pipeline = Pipeline::new(preprocess, augment, Some(image(preprocess.source_size))).unwrap();
                let pipeline = Arc::new(pipeline);
                // Two batches; the bytes of the second are transferred while the first is compared.
                let [floats, bytes] = [Pixels::Floats, Pixels::Bytes].map(|pixels| {
                    let config = DataLoaderConfig { views, pixels, ..DataLoaderConfig::train(7, 3, 1) };
                    let mut feed = Feed::with(&network, samples.clone(), &pipeline, config).unwrap();
                    let mut seen = Vec::new();
                    for _ in 0..2 {
                        let (batch, images) = feed.next(&network).unwrap().unwrap();
                        while feed.pixels == Pixels::Bytes && feed.ahead.is_none() {
                            feed.look_ahead();
                        }
                        seen.extend(batch.labels.iter().map(|&label| label as f32));
                        seen.extend(images.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
                    }
                    seen
                });
                assert_same_bits(name, &bytes, &floats);
            }
        });
        if compared.is_none() {
            skip("host", "this machine has no C++ compiler");
        }
    }
}
