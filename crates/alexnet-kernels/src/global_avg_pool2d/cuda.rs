//! The GPU path: one thread per output value.

use candle_core::Result;

use super::{GlobalShape, OP};
use crate::cuda::{Address, Queue, arguments, common_real};

pub(super) fn forward(queue: &dyn Queue, shape: GlobalShape, x: Address, y: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, y.count(OP)?);
    x.count(OP)?;
    queue.for_each(real, "global_avg_pool2d_forward", count, arguments![x, y, count, shape.pixels, shape.c])
}

pub(super) fn backward(queue: &dyn Queue, shape: GlobalShape, grad_y: Address, grad_x: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("grad_y", grad_y), ("grad_x", grad_x)])?, grad_x.count(OP)?);
    let arguments = arguments![grad_y, grad_x, count, shape.pixels, shape.c];
    queue.for_each(real, "global_avg_pool2d_backward", count, arguments)
}
