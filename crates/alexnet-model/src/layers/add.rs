use alexnet_kernels::add;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps};
use crate::shape::Shape;

/// The sum of inputs of the same shape: the branches of a residual block, or several convolutions summed by one layer,
/// as in the 2012 files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Add;

impl LayerOps for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn reads_many(&self) -> bool {
        true
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        match inputs.iter().all(|shape| *shape == inputs[0]) {
            true => Ok(inputs[0]),
            false => Err(format!("add reads layers of one shape, not {inputs:?}")),
        }
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        add::scale_into(&pass.inputs[0], 1.0, y)?;
        pass.inputs[1..].iter().try_for_each(|x| add::accumulate_into(x, y))
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| add::scale_into(pass.grad_y, 1.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        pass.inputs[1..].iter().try_fold(pass.inputs[0].clone(), |sum, x| sum + x)
    }
}
