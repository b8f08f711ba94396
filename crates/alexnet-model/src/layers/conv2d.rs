use alexnet_kernels::conv2d::{self, Conv2dGrads, Conv2dParams, Padding, PreparedWeight};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Backward, Forward, Gradients, LayerOps, LayerParameter, one_map, sizes, weight_and_bias};
use crate::init::Init;
use crate::shape::{Shape, elements};

/// A convolution: its parameters and initial values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Number of output channels (`filters` in the 2012 files).
    pub out_channels: usize,
    /// Height and width of the kernel (`filterSize`).
    pub kernel_size: [usize; 2],
    /// Stride in pixels.
    #[serde(default = "super::one")]
    pub stride: usize,
    /// Zero padding.
    #[serde(default, with = "Sides")]
    pub padding: Padding,
    /// Number of channel groups, which are convolved independently, such as the two towers of 2012.
    #[serde(default = "super::one")]
    pub groups: usize,
    /// Initial weights.
    pub weight: Init,
    /// Initial biases; `None` for a layer without bias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Init>,
}

impl Conv2d {
    /// A square kernel with stride 1, without padding or groups, with initial weights from N(0, `std`²) and this
    /// initial bias.
    pub fn new(out_channels: usize, kernel_size: usize, std: f32, bias: f32) -> Self {
        let Conv2dParams { stride, padding, groups } = Conv2dParams::default();
        let (weight, bias) = (Init::Normal { std }, Some(Init::Constant(bias)));
        Self { out_channels, kernel_size: [kernel_size; 2], stride, padding, groups, weight, bias }
    }

    /// Sets the stride.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the zero padding of all sides.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = Padding::symmetric(padding);
        self
    }

    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets PyTorch's default initialization.
    pub fn pytorch_init(mut self) -> Self {
        (self.weight, self.bias) = (Init::FanInUniform, Some(Init::FanInUniform));
        self
    }

    /// Stride, padding and groups as kernel parameters.
    pub fn params(&self) -> Conv2dParams {
        Conv2dParams { stride: self.stride, padding: self.padding, groups: self.groups }
    }

    /// The output shape; `kind` is the name of the layer kind for messages.
    pub(super) fn map_shape(&self, kind: &str, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        let ([c, h, w], groups) = (one_map(kind, inputs)?, self.groups);
        let ([kh, kw], Padding { top, bottom, left, right }) = (self.kernel_size, self.padding);
        let at_least_one = [("out_channels", self.out_channels), ("stride", self.stride), ("groups", groups)];
        sizes(at_least_one, 1)?;
        sizes([("kernel_size", kh), ("kernel_size", kw)], 1)?;
        sizes([("padding", top), ("padding", bottom), ("padding", left), ("padding", right)], 0)?;
        if !c.is_multiple_of(groups) || !self.out_channels.is_multiple_of(groups) {
            return Err(format!("{groups} groups do not divide {c} and {} channels", self.out_channels));
        }
        let [oh, ow] = self.params().output_size([h, w], self.kernel_size).map_err(|e| e.to_string())?;
        Ok(Shape::Map([self.out_channels, oh, ow]))
    }

    /// `[out_channels, in_channels / groups, kh, kw]`.
    pub(super) fn weight_shape(&self, inputs: &[Shape]) -> [usize; 4] {
        let channels = match inputs {
            [Shape::Map([channels, ..])] => *channels,
            _ => 0,
        };
        let [kh, kw] = self.kernel_size;
        [self.out_channels, channels / self.groups.max(1), kh, kw]
    }
}

/// The TOML and JSON form of padding: one number for all sides, or one per side.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "padding is one number, or top, bottom, left and right")]
enum Sides {
    All(usize),
    Each { top: usize, bottom: usize, left: usize, right: usize },
}

impl Sides {
    fn serialize<S: Serializer>(padding: &Padding, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Padding { top, bottom, left, right } = *padding;
        let sides = match *padding == Padding::symmetric(top) {
            true => Self::All(top),
            false => Self::Each { top, bottom, left, right },
        };
        Serialize::serialize(&sides, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Padding, D::Error> {
        let sides: Self = Deserialize::deserialize(deserializer)?;
        Ok(match sides {
            Self::All(padding) => Padding::symmetric(padding),
            Self::Each { top, bottom, left, right } => Padding { top, bottom, left, right },
        })
    }
}

impl LayerOps for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        self.map_shape(self.name(), inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<LayerParameter> {
        weight_and_bias(self.weight_shape(inputs).to_vec(), self.weight, self.bias)
    }

    fn macs(&self, inputs: &[Shape], y: Shape) -> usize {
        y.elements().saturating_mul(elements(&self.weight_shape(inputs)[1..]))
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
        Some(PreparedWeight::new(parameters[0], &self.params()))
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        let (x, bias) = (&pass.inputs[0], pass.parameters.get(1).copied());
        match pass.prepared {
            Some(prepared) => prepared.forward_into(x, bias, pass.relu, y),
            None => conv2d::forward_into(x, pass.parameters[0], bias, &self.params(), pass.relu, y),
        }
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let wanted = Conv2dGrads { x: grads.x, weight: grads.parameter(0), bias: grads.parameter(1) };
        conv2d::backward_into(pass.x(), pass.parameters[0], pass.grad_y, &self.params(), wanted)
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        conv2d::conv2d(&pass.inputs[0], pass.parameters[0], pass.parameters.get(1).copied(), &self.params())
    }
}
