//! The GPU: forward a thread per value; backward a block for 256 of them.

use candle_core::Result;

use super::{LrnParams, OP};
use crate::cuda::{Address, Grid, Queue, arguments, common_real};
use crate::error;

/// Values of a block of backward and how far its windows may reach: `LRN_TILE` and `LRN_REACH` of `lrn.cu`.
const TILE: u32 = 256;
const REACH: usize = 32;

pub(super) fn forward(queue: &dyn Queue, channels: usize, params: &LrnParams, x: Address, y: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let LrnParams { size, k, alpha, beta, groups } = *params;
    let arguments = arguments![x, y, count, channels / groups, size, k, alpha, beta];
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
    if size > REACH + 1 {
        let rule = format!("on a GPU a window has at most {} channels, but size is {size}", REACH + 1);
        return Ok(error::parameter(OP, rule)?);
    }
    if count == 0 {
        return Ok(());
    }
    let grid = Grid { blocks: [count.div_ceil(TILE), 1, 1], threads: [TILE, 1, 1] };
    let arguments = arguments![x, grad_y, grad_x, count, channels / groups, size, k, alpha, beta];
    queue.launch(real, "lrn_backward", grid, arguments)
}
