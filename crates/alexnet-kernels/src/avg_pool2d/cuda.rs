//! The GPU path: one thread per output value.

use candle_core::Result;

use super::OP;
use crate::cuda::{Address, Queue, arguments, common_real};
use crate::pool2d::Pool2dShape;

pub(super) fn forward(queue: &dyn Queue, shape: &Pool2dShape, x: Address, y: Address) -> Result<()> {
    let real = common_real(OP, [("x", x), ("y", y)])?;
    let (count, Pool2dShape { h, w, c, oh, ow, params, .. }) = (y.count(OP)?, *shape);
    x.count(OP)?;
    let arguments = arguments![x, y, count, h, w, c, oh, ow, params.kernel_size, params.stride, params.padding];
    queue.for_each(real, "avg_pool2d_forward", count, arguments)
}

pub(super) fn backward(queue: &dyn Queue, shape: &Pool2dShape, grad_y: Address, grad_x: Address) -> Result<()> {
    let real = common_real(OP, [("grad_y", grad_y), ("grad_x", grad_x)])?;
    let (count, Pool2dShape { h, w, c, oh, ow, params, .. }) = (grad_x.count(OP)?, *shape);
    grad_y.count(OP)?;
    let arguments =
        arguments![grad_y, grad_x, count, h, w, c, oh, ow, params.kernel_size, params.stride, params.padding];
    queue.for_each(real, "avg_pool2d_backward", count, arguments)
}
