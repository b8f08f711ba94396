//! Bias and ReLU in one pass.
//!
//! [`crate::conv2d::forward_into`] and [`crate::linear::forward_into`] do this while a result is still in registers;
//! this operation is for products computed elsewhere.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor};

use crate::add;
use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout;
use crate::tensor::{self, read, write, write_optional};

pub(crate) use cuda::{backward as sum_rows, forward as add_bias, forward_into as add_bias_into};

const OP: &str = "bias_relu";

/// Adds a bias per channel and applies a ReLU; differentiable in both arguments.
///
/// y = max(0, x + bias\[c\]), with ReLU'(0) = 0 as in PyTorch and cuda-convnet (1 in Candle).
///
/// `x` is an image batch `[n, c, h, w]` or vectors `[n, c]`, `bias` `[c]`, both `f32`; the result has x's shape and
/// [memory format](crate::MemoryFormat).
///
/// # Errors
/// A bias whose length is not the number of channels, an unsupported rank or element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.1.
///
/// ```
/// use alexnet_kernels::bias_relu::bias_relu;
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[-1f32, 2.], [0.5, -3.]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0.5f32, 1.], &Device::Cpu)?;
/// assert_eq!(bias_relu(&x, &bias)?.to_vec2::<f32>()?, [[0., 3.], [1., 0.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn bias_relu(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let bias = bias.contiguous()?;
    if x.rank() == 2 {
        return x.contiguous()?.apply_op2(&bias, Op);
    }
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op2(&bias, Op)?, format)
}

/// Adds the bias to `x`, whose last dimension is the channels, and applies a ReLU, in place.
///
/// # Errors
/// A bias whose length is not the last dimension; a tensor that is not contiguous or has an unsupported element type.
pub fn forward_in_place(x: &Tensor, bias: &Tensor) -> Result<()> {
    check(x.dims(), bias.dims())?;
    tensor::distinct(OP, &[Some(bias)], &[Some(x)])?;
    let channels = bias.elem_count();
    if let Some(done) = device::run(OP, [("bias", Some(bias))], [("x", Some(x))], |queue, [bias], [x]| {
        cuda::forward(queue, OP, x, bias, channels, true)
    }) {
        return done;
    }
    read(OP, "bias", bias, |bias| {
        write(OP, "x", x, |x| {
            cpu::forward(x, bias);
            Ok(())
        })
    })
}

/// Turns `grad_y` into the gradient of x, in place, and writes the gradient of the bias; `y` is the output of forward.
///
/// # Errors
/// As [`forward_in_place`].
pub fn backward_in_place(y: &Tensor, grad_y: &Tensor, grad_bias: Option<&Tensor>) -> Result<()> {
    if let Some(grad_bias) = grad_bias {
        check(y.dims(), grad_bias.dims())?;
    }
    tensor::same_shape(OP, y, &[("grad_y", grad_y)])?;
    tensor::distinct(OP, &[Some(y)], &[Some(grad_y), grad_bias])?;
    let writes = [("grad_y", Some(grad_y)), ("grad_bias", grad_bias)];
    if let Some(done) = device::run(OP, [("y", Some(y))], writes, |queue, [y], [grad_y, grad_bias]| {
        cuda::backward_in_place(queue, y, grad_y, grad_bias)
    }) {
        return done;
    }
    read(OP, "y", y, |y| {
        write(OP, "grad_y", grad_y, |grad_y| {
            write_optional(OP, "grad_bias", grad_bias, |grad_bias| {
                cpu::backward(y, grad_y, grad_bias);
                Ok(())
            })
        })
    })
}

fn check(x: &[usize], bias: &[usize]) -> std::result::Result<(), Error> {
    match (x.last(), bias) {
        (Some(&channels), &[len]) if channels == len && len > 0 => Ok(()),
        _ => error::shape(OP, "bias", format!("one value per channel of x of shape {x:?}, channels last"), bias),
    }
}

/// The custom operation, on contiguous tensors with the channels last.
struct Op;

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        check(xl.dims(), bl.dims())?;
        let mut y = tensor::slice::<f32>(OP, "x", x, xl)?.to_vec();
        cpu::forward(&mut y, tensor::slice(OP, "bias", b, bl)?);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, b: &CudaStorage, bl: &Layout) -> Result<(CudaStorage, Shape)> {
        check(xl.dims(), bl.dims())?;
        let channels = bl.dims()[0];
        device::apply(OP, [("x", x, xl), ("bias", b, bl)], xl.shape(), None, |queue, [x, bias], y| {
            add::scale_on(queue, OP, x, 1.0, y)?;
            cuda::forward(queue, OP, y, bias, channels, true)
        })
    }

    fn bwd(&self, _: &Tensor, b: &Tensor, y: &Tensor, grad_y: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_bias) = (grad_y.force_contiguous()?, b.zeros_like()?);
        backward_in_place(y, &grad_x, Some(&grad_bias))?;
        Ok((Some(grad_x), Some(grad_bias)))
    }
}
