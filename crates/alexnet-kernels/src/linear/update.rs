//! The weight gradient and the optimizer update in one pass over weights and velocity: the gradient stays in the cache.

use candle_core::{Result, Tensor};

use super::{LinearShape, OP, check};
use crate::backend::CpuIsa;
use crate::gemm::Matrix;
use crate::gemm::rows::{self, Rows};
use crate::parallel::Shared;
use crate::sgd::{SgdParams, step};
use crate::simd::prefetch;
use crate::tensor::{self, read, write};

/// Computes the weight gradient of [`backward_into`](super::backward_into) and applies
/// [`sgd::update`](crate::sgd::update) with it, in one pass in which the gradient is never written to memory. The
/// result is bit-identical to the two calls. CPU only, `f32` only.
///
/// # Errors
/// As these two functions; a tensor on a GPU.
///
/// ```
/// use alexnet_kernels::linear::update_weight;
/// use alexnet_kernels::sgd::{SgdParams, SgdRule};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[1f32, 2.]], &Device::Cpu)?;
/// let grad_y = Tensor::new(&[[10f32]], &Device::Cpu)?;
/// let (weight, velocity) = (Tensor::new(&[[0f32, 0.]], &Device::Cpu)?, Tensor::new(&[[0f32, 0.]], &Device::Cpu)?);
/// let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
/// update_weight(&x, &grad_y, &weight, &velocity, &params)?;
/// assert_eq!(weight.to_vec2::<f32>()?, [[-5., -10.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn update_weight(
    x: &Tensor,
    grad_y: &Tensor,
    weight: &Tensor,
    velocity: &Tensor,
    params: &SgdParams,
) -> Result<()> {
    params.check()?;
    let shape = LinearShape::new(x.dims(), weight.dims(), None)?;
    check("grad_y", Some(grad_y), &[shape.n, shape.out_features])?;
    check("velocity", Some(velocity), weight.dims())?;
    tensor::distinct(OP, &[Some(x), Some(grad_y)], &[Some(weight), Some(velocity)])?;
    let isa = CpuIsa::current();
    read(OP, "x", x, |x| {
        read(OP, "grad_y", grad_y, |grad_y| {
            write(OP, "weight", weight, |weight| {
                write(OP, "velocity", velocity, |velocity| {
                    update_in_blocks(isa, &shape, x, grad_y, weight, velocity, params);
                    Ok(())
                })
            })
        })
    })
}

fn update_in_blocks(
    isa: CpuIsa,
    s: &LinearShape,
    x: &[f32],
    grad_y: &[f32],
    weight: &mut [f32],
    velocity: &mut [f32],
    params: &SgdParams,
) {
    let x = Matrix::row_major(x, s.in_features);
    let grad_y = Matrix::row_major(grad_y, s.out_features).transposed();
    let (weight, velocity) = (Shared::new(weight), Shared::new(velocity));
    let update = Update { weight, velocity, width: s.in_features, params };
    rows::product(isa, [s.out_features, s.in_features, s.n], grad_y, x, &update);
}

struct Update<'a> {
    weight: Shared<'a>,
    velocity: Shared<'a>,
    width: usize,
    params: &'a SgdParams,
}

impl<'a> Update<'a> {
    /// # Safety
    /// No two live parts overlap.
    unsafe fn part(&self, row: usize, first: usize, columns: usize) -> (&'a mut [f32], &'a mut [f32]) {
        let start = row * self.width + first;
        // SAFETY: the caller's contract.
        unsafe { (self.weight.slice(start..start + columns), self.velocity.slice(start..start + columns)) }
    }
}

impl Rows for Update<'_> {
    fn soon(&self, row: usize, first: usize, columns: usize) {
        // SAFETY: these values are taken later, by the same task, so no other task has a reference to them now.
        let (weight, velocity) = unsafe { self.part(row, first, columns) };
        prefetch(weight);
        prefetch(velocity);
    }

    fn take(&self, row: usize, first: usize, gradient: &[f32]) {
        // SAFETY: each value is passed to `take` once.
        let (weight, velocity) = unsafe { self.part(row, first, gradient.len()) };
        step(weight, velocity, gradient, self.params);
    }
}
