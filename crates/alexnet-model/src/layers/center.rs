use alexnet_kernels::add;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, LayerParameter};
use crate::init::Init;
use crate::role::Role;
use crate::shape::Shape;
use crate::tape::Mode;

/// A layer kind with buffers, for tests: `x + shift` in training mode, which updates the running mean with weight 0.1
/// for the batch mean, and `x + shift − mean` in test mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Center;

impl Center {
    fn result(&self, pass: &Forward<'_>) -> Result<Tensor> {
        let (x, &[shift, mean, batches]) = (&pass.inputs[0], &pass.parameters[..]) else { unreachable!() };
        let y = x.broadcast_add(shift)?;
        if pass.mode == Mode::Test {
            return y.broadcast_sub(mean);
        }
        let moved = ((mean.copy()? * 0.9)? + (x.mean(0)? * 0.1)?)?;
        add::scale_into(&moved.detach(), 1.0, mean)?;
        add::scale_into(&(batches.copy()? + 1.0)?.detach(), 1.0, batches)?;
        Ok(y)
    }
}

impl LayerOps for Center {
    fn name(&self) -> &'static str {
        "center"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        match inputs {
            [shape @ Shape::Vector(_)] => Ok(*shape),
            _ => Err(format!("center reads a vector, not {inputs:?}")),
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        let parameter = |name, role, len, init| LayerParameter { name, role, shape: vec![len], fan_in: 1, init };
        let features = inputs[0].elements();
        vec![
            parameter("shift", Role::Bias, features, Init::Constant(0.5)),
            parameter("running_mean", Role::Buffer, features, Init::Constant(0.0)),
            parameter("batches", Role::Buffer, 1, Init::Constant(0.0)),
        ]
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        add::scale_into(&self.result(pass)?, 1.0, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        if let Some(grad) = grads.parameter(0) {
            add::scale_into(&pass.grad_y.sum(0)?, 1.0, grad)?;
        }
        assert!(grads.parameter(1).is_none() && grads.parameter(2).is_none(), "buffers have no gradients");
        grads.write_x(|grad_x| add::scale_into(pass.grad_y, 1.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        self.result(pass)
    }
}
