use alexnet_kernels::lrn_within_channel::{self, LrnWithinChannelParams};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, one_map, sizes};
use crate::shape::Shape;

/// Local response normalization within each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrnWithinChannel(#[serde(with = "Numbers")] pub LrnWithinChannelParams);

/// The TOML and JSON form of [`LrnWithinChannelParams`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "LrnWithinChannelParams", deny_unknown_fields)]
struct Numbers {
    size: usize,
    k: f32,
    alpha: f32,
    beta: f32,
}

impl LayerOps for LrnWithinChannel {
    fn name(&self) -> &'static str {
        "lrn_within_channel"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        sizes([("size", self.0.size)], 1)?;
        one_map(self.name(), inputs).map(Shape::Map)
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        lrn_within_channel::forward_into(&pass.inputs[0], &self.0, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| lrn_within_channel::backward_into(pass.x(), pass.grad_y, &self.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        lrn_within_channel::lrn_within_channel(&pass.inputs[0], &self.0)
    }
}
