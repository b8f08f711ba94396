//! Channel order, value range and mean subtraction, as plain data.

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

/// The range to which pixel values 0–255 are scaled before the mean is subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelScale {
    /// 0–255 (2012, Caffe). The initial weights and the response normalization of 2012 assume this range.
    Byte,
    /// 0–1 (torchvision).
    Unit,
}

impl PixelScale {
    /// The factor applied to a byte.
    pub fn factor(self) -> f32 {
        match self {
            PixelScale::Byte => 1.0,
            PixelScale::Unit => 1.0 / 255.0,
        }
    }
}

/// The mean subtracted from the scaled pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mean {
    /// Nothing is subtracted.
    None,
    /// One value per channel, in the order red, green, blue and in units of the [`PixelScale`].
    Channels([f32; 3]),
    /// The [`MeanImage`] of the training set.
    Image {
        /// The part that is subtracted from a view.
        alignment: MeanAlignment,
    },
}

/// The part of the mean image that is subtracted from a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanAlignment {
    /// The center, never flipped, independent of the crop position (2012, `convdata`).
    #[serde(alias = "centre")]
    Center,
    /// The part at the crop position, flipped if the view is flipped (Caffe, `data_transformer.cpp`).
    AtCrop,
}

/// The per-pixel mean of a training set's squares.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanImage {
    /// Side in pixels: the `source_size` of the preprocessing used to compute it.
    pub size: u32,
    /// `[3, size, size]`: planes of red, green and blue, 0–255.
    pub values: Vec<f32>,
}
