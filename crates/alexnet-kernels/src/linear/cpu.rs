//! The fast path: three matrix products.

use super::LinearShape;
use crate::backend::CpuIsa;
use crate::gemm::packed::{self, Finish};
use crate::gemm::{Matrix, dot, in_place, streamed};
use crate::simd::Load;

pub(super) fn forward<W: Load>(
    isa: CpuIsa,
    s: &LinearShape,
    x: &[f32],
    weight: &[W],
    bias: &[f32],
    relu: bool,
    y: &mut [f32],
) {
    if s.in_features == 0 {
        // Empty sums are 0, so the result is the bias.
        for y in y.chunks_exact_mut(s.out_features.max(1)) {
            y.iter_mut().enumerate().for_each(|(i, y)| {
                let bias = bias.get(i).copied().unwrap_or(0.0);
                *y = if relu && bias <= 0.0 { 0.0 } else { bias };
            });
        }
        return;
    }
    let (sizes, finish) = ([s.n, s.out_features, s.in_features], Finish { bias, relu });
    if s.n <= dot::MAX_ROWS {
        dot::product(isa, sizes, x, weight, finish, y);
    } else {
        streamed::product(isa, sizes, x, weight, finish, y);
    }
}

pub(super) fn backward_input(isa: CpuIsa, s: &LinearShape, weight: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
    if grad_x.is_empty() || s.out_features == 0 {
        return grad_x.fill(0.0);
    }
    let sizes = [s.n, s.in_features, s.out_features];
    let grad_y = Matrix::row_major(grad_y, s.out_features);
    if s.n <= in_place::MAX_ROWS {
        in_place::product(isa, sizes, grad_y, weight, grad_x);
    } else {
        let weight = Matrix::row_major(weight, s.in_features);
        packed::product(isa, sizes, grad_y, weight, Finish::default(), grad_x);
    }
}

/// Skips a gradient whose slice is empty.
pub(super) fn backward_weight(
    isa: CpuIsa,
    s: &LinearShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    if s.n == 0 {
        grad_weight.fill(0.0);
    } else if !grad_weight.is_empty() {
        let x = Matrix::row_major(x, s.in_features);
        let grad_y = Matrix::row_major(grad_y, s.out_features).transposed();
        packed::product(isa, [s.out_features, s.in_features, s.n], grad_y, x, Finish::default(), grad_weight);
    }
    if !grad_bias.is_empty() {
        grad_bias.fill(0.0);
        for grad_y in grad_y.chunks_exact(s.out_features) {
            grad_bias.iter_mut().zip(grad_y).for_each(|(sum, value)| *sum += value);
        }
    }
}
