//! Locally connected layers: convolutions whose weights are not shared between positions.

mod cpu;
mod cuda;
mod custom_op;
pub mod reference;
mod shape;
#[cfg(test)]
mod tests;

use custom_op::Op;
use shape::LocalShape;

use candle_core::{Result, Tensor};

use crate::backend::CpuIsa;
use crate::conv2d::Conv2dParams;
use crate::cuda as device;
use crate::layout;
use crate::tensor::{self, read, read_optional, write, write_optional};

const OP: &str = "locally_connected2d";

/// A locally connected layer over an image batch; differentiable in all three arguments.
///
/// y\[n, o, i, j\] = bias\[i, j, o\] + Σ_{u, v, c} x\[n, c, i·stride + u − top, j·stride + v − left\] ·
/// weight\[i, j, o, u, v, c\], where pixels outside the image are zero and c runs over the channels of o's group: a
/// [convolution](crate::conv2d::conv2d) with a separate weight and bias at each position.
///
/// `x` is `[n, in_channels, h, w]`, `weight` `[oh, ow, out_channels, kh, kw, in_channels / groups]`, `bias`
/// `[oh, ow, out_channels]`, all `f32`; the result is `[n, out_channels, oh, ow]` in `x`'s
/// [memory format](crate::MemoryFormat). oh and ow follow from the other sizes as in [`Conv2dParams::output_size`]. The
/// weight's channels come last, like those of the images that it multiplies; the 2012 files order them as
/// \[position, channel, row, column, filter\], Keras as \[position, row·column·channel, filter\]. No gradient is
/// computed for an `x` that autograd does not track.
/// # Errors
/// Shapes that do not match each other or the parameters; a kernel larger than the padded image; sizes whose products
/// exceed the address space; an unsupported element type. On a GPU also more than 2³¹ values in all windows of a batch.
///
/// # Source
/// cuda-convnet's `LocalUnsharedLayerParser` (`type=local`), used by its CIFAR-10 networks; Taigman et al. 2014, section
/// 2.2.
///
/// ```
/// use alexnet_kernels::conv2d::{Conv2dParams, Padding};
/// use alexnet_kernels::locally_connected2d::locally_connected2d;
/// use candle_core::{DType, Device, Tensor};
///
/// let x = Tensor::ones((1, 64, 6, 6), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones(vec![6, 6, 32, 3, 3, 64], DType::F32, &Device::Cpu)?;
/// let params = Conv2dParams { padding: Padding::symmetric(1), ..Default::default() };
/// let y = locally_connected2d(&x, &weight, None, &params)?;
/// assert_eq!(y.dims(), [1, 32, 6, 6]);
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?[0], 4. * 64.); // The window of a corner has 2×2 pixels.
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn locally_connected2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    let weight = weight.contiguous()?;
    let y = match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Op(*params))?,
        None => x.apply_op2(&weight, Op(*params))?,
    };
    layout::from_nhwc(&y, format)
}

/// As [`locally_connected2d`], on contiguous channels-last tensors, into an existing tensor: `x` is `[n, h, w, c]` and
/// `y`, `[n, oh, ow, out_channels]`, is overwritten. With `relu`, negative results become 0.
///
/// # Errors
/// As [`locally_connected2d`]; a tensor is not contiguous, or `y` shares its storage with another.
pub fn forward_into(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
    relu: bool,
    y: &Tensor,
) -> Result<()> {
    let shape = LocalShape::new(x.dims(), weight.dims(), params)?;
    shape.check("bias", bias, &shape.bias_dims())?;
    shape.check("y", Some(y), &shape.output_dims())?;
    tensor::distinct(OP, &[Some(x), Some(weight), bias], &[Some(y)])?;
    let reads = [("x", Some(x)), ("weight", Some(weight)), ("bias", bias)];
    if let Some(done) =
        device::run(OP, reads, [("y", Some(y))], |queue, inputs, [y]| cuda::forward(queue, &shape, inputs, relu, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        read(OP, "weight", weight, |weight| {
            read_optional(OP, "bias", bias, |bias| {
                write(OP, "y", y, |y| {
                    cpu::forward(CpuIsa::current(), &shape, x, weight, bias, relu, y);
                    Ok(())
                })
            })
        })
    })
}

/// Output buffers for the gradients of a locally connected layer; `None` skips the computation.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocallyConnected2dGrads<'a> {
    /// Gradient of the input, of the same shape.
    pub x: Option<&'a Tensor>,
    /// Gradient of the weight, of the same shape.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the bias, `[oh, ow, out_channels]`.
    pub bias: Option<&'a Tensor>,
}

/// The gradients of [`forward_into`] (without `relu`) for `grad_y`, `[n, oh, ow, out_channels]`; `grads` is overwritten.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(
    x: &Tensor,
    weight: &Tensor,
    grad_y: &Tensor,
    params: &Conv2dParams,
    grads: LocallyConnected2dGrads<'_>,
) -> Result<()> {
    let shape = LocalShape::new(x.dims(), weight.dims(), params)?;
    let LocallyConnected2dGrads { x: grad_x, weight: grad_weight, bias: grad_bias } = grads;
    shape.check("grad_y", Some(grad_y), &shape.output_dims())?;
    shape.check("grad_x", grad_x, x.dims())?;
    shape.check("grad_weight", grad_weight, weight.dims())?;
    shape.check("grad_bias", grad_bias, &shape.bias_dims())?;
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
