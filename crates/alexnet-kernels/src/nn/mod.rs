//! Layers and an optimizer in the style of `candle_nn`: [`Module`]s, created from a [`VarBuilder`] where they have
//! variables, that call the operations of this crate.
//!
//! ```
//! use alexnet_kernels::conv2d::Conv2dParams;
//! use alexnet_kernels::sgd::{SgdParams, SgdRule};
//! use alexnet_kernels::{Pool2dParams, nn};
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, Optimizer, VarBuilder, VarMap};
//!
//! let vars = VarMap::new();
//! let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
//! let conv = nn::conv2d(4, 8, 3, Conv2dParams::new().with_groups(2).with_padding(1), vb.pp("conv"))?;
//! let pool = nn::MaxPool2d::new(Pool2dParams::new(3, 2));
//! let y = pool.forward(&conv.forward(&Tensor::ones((1, 4, 9, 9), DType::F32, &Device::Cpu)?)?)?;
//! assert_eq!(y.dims(), [1, 8, 4, 4]);
//!
//! let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.1, momentum: 0.9, weight_decay: 5e-4 };
//! let mut sgd = nn::Sgd::new(vars.all_vars(), params)?;
//! sgd.backward_step(&y.sqr()?.mean_all()?)?;
//! # Ok::<(), candle_core::Error>(())
//! ```

mod dropout;
mod sgd;
#[cfg(test)]
mod tests;

pub use dropout::Dropout;
pub use sgd::Sgd;

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder, init};

use crate::conv2d::Conv2dParams;
use crate::lrn::LrnParams;
use crate::{Pool2dParams, error};

/// A convolution with its weight, `[out_channels, in_channels / groups, kh, kw]`, and bias, `[out_channels]`; see
/// [`crate::conv2d::conv2d`].
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    params: Conv2dParams,
}

impl Conv2d {
    /// Creates the layer from existing tensors.
    pub fn new(weight: Tensor, bias: Option<Tensor>, params: Conv2dParams) -> Self {
        Self { weight, bias, params }
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::conv2d::conv2d(x, &self.weight, self.bias.as_ref(), &self.params)
    }
}

/// A square convolution whose `weight` and `bias` come from `vb`. The initial weight is that of `candle_nn::conv2d`;
/// the initial bias is uniform in ±1/√fan_in, where fan_in = in_channels / groups · kernel_size².
///
/// # Errors
/// Groups that do not divide the channels, a kernel or an input without values, a tensor of another shape in `vb`.
pub fn conv2d(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    params: Conv2dParams,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let conv = conv2d_no_bias(in_channels, out_channels, kernel_size, params, vb.clone())?;
    let fan_in = in_channels / params.groups * kernel_size * kernel_size;
    let bound = 1.0 / (fan_in as f64).sqrt();
    let bias = vb.get_with_hints(out_channels, "bias", Init::Uniform { lo: -bound, up: bound })?;
    Ok(Conv2d { bias: Some(bias), ..conv })
}

/// As [`conv2d`], without a bias.
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_no_bias(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    params: Conv2dParams,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let groups = params.groups;
    let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
    if !divides(in_channels) || !divides(out_channels) || kernel_size == 0 || in_channels == 0 {
        let rule = format!(
            "groups must divide the channels and kernels must not be empty, but there are {groups} groups of {in_channels} \
             input and {out_channels} output channels and kernels of {kernel_size}×{kernel_size}"
        );
        return Ok(error::parameter("conv2d", rule)?);
    }
    let shape = (out_channels, in_channels / groups, kernel_size, kernel_size);
    let weight = vb.get_with_hints(shape, "weight", init::DEFAULT_KAIMING_NORMAL)?;
    Ok(Conv2d::new(weight, None, params))
}

/// Max-pooling; see [`crate::max_pool2d::max_pool2d`].
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(Pool2dParams);

impl MaxPool2d {
    /// Creates the layer with these windows.
    pub const fn new(params: Pool2dParams) -> Self {
        Self(params)
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::max_pool2d::max_pool2d(x, &self.0)
    }
}

/// Average pooling; see [`crate::avg_pool2d::avg_pool2d`].
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(Pool2dParams);

impl AvgPool2d {
    /// Creates the layer with these windows.
    pub const fn new(params: Pool2dParams) -> Self {
        Self(params)
    }
}

impl Module for AvgPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::avg_pool2d::avg_pool2d(x, &self.0)
    }
}

/// Local response normalization across channels; see [`crate::lrn::lrn`].
#[derive(Clone, Copy, Debug)]
pub struct LocalResponseNorm(LrnParams);

impl LocalResponseNorm {
    /// Creates the layer with these parameters.
    pub const fn new(params: LrnParams) -> Self {
        Self(params)
    }
}

impl Module for LocalResponseNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::lrn::lrn(x, &self.0)
    }
}
