//! The GPU path: three cuBLAS products.

use candle_core::{DType, Result};

use super::{LinearShape, OP};
use crate::cuda::{Address, Gemm, Matrix, Queue, common_real};
use crate::{add, bias_relu};

fn matrix(address: Address, row: usize, transposed: bool) -> Matrix {
    Matrix { at: address.at, row, step: 0, transposed }
}

pub(super) fn forward(
    queue: &dyn Queue,
    shape: &LinearShape,
    [x, weight, bias]: [Address; 3],
    relu: bool,
    y: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("y", y)])?;
    let LinearShape { n, in_features, out_features } = *shape;
    queue.gemm(&Gemm {
        real,
        result: real,
        m: n,
        n: out_features,
        k: in_features,
        a: matrix(x, in_features, false),
        b: matrix(weight, in_features, true),
        c: matrix(y, out_features, false),
        accumulate: false,
        batch: 1,
    })?;
    bias_relu::add_bias(queue, OP, y, bias, out_features, relu)
}

/// Computes the gradients that have a buffer.
pub(super) fn backward(
    queue: &dyn Queue,
    shape: &LinearShape,
    [x, weight, grad_y]: [Address; 3],
    [grad_x, grad_weight, grad_bias]: [Address; 3],
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    let LinearShape { n, in_features, out_features } = *shape;
    let product = Gemm {
        real,
        result: real,
        m: n,
        n: in_features,
        k: out_features,
        a: matrix(grad_y, out_features, false),
        b: matrix(weight, in_features, false),
        c: matrix(grad_x, in_features, false),
        accumulate: false,
        batch: 1,
    };
    if grad_x.is_some() {
        queue.gemm(&product)?;
    }
    if grad_weight.is_some() && n == 0 {
        // Empty sums are 0.
        add::zero_on(queue, OP, grad_weight)?;
    } else if grad_weight.is_some() {
        let (a, b) = (matrix(grad_y, out_features, true), matrix(x, in_features, false));
        let c = matrix(grad_weight, in_features, false);
        let result = grad_weight.real(OP, "grad_weight")?;
        queue.gemm(&Gemm { result, m: out_features, k: n, a, b, c, ..product })?;
    }
    if grad_bias.is_some() {
        grad_bias.expect(OP, "grad_bias", DType::F32)?;
        bias_relu::sum_rows(queue, OP, grad_y, grad_bias)?;
    }
    Ok(())
}
