//! Images in, class names and probabilities out.

use std::path::{Path, PathBuf};

use alexnet_data::{Location, Scratch, Views};
use alexnet_kernels::GpuMath;
use alexnet_model::{Model, Network, Precision};
use alexnet_train::probabilities;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::members::{self, Member};

/// Views per batch: enough for full speed on CPUs.
const BATCH: usize = 32;

/// Options of a [`Classifier`]. The default is the CPU, `f32` and the center view.
#[derive(Clone, Debug)]
pub struct Options {
    /// [`Device::Cpu`], or a GPU from [`cuda_device`](crate::cuda_device).
    pub device: Device,
    /// `f32` or `bf16`.
    pub precision: Precision,
    /// The permitted deviations of `f32` products and convolutions on a GPU: TF32, nondeterministic algorithms.
    pub gpu_math: GpuMath,
    /// The views of each image whose probabilities are averaged: [`Views::Center`] or [`Views::Ten`].
    pub views: Views,
    /// The variant, for files that contain only weights.
    pub arch: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::F32,
            gpu_math: GpuMath::default(),
            views: Views::Center,
            arch: None,
        }
    }
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Index of the class, from 0.
    pub class: usize,
    /// Name of the class, or `class N` for weights without names.
    pub label: String,
    /// Probability, from 0 to 1.
    pub probability: f32,
}

/// A trained network, or an ensemble of several, that classifies images with the preprocessing it was trained with.
///
/// It owns its networks and can be shared by threads. The probabilities of an ensemble are the mean of its members'.
#[derive(Debug)]
pub struct Classifier {
    pub(crate) members: Vec<Member>,
    classes: Vec<String>,
    pub(crate) views: Views,
}

impl Classifier {
    /// Opens a model file, or the best model of a run's folder, on the CPU.
    ///
    /// # Errors
    /// A file that is missing or is not a model; a file that contains only weights, which requires [`Options::arch`]; a
    /// model whose preprocessing requires a mean image that the file does not contain.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Options::default())
    }

    /// As [`Classifier::open`], with options.
    ///
    /// # Errors
    /// Those of [`Classifier::open`]; a device that is out of memory.
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        Self::open_all(&[path], options)
    }

    /// Opens an ensemble. With several files, [`Options::arch`] applies to those that do not state their own.
    ///
    /// # Errors
    /// Those of [`Classifier::open_with`]; models with different classes.
    pub fn open_all(paths: &[impl AsRef<Path>], options: &Options) -> Result<Self> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let (members, classes) = members::open(&paths, options)?;
        Ok(Self { members, classes, views: options.views })
    }

    /// Wraps a model in memory. It stays on its device: [`Options::device`] and [`Options::arch`] are ignored.
    ///
    /// # Errors
    /// A missing mean image; a device that is out of memory.
    pub fn from_model(model: Model, options: &Options) -> Result<Self> {
        let classes = model.classes.clone();
        Ok(Self { members: vec![Member::new(model, options)?], classes, views: options.views })
    }

    /// The name of each class, in the order of the probabilities; empty for weights without names.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of classes.
    pub fn class_count(&self) -> usize {
        self.members.first().map_or(0, |member| member.network.spec().classes())
    }

    /// The name of a class, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// The networks: one, or the members of the ensemble.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.members.iter().map(|member| &member.network)
    }

    /// The `top` most probable classes of an image, in descending order; equal ones in the order of the classes. The image
    /// is a file, or part of a shard or Parquet file, given by its [path](Location::path).
    ///
    /// # Errors
    /// An image that cannot be read; a device that is out of memory.
    pub fn classify(&self, image: impl AsRef<Path>, top: usize) -> Result<Vec<Prediction>> {
        let mut found = self.classify_all(&[Location::find(image.as_ref())?], top);
        found.pop().expect("one result per image")
    }

    /// As [`Classifier::classify`] for many images, which are decoded in parallel and run in batches: one result per image, in
    /// the order of the images.
    pub fn classify_all(&self, images: &[Location], top: usize) -> Vec<Result<Vec<Prediction>>> {
        let ranked = |probabilities: Vec<f32>| {
            let mut ranked: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
            let guess = |(class, probability)| Prediction { class, label: self.label(class), probability };
            ranked.into_iter().take(top).map(guess).collect()
        };
        self.probabilities(images).into_iter().map(|found| found.map(ranked)).collect()
    }

    /// The probability of each class for each image, in the order of the images.
    pub fn probabilities(&self, images: &[Location]) -> Vec<Result<Vec<f32>>> {
        let batch = BATCH.div_ceil(self.views.count());
        images.chunks(batch).flat_map(|images| self.batch(images)).collect()
    }

    fn batch(&self, images: &[Location]) -> Vec<Result<Vec<f32>>> {
        let mut means: Vec<Result<Vec<f32>>> = images.iter().map(|_| Ok(vec![0.0; self.class_count()])).collect();
        for member in &self.members {
            let loaded: Vec<Result<Vec<f32>>> = images.par_iter().map(|image| self.load(member, image)).collect();
            let (mut pixels, mut indices) = (Vec::new(), Vec::new());
            for (index, views) in loaded.into_iter().enumerate() {
                match views {
                    Ok(views) if means[index].is_ok() => {
                        pixels.extend(views);
                        indices.push(index);
                    }
                    Ok(_) => {}
                    Err(error) => means[index] = Err(error),
                }
            }
            match self.run(member, pixels, indices.len()) {
                Ok(found) => {
                    for (index, own) in indices.into_iter().zip(found) {
                        let count = self.members.len() as f32;
                        let mean = means[index].iter_mut().flatten();
                        mean.zip(own).for_each(|(mean, own)| *mean += own / count);
                    }
                }
                // The whole batch failed, for example on a device that is out of memory.
                Err(error) => {
                    let text = error.to_string();
                    indices.into_iter().for_each(|i| means[i] = Err(candle_core::Error::Msg(text.clone()).into()));
                }
            }
        }
        means
    }

    /// The views of an image, preprocessed for a member.
    fn load(&self, member: &Member, image: &Location) -> Result<Vec<f32>> {
        let pipeline = &member.pipeline;
        let views = pipeline.views(self.views, 0, 0, 0);
        let mut pixels = vec![0.0; views.len() * pipeline.preprocess().view_len()];
        pipeline.load_into(image, &views, &mut Scratch::default(), &mut pixels)?;
        Ok(pixels)
    }

    fn run(&self, member: &Member, pixels: Vec<f32>, images: usize) -> Result<Vec<Vec<f32>>> {
        if images == 0 {
            return Ok(Vec::new());
        }
        let logits = member.inference.forward(&self.tensor(member, pixels, images)?)?;
        Ok(probabilities(&logits, self.views.count())?)
    }

    fn tensor(&self, member: &Member, pixels: Vec<f32>, images: usize) -> Result<Tensor> {
        let [c, h, w] = member.network.spec().input_size();
        Ok(Tensor::from_vec(pixels, (images * self.views.count(), c, h, w), member.network.input_device())?)
    }

    /// The outputs of the layer `layer`: `[images · views, channels, height, width]`, or `[images · views, features]`. All
    /// images run as one batch.
    ///
    /// # Errors
    /// An image that cannot be read; an unknown layer; an ensemble; a device that is out of memory.
    pub fn features(&self, images: &[Location], layer: &str) -> Result<Tensor> {
        let [member] = &self.members[..] else { return Err(Error::Ensemble { members: self.members.len() }) };
        let views = images.par_iter().map(|image| self.load(member, image)).collect::<Result<Vec<_>>>()?;
        let images = self.tensor(member, views.concat(), images.len())?;
        Ok(member.network.features(&images, &[layer])?.swap_remove(0))
    }
}
