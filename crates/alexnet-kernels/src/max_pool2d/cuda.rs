//! The GPU path: one thread per vector of channels of the output, or per value.

use candle_core::{DType, Result};

use super::{OP, index_dtype};
use crate::cuda::{Address, Queue, arguments, common_real, in_vectors};
use crate::pool2d::{Pool2dParams, Pool2dShape};

pub(super) fn forward(queue: &dyn Queue, shape: &Pool2dShape, x: Address, y: Address, indices: Address) -> Result<()> {
    let real = common_real(OP, [("x", x), ("y", y)])?;
    let (count, Pool2dShape { h, w, c, oh, ow, params, .. }) = (y.count(OP)?, *shape);
    x.count(OP)?;
    indices.expect(OP, "indices", index_dtype(&params))?;
    let wide = index_dtype(&params) == DType::U32;
    let vector = in_vectors(c, [x, y, indices]);
    let Pool2dParams { kernel_size, stride, padding, .. } = params;
    let arguments = arguments![x, y, indices, wide, count, h, w, c, oh, ow, kernel_size, stride, padding, vector];
    queue.for_vectors(real, "max_pool2d_forward", count, vector, arguments)
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
    let vector = in_vectors(c, [grad_y, indices, grad_x]);
    let Pool2dParams { kernel_size, stride, padding, .. } = params;
    let arguments =
        arguments![grad_y, indices, wide, grad_x, count, h, w, c, oh, ow, kernel_size, stride, padding, vector];
    queue.for_vectors(real, "max_pool2d_backward", count, vector, arguments)
}
