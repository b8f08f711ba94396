//! The preprocessing that a network requires, as plain data that can be stored with its weights.

use serde::{Deserialize, Serialize};

use crate::augment::crop::Centering;
use crate::{ChannelOrder, Error, Mean, PixelRange, ResizeFilter, ResizeRule, SideRounding};

/// The preprocessing of an image, in this order: resize, crop the central square, crop a view from it, reorder the
/// channels, scale, subtract the mean, divide by the standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The size to which an image is resized.
    pub resize: ResizeRule,
    /// The interpolation.
    pub filter: ResizeFilter,
    /// Side of the square cropped from the center of the resized image.
    pub source_size: u32,
    /// Side of the view cropped from the square: the network's input size.
    pub crop_size: u32,
    /// Rounding of center positions, in the image and in the square.
    #[serde(alias = "centring")]
    pub centering: Centering,
    /// Order of the planes in the output.
    pub channel_order: ChannelOrder,
    /// Range of the pixels.
    pub scale: PixelRange,
    /// The mean to subtract.
    pub mean: Mean,
    /// Standard deviations to divide by, in the order red, green, blue and in units of `scale`.
    pub std: [f32; 3],
}

impl Preprocess {
    /// The paper's preprocessing: shorter side 256, center crop 256x256, views of 224x224, RGB of 0–255 minus the mean
    /// image.
    ///
    /// # Source
    /// Krizhevsky et al. 2012, section 2; interpolation and rounding from cuda-convnet2's `make-data`, the mean's
    /// alignment from its `convdata.py` and that of 2012.
    pub const ALEXNET_2012: Self = Self {
        resize: ResizeRule::ShorterSide { size: 256, rounding: SideRounding::Nearest },
        filter: ResizeFilter::AreaOrCubic,
        source_size: 256,
        crop_size: 224,
        centering: Centering::Down,
        channel_order: ChannelOrder::Rgb,
        scale: PixelRange::Byte,
        mean: Mean::CenterOfImage,
        std: [1.0; 3],
    };

    /// Caffe's preprocessing for `bvlc_alexnet` and CaffeNet: warped to 256x256, views of 227x227, BGR of 0–255 minus the
    /// mean image.
    ///
    /// # Source
    /// BVLC/caffe, `examples/imagenet` and `models/bvlc_alexnet/train_val.prototxt`.
    pub const CAFFE: Self = Self {
        resize: ResizeRule::Warp { width: 256, height: 256 },
        filter: ResizeFilter::Lanczos3,
        source_size: 256,
        crop_size: 227,
        centering: Centering::Down,
        channel_order: ChannelOrder::Bgr,
        scale: PixelRange::Byte,
        mean: Mean::Image,
        std: [1.0; 3],
    };

    /// torchvision's preprocessing for its AlexNet: shorter side 256, center crop 224x224, RGB of 0–1, standardized.
    ///
    /// # Source
    /// torchvision, `transforms/_presets.py`, `ImageClassification`.
    pub const TORCHVISION: Self = Self {
        resize: ResizeRule::ShorterSide { size: 256, rounding: SideRounding::Down },
        filter: ResizeFilter::Bilinear,
        source_size: 256,
        crop_size: 224,
        centering: Centering::HalfToEven,
        channel_order: ChannelOrder::Rgb,
        scale: PixelRange::Unit,
        mean: Mean::Channels([0.485, 0.456, 0.406]),
        std: [0.229, 0.224, 0.225],
    };

    /// Difference between the sides of the square and of a view, in pixels: the largest crop offset.
    pub fn border(&self) -> u32 {
        self.source_size.saturating_sub(self.crop_size)
    }

    /// Number of values of one view, `3 * crop_size * crop_size`.
    pub fn view_len(&self) -> usize {
        3 * self.crop_size as usize * self.crop_size as usize
    }

    /// # Errors
    /// [`Error::Setting`] if a size is 0 or larger than the image it is cropped from, a standard deviation is not positive,
    /// or a value is not finite or exceeds its limit.
    pub fn validate(&self) -> Result<(), Error> {
        let Self { source_size, crop_size, .. } = *self;
        if crop_size == 0 || crop_size > source_size {
            let rule = format!("it must be from 1 to source_size, {source_size}");
            return Err(Error::setting("crop_size", crop_size, rule));
        }
        // The number of values of a view's three planes then fits in 32 bits.
        if source_size > 16_384 {
            return Err(Error::setting("source_size", source_size, "it must be at most 16384"));
        }
        let shorter = match self.resize {
            ResizeRule::None => source_size,
            ResizeRule::ShorterSide { size, .. } => size,
            ResizeRule::Warp { width, height } => width.min(height),
        };
        if shorter < source_size {
            let rule = format!("it must be at least source_size, {source_size}");
            return Err(Error::setting("shorter side after resizing", shorter, rule));
        }
        if shorter > 65_535 {
            return Err(Error::setting("shorter side after resizing", shorter, "it must be at most 65535"));
        }
        if let Some(std) = self.std.into_iter().find(|std| !(std.is_finite() && *std > 0.0)) {
            return Err(Error::setting("std", std, "it must be positive and finite"));
        }
        if let Mean::Channels(values) = self.mean
            && let Some(mean) = values.into_iter().find(|mean| !mean.is_finite())
        {
            return Err(Error::setting("mean", mean, "it must be finite"));
        }
        Ok(())
    }
}
