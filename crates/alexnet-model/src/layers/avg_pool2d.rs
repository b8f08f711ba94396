use alexnet_kernels::{Pool2dParams, avg_pool2d};
use candle_core::{Result, Tensor};

use super::{Backward, Forward, Gradients, LayerOps, one_map};
use crate::layer::Shape;

/// The mean of each window.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool2d(pub Pool2dParams);

impl LayerOps for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        let [c, h, w] = one_map(self.name(), inputs)?;
        let [oh, ow] = self.0.output_size(self.name(), [h, w]).map_err(|e| e.to_string())?;
        Ok(Shape::Map([c, oh, ow]))
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
