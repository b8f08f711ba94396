use alexnet_kernels::conv2d::{self, Conv2dGrads, Conv2dParams, Padding, PreparedWeight};
use candle_core::{Result, Tensor};

use super::{Backward, Forward, Gradients, LayerOps, LayerParameter, one_map, weight_and_bias};
use crate::init::Init;
use crate::layer::Shape;

/// A convolution: its numbers and initial values.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Channels of the result (`filters` in the 2012 files).
    pub out_channels: usize,
    /// Height and width of the kernel (`filterSize`).
    pub kernel_size: [usize; 2],
    /// Stride, padding, groups.
    pub params: Conv2dParams,
    /// Initial weights.
    pub weight: Init,
    /// Initial biases; none means no bias.
    pub bias: Option<Init>,
}

impl Conv2d {
    /// A square kernel at stride 1 without padding or groups, with initial weights from N(0, `std`²) and this bias.
    pub fn new(out_channels: usize, kernel_size: usize, std: f32, bias: f32) -> Self {
        let params = Conv2dParams::default();
        let (weight, bias) = (Init::Normal { std }, Some(Init::Constant(bias)));
        Self { out_channels, kernel_size: [kernel_size; 2], params, weight, bias }
    }

    /// The same at this stride.
    pub fn stride(mut self, stride: usize) -> Self {
        self.params.stride = stride;
        self
    }

    /// The same with so many zeros on each side.
    pub fn padding(mut self, padding: usize) -> Self {
        self.params.padding = Padding::symmetric(padding);
        self
    }

    /// The same in groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.params.groups = groups;
        self
    }

    /// The same with PyTorch's default initial values.
    pub fn pytorch_init(mut self) -> Self {
        (self.weight, self.bias) = (Init::FanInUniform, Some(Init::FanInUniform));
        self
    }

    /// `[out_channels, in_channels / groups, kh, kw]`.
    fn weight_shape(&self, inputs: &[Shape]) -> [usize; 4] {
        let channels = match inputs {
            [Shape::Map([channels, ..])] => *channels,
            _ => 0,
        };
        let [kh, kw] = self.kernel_size;
        [self.out_channels, channels / self.params.groups.max(1), kh, kw]
    }
}

impl LayerOps for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        let ([c, h, w], groups) = (one_map(self.name(), inputs)?, self.params.groups);
        if groups == 0 || c % groups != 0 || self.out_channels % groups != 0 {
            return Err(format!("{groups} groups do not divide {c} and {} channels", self.out_channels));
        }
        let [oh, ow] = self.params.output_size([h, w], self.kernel_size).map_err(|e| e.to_string())?;
        Ok(Shape::Map([self.out_channels, oh, ow]))
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        weight_and_bias(self.weight_shape(inputs).to_vec(), self.weight, self.bias)
    }

    fn macs(&self, inputs: &[Shape], y: Shape) -> usize {
        y.elements() * self.weight_shape(inputs)[1..].iter().product::<usize>()
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

    fn prepare(&self, parameters: &[&Tensor]) -> Option<PreparedWeight> {
        Some(PreparedWeight::new(parameters[0], &self.params))
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let (x, bias) = (&pass.inputs[0], pass.parameters.get(1).copied());
        match pass.prepared {
            Some(prepared) => prepared.forward_into(x, bias, pass.relu, y),
            None => conv2d::forward_into(x, pass.parameters[0], bias, &self.params, pass.relu, y),
        }
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let wanted = Conv2dGrads { x: grads.x, weight: grads.parameter(0), bias: grads.parameter(1) };
        conv2d::backward_into(pass.x(), pass.parameters[0], pass.grad_y, &self.params, wanted)
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        conv2d::conv2d(&pass.inputs[0], pass.parameters[0], pass.parameters.get(1).copied(), &self.params)
    }
}
