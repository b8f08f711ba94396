//! Dropout with a mask that is computed from seed, step and layer, not stored as a tensor.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda as device;
use crate::error::{self, Error};
use crate::tensor::{self, read, write};

const OP: &str = "dropout";

/// When kept values are scaled, so that the expected sums in training and testing are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropoutScaling {
    /// Training only masks; testing multiplies by the probability of being kept. As in the paper (section 4.2) and the
    /// 2012 code.
    AtTest,
    /// Training divides kept values by that probability; testing changes nothing. As in Caffe, PyTorch and Candle.
    Inverted,
}

/// The dropout of one layer in one step.
///
/// Value `v` of the tensor, in memory order, is kept if number `i` = `first_value` + `v` of the stream (seed, dropout, step, layer) is
/// below the probability of being kept. That number is word `i mod 4` of the Philox4x32-10 block with counter
/// `[⌊i/4⌋, layer, step, purpose 4]` and key `seed`, with its upper 24 bits read as a fraction. Backward draws the same
/// numbers again, so no mask is stored, and a GPU draws the same mask as a CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutParams {
    /// The probability that a value is dropped, at least 0 and below 1.
    pub probability: f32,
    /// When the kept values are scaled.
    pub scaling: DropoutScaling,
    /// The seed of the run.
    pub seed: u64,
    /// The training step.
    pub step: u32,
    /// The number of the layer: no two layers share a mask.
    pub layer: u32,
    /// Index of the tensor's first value in the whole batch: 0, or for a part of a batch the number of values before it, so
    /// that the part gets the mask that it would get in the whole.
    pub first_value: u64,
}

impl DropoutParams {
    fn check(&self) -> std::result::Result<(), Error> {
        if (0.0..1.0).contains(&self.probability) {
            return Ok(());
        }
        error::parameter(OP, format!("the probability must be in [0, 1), but is {}", self.probability))
    }

    /// The probability of being kept.
    pub(crate) fn keep(&self) -> f32 {
        1.0 - self.probability
    }

    /// The integer form of `uniform() < keep`: the upper 24 bits of a word, times 2^-24, are below `keep` if they are
    /// below this threshold.
    pub(crate) fn threshold(&self) -> u32 {
        (f64::from(self.keep()) * f64::from(1 << 24)).ceil() as u32
    }

    /// Factor of kept values in training.
    pub(crate) fn training_factor(&self) -> f32 {
        match self.scaling {
            DropoutScaling::AtTest => 1.0,
            DropoutScaling::Inverted => 1.0 / self.keep(),
        }
    }

    /// Factor of all values in testing.
    pub fn test_factor(&self) -> f32 {
        match self.scaling {
            DropoutScaling::AtTest => self.keep(),
            DropoutScaling::Inverted => 1.0,
        }
    }
}

/// Dropout in training; differentiable. In testing, multiply by [`DropoutParams::test_factor`] instead.
///
/// `x` has any shape, `f32`; the result is contiguous and has the same shape.
///
/// # Errors
/// A probability outside [0, 1), an unsupported element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 4.2; `HiddenSexLayer` in the 2012 code's `layer.cu`.
///
/// ```
/// use alexnet_kernels::dropout::{DropoutParams, DropoutScaling, dropout};
/// use candle_core::{DType, Device, Tensor};
///
/// let x = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
/// let params =
///     DropoutParams { probability: 0.5, scaling: DropoutScaling::AtTest, seed: 1, step: 0, layer: 0, first_value: 0 };
/// let kept = dropout(&x, &params)?.sum_all()?.to_scalar::<f32>()?;
/// assert!((440. ..560.).contains(&kept));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn dropout(x: &Tensor, params: &DropoutParams) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Op(*params))
}

/// Writes `x`, masked and scaled, into `y`; both are contiguous and have the same shape. The gradient is the same
/// operation on the gradient of y.
///
/// # Errors
/// As [`dropout`]; a tensor is not contiguous, or both share their storage.
pub fn apply_into(x: &Tensor, params: &DropoutParams, y: &Tensor) -> Result<()> {
    params.check()?;
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    if let Some(done) =
        device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| cuda::apply(queue, x, params, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            cpu::apply(x, params, y);
            Ok(())
        })
    })
}

/// The custom operation, on contiguous tensors.
struct Op(DropoutParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.check()?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; x.len()];
        cpu::apply(x, &self.0, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.check()?;
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| cuda::apply(queue, x, &self.0, y))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        apply_into(&grad_y.contiguous()?, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
