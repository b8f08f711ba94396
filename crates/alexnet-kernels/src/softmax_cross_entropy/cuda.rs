//! The GPU path: one block per row.

use candle_core::{DType, Result};

use super::OP;
use crate::cuda::{Address, Grid, Queue, Real, arguments, common_real};

/// `REDUCE_THREADS` of `kernel.cuh`.
const THREADS: u32 = 256;

/// The mean of the rows' losses, a single value.
pub(super) fn mean(
    queue: &dyn Queue,
    shape: (usize, usize),
    logits: Address,
    labels: Address,
    mean: Address,
) -> Result<()> {
    queue.with_scratch(shape.0 * size_of::<f32>(), &mut |losses| {
        let losses = Address { at: losses, len: shape.0, dtype: DType::F32 };
        forward(queue, shape, logits, labels, losses, Address::NONE)?;
        let grid = Grid { blocks: [1, 1, 1], threads: [THREADS, 1, 1] };
        queue.launch(Real::F32, "mean", grid, arguments![losses, mean, shape.0])
    })
}

/// `labels` are `u32` or, as weights of all classes, `f32`.
pub(super) fn forward(
    queue: &dyn Queue,
    (n, classes): (usize, usize),
    logits: Address,
    labels: Address,
    losses: Address,
    grad_logits: Address,
) -> Result<()> {
    let real = common_real(OP, [("logits", logits), ("grad_logits", grad_logits)])?;
    losses.expect(OP, "losses", DType::F32)?;
    logits.count(OP)?;
    // A single row of one class may have labels or weights.
    let weighted = labels.len == n * classes && (labels.len != n || labels.dtype == DType::F32);
    labels.expect(OP, "labels", if weighted { DType::F32 } else { DType::U32 })?;
    let (labels, weights) = if weighted { (Address::NONE, labels) } else { (labels, Address::NONE) };
    let grid = Grid { blocks: [n as u32, 1, 1], threads: [THREADS, 1, 1] };
    let arguments = arguments![logits, labels, weights, losses, grad_logits, n, classes];
    queue.launch(real, "softmax_cross_entropy", grid, arguments)
}
