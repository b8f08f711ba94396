//! The GPU path: one thread per value. Intermediate values of neighboring pixels are in scratch memory, in `f32`.

use candle_core::{DType, Result};

use super::{ContrastNormParams, OP};
use crate::cuda::{Address, Queue, arguments, common_real};

type Dims = (usize, usize, usize, usize);

pub(super) fn forward(
    queue: &dyn Queue,
    (_, h, w, c): Dims,
    params: &ContrastNormParams,
    x: Address,
    y: Address,
) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let ContrastNormParams { size, alpha, beta } = *params;
    with_buffers(queue, x.len, |[deviations]| {
        queue.for_each(real, "contrast_norm_deviations", count, arguments![x, deviations, count, h, w, c, size])?;
        let arguments = arguments![x, deviations, y, count, h, w, c, size, alpha, beta];
        queue.for_each(real, "contrast_norm_forward", count, arguments)
    })
}

pub(super) fn backward(
    queue: &dyn Queue,
    (_, h, w, c): Dims,
    params: &ContrastNormParams,
    x: Address,
    grad_y: Address,
    grad_x: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    let (count, ContrastNormParams { size, alpha, beta }) = (x.count(OP)?, *params);
    with_buffers(queue, x.len, |[deviations, terms, scaled]| {
        queue.for_each(real, "contrast_norm_deviations", count, arguments![x, deviations, count, h, w, c, size])?;
        let arguments = arguments![x, grad_y, deviations, terms, scaled, count, h, w, c, size, alpha, beta];
        queue.for_each(real, "contrast_norm_terms", count, arguments)?;
        let arguments = arguments![deviations, terms, count, h, w, c, size, alpha, beta];
        queue.for_each(real, "contrast_norm_slopes", count, arguments)?;
        let arguments = arguments![deviations, scaled, grad_x, count, h, w, c, size];
        queue.for_each(real, "contrast_norm_backward", count, arguments)
    })
}

/// Calls `f` with buffers of `len` values each.
fn with_buffers<const N: usize>(queue: &dyn Queue, len: usize, f: impl Fn([Address; N]) -> Result<()>) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    queue.with_scratch(N * len * size_of::<f32>(), &mut |at| {
        let all = Address { at, len: N * len, dtype: DType::F32 };
        f(std::array::from_fn(|i| all.offset(i * len)))
    })
}
