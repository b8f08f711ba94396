use alexnet_kernels::locally_connected2d::{self, LocallyConnected2dGrads};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Conv2d, Forward, Gradients, LayerOps, LayerParameter};
use crate::role::Role;
use crate::shape::{Shape, elements};

/// A convolution with unshared weights (`local` in the 2012 files). It has the parameters of a [`Conv2d`], but a
/// separate kernel and bias for each output pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocallyConnected2d(pub Conv2d);

impl LayerOps for LocallyConnected2d {
    fn name(&self) -> &'static str {
        "locally_connected2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        self.0.map_shape(self.name(), inputs)
    }

    /// `[oh, ow, out_channels, kh, kw, in_channels / groups]` and `[oh, ow, out_channels]`.
    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        let Ok(Shape::Map([out_channels, oh, ow])) = self.shape(inputs) else { return Vec::new() };
        let [_, channels, kh, kw] = self.0.weight_shape(inputs);
        let (positions, fan_in) = (vec![oh, ow, out_channels], elements(&[channels, kh, kw]));
        let parameter = |name, role, shape, init| LayerParameter { name, role, shape, fan_in, init };
        let weight = [&positions[..], &[kh, kw, channels]].concat();
        let mut parameters = vec![parameter("weight", Role::Weight, weight, self.0.weight)];
        parameters.extend(self.0.bias.map(|init| parameter("bias", Role::Bias, positions, init)));
        parameters
    }

    fn macs(&self, inputs: &[Shape], y: Shape) -> usize {
        self.0.macs(inputs, y)
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn fuses_relu(&self) -> bool {
        true
    }

    fn takes_bf16(&self, parameter: usize, on_gpu: bool) -> bool {
        parameter == 0 && on_gpu
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let (x, bias) = (&pass.inputs[0], pass.parameters.get(1).copied());
        locally_connected2d::forward_into(x, pass.parameters[0], bias, &self.0.params(), pass.relu, y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let wanted = LocallyConnected2dGrads { x: grads.x, weight: grads.parameter(0), bias: grads.parameter(1) };
        locally_connected2d::backward_into(pass.x(), pass.parameters[0], pass.grad_y, &self.0.params(), wanted)
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        let (x, bias) = (&pass.inputs[0], pass.parameters.get(1).copied());
        locally_connected2d::locally_connected2d(x, pass.parameters[0], bias, &self.0.params())
    }
}
