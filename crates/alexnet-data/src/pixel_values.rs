//! In which order, range and relation to a mean a network sees pixels: plain data.

use serde::{Deserialize, Serialize};

/// The order of the channel planes in the output. Everything else in this crate is red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red, green, blue (2012, torchvision).
    Rgb,
    /// Blue, green, red (Caffe, which reads images with OpenCV).
    Bgr,
}

/// The range that the pixel values 0–255 are brought to before anything is subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelScale {
    /// 0–255 (2012, Caffe). The initial weights and the response normalization of 2012 are made for this range.
    Byte,
    /// 0–1 (torchvision).
    Unit,
}

impl PixelScale {
    /// What a byte is multiplied with.
    pub fn factor(self) -> f32 {
        match self {
            PixelScale::Byte => 1.0,
            PixelScale::Unit => 1.0 / 255.0,
        }
    }
}

/// What is subtracted from the scaled pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mean {
    /// Nothing.
    None,
    /// One number per channel, in the order red, green, blue and in units of the [`PixelScale`].
    Channels([f32; 3]),
    /// The [`MeanImage`] of the training set.
    Image {
        /// Which part of it belongs to a view.
        alignment: MeanAlignment,
    },
}

/// Which part of the mean image is subtracted from a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanAlignment {
    /// Its center, never flipped, wherever the view was cut (2012, `convdata`).
    #[serde(alias = "centre")]
    Center,
    /// The part the view was cut from, flipped where the view is (Caffe, `data_transformer.cpp`).
    AtCrop,
}

/// The mean of a training set's squares, pixel by pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanImage {
    /// Side in pixels, the `source_size` of the preprocessing it was computed with.
    pub size: u32,
    /// `[3, size, size]`: planes of red, green and blue, 0–255.
    pub values: Vec<f32>,
}
