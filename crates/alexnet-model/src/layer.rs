//! What a layer is: its kind, its inputs, its unit, its device, and the shape it gives to what it gets.

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation;
use alexnet_kernels::conv2d::{Conv2dParams, Padding};
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;
use alexnet_kernels::lrn_same_map::LrnSameMapParams;

use crate::init::Init;

/// One entry of a network's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Unique in its network. Parameters are called `{name}.weight` and `{name}.bias`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// The layers it reads, all earlier in the list. Empty means the one before.
    pub inputs: Vec<String>,
    /// Applied to every value of the result. The 2012 files attach it the same way (`neuron=`).
    pub activation: Option<Activation>,
    /// The device it lives on, an index into those the network was given.
    pub device: usize,
}

impl Layer {
    /// A layer that reads the one before it, without a unit, on the first device.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind, inputs: Vec::new(), activation: None, device: 0 }
    }

    /// The same, reading these layers.
    pub fn reads<const N: usize>(self, inputs: [&str; N]) -> Self {
        Self { inputs: inputs.map(String::from).to_vec(), ..self }
    }

    /// The same with a unit.
    pub fn with(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// The same on another device.
    pub fn on(self, device: usize) -> Self {
        Self { device, ..self }
    }
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// The images; the first layer of every network.
    Input {
        /// Channels of an image.
        channels: usize,
        /// Height and width.
        size: [usize; 2],
    },
    /// A convolution.
    Conv2d(Conv2d),
    /// A fully connected layer; a map of several pixels must be flattened first.
    Linear(Linear),
    /// The maximum of each window.
    MaxPool2d(Pool2dParams),
    /// The mean of each window.
    AvgPool2d(Pool2dParams),
    /// Local response normalisation across channels.
    Lrn(LrnParams),
    /// Response normalisation within each channel.
    LrnSameMap(LrnSameMapParams),
    /// A map as a vector, in the order channel, row, column.
    Flatten,
    /// Dropout in training, its expectation in testing.
    Dropout {
        /// The probability that a value is dropped.
        probability: f32,
        /// When what is kept is scaled.
        scaling: DropoutScaling,
    },
    /// The inputs one after the other: channels of maps of one size, or features.
    Concat,
    /// The sum of inputs of one shape: the paths of a residual block, or the several convolutions that the 2012 files
    /// let one layer sum up.
    Add,
}

impl LayerKind {
    /// Its name, as the 2012 literature and PyTorch have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "input",
            Self::Conv2d(_) => "conv2d",
            Self::Linear(_) => "linear",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::Lrn(_) => "lrn",
            Self::LrnSameMap(_) => "lrn_same_map",
            Self::Flatten => "flatten",
            Self::Dropout { .. } => "dropout",
            Self::Concat => "concat",
            Self::Add => "add",
        }
    }
}

/// A convolution's numbers and initial values.
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
}

/// A fully connected layer's numbers and initial values.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Features of the result.
    pub out_features: usize,
    /// Initial weights.
    pub weight: Init,
    /// Initial biases; none means no bias.
    pub bias: Option<Init>,
}

impl Linear {
    /// Initial weights from N(0, `std`²) and this bias.
    pub fn new(out_features: usize, std: f32, bias: f32) -> Self {
        Self { out_features, weight: Init::Normal { std }, bias: Some(Init::Constant(bias)) }
    }

    /// The same with PyTorch's default initial values.
    pub fn pytorch_init(self) -> Self {
        Self { weight: Init::FanInUniform, bias: Some(Init::FanInUniform), ..self }
    }
}

/// The shape of what a layer gives for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels, height, width.
    Map([usize; 3]),
    /// Features.
    Vector(usize),
}

impl Shape {
    /// How many values.
    pub fn elements(self) -> usize {
        match self {
            Self::Map(dims) => dims.iter().product(),
            Self::Vector(features) => features,
        }
    }

    /// As a list: `[channels, height, width]` or `[features]`.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Self::Map(dims) => dims.to_vec(),
            Self::Vector(features) => vec![features],
        }
    }

    /// As a batch of `n` lies in memory inside the network: `[n, height, width, channels]` or `[n, features]`.
    pub(crate) fn batch(self, n: usize) -> Vec<usize> {
        match self {
            Self::Map([c, h, w]) => vec![n, h, w, c],
            Self::Vector(features) => vec![n, features],
        }
    }
}
