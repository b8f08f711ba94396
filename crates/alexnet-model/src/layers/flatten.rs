use alexnet_kernels::{channels_first_into, channels_last_into};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, one_map};
use crate::shape::{Shape, elements};

/// Flattens a feature map to a vector, in the order channel, row, column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flatten;

impl LayerOps for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        one_map(self.name(), inputs).map(|dims| Shape::Vector(elements(&dims)))
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        channels_first_into(&pass.inputs[0], y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| channels_last_into(pass.grad_y, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        pass.inputs[0].flatten_from(1)
    }
}
