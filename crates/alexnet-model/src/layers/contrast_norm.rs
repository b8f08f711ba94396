use alexnet_kernels::contrast_norm::{self, ContrastNormParams};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, one_map, sizes};
use crate::shape::Shape;

/// Contrast normalization within each channel (`cnorm` in the 2012 files).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContrastNorm(#[serde(with = "Numbers")] pub ContrastNormParams);

/// The TOML and JSON form of [`ContrastNormParams`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "ContrastNormParams", deny_unknown_fields)]
struct Numbers {
    size: usize,
    alpha: f32,
    beta: f32,
}

impl LayerOps for ContrastNorm {
    fn name(&self) -> &'static str {
        "contrast_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        let dims = one_map(self.name(), inputs)?;
        let ContrastNormParams { size, alpha, beta } = self.0;
        sizes([("size", size)], 1)?;
        // Written so that a NaN fails.
        if !(size <= 1 << 16 && alpha >= 0.0 && alpha.is_finite() && beta.is_finite()) {
            let rule = "size must be at most 65536, alpha at least 0, and both numbers finite";
            return Err(format!("{rule}, but they are {size}, alpha {alpha} and beta {beta}"));
        }
        Ok(Shape::Map(dims))
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        contrast_norm::forward_into(&pass.inputs[0], &self.0, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| contrast_norm::backward_into(pass.x(), pass.grad_y, &self.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        contrast_norm::contrast_norm(&pass.inputs[0], &self.0)
    }
}
