//! A view: one rendering of an image, described by a few numbers; and the selection of views per image.

use super::color_jitter::ColorChanges;
use super::color_noise::ColorShift;
use super::crop::{Centering, ten_view_offsets};
use super::random_erasing::Erased;
use super::resized_crop::ResizedCrop;

/// The views rendered of each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Views {
    /// One randomly augmented view, for training.
    Random,
    /// The center crop.
    Center,
    /// The ten views of [`View::ten`], whose predicted probabilities are averaged.
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
    /// First column of the crop in the square, from 0 to the border, `source_size - crop_size`.
    pub x: u32,
    /// First row of the crop, in the same range.
    pub y: u32,
    /// A resized crop of the whole image; if set, `x` and `y` are ignored.
    pub resized_crop: Option<ResizedCrop>,
    /// Whether the view is flipped horizontally.
    pub flip: bool,
    /// Color changes applied to the bytes, in this order.
    pub color_changes: ColorChanges,
    /// The color noise: the values added to the colors, and their divisor.
    pub color_shift: Option<ColorShift>,
    /// The rectangle erased at the end.
    pub erased: Option<Erased>,
}

impl View {
    /// The center crop, for a border of `border` pixels in total.
    pub fn center(border: u32, centering: Centering) -> Self {
        let offset = centering.offset(border);
        Self::at(offset, offset)
    }

    /// The crop that starts at column `x` and row `y` of the square, without other augmentation.
    pub fn at(x: u32, y: u32) -> Self {
        Self { x, y, resized_crop: None, flip: false, color_changes: [None; 4], color_shift: None, erased: None }
    }

    /// The ten views whose predictions are averaged: top left, top right, center, bottom left, bottom right, then the same
    /// flipped.
    ///
    /// # Source
    /// Krizhevsky et al. 2012, section 4.1; the order is that of the 2012 code, `convdata_jpeg.py`.
    pub fn ten(border: u32, centering: Centering) -> [Self; 10] {
        let offsets = ten_view_offsets(border, centering);
        std::array::from_fn(|i| Self { flip: i >= 5, ..Self::at(offsets[i % 5].0, offsets[i % 5].1) })
    }
}
