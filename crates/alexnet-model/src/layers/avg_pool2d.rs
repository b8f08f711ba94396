use alexnet_kernels::{Pool2dParams, avg_pool2d};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, Windows, one_map, pooled};
use crate::shape::Shape;

/// The mean of each window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPool2d(#[serde(with = "Windows")] pub Pool2dParams);

impl LayerOps for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        pooled(self.name(), &self.0, one_map(self.name(), inputs)?)
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        avg_pool2d::forward_into(&pass.inputs[0], &self.0, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| avg_pool2d::backward_into(pass.grad_y, &self.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        avg_pool2d::avg_pool2d(&pass.inputs[0], &self.0)
    }
}
