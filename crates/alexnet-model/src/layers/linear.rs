use alexnet_kernels::linear::{self, LinearGrads};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps, LayerParameter, weight_and_bias};
use crate::init::Init;
use crate::shape::Shape;

/// A fully connected layer: its parameters and initial values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Number of output features.
    pub out_features: usize,
    /// Initial weights.
    pub weight: Init,
    /// Initial biases; `None` for a layer without bias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Init>,
}

impl Linear {
    /// A layer with initial weights from N(0, `std`²) and this initial bias.
    pub fn new(out_features: usize, std: f32, bias: f32) -> Self {
        Self { out_features, weight: Init::Normal { std }, bias: Some(Init::Constant(bias)) }
    }

    /// Sets PyTorch's default initialization.
    pub fn pytorch_init(self) -> Self {
        Self { weight: Init::FanInUniform, bias: Some(Init::FanInUniform), ..self }
    }
}

impl LayerOps for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        if self.out_features == 0 {
            return Err("out_features must be at least 1, but is 0".into());
        }
        match inputs {
            [Shape::Vector(_)] => Ok(Shape::Vector(self.out_features)),
            _ => Err(format!("linear reads a vector, not {inputs:?}; flatten it first")),
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        weight_and_bias(vec![self.out_features, inputs[0].elements()], self.weight, self.bias)
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> usize {
        self.out_features.saturating_mul(inputs[0].elements())
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn fuses_relu(&self) -> bool {
        true
    }

    /// Also on the CPU: reading these weights takes more than half the time of a single image.
    fn takes_bf16(&self, parameter: usize, _: bool) -> bool {
        parameter == 0
    }

    fn product(&self) -> Option<usize> {
        Some(0)
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        linear::forward_into(&pass.inputs[0], pass.parameters[0], pass.parameters.get(1).copied(), pass.relu, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let wanted = LinearGrads { x: grads.x, weight: grads.parameter(0), bias: grads.parameter(1) };
        linear::backward_into(pass.x(), pass.parameters[0], pass.grad_y, wanted)
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        linear::linear(&pass.inputs[0], pass.parameters[0], pass.parameters.get(1).copied())
    }
}
