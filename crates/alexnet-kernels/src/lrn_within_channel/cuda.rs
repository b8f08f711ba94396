//! The GPU path: one thread per vector of channels, or per value; backward has two steps and stores the term of each
//! value's own square between them.

use candle_core::{DType, Result};

use super::{LrnWithinChannelParams, OP};
use crate::cuda::{Address, Queue, arguments, common_real, in_vectors};

type Dims = (usize, usize, usize, usize);

pub(super) fn forward(
    queue: &dyn Queue,
    (_, h, w, c): Dims,
    params: &LrnWithinChannelParams,
    x: Address,
    y: Address,
) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let LrnWithinChannelParams { size, k, alpha, beta } = *params;
    let vector = in_vectors(c, [x, y]);
    let arguments = arguments![x, y, count, h, w, c, size, k, alpha, beta, vector];
    queue.for_vectors(real, "lrn_within_channel_forward", count, vector, arguments)
}

pub(super) fn backward(
    queue: &dyn Queue,
    (_, h, w, c): Dims,
    params: &LrnWithinChannelParams,
    x: Address,
    grad_y: Address,
    grad_x: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    let (count, LrnWithinChannelParams { size, k, alpha, beta }) = (x.count(OP)?, *params);
    queue.with_scratch(x.len * size_of::<f32>(), &mut |terms| {
        let terms = Address { at: terms, len: x.len, dtype: DType::F32 };
        let vector = in_vectors(c, [x, grad_y, grad_x, terms]);
        let arguments = arguments![x, grad_y, grad_x, terms, count, h, w, c, size, k, alpha, beta, vector];
        queue.for_vectors(real, "lrn_within_channel_terms", count, vector, arguments)?;
        let arguments = arguments![x, terms, grad_x, count, h, w, c, size, alpha, beta, vector];
        queue.for_vectors(real, "lrn_within_channel_backward", count, vector, arguments)
    })
}
