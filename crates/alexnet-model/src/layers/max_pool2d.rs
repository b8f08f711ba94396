use alexnet_kernels::{Pool2dParams, max_pool2d};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, Windows, one_map, pooled};
use crate::shape::Shape;

/// The maximum of each window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool2d(#[serde(with = "Windows")] pub Pool2dParams);

impl LayerOps for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        pooled(self.name(), &self.0, one_map(self.name(), inputs)?)
    }

    /// The positions of the maxima.
    fn saved(&self, y: &[usize]) -> Vec<(Vec<usize>, DType)> {
        vec![(y.to_vec(), max_pool2d::index_dtype(&self.0))]
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        max_pool2d::forward_into(&pass.inputs[0], &self.0, y, pass.saved.first())
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| max_pool2d::backward_into(pass.grad_y, &pass.saved[0], &self.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        max_pool2d::max_pool2d(&pass.inputs[0], &self.0)
    }
}
