use alexnet_kernels::batch_norm2d::{self, BatchNorm2dGrads, BatchNorm2dParams, BatchNorm2dSaved, BatchNorm2dState};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, LayerParameter, one_map};
use crate::init::Init;
use crate::role::Role;
use crate::shape::Shape;
use crate::tape::Mode;

/// Batch normalization of each channel. Training mode normalizes with the batch statistics and updates the running
/// statistics; test mode normalizes with the running statistics. [`Inference`](crate::Inference) folds it into a
/// preceding convolution without activation.
///
/// Freezing its weight and bias does not change this, as in PyTorch's training mode: the running statistics still move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm2d {
    /// Added to the variance before the square root.
    #[serde(default = "eps")]
    pub eps: f32,
    /// Momentum of the running statistics: the weight of the batch statistics, as in PyTorch.
    #[serde(default = "momentum")]
    pub momentum: f32,
    /// Initial value of every weight γ.
    #[serde(default = "weight")]
    pub weight: Init,
}

fn eps() -> f32 {
    BatchNorm2dParams::TRAINING.eps
}

fn momentum() -> f32 {
    BatchNorm2dParams::TRAINING.momentum
}

fn weight() -> Init {
    Init::Constant(1.0)
}

/// PyTorch's defaults: eps 1e-5, momentum 0.1, initial weights 1.
impl Default for BatchNorm2d {
    fn default() -> Self {
        Self { eps: eps(), momentum: momentum(), weight: weight() }
    }
}

impl BatchNorm2d {
    fn params(&self, mode: Mode) -> BatchNorm2dParams {
        BatchNorm2dParams { training: mode != Mode::Test, momentum: self.momentum, eps: self.eps }
    }
}

/// The parameters in the order of [`LayerOps::parameters`].
pub(crate) fn state<'a>(parameters: &[&'a Tensor]) -> BatchNorm2dState<'a> {
    BatchNorm2dState {
        weight: parameters[0],
        bias: parameters[1],
        running_mean: parameters[2],
        running_variance: parameters[3],
    }
}

impl LayerOps for BatchNorm2d {
    fn name(&self) -> &'static str {
        "batch_norm2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        // The condition also rejects NaN.
        if !((0.0..=1.0).contains(&self.momentum) && self.eps > 0.0 && self.eps.is_finite()) {
            let (momentum, eps) = (self.momentum, self.eps);
            return Err(format!(
                "momentum must be from 0 to 1 and eps above 0, but momentum is {momentum} and eps is {eps}"
            ));
        }
        one_map(self.name(), inputs).map(Shape::Map)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        let channels = inputs[0].dims()[0];
        let parameter = |name, role, init| LayerParameter { name, role, shape: vec![channels], fan_in: channels, init };
        vec![
            parameter("weight", Role::Weight, self.weight),
            parameter("bias", Role::Bias, Init::Constant(0.0)),
            parameter("running_mean", Role::Buffer, Init::Constant(0.0)),
            parameter("running_var", Role::Buffer, Init::Constant(1.0)),
        ]
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    /// The statistics used to normalize the batch: mean and 1 / standard deviation.
    fn saved(&self, y: &[usize]) -> Vec<(Vec<usize>, DType)> {
        let channels = y[y.len() - 1];
        vec![(vec![channels], DType::F32); 2]
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let vector = || Tensor::zeros(y.dim(3)?, DType::F32, y.device());
        let own = match pass.saved {
            [] => [vector()?, vector()?],
            saved => [saved[0].clone(), saved[1].clone()],
        };
        let saved = BatchNorm2dSaved { mean: &own[0], inverse_std: &own[1] };
        batch_norm2d::forward_into(&pass.inputs[0], &state(&pass.parameters), &self.params(pass.mode), y, &saved)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let saved = BatchNorm2dSaved { mean: &pass.saved[0], inverse_std: &pass.saved[1] };
        let wanted = BatchNorm2dGrads { x: grads.x, weight: grads.parameter(0), bias: grads.parameter(1) };
        batch_norm2d::backward_into(pass.x(), pass.parameters[0], pass.grad_y, &saved, &self.params(pass.mode), wanted)
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        batch_norm2d::batch_norm2d(&pass.inputs[0], &state(&pass.parameters), &self.params(pass.mode))
    }
}
