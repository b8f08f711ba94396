use alexnet_kernels::add;
use alexnet_kernels::dropout::{self, DropoutParams, DropoutScaling};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps};
use crate::shape::{Shape, elements};
use crate::tape::Mode;

/// Dropout in training mode, its expectation in test mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability that a value is dropped.
    pub probability: f32,
    /// Whether kept values are scaled in training or test mode.
    #[serde(with = "Scaling")]
    pub scaling: DropoutScaling,
}

/// The TOML and JSON form of [`DropoutScaling`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "DropoutScaling", rename_all = "snake_case")]
enum Scaling {
    AtTest,
    #[serde(alias = "at_training")]
    Inverted,
}

impl Dropout {
    /// The parameters of the operation; in test mode, only the factor is used.
    fn params(&self, mode: Mode, layer: usize, x: &Tensor) -> DropoutParams {
        let (seed, step, first_image) = match mode {
            Mode::Train { seed, step, first_image } => (seed, step, first_image),
            Mode::Test => (0, 0, 0),
        };
        let first_value = (first_image as u64).wrapping_mul(elements(&x.dims()[1..]) as u64);
        let (probability, scaling, layer) = (self.probability, self.scaling, layer as u32);
        DropoutParams { probability, scaling, seed, step, layer, first_value }
    }
}

impl LayerOps for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        if !(0.0..1.0).contains(&self.probability) {
            return Err(format!("probability must be from 0 to below 1, but is {}", self.probability));
        }
        match inputs {
            [shape] => Ok(*shape),
            _ => Err("dropout reads one layer".into()),
        }
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let params = self.params(pass.mode, pass.layer, &pass.inputs[0]);
        match pass.mode {
            Mode::Train { .. } => dropout::apply_into(&pass.inputs[0], &params, y),
            Mode::Test => add::scale_into(&pass.inputs[0], params.test_factor(), y),
        }
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let params = self.params(pass.mode, pass.layer, pass.grad_y);
        grads.write_x(|grad_x| dropout::apply_into(pass.grad_y, &params, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        let x = &pass.inputs[0];
        let params = self.params(pass.mode, pass.layer, x);
        match (pass.mode, x.rank()) {
            (Mode::Test, _) => x * f64::from(params.test_factor()),
            // The mask is drawn in memory order, which is channels last inside a network.
            (_, 4) => dropout::dropout(&x.permute((0, 2, 3, 1))?, &params)?.permute((0, 3, 1, 2)),
            _ => dropout::dropout(x, &params),
        }
    }
}
