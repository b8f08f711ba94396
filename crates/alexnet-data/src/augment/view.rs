//! One rendering of an image, as a few numbers; and which renderings are made.

use super::color_jitter::ColorChanges;
use super::color_noise::ColorShift;
use super::crop::{Centering, ten_view_offsets};
use super::random_erasing::Erased;
use super::resized_crop::ResizedCrop;

/// Which views are made of each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Views {
    /// One randomly augmented view, for training.
    Random,
    /// The center.
    Center,
    /// The ten views of [`View::ten`], whose predicted probabilities are to be averaged.
    Ten,
}

impl Views {
    /// Views per image: 1 or 10.
    pub fn count(self) -> usize {
        match self {
            Views::Random | Views::Center => 1,
            Views::Ten => 10,
        }
    }
}

/// One rendering of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// First column of the square that is shown, from 0 to the border, `source_size - crop_size`.
    pub x: u32,
    /// First row that is shown, in the same range.
    pub y: u32,
    /// The part of the whole image that is shown, at another size; `x` and `y` then do not count.
    pub resized_crop: Option<ResizedCrop>,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// What is done to the bytes of the colors, in this order.
    pub color_changes: ColorChanges,
    /// What is added to the colors, and the divisor that goes with it.
    pub color_shift: Option<ColorShift>,
    /// What is taken away at the end.
    pub erased: Option<Erased>,
}

impl View {
    /// The center, for a border of `border` pixels in all.
    pub fn center(border: u32, centering: Centering) -> Self {
        let offset = centering.offset(border);
        Self::at(offset, offset)
    }

    /// The view that begins at column `x` and row `y` of the square, with nothing else done to it.
    pub fn at(x: u32, y: u32) -> Self {
        Self { x, y, resized_crop: None, flip: false, color_changes: [None; 4], color_shift: None, erased: None }
    }

    /// The ten views whose predictions are averaged: corners and center in the order top left, top right, center, bottom
    /// left, bottom right, then the same flipped.
    ///
    /// # Source
    /// Krizhevsky et al. 2012, section 4.1; the order is that of the 2012 code, `convdata_jpeg.py`.
    pub fn ten(border: u32, centering: Centering) -> [Self; 10] {
        let offsets = ten_view_offsets(border, centering);
        std::array::from_fn(|i| Self { flip: i >= 5, ..Self::at(offsets[i % 5].0, offsets[i % 5].1) })
    }
}
