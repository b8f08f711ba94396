//! The GPU path: one thread per vector of channels for windows of the usual size. For others, forward has one thread
//! per value, and backward one block per 256 values.

use candle_core::Result;

use super::{LrnParams, OP};
use crate::cuda::{Address, Grid, Queue, arguments, common_real, in_vectors};
use crate::error;

/// The window size of the kernels with one vector per thread: `LRN_WINDOW` of `lrn.cu`.
const WINDOW: usize = 5;

/// Number of values of a block in backward, and the maximum reach of its windows: `LRN_TILE` and `LRN_REACH` of
/// `lrn.cu`.
const TILE: u32 = 256;
const REACH: usize = 32;

pub(super) fn forward(queue: &dyn Queue, channels: usize, params: &LrnParams, x: Address, y: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let LrnParams { size, k, alpha, beta, groups } = *params;
    let group = channels / groups;
    if size == WINDOW && in_vectors(group, [x, y]) {
        let arguments = arguments![x, y, count, group, k, alpha, beta];
        return queue.for_vectors(real, "lrn_forward_vectors", count, true, arguments);
    }
    let arguments = arguments![x, y, count, group, size, k, alpha, beta];
    queue.for_each(real, "lrn_forward", count, arguments)
}

pub(super) fn backward(
    queue: &dyn Queue,
    channels: usize,
    params: &LrnParams,
    x: Address,
    grad_y: Address,
    grad_x: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    let (count, LrnParams { size, k, alpha, beta, groups }) = (x.count(OP)?, *params);
    let group = channels / groups;
    if size == WINDOW && in_vectors(group, [x, grad_y, grad_x]) {
        let arguments = arguments![x, grad_y, grad_x, count, group, k, alpha, beta];
        return queue.for_vectors(real, "lrn_backward_vectors", count, true, arguments);
    }
    if size > REACH + 1 {
        let rule = format!("on a GPU a window has at most {} channels, but size is {size}", REACH + 1);
        return Ok(error::parameter(OP, rule)?);
    }
    if count == 0 {
        return Ok(());
    }
    let grid = Grid { blocks: [count.div_ceil(TILE), 1, 1], threads: [TILE, 1, 1] };
    let arguments = arguments![x, grad_y, grad_x, count, group, size, k, alpha, beta];
    queue.launch(real, "lrn_backward", grid, arguments)
}
