//! The GPU path: one thread per value.

use candle_core::{DType, Result};

use super::{OP, Shape};
use crate::cuda::{Address, Queue, arguments};

pub(super) fn normalize(
    queue: &dyn Queue,
    shape: &Shape,
    x: Address,
    numbers: Address,
    mean: Address,
    y: Address,
) -> Result<()> {
    let (real, count) = (y.real(OP, "y")?, y.count(OP)?);
    x.expect(OP, "x", DType::U8)?;
    numbers.expect(OP, "numbers", DType::F32)?;
    mean.expect(OP, "mean", DType::F32)?;
    let Shape { h, w, mean_size: [mean_h, mean_w], channels: [red, green, blue], .. } = *shape;
    let channels = (red | green << 2 | blue << 4) as u32;
    queue.for_each(real, "pixels", count, arguments![x, numbers, mean, y, count, h, w, mean_h, mean_w, channels])
}
