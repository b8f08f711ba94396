//! The GPU: a thread per value of the result.

use candle_core::{DType, Result};

use super::{OP, index_dtype};
use crate::cuda::{Address, Queue, arguments, common_real};
use crate::pool2d::Pool2dShape;

pub(super) fn forward(queue: &dyn Queue, shape: &Pool2dShape, x: Address, y: Address, indices: Address) -> Result<()> {
    let real = common_real(OP, [("x", x), ("y", y)])?;
    let (count, Pool2dShape { h, w, c, oh, ow, params, .. }) = (y.count(OP)?, *shape);
    x.count(OP)?;
    indices.expect(OP, "indices", index_dtype(&params))?;
    let wide = index_dtype(&params) == DType::U32;
    let arguments =
        arguments![x, y, indices, wide, count, h, w, c, oh, ow, params.kernel_size, params.stride, params.padding];
    queue.for_each(real, "max_pool2d_forward", count, arguments)
}

pub(super) fn backward(
    queue: &dyn Queue,
    shape: &Pool2dShape,
    grad_y: Address,
    indices: Address,
    grad_x: Address,
) -> Result<()> {
    let real = common_real(OP, [("grad_y", grad_y), ("grad_x", grad_x)])?;
    let (count, Pool2dShape { h, w, c, oh, ow, params, .. }) = (grad_x.count(OP)?, *shape);
    grad_y.count(OP)?;
    indices.expect(OP, "indices", index_dtype(&params))?;
    let wide = index_dtype(&params) == DType::U32;
    let arguments = arguments![
        grad_y,
        indices,
        wide,
        grad_x,
        count,
        h,
        w,
        c,
        oh,
        ow,
        params.kernel_size,
        params.stride,
        params.padding
    ];
    queue.for_each(real, "max_pool2d_backward", count, arguments)
}
