//! The kinds of layers, one file each: its numbers and initial values, the shape it gives, its parameters, its cost, and its
//! way forward, backward and through Candle's autograd.
//!
//! `ARCHITECTURE.md` lists the steps for adding one. What is the same for all kinds, such as buffers, devices, activations
//! and the sums where paths meet, is in `network/`.

mod add;
mod avg_pool2d;
mod batch_norm2d;
#[cfg(test)]
mod center;
mod concat;
mod contrast_norm;
mod conv2d;
mod dropout;
mod flatten;
mod global_avg_pool2d;
mod input;
mod linear;
mod locally_connected2d;
mod lrn;
mod lrn_within_channel;
mod max_pool2d;

pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm2d::BatchNorm2d;
pub(crate) use batch_norm2d::state as batch_norm_state;
#[cfg(test)]
#[allow(unreachable_pub)] // A public enum has it.
pub use center::Center;
pub use concat::Concat;
pub use contrast_norm::ContrastNorm;
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use global_avg_pool2d::GlobalAvgPool2d;
pub use input::Input;
pub use linear::Linear;
pub use locally_connected2d::LocallyConnected2d;
pub use lrn::Lrn;
pub use lrn_within_channel::LrnWithinChannel;
pub use max_pool2d::MaxPool2d;

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::conv2d::PreparedWeight;
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::role::Role;
use crate::shape::{Shape, elements};
use crate::tape::Mode;

/// Makes, of the list of kinds, the enum that holds any of them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $(#[cfg($only:meta)])? $(#[serde(alias = $old:literal)])? $kind:ident,)*) => {
        /// What a layer computes. As TOML or JSON, its [name](LayerKind::name) is the value of `kind`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum LayerKind {
            $($(#[doc = $doc])* $(#[cfg($only)])? $(#[serde(alias = $old)])? $kind($kind),)*
        }

        impl LayerKind {
            pub(crate) fn ops(&self) -> &dyn LayerOps {
                match self {
                    $($(#[cfg($only)])? Self::$kind(kind) => kind,)*
                }
            }
        }

        $($(#[cfg($only)])? impl From<$kind> for LayerKind {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        })*
    };
}

kinds! {
    /// The images; the first layer of every network.
    Input,
    /// A convolution.
    Conv2d,
    /// A convolution with a kernel of its own at each position.
    LocallyConnected2d,
    /// A fully connected layer; a map of several pixels must be flattened first.
    Linear,
    /// The maximum of each window.
    MaxPool2d,
    /// The mean of each window.
    AvgPool2d,
    /// The mean of each channel.
    GlobalAvgPool2d,
    /// Batch normalization of each channel.
    BatchNorm2d,
    /// Local response normalization across channels.
    Lrn,
    /// Response normalization within each channel.
    #[serde(alias = "lrn_same_map")]
    LrnWithinChannel,
    /// Contrast normalization within each channel.
    ContrastNorm,
    /// A map as a vector.
    Flatten,
    /// Dropout in training, its expectation in testing.
    Dropout,
    /// The inputs one after the other.
    Concat,
    /// The sum of the inputs.
    Add,
    /// Subtracts the mean of the batches it has seen.
    #[cfg(test)]
    Center,
}

impl LayerKind {
    /// Its name, as the 2012 literature and PyTorch have it.
    pub fn name(&self) -> &'static str {
        self.ops().name()
    }
}

/// What a kind of layer is. Tensors are as they lie inside a network: maps channels last, `[n, h, w, c]`, on one device.
pub(crate) trait LayerOps {
    /// See [`LayerKind::name`].
    fn name(&self) -> &'static str;

    /// Whether it reads several layers; most kinds read one.
    fn reads_many(&self) -> bool {
        false
    }

    /// The shape that it gives to these inputs, or the rule that the inputs or its own numbers break. Its numbers may come
    /// from any file: limit them with [`sizes`] before computing with them.
    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String>;

    /// Its parameters for inputs that [`LayerOps::shape`] accepts, in the order in which all other functions get them. Kinds
    /// that read several layers have none.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<LayerParameter> {
        Vec::new()
    }

    /// Multiply-adds for one image of these inputs, whose result is `y`; biases not counted.
    fn macs(&self, _inputs: &[Shape], _y: Shape) -> usize {
        0
    }

    /// Whether backward reads the inputs again.
    fn keeps_inputs(&self) -> bool {
        false
    }

    /// Shapes and types of the tensors that forward in training fills for backward, where the result has the shape `y`.
    fn saved(&self, _y: &[usize]) -> Vec<(Vec<usize>, DType)> {
        Vec::new()
    }

    /// Whether forward applies a ReLU itself where [`Forward::relu`] says so.
    fn fuses_relu(&self) -> bool {
        false
    }

    /// Whether the parameter with this number may be `bf16` in mixed precision, on a GPU or on the CPU.
    fn takes_bf16(&self, _parameter: usize, _on_gpu: bool) -> bool {
        false
    }

    /// The parameter whose gradient is the product `grad_yᵀ·x`.
    fn product(&self) -> Option<usize> {
        None
    }

    /// What many passes over the same parameters make of them once.
    fn prepare(&self, _parameters: &[&Tensor]) -> Option<PreparedWeight> {
        None
    }

    /// Writes the result into `y`.
    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()>;

    /// Writes those gradients of one input and of all parameters that are wanted. Kinds that read several layers are called
    /// once for each.
    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()>;

    /// The same as [`LayerOps::forward`] for Candle's autograd, whose maps are `[n, c, h, w]`, channels last in memory.
    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor>;
}

/// A parameter as its kind of layer lists it.
#[derive(Clone, Debug)]
pub(crate) struct LayerParameter {
    /// After the layer's name and a dot.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) shape: Vec<usize>,
    /// Inputs that one output sees.
    pub(crate) fan_in: usize,
    pub(crate) init: Init,
}

/// What a layer computes from.
#[derive(Debug)]
pub(crate) struct Forward<'a> {
    /// Those that it reads; for the input layer, the images.
    pub(crate) inputs: Vec<Tensor>,
    /// The values of its parameters, in the order of [`LayerOps::parameters`]. In training, buffers may be written.
    pub(crate) parameters: Vec<&'a Tensor>,
    pub(crate) prepared: Option<&'a PreparedWeight>,
    /// Whether a ReLU is to be applied.
    pub(crate) relu: bool,
    /// Tensors for [`LayerOps::saved`]; empty where backward does not reach the layer.
    pub(crate) saved: &'a [Tensor],
    pub(crate) mode: Mode,
    /// Index of the layer.
    pub(crate) layer: usize,
}

/// What a layer's gradients are computed from.
#[derive(Debug)]
pub(crate) struct Backward<'a> {
    /// Of the result, before the activation.
    pub(crate) grad_y: &'a Tensor,
    /// Which input's gradient is wanted.
    pub(crate) input: usize,
    /// That input, where [`LayerOps::keeps_inputs`].
    pub(crate) x: Option<&'a Tensor>,
    /// Shapes of all inputs.
    pub(crate) shapes: &'a [Shape],
    /// The values of its parameters.
    pub(crate) parameters: &'a [&'a Tensor],
    /// What forward saved.
    pub(crate) saved: &'a [Tensor],
    pub(crate) mode: Mode,
    /// Index of the layer.
    pub(crate) layer: usize,
}

impl Backward<'_> {
    /// The input whose gradient is wanted.
    fn x(&self) -> &Tensor {
        self.x.expect("forward in training keeps what a kind that says so reads again")
    }
}

/// Where a layer's gradients go; none where none is wanted.
#[derive(Debug)]
pub(crate) struct Gradients<'a> {
    pub(crate) x: Option<&'a Tensor>,
    pub(crate) parameters: &'a [Option<Tensor>],
}

impl Gradients<'_> {
    fn parameter(&self, index: usize) -> Option<&Tensor> {
        self.parameters.get(index)?.as_ref()
    }

    /// Writes the gradient of the input, if it is wanted.
    fn write_x(&self, write: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
        self.x.map_or(Ok(()), write)
    }
}

/// The most that a size, a stride or a padding may be. Sums and products of two of them, or of one and the values of a
/// layer, do not overflow.
const MAX_SIZE: usize = 1 << 20;

/// Sizes within their limits, or the rule that one of them breaks.
fn sizes<const N: usize>(sizes: [(&str, usize); N], least: usize) -> std::result::Result<(), String> {
    match sizes.into_iter().find(|(_, size)| !(least..=MAX_SIZE).contains(size)) {
        Some((name, size)) => Err(format!("{name} must be from {least} to {MAX_SIZE}, but is {size}")),
        None => Ok(()),
    }
}

/// The one map that a kind reads.
fn one_map(name: &str, inputs: &[Shape]) -> std::result::Result<[usize; 3], String> {
    match inputs {
        [Shape::Map(dims)] => Ok(*dims),
        _ => Err(format!("{name} reads a map of channels, height and width, not {inputs:?}")),
    }
}

/// A weight of this shape, whose first dimension is the outputs, and the bias beside it, if there is one.
fn weight_and_bias(shape: Vec<usize>, weight: Init, bias: Option<Init>) -> Vec<LayerParameter> {
    let (outputs, fan_in) = (shape[0], elements(&shape[1..]));
    let mut parameters = vec![LayerParameter { name: "weight", role: Role::Weight, shape, fan_in, init: weight }];
    let bias = bias.map(|init| LayerParameter { name: "bias", role: Role::Bias, shape: vec![outputs], fan_in, init });
    parameters.extend(bias);
    parameters
}

/// The stride and the groups of a layer that names none.
fn one() -> usize {
    1
}

/// What a pooling gives to a map.
fn pooled(op: &'static str, params: &Pool2dParams, [c, h, w]: [usize; 3]) -> std::result::Result<Shape, String> {
    sizes([("kernel_size", params.kernel_size), ("stride", params.stride)], 1)?;
    let [oh, ow] = params.output_size(op, [h, w]).map_err(|e| e.to_string())?;
    Ok(Shape::Map([c, oh, ow]))
}

/// [`Pool2dParams`] as TOML and JSON have them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Pool2dParams", deny_unknown_fields)]
struct Windows {
    kernel_size: usize,
    stride: usize,
    #[serde(default)]
    padding: usize,
    #[serde(default)]
    ceil: bool,
}
