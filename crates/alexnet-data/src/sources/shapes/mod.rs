//! A synthetic data set: pictures of ten figures, for tests and demonstrations without photographs.
//!
//! Position, size, rotation, colors and texture vary; there are small objects behind the figure and bars in front of it.
//! Neither the mean color nor another linear function of the pixels determines the class, while a convolutional network
//! learns it. Every picture depends only on (seed, split, index) and is computed with operations that IEEE 754 defines to
//! the last bit; its JPEG file is equally reproducible.

mod figures;
mod paint;
mod prepare;
mod scene;

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{Error, RgbImage8};

pub use prepare::{Prepared, prepare};

/// Version of the generator; changes whenever the same settings give different pictures.
pub const GENERATOR: u32 = 1;

/// The settings of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Seed of all random variation.
    pub seed: u64,
    /// Number of training pictures, at least one per class.
    pub train: u32,
    /// Number of validation pictures, at least one per class.
    pub val: u32,
    /// Width and height in pixels, 16 to 4096.
    pub size: u32,
}

impl Default for ShapesConfig {
    /// Seed 0, 2,000 training and 500 validation pictures of 256x256.
    fn default() -> Self {
        Self { seed: 0, train: 2000, val: 500, size: 256 }
    }
}

/// Training or validation split; their pictures are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShapesSplit {
    /// Training split, in the folder `train`.
    Train,
    /// Validation split, in the folder `val`.
    Val,
}

/// Names of the classes in the order of their labels.
pub fn class_names() -> [&'static str; 10] {
    figures::FIGURES.map(|(name, _)| name)
}

/// Picture `index` of a split and its label, `index` modulo 10. `size` is the width and the height in pixels.
///
/// ```
/// use alexnet_data::shapes::{ShapesSplit, class_names, render};
///
/// let (picture, label) = render(7, ShapesSplit::Train, 12, 64);
/// assert_eq!((picture.width, picture.height, class_names()[label as usize]), (64, 64, "crescent"));
/// ```
pub fn render(seed: u64, split: ShapesSplit, index: u32, size: u32) -> (RgbImage8, u32) {
    let label = index % figures::FIGURES.len() as u32;
    let mut stream = Stream::new(seed, Purpose::Synthetic, split as u32, index);
    (scene::draw(figures::FIGURES[label as usize], size, &mut stream), label)
}

impl ShapesConfig {
    fn validate(&self) -> Result<(), Error> {
        let classes = figures::FIGURES.len() as u32;
        for (what, value) in [("train", self.train), ("val", self.val)] {
            if value < classes {
                return Err(Error::setting(what, value, format!("it must be at least {classes}: 1 picture per class")));
            }
        }
        if !(16..=4096).contains(&self.size) {
            return Err(Error::setting("size", self.size, "it must be from 16 to 4096"));
        }
        Ok(())
    }
}
