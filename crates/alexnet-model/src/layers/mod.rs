//! The layer kinds, one file each: hyperparameters and initial values, output shape, parameters, cost, forward,
//! backward and the function for Candle's autograd.
//!
//! `ARCHITECTURE.md` lists the steps for adding a kind. Code that all kinds share, such as buffers, devices,
//! activations and the accumulation of gradients, is in `network/`.

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
#[allow(unreachable_pub)] // Used in a public enum.
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

/// Generates the enum of all kinds from their list.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $(#[cfg($only:meta)])? $(#[serde(alias = $old:literal)])? $kind:ident,)*) => {
        /// The operation of a layer. In TOML or JSON, the value of `kind` is its [name](LayerKind::name).
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
    /// The input images; the first layer of every network.
    Input,
    /// A convolution.
    Conv2d,
    /// A convolution with unshared weights.
    LocallyConnected2d,
    /// A fully connected layer; a feature map must be flattened first.
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
    /// Local response normalization within each channel.
    #[serde(alias = "lrn_same_map")]
    LrnWithinChannel,
    /// Contrast normalization within each channel.
    ContrastNorm,
    /// Flattens a feature map to a vector.
    Flatten,
    /// Dropout in training mode, its expectation in test mode.
    Dropout,
    /// Concatenates the inputs.
    Concat,
    /// The sum of the inputs.
    Add,
    /// Subtracts the running mean of the batches.
    #[cfg(test)]
    Center,
}

impl LayerKind {
    /// The name of the kind, as in the 2012 literature and PyTorch.
    pub fn name(&self) -> &'static str {
        self.ops().name()
    }
}

/// The interface of a layer kind. Tensors have the layout used inside a network: feature maps are channels last,
/// `[n, h, w, c]`; all tensors are on one device.
pub(crate) trait LayerOps {
    /// See [`LayerKind::name`].
    fn name(&self) -> &'static str;

    /// Whether it accepts several inputs; most kinds accept one.
    fn reads_many(&self) -> bool {
        false
    }

    /// The output shape for these inputs, or the rule violated by the inputs or hyperparameters. Hyperparameters may
    /// come from untrusted files: check them with [`sizes`] before computing with them.
    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String>;

    /// The parameters for inputs that [`LayerOps::shape`] accepts, in the order used by all other functions. Kinds with
    /// several inputs have no parameters.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<LayerParameter> {
        Vec::new()
    }

    /// Multiply-adds for one image with these inputs and output shape `y`, without biases.
    fn macs(&self, _inputs: &[Shape], _y: Shape) -> usize {
        0
    }

    /// Whether backward reads the inputs again.
    fn keeps_inputs(&self) -> bool {
        false
    }

    /// Shapes and types of the tensors that forward saves for backward in training mode, for a result of shape `y`.
    fn saved(&self, _y: &[usize]) -> Vec<(Vec<usize>, DType)> {
        Vec::new()
    }

    /// Whether forward can apply a fused ReLU if [`Forward::relu`] is set.
    fn fuses_relu(&self) -> bool {
        false
    }

    /// Whether the parameter with this index may be `bf16` in mixed precision, on a GPU or on the CPU.
    fn takes_bf16(&self, _parameter: usize, _on_gpu: bool) -> bool {
        false
    }

    /// Index of the parameter whose gradient is the product `grad_yᵀ·x`.
    fn product(&self) -> Option<usize> {
        None
    }

    /// Transforms the weight once for many passes with the same parameters.
    fn prepare(&self, _parameters: &[&Tensor]) -> Option<PreparedWeight> {
        None
    }

    /// Writes the result into `y`.
    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()>;

    /// Writes the requested gradients of one input and of the parameters. For kinds with several inputs, it is called
    /// once per input.
    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()>;

    /// [`LayerOps::forward`] for Candle's autograd, where feature maps are `[n, c, h, w]`, channels last in memory.
    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor>;
}

/// A parameter as listed by its layer kind.
#[derive(Clone, Debug)]
pub(crate) struct LayerParameter {
    /// The short name, which follows the layer's name and a dot.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) shape: Vec<usize>,
    /// Number of inputs per output.
    pub(crate) fan_in: usize,
    pub(crate) init: Init,
}

/// The arguments of a layer's forward pass.
#[derive(Debug)]
pub(crate) struct Forward<'a> {
    /// The inputs; for the input layer, the images.
    pub(crate) inputs: Vec<Tensor>,
    /// The parameter values, in the order of [`LayerOps::parameters`]. In training mode, buffers may be written.
    pub(crate) parameters: Vec<&'a Tensor>,
    pub(crate) prepared: Option<&'a PreparedWeight>,
    /// Whether to apply a ReLU.
    pub(crate) relu: bool,
    /// Tensors for [`LayerOps::saved`]; empty if backward does not process the layer.
    pub(crate) saved: &'a [Tensor],
    pub(crate) mode: Mode,
    /// Index of the layer.
    pub(crate) layer: usize,
}

/// The arguments of a layer's backward pass.
#[derive(Debug)]
pub(crate) struct Backward<'a> {
    /// Gradient of the result before the activation.
    pub(crate) grad_y: &'a Tensor,
    /// Index of the input whose gradient is computed.
    pub(crate) input: usize,
    /// That input, if [`LayerOps::keeps_inputs`] returns true.
    pub(crate) x: Option<&'a Tensor>,
    /// Shapes of all inputs.
    pub(crate) shapes: &'a [Shape],
    /// The parameter values.
    pub(crate) parameters: &'a [&'a Tensor],
    /// The tensors saved by forward.
    pub(crate) saved: &'a [Tensor],
    pub(crate) mode: Mode,
    /// Index of the layer.
    pub(crate) layer: usize,
}

impl Backward<'_> {
    /// The input whose gradient is computed.
    fn x(&self) -> &Tensor {
        self.x.expect("forward in training mode keeps the inputs of kinds with `keeps_inputs`")
    }
}

/// Output buffers for the gradients; `None` skips the computation.
#[derive(Debug)]
pub(crate) struct Gradients<'a> {
    pub(crate) x: Option<&'a Tensor>,
    pub(crate) parameters: &'a [Option<Tensor>],
}

impl Gradients<'_> {
    fn parameter(&self, index: usize) -> Option<&Tensor> {
        self.parameters.get(index)?.as_ref()
    }

    /// Writes the gradient of the input if it is requested.
    fn write_x(&self, write: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
        self.x.map_or(Ok(()), write)
    }
}

/// The maximum size, stride or padding. Sums and products of two of them, or of one and the number of values of a
/// layer, do not overflow.
const MAX_SIZE: usize = 1 << 20;

/// Checks that all sizes are within the limits, or returns the violated rule.
fn sizes<const N: usize>(sizes: [(&str, usize); N], least: usize) -> std::result::Result<(), String> {
    match sizes.into_iter().find(|(_, size)| !(least..=MAX_SIZE).contains(size)) {
        Some((name, size)) => Err(format!("{name} must be from {least} to {MAX_SIZE}, but is {size}")),
        None => Ok(()),
    }
}

/// The dimensions of the only input, which must be a feature map.
fn one_map(name: &str, inputs: &[Shape]) -> std::result::Result<[usize; 3], String> {
    match inputs {
        [Shape::Map(dims)] => Ok(*dims),
        _ => Err(format!("{name} reads a map of channels, height and width, not {inputs:?}")),
    }
}

/// A weight of this shape, whose first dimension is the number of outputs, and the bias if there is one.
fn weight_and_bias(shape: Vec<usize>, weight: Init, bias: Option<Init>) -> Vec<LayerParameter> {
    let (outputs, fan_in) = (shape[0], elements(&shape[1..]));
    let mut parameters = vec![LayerParameter { name: "weight", role: Role::Weight, shape, fan_in, init: weight }];
    let bias = bias.map(|init| LayerParameter { name: "bias", role: Role::Bias, shape: vec![outputs], fan_in, init });
    parameters.extend(bias);
    parameters
}

/// The default stride and number of groups.
fn one() -> usize {
    1
}

/// The output shape of a pooling layer.
fn pooled(op: &'static str, params: &Pool2dParams, [c, h, w]: [usize; 3]) -> std::result::Result<Shape, String> {
    sizes([("kernel_size", params.kernel_size), ("stride", params.stride)], 1)?;
    let [oh, ow] = params.output_size(op, [h, w]).map_err(|e| e.to_string())?;
    Ok(Shape::Map([c, oh, ow]))
}

/// The TOML and JSON form of [`Pool2dParams`].
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
