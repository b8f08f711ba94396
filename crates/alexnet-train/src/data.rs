//! The data of a run: finds, splits and preprocesses the images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alexnet_data::{
    Augment, CacheOutcome, Centering, DataLoaderConfig, Dataset, MeanImage, Pipeline, Preprocess, ResizeFilter,
    ResizeRule, Sample, SideRounding, Split, Statistics, Views,
};
use alexnet_model::{InputSpec, Model, Preparation};

use crate::config::DataConfig;
use crate::error::{Error, Result};

/// Converts a network's [`InputSpec`] to the preprocessing of `alexnet-data`.
pub fn preprocess(spec: &InputSpec) -> Preprocess {
    let (source_size, crop_size) = (spec.source_size as u32, spec.size as u32);
    let shorter = |rounding| ResizeRule::ShorterSide { size: source_size, rounding };
    let (resize, filter, centering) = match spec.preparation {
        Preparation::Alexnet2012 => (shorter(SideRounding::Nearest), ResizeFilter::AreaOrCubic, Centering::Down),
        Preparation::Caffe => {
            let warp = ResizeRule::Warp { width: source_size, height: source_size };
            (warp, ResizeFilter::Lanczos3, Centering::Down)
        }
        Preparation::Torchvision => (shorter(SideRounding::Down), ResizeFilter::Bilinear, Centering::HalfToEven),
    };
    Preprocess {
        resize,
        filter,
        source_size,
        crop_size,
        centering,
        channel_order: spec.channel_order,
        scale: spec.pixel_range,
        mean: spec.mean,
        std: spec.std,
    }
}

/// The images of a run, ready for loading.
#[derive(Debug)]
pub struct RunData {
    /// Class names (folder names), in the order of the labels.
    pub classes: Vec<String>,
    /// Samples of the training split.
    pub train: Arc<[Sample]>,
    /// Samples of the validation split.
    pub val: Arc<[Sample]>,
    /// The pipeline from file to network input, with augmentation.
    pub pipeline: Arc<Pipeline>,
    /// The first epoch without color noise, counted from 0, and the pipeline without it.
    noiseless: Option<(u32, Arc<Pipeline>)>,
    /// The mean image, if the preprocessing subtracts one.
    pub mean_image: Option<Arc<MeanImage>>,
    /// Number of files that are neither images nor hidden.
    pub ignored_files: usize,
    /// What happened to the cached statistics, if they were needed.
    pub cache: Option<CacheOutcome>,
}

impl RunData {
    /// Opens `config.path`, splits it if it has no validation split, and computes or loads its mean image and color
    /// statistics if the network or the augmentation needs them. `mean_image`, if given, replaces that of the data set.
    /// `progress(done, total)` is called during the computation.
    ///
    /// # Errors
    /// Errors of the data crate, which name the folder and the rule.
    pub fn open(
        config: &DataConfig,
        spec: &InputSpec,
        mean_image: Option<Arc<MeanImage>>,
        workers: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let set = Dataset::open(&config.path)?;
        let ignored_files = set.train.ignored + set.val.as_ref().map_or(0, |val| val.ignored);
        let has_val = set.val.is_some();
        let (train, val) = match set.val {
            Some(val) => (set.train, val),
            None => set.train.hold_out(config.hold_out)?,
        };
        let preprocess = preprocess(spec);
        let mut augment = config.augment();
        let (mut mean_image, mut cache) = (mean_image.filter(|_| spec.mean.needs_image()), None);
        let needs_own = spec.mean.needs_image() && mean_image.is_none();
        if needs_own || config.color_noise > 0.0 {
            let progress: &dyn Fn(usize, usize) = &|done, total| progress(done, total);
            // Use the statistics stored with the data set, unless they are for other preprocessing or include images
            // that are now held out.
            let own = set.statistics.as_ref().filter(|_| has_val).and_then(|own| own.suit(&preprocess));
            let statistics = match own {
                Some(own) => own.clone(),
                None => {
                    // For a single shard, use the folder that contains it.
                    let folder = config.path.parent().filter(|_| config.path.is_file());
                    let path = folder.unwrap_or(&config.path);
                    let (statistics, outcome) =
                        Statistics::load_or_compute(path, &train.samples, &preprocess, workers, progress)?;
                    cache = Some(outcome);
                    statistics
                }
            };
            mean_image = mean_image.or_else(|| needs_own.then(|| statistics.mean_image.clone()));
            if config.color_noise > 0.0 {
                augment.color_noise = Some(statistics.color_noise(config.color_noise));
            }
        }
        let noiseless = match config.color_noise_epochs {
            Some(epochs) => {
                let augment = Augment { color_noise: None, ..augment };
                Some((epochs, Arc::new(Pipeline::new(preprocess, augment, mean_image.clone())?)))
            }
            None => None,
        };
        Ok(Self {
            noiseless,
            classes: train.classes.clone(),
            train: train.samples.into(),
            val: val.samples.into(),
            pipeline: Arc::new(Pipeline::new(preprocess, augment, mean_image.clone())?),
            mean_image,
            ignored_files,
            cache,
        })
    }

    /// The pipeline for training images in an epoch, counted from 0.
    pub fn training_pipeline(&self, epoch: u32) -> &Arc<Pipeline> {
        match &self.noiseless {
            Some((from, pipeline)) if epoch >= *from => pipeline,
            _ => &self.pipeline,
        }
    }
}

/// A mean image from the values in a file, `[3, source_size, source_size]`.
pub(crate) fn mean_image(values: Vec<f32>, spec: &InputSpec) -> Arc<MeanImage> {
    Arc::new(MeanImage { size: spec.source_size as u32, values })
}

/// The preprocessing pipeline of a saved model, without augmentation.
///
/// # Errors
/// [`Error::NoMeanImage`] if the model requires a mean image, but its file has none.
pub fn model_pipeline(model: &Model) -> Result<Pipeline> {
    let spec = model.network.spec();
    let mean_image = match &model.mean_image {
        Some(values) => Some(mean_image(values.clone(), spec.input_spec())),
        None if spec.input_spec().mean.needs_image() => {
            return Err(Error::NoMeanImage { arch: spec.arch().into() });
        }
        None => None,
    };
    Ok(Pipeline::new(preprocess(spec.input_spec()), Augment::NONE, mean_image)?)
}

/// The validation images of a folder: its `val`, with or without a `train` folder, or all images if it has no splits.
/// The second value is whether they are a validation split; if not, they may include training images of a network.
///
/// # Errors
/// Errors of the data crate, and [`Error::Classes`] if the model has other classes.
pub fn evaluation_images(path: &Path, classes: &[String]) -> Result<(Split, bool)> {
    let (images, split) = Split::open_validation(path)?;
    // Shards of other programs, and tables without class names, use numbers as class names.
    let fits = classes == images.classes || images.is_unnamed() && images.classes.len() <= classes.len();
    if !classes.is_empty() && !fits {
        return Err(Error::Classes { model: classes.to_vec(), data: images.classes });
    }
    Ok((images, split))
}

/// Maximum number of loader threads: each keeps a batch in memory, and this number is faster than any network here.
const MAX_WORKERS: usize = 16;

/// The loader configuration of this crate.
pub(crate) fn loader(config: &DataConfig, batch_size: usize, workers: usize, views: Views) -> DataLoaderConfig {
    let workers = workers.min(MAX_WORKERS);
    // One batch in use, and one in preparation by each worker.
    let prefetch = workers + 1;
    DataLoaderConfig {
        workers,
        prefetch,
        views,
        on_bad_sample: config.on_bad_sample,
        ..DataLoaderConfig::eval(batch_size)
    }
}

/// The name of a data set: its folder name.
pub(crate) fn name(path: &Path) -> PathBuf {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical.file_name().map_or_else(|| "data".into(), PathBuf::from)
}
