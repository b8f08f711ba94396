//! Random augmentation: crops, flips, color changes, erasing and mixing.
//!
//! The augmentation of one image is a [`View`]: a few numbers that depend only on (seed, epoch, sample index). All views
//! are rendered by the same pipeline. [`Mixing`] mixes the images of a batch.

pub(crate) mod color_jitter;
pub(crate) mod color_noise;
pub(crate) mod crop;
mod cutmix;
pub(crate) mod flip;
pub(crate) mod mixing;
mod mixup;
mod neighbors;
pub(crate) mod random_erasing;
pub(crate) mod resized_crop;
pub(crate) mod view;

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{Error, Preprocess};
use color_jitter::ColorJitter;
use color_noise::ColorNoise;
use mixing::Mixing;
use random_erasing::RandomErasing;
use resized_crop::{RandomResizedCrop, ResizedCrop};
use view::View;

/// The random augmentations of training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Crop at a random position instead of at the center.
    pub random_crop: bool,
    /// Random resized crop: a part of random size and aspect ratio, instead of a crop of the square.
    pub resized_crop: Option<RandomResizedCrop>,
    /// Flip each image horizontally with probability one half.
    pub flip: bool,
    /// Color noise along the principal components of the training set's colors.
    #[serde(alias = "colour_noise")]
    pub color_noise: Option<ColorNoise>,
    /// Random brightness, contrast, saturation and hue.
    #[serde(alias = "colour_jitter")]
    pub color_jitter: Option<ColorJitter>,
    /// Random erasing of a rectangle.
    pub erasing: Option<RandomErasing>,
    /// Mixup and CutMix of the images of a batch.
    pub mixing: Mixing,
}

impl Augment {
    /// No augmentation: the center crop, as in evaluation.
    pub const NONE: Self = Self {
        random_crop: false,
        resized_crop: None,
        flip: false,
        color_noise: None,
        color_jitter: None,
        erasing: None,
        mixing: Mixing { mixup: None, cutmix: None },
    };

    /// Random crops and flips without color changes: the paper's augmentation except its color noise.
    pub const CROP_AND_FLIP: Self = Self { random_crop: true, flip: true, ..Self::NONE };

    /// Whether every augmentation can be applied to bytes or expressed in [`ViewNumbers`](crate::ViewNumbers).
    pub fn ends_in_bytes(&self) -> bool {
        self.erasing.is_none() && self.mixing.mixup.is_none() && self.mixing.cutmix.is_none()
    }

    /// # Errors
    /// [`Error::Setting`] for the first value out of range.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(noise) = self.color_noise
            && !(noise.strength.is_finite() && noise.strength >= 0.0)
        {
            return Err(Error::setting("strength of the color noise", noise.strength, "it must be 0 or more"));
        }
        self.resized_crop.iter().try_for_each(RandomResizedCrop::validate)?;
        self.color_jitter.iter().try_for_each(ColorJitter::validate)?;
        self.erasing.iter().try_for_each(RandomErasing::validate)?;
        self.mixing.validate()
    }

    /// The view of sample `index` in `epoch` under this preprocessing.
    ///
    /// Position and flip are always drawn, even when unused, and every other augmentation has a separate random stream, so
    /// disabling one (as the 2012 runs did with the color noise near their end) does not change the others.
    pub fn view(&self, seed: u64, epoch: u32, index: u32, preprocess: &Preprocess) -> View {
        let (border, centering) = (preprocess.border(), preprocess.centering);
        let mut stream = Stream::new(seed, Purpose::Augment, epoch, index);
        let (x, y) = crop::random_offset(&mut stream, border);
        let flip = flip::random_flip(&mut stream);
        let mut view = View::center(border, centering);
        if self.random_crop {
            (view.x, view.y) = (x, y);
        }
        view.flip = self.flip && flip;
        let stream = |purpose| Stream::new(seed, purpose, epoch, index);
        view.resized_crop = self.resized_crop.map(|rule| ResizedCrop::new(rule, seed, epoch, index));
        view.color_shift = self.color_noise.map(|noise| noise.draw(&mut stream(Purpose::ColorNoise)));
        view.color_changes =
            self.color_jitter.map_or([None; 4], |jitter| jitter.draw(&mut stream(Purpose::ColorJitter)));
        view.erased = self.erasing.and_then(|erasing| erasing.draw(seed, epoch, index, preprocess.crop_size));
        view
    }
}

/// The cases that `tests/fixtures/make.py` wrote to `augment.json` under this name.
#[cfg(test)]
fn golden_cases(name: &str) -> Vec<Vec<f64>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment.json");
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[name].clone()).unwrap()
}
