use alexnet_kernels::global_avg_pool2d;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, one_map};
use crate::shape::Shape;

/// The mean of each channel over all pixels, as a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPool2d;

impl LayerOps for GlobalAvgPool2d {
    fn name(&self) -> &'static str {
        "global_avg_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        one_map(self.name(), inputs).map(|[channels, ..]| Shape::Vector(channels))
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        global_avg_pool2d::forward_into(&pass.inputs[0], y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| global_avg_pool2d::backward_into(pass.grad_y, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        global_avg_pool2d::global_avg_pool2d(&pass.inputs[0])
    }
}
