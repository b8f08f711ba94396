//! In-place sums of tensors, for networks whose paths merge.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use crate::cuda::{self as device, Address, Queue};
use crate::tensor;

pub(crate) use cuda::{scale as scale_on, zero as zero_on};

const OP: &str = "add";

/// Adds `x` to `sum`, both contiguous `f32` tensors of the same shape. For a differentiable sum, use Candle's `+`.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let (x, sum) = (Tensor::new(&[1f32, 2.], &Device::Cpu)?, Tensor::new(&[10f32, 20.], &Device::Cpu)?);
/// alexnet_kernels::add::accumulate_into(&x, &sum)?;
/// assert_eq!(sum.to_vec1::<f32>()?, [11., 22.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// Different shapes, a tensor that is not contiguous or has an unsupported element type, or shared storage.
pub fn accumulate_into(x: &Tensor, sum: &Tensor) -> Result<()> {
    if let Some(done) = on_gpu(x, sum, |queue, x, sum| cuda::accumulate(queue, x, sum)) {
        return done;
    }
    cpu::accumulate(x, sum)
}

/// Overwrites `y` with `factor · x`, both contiguous, of the same shape, and `f32` or `bf16`. With factor 1 it converts
/// between the types, rounding to the nearest, ties to even. On a GPU either or both may be `bf16`, on the CPU only
/// `y`.
///
/// # Errors
/// As [`accumulate_into`].
pub fn scale_into(x: &Tensor, factor: f32, y: &Tensor) -> Result<()> {
    if let Some(done) = on_gpu(x, y, |queue, x, y| scale_on(queue, OP, x, factor, y)) {
        return done;
    }
    cpu::scale(x, factor, y)
}

fn on_gpu(x: &Tensor, y: &Tensor, f: impl FnOnce(&dyn Queue, Address, Address) -> Result<()>) -> Option<Result<()>> {
    if let Err(error) = check(x, y) {
        return Some(Err(error));
    }
    device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| f(queue, x, y))
}

fn check(x: &Tensor, y: &Tensor) -> Result<()> {
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])
}
