//! The preprocessing a network expects, as plain numbers.
//!
//! Each variant has an [`InputSpec`], which is saved with the weights, so a model file alone is enough for inference.
//! This crate only stores it; the crate that reads images applies it.

use alexnet_input::{ChannelOrder, Mean, PixelRange};
use serde::{Deserialize, Serialize};

/// The preprocessing a network is trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Height and width of the network's input, in pixels.
    pub size: usize,
    /// Side length of the square image that crops are taken from, in pixels.
    pub source_size: usize,
    /// How an image is resized to that square.
    pub preparation: Preparation,
    /// Order of the three channels.
    pub channel_order: ChannelOrder,
    /// Range of the pixels before the mean is subtracted.
    pub pixel_range: PixelRange,
    /// The mean to subtract.
    pub mean: Mean,
    /// Standard deviations to divide by, for red, green, blue.
    pub std: [f32; 3],
}

/// Maximum side length in pixels; a mean image of that size takes 3 GiB.
const MAX_SIDE: usize = 1 << 14;

/// How an image is resized to a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// Resize the shorter side to that of the square, then center crop; area averaging when shrinking, cubic
    /// interpolation when enlarging (cuda-convnet2's `make-data`).
    Alexnet2012,
    /// Resize to the square without keeping the aspect ratio (Caffe's `examples/imagenet`).
    Caffe,
    /// Resize the shorter side to that of the square, then center crop; antialiased bilinear interpolation
    /// (torchvision).
    Torchvision,
}

impl InputSpec {
    /// Returns the violated rule as the error.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { size, source_size, std, .. } = *self;
        if !(1..=MAX_SIDE).contains(&source_size) || !(1..=source_size).contains(&size) {
            return Err(format!(
                "size must be from 1 to source_size, and source_size at most {MAX_SIDE}, but they are {size} and {source_size}"
            ));
        }
        if !std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return Err(format!("std must be above 0, but is {std:?}"));
        }
        match self.mean {
            Mean::Channels(mean) if !mean.iter().all(|mean| mean.is_finite()) => Err(format!("the mean is {mean:?}")),
            _ => Ok(()),
        }
    }

    /// Preprocessing of the runs behind the paper's tables.
    pub const ALEXNET_2012: Self = Self {
        size: 224,
        source_size: 256,
        preparation: Preparation::Alexnet2012,
        channel_order: ChannelOrder::Rgb,
        pixel_range: PixelRange::Byte,
        mean: Mean::CenterOfImage,
        std: [1.0; 3],
    };

    /// The paper's section 2 as written: each pixel minus the training set's mean at that pixel.
    pub const PAPER: Self = Self { mean: Mean::Image, ..Self::ALEXNET_2012 };

    /// `models/bvlc_alexnet/train_val.prototxt` and `examples/imagenet` in BVLC/caffe.
    pub const CAFFE: Self = Self {
        size: 227,
        preparation: Preparation::Caffe,
        channel_order: ChannelOrder::Bgr,
        mean: Mean::Image,
        ..Self::ALEXNET_2012
    };

    /// `ImageClassification` in torchvision's `transforms/_presets.py`.
    pub const TORCHVISION: Self = Self {
        preparation: Preparation::Torchvision,
        pixel_range: PixelRange::Unit,
        mean: Mean::Channels([0.485, 0.456, 0.406]),
        std: [0.229, 0.224, 0.225],
        ..Self::ALEXNET_2012
    };
}
