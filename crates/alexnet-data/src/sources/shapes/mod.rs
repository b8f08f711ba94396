//! A synthetic data set: pictures of ten figures, for trying everything out without photographs.
//!
//! Position, size, turn, colors and texture vary, small things lie behind the figure and bars in front of it. Neither
//! the mean color nor any other linear function of the pixels tells the class, while a convolutional network learns
//! to. Every picture is a function of (seed, split, index) alone, computed with operations that IEEE 754 defines to the
//! last bit, and so is the JPEG made of it.

mod figures;
mod paint;
mod prepare;
mod scene;

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{Error, RgbImage8};

pub use prepare::{Prepared, prepare};

/// Changes whenever the same settings would give other pictures.
pub const GENERATOR: u32 = 1;

/// Which set of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Seed of everything that varies.
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

/// Training or validation; the pictures of the two are unrelated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShapesSplit {
    /// In the folder `train`.
    Train,
    /// In the folder `val`.
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
                return Err(Error::setting(
                    what,
                    value,
                    format!("there are {classes} classes with at least 1 picture"),
                ));
            }
        }
        if !(16..=4096).contains(&self.size) {
            return Err(Error::setting("size", self.size, "it must be from 16 to 4096"));
        }
        Ok(())
    }
}
