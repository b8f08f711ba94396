//! The gradient of the weights and the solver's update in one pass over weights and velocity: the gradient never leaves
//! the cache.

use super::LinearShape;
use crate::backend::CpuIsa;
use crate::gemm::Matrix;
use crate::gemm::rows::{self, Rows};
use crate::parallel::Shared;
use crate::sgd::{SgdParams, step};
use crate::simd::prefetch;

pub(super) fn update_weight(
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
        // SAFETY: the caller's promise.
        unsafe { (self.weight.slice(start..start + columns), self.velocity.slice(start..start + columns)) }
    }
}

impl Rows for Update<'_> {
    fn soon(&self, row: usize, first: usize, columns: usize) {
        // SAFETY: these values are taken later and by the same task, so nobody else has them now.
        let (weight, velocity) = unsafe { self.part(row, first, columns) };
        prefetch(weight);
        prefetch(velocity);
    }

    fn take(&self, row: usize, first: usize, gradient: &[f32]) {
        // SAFETY: each value comes once.
        let (weight, velocity) = unsafe { self.part(row, first, gradient.len()) };
        step(weight, velocity, gradient, self.params);
    }
}
