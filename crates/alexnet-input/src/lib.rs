#![doc = include_str!("../README.md")]

use serde::{Deserialize, Serialize};

/// The order of a network's input channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red, green, blue (2012, torchvision).
    Rgb,
    /// Blue, green, red (Caffe, which reads images with OpenCV).
    Bgr,
}

impl ChannelOrder {
    /// For each input channel, the channel of an RGB image.
    pub const fn of_rgb(self) -> [usize; 3] {
        match self {
            Self::Rgb => [0, 1, 2],
            Self::Bgr => [2, 1, 0],
        }
    }
}

/// The range to which pixel values are scaled before the mean is subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelRange {
    /// 0–255 (2012, Caffe). The initial weights and the response normalization of 2012 assume this range.
    Byte,
    /// 0–1 (torchvision).
    Unit,
}

impl PixelRange {
    /// The factor applied to a byte.
    pub fn factor(self) -> f32 {
        match self {
            Self::Byte => 1.0,
            Self::Unit => 1.0 / 255.0,
        }
    }
}

/// The mean subtracted from the scaled pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mean {
    /// Nothing is subtracted.
    None,
    /// One value per channel, in the order red, green, blue and in units of the [`PixelRange`].
    Channels([f32; 3]),
    /// The center of the training set's mean image, never flipped, independent of the crop position (2012, `convdata`).
    #[serde(alias = "centre_of_image")]
    CenterOfImage,
    /// The part of the training set's mean image at the crop position, flipped if the crop is flipped (the paper's text; Caffe,
    /// `data_transformer.cpp`).
    Image,
}

impl Mean {
    /// Whether it requires a mean image.
    pub const fn needs_image(self) -> bool {
        matches!(self, Self::CenterOfImage | Self::Image)
    }
}
