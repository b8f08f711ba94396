//! Images in, class names and probabilities out.

use std::path::{Path, PathBuf};

use alexnet_data::{Location, Scratch, Views};
use alexnet_model::{Model, Network};
use alexnet_train::probabilities;
use candle_core::Tensor;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::members::{self, Member};
use crate::options::Options;

/// Views per batch: enough for full speed on CPUs.
const BATCH: usize = 32;

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
            let mut views: Vec<(usize, Vec<f32>)> = Vec::new();
            for (index, loaded) in loaded.into_iter().enumerate() {
                match loaded {
                    Ok(pixels) if means[index].is_ok() => views.push((index, pixels)),
                    Ok(_) => {}
                    Err(error) => means[index] = Err(error),
                }
            }
            let mut add = |index: usize, own: Result<Vec<f32>>| match (own, &mut means[index]) {
                (Ok(own), Ok(mean)) => {
                    let count = self.members.len() as f32;
                    mean.iter_mut().zip(own).for_each(|(mean, own)| *mean += own / count);
                }
                (Err(error), mean) => *mean = Err(error),
                (Ok(_), Err(_)) => {}
            };
            match self.run(member, &views) {
                Ok(found) => views.iter().zip(found).for_each(|((index, _), own)| add(*index, Ok(own))),
                // A device may have memory for one image, if not for all of them.
                Err(_) => views.iter().for_each(|one| {
                    let own = self.run(member, std::slice::from_ref(one));
                    add(one.0, own.map(|mut found| found.swap_remove(0)));
                }),
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

    /// The probabilities of images, given their views.
    fn run(&self, member: &Member, views: &[(usize, Vec<f32>)]) -> Result<Vec<Vec<f32>>> {
        if views.is_empty() {
            return Ok(Vec::new());
        }
        let pixels = views.iter().flat_map(|(_, pixels)| pixels).copied().collect();
        let logits = member.inference()?.forward(&self.tensor(member, pixels, views.len())?)?;
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
