use alexnet_kernels::{MemoryFormat, add, channels_last, channels_last_into};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, sizes};
use crate::shape::Shape;

/// The images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
}

impl LayerOps for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn shape(&self, _: &[Shape]) -> std::result::Result<Shape, String> {
        let [height, width] = self.size;
        sizes([("channels", self.channels), ("the height", height), ("the width", width)], 1)?;
        Ok(Shape::Map([self.channels, height, width]))
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let images = &pass.inputs[0];
        match MemoryFormat::of(images) {
            // The images may already have the type of the activations.
            MemoryFormat::ChannelsLast => add::scale_into(&images.permute((0, 2, 3, 1))?, 1.0, y),
            MemoryFormat::ChannelsFirst => channels_last_into(&images.to_dtype(DType::F32)?.contiguous()?, y),
        }
    }

    fn backward(&self, _: &Backward<'_>, _: &Gradients<'_>) -> Result<()> {
        Ok(())
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        channels_last(&pass.inputs[0])
    }
}
