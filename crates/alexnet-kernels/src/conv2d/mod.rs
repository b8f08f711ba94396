//! Two-dimensional convolution (cross-correlation) with groups, stride and separate padding for each side.

mod cpu;
mod cuda;
mod custom_op;
mod direct;
mod folding;
mod library;
mod prepared;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;
mod weight_gradient;
mod winograd;

use custom_op::Op;
pub use prepared::PreparedWeight;

use candle_core::{Result, Tensor};

use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout::{self, MemoryFormat};
use crate::tensor::{self, read, read_optional, write, write_optional};

const OP: &str = "conv2d";

/// Zero padding of an image, in rows and columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same padding on all sides, as PyTorch's and Caffe's `padding`.
    pub const fn symmetric(padding: usize) -> Self {
        Self { top: padding, bottom: padding, left: padding, right: padding }
    }

    /// Adds zeros below and to the right. The 2012 code rounds the output size up and reads zeros beyond the image: its
    /// first layer, 11×11 at stride 4 over 224×224, is `symmetric(0).with_extra(3)`, which gives 55×55.
    pub const fn with_extra(self, extra: usize) -> Self {
        Self { bottom: self.bottom + extra, right: self.right + extra, ..self }
    }
}

impl From<usize> for Padding {
    fn from(padding: usize) -> Self {
        Self::symmetric(padding)
    }
}

/// Stride, padding and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dParams {
    /// Pixels between neighboring windows, in both directions; at least 1.
    pub stride: usize,
    /// Zero padding of the image.
    pub padding: Padding,
    /// Number of groups that input and output channels are divided into; the i-th group of outputs depends only on the
    /// i-th group of inputs. At least 1. The two towers of the 2012 network are two groups.
    pub groups: usize,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Self::new()
    }
}

impl Conv2dParams {
    /// Stride 1, no padding, one group.
    pub const fn new() -> Self {
        Self { stride: 1, padding: Padding::symmetric(0), groups: 1 }
    }

    /// Sets the stride.
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets the padding: a number for all sides, or a [`Padding`].
    pub fn with_padding(self, padding: impl Into<Padding>) -> Self {
        Self { padding: padding.into(), ..self }
    }

    /// Sets the number of groups.
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Height and width of the output: `⌊(size + padding − kernel_size) / stride⌋ + 1` for each.
    ///
    /// # Errors
    /// The stride is 0, the padded image is smaller than the kernel, or a side of the padded image is 2³¹ pixels or longer.
    pub fn output_size(&self, image: [usize; 2], [kh, kw]: [usize; 2]) -> std::result::Result<[usize; 2], Error> {
        if self.stride == 0 {
            return error::parameter(OP, "the stride must be at least 1, but is 0");
        }
        let [padded_h, padded_w] = self.padded_size(image)?;
        if kh == 0 || kw == 0 || padded_h < kh || padded_w < kw {
            let rule = format!("a {kh}×{kw} kernel does not fit an image of {padded_h}×{padded_w} with its padding");
            return error::parameter(OP, rule);
        }
        Ok([(padded_h - kh) / self.stride + 1, (padded_w - kw) / self.stride + 1])
    }

    /// Height and width of the padded image.
    fn padded_size(&self, [h, w]: [usize; 2]) -> std::result::Result<[usize; 2], Error> {
        let Padding { top, bottom, left, right } = self.padding;
        let side = |size: usize, before: usize, after: usize| {
            size.checked_add(before)?.checked_add(after).filter(|&padded| padded < MAX_VALUES)
        };
        match (side(h, top, bottom), side(w, left, right)) {
            (Some(h), Some(w)) => Ok([h, w]),
            _ => {
                let padding = self.padding;
                error::parameter(
                    OP,
                    format!("a padded side must be below 2^31 pixels, but the image is {h}×{w} with {padding:?}"),
                )
            }
        }
    }
}

/// Upper limit, exclusive, for the values of a padded image: GPU kernels use 32-bit indices, and a buffer of this many is
/// 8 GiB.
const MAX_VALUES: usize = 1 << 31;

/// Validated sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dShape {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) params: Conv2dParams,
}

impl Conv2dShape {
    /// From the shapes of x, `[n, h, w, c]`, and the weight, `[out, in / groups, kh, kw]`.
    pub(crate) fn new(x: &[usize], weight: &[usize], params: &Conv2dParams) -> std::result::Result<Self, Error> {
        let &[n, h, w, in_channels] = x else {
            return error::shape(OP, "x", "[n, h, w, in_channels]", x);
        };
        let &[out_channels, group_channels, kh, kw] = weight else {
            return error::shape(OP, "weight", "[out_channels, in_channels / groups, kh, kw]", weight);
        };
        if h == 0 || w == 0 || in_channels == 0 {
            return error::shape(OP, "x", "an image with at least one pixel and one channel", x);
        }
        if out_channels == 0 {
            return error::shape(OP, "weight", "at least one output channel", weight);
        }
        let groups = params.groups;
        if groups == 0 || in_channels % groups != 0 || out_channels % groups != 0 {
            let rule = format!("{groups} groups do not divide {in_channels} input and {out_channels} output channels");
            return error::parameter(OP, rule);
        }
        if group_channels != in_channels / groups {
            let expected = format!("[out_channels, {}, kh, kw] for x of shape {x:?}", in_channels / groups);
            return error::shape(OP, "weight", expected, weight);
        }
        let [oh, ow] = params.output_size([h, w], [kh, kw])?;
        let padded @ [padded_h, padded_w] = params.padded_size([h, w])?;
        let values = padded_h.checked_mul(padded_w).and_then(|pixels| pixels.checked_mul(in_channels));
        if values.is_none_or(|values| values >= MAX_VALUES) {
            let rule = format!(
                "a padded image must have fewer than 2^31 values, but has {padded_h}×{padded_w} pixels of {in_channels} channels"
            );
            return error::parameter(OP, rule);
        }
        let outputs = [n, oh, ow, out_channels].into_iter().try_fold(1usize, usize::checked_mul);
        if outputs.is_none_or(|outputs| outputs > isize::MAX as usize / size_of::<f32>()) {
            return error::parameter(OP, format!("a result of [{n}, {oh}, {ow}, {out_channels}] is too large"));
        }
        // A stride larger than the padded image gives the same single window; clamping keeps values computed from it small.
        let params = Conv2dParams { stride: params.stride.min(padded.into_iter().max().unwrap_or(1)), ..*params };
        Ok(Self { n, h, w, in_channels, out_channels, kh, kw, oh, ow, params })
    }

    pub(crate) fn group_in(&self) -> usize {
        self.in_channels / self.params.groups
    }

    pub(crate) fn group_out(&self) -> usize {
        self.out_channels / self.params.groups
    }

    /// Number of weights per output channel.
    pub(crate) fn taps(&self) -> usize {
        self.group_in() * self.kh * self.kw
    }

    fn check(&self, name: &'static str, tensor: Option<&Tensor>, expected: &[usize]) -> Result<()> {
        match tensor {
            Some(t) if t.dims() != expected => Ok(error::shape(OP, name, format!("{expected:?}"), t.dims())?),
            _ => Ok(()),
        }
    }

    fn check_all(&self, bias: Option<&Tensor>, y: Option<&Tensor>) -> Result<()> {
        self.check("bias", bias, &[self.out_channels])?;
        self.check("y", y, &[self.n, self.oh, self.ow, self.out_channels])
    }
}

/// Convolution of an image batch; differentiable in `x`, the weight and the bias.
///
/// y\[n, o, i, j\] = bias\[o\] + Σ_{c, u, v} x\[n, c, i·stride + u − top, j·stride + v − left\] · weight\[o, c, u, v\],
/// where pixels outside the image are zero and c runs over the channels of o's group. This is cross-correlation, as in
/// PyTorch, Caffe and cuda-convnet.
///
/// `x` is `[n, in_channels, h, w]`, `weight` `[out_channels, in_channels / groups, kh, kw]`, `bias` `[out_channels]`, all
/// `f32`; the result is `[n, out_channels, oh, ow]` in `x`'s [memory format](crate::MemoryFormat). The gradient of `x` is
/// computed only if `x` is tracked by autograd.
///
/// With enough pixels and channels, 3×3 and 5×5 kernels at stride 1, and square kernels at a larger stride that are 3 or 5
/// strides wide, rounded up, use Winograd's algorithm: relative errors of a few 10⁻⁶, where a direct sum has a few 10⁻⁷. A
/// NaN or an infinity in `x` then reaches all results of each 4×4 tile whose input contains it.
///
/// # Errors
/// Shapes that do not match each other or the parameters; a kernel larger than the padded image; another element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.5; output size and padding: cuda-convnet's `layer.py` (`modulesX`).
///
/// ```
/// use alexnet_kernels::conv2d::{Conv2dParams, Padding, conv2d};
/// use candle_core::{DType, Device, Tensor};
///
/// let x = Tensor::ones((1, 3, 224, 224), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((96, 3, 11, 11), DType::F32, &Device::Cpu)?;
/// let params = Conv2dParams { stride: 4, padding: Padding::symmetric(0).with_extra(3), groups: 1 };
/// assert_eq!(conv2d(&x, &weight, None, &params)?.dims(), [1, 96, 55, 55]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    let weight = weight.contiguous()?;
    let y = match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Op(*params))?,
        None => x.apply_op2(&weight, Op(*params))?,
    };
    layout::from_nhwc(&y, format)
}

/// As [`conv2d`], on contiguous channels-last tensors, into an existing tensor: `x` is `[n, h, w, c]` and `y`,
/// `[n, oh, ow, out_channels]`, is overwritten. With `relu`, negative results become 0.
///
/// # Errors
/// As [`conv2d`]; a tensor is not contiguous, or `y` shares its storage with another.
pub fn forward_into(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
    relu: bool,
    y: &Tensor,
) -> Result<()> {
    let shape = Conv2dShape::new(x.dims(), weight.dims(), params)?;
    shape.check_all(bias, Some(y))?;
    tensor::distinct(OP, &[Some(x), Some(weight), bias], &[Some(y)])?;
    let reads = [("x", Some(x)), ("weight", Some(weight)), ("bias", bias)];
    if let Some(done) = device::run(OP, reads, [("y", Some(y))], |queue, inputs, [y]| {
        cuda::forward(queue, &shape, inputs, MemoryFormat::ChannelsFirst, relu, y)
    }) {
        return done;
    }
    let isa = CpuIsa::current();
    read(OP, "x", x, |x| {
        read(OP, "weight", weight, |weight| {
            read_optional(OP, "bias", bias, |bias| {
                write(OP, "y", y, |y| {
                    cpu::forward(isa, &shape, x, &cpu::pack_weight(isa, &shape, weight), bias, relu, y);
                    Ok(())
                })
            })
        })
    })
}

/// Output buffers for the gradients of a convolution; `None` skips the computation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conv2dGrads<'a> {
    /// Gradient of the input, of the same shape.
    pub x: Option<&'a Tensor>,
    /// Gradient of the weight, of the same shape.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the bias.
    pub bias: Option<&'a Tensor>,
}

/// The gradients of [`forward_into`] (without `relu`) for `grad_y`, `[n, oh, ow, out_channels]`. The buffers in `grads` are
/// overwritten.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(
    x: &Tensor,
    weight: &Tensor,
    grad_y: &Tensor,
    params: &Conv2dParams,
    grads: Conv2dGrads<'_>,
) -> Result<()> {
    let shape = Conv2dShape::new(x.dims(), weight.dims(), params)?;
    shape.check_all(grads.bias, None)?;
    shape.check("grad_y", Some(grad_y), &[shape.n, shape.oh, shape.ow, shape.out_channels])?;
    shape.check("grad_x", grads.x, x.dims())?;
    shape.check("grad_weight", grads.weight, weight.dims())?;
    let Conv2dGrads { x: grad_x, weight: grad_weight, bias: grad_bias } = grads;
    tensor::distinct(OP, &[Some(x), Some(weight), Some(grad_y)], &[grad_x, grad_weight, grad_bias])?;
    let reads = [("x", Some(x)), ("weight", Some(weight)), ("grad_y", Some(grad_y))];
    let writes = [("grad_x", grad_x), ("grad_weight", grad_weight), ("grad_bias", grad_bias)];
    if let Some(done) =
        device::run(OP, reads, writes, |queue, inputs, grads| cuda::backward(queue, &shape, inputs, grads))
    {
        return done;
    }
    let isa = CpuIsa::current();
    read(OP, "grad_y", grad_y, |grad_y| {
        if let Some(grad_x) = grad_x {
            read(OP, "weight", weight, |weight| {
                write(OP, "grad_x", grad_x, |grad_x| {
                    cpu::backward_input(isa, &shape, weight, grad_y, grad_x);
                    Ok(())
                })
            })?;
        }
        if grad_weight.is_none() && grad_bias.is_none() {
            return Ok(());
        }
        read(OP, "x", x, |x| {
            write_optional(OP, "grad_weight", grad_weight, |grad_weight| {
                write_optional(OP, "grad_bias", grad_bias, |grad_bias| {
                    cpu::backward_weight(isa, &shape, x, grad_y, grad_weight, grad_bias);
                    Ok(())
                })
            })
        })
    })
}
