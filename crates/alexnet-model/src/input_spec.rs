//! What a network expects of its input, in plain numbers.
//!
//! It belongs to a variant and travels with its weights, so that a file alone is enough to predict. This crate only
//! carries it; who reads images applies it.

use serde::{Deserialize, Serialize};

/// The preprocessing that a network was, or is to be, trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Side of the network's input, in pixels.
    pub size: usize,
    /// Side of the square that views are cut from.
    pub source_size: usize,
    /// How an image becomes that square.
    pub preparation: Preparation,
    /// Order of the three planes.
    pub channel_order: ChannelOrder,
    /// Range of the pixels before the mean is subtracted.
    pub pixel_range: PixelRange,
    /// What is subtracted.
    pub mean: Mean,
    /// What is divided by, for red, green, blue.
    pub std: [f32; 3],
}

/// Pixels of a side; a mean image of that size takes 3 GiB.
const MAX_SIDE: usize = 1 << 14;

/// How an image becomes the square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// Shorter side to the square's, the middle cut out; area averages when shrinking, cubic when enlarging
    /// (cuda-convnet2's `make-data`).
    Alexnet2012,
    /// Warped to the square, whatever that does to the proportions (Caffe's `examples/imagenet`).
    Caffe,
    /// Shorter side to the square's, the middle cut out; antialiased bilinear (torchvision).
    Torchvision,
}

/// Order of the planes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: Caffe.
    Bgr,
}

/// Range of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelRange {
    /// 0 to 255, as stored.
    Byte,
    /// 0 to 1.
    Unit,
}

/// What is subtracted from the pixels, in units of their range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mean {
    /// One number each for red, green, blue.
    Channels([f32; 3]),
    /// The training set's mean image, `[3, source_size, source_size]` in the order red, green, blue, its middle
    /// subtracted from every view wherever the view was cut (the 2012 code).
    #[serde(alias = "centre_of_image")]
    CenterOfImage,
    /// The training set's mean image, each pixel from the same place (the paper's text, Caffe).
    Image,
}

impl Mean {
    /// Whether a mean image belongs to it.
    pub fn needs_image(self) -> bool {
        matches!(self, Self::CenterOfImage | Self::Image)
    }
}

impl InputSpec {
    /// The rule that its numbers break.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { size, source_size, std, .. } = *self;
        if !(1..=MAX_SIDE).contains(&source_size) || !(1..=source_size).contains(&size) {
            return Err(format!(
                "size is from 1 to source_size, and that to {MAX_SIDE}, but they are {size} and {source_size}"
            ));
        }
        if !std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return Err(format!("std is above 0, but is {std:?}"));
        }
        match self.mean {
            Mean::Channels(mean) if !mean.iter().all(|mean| mean.is_finite()) => Err(format!("the mean is {mean:?}")),
            _ => Ok(()),
        }
    }

    /// What the runs behind the paper's tables did.
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
