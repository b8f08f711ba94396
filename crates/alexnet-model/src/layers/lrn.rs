use alexnet_kernels::lrn::{self, LrnParams};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, one_map, sizes};
use crate::shape::Shape;

/// Local response normalization across channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lrn(#[serde(with = "Numbers")] pub LrnParams);

/// The TOML and JSON form of [`LrnParams`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "LrnParams", deny_unknown_fields)]
struct Numbers {
    size: usize,
    k: f32,
    alpha: f32,
    beta: f32,
    #[serde(default = "super::one")]
    groups: usize,
}

impl LayerOps for Lrn {
    fn name(&self) -> &'static str {
        "lrn"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        let (dims, groups) = (one_map(self.name(), inputs)?, self.0.groups);
        sizes([("size", self.0.size), ("groups", groups)], 1)?;
        if dims[0] % groups != 0 {
            return Err(format!("{groups} groups do not divide {} channels", dims[0]));
        }
        Ok(Shape::Map(dims))
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        lrn::forward_into(&pass.inputs[0], &self.0, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        grads.write_x(|grad_x| lrn::backward_into(pass.x(), pass.grad_y, &self.0, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        lrn::lrn(&pass.inputs[0], &self.0)
    }
}
