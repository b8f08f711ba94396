//! The GPU path: one pass over memory, in vectors where length and alignment allow it.

use candle_core::{DType, Result};

use super::OP;
use crate::cuda::{Address, Queue, Real, arguments, common_real, in_vectors};

pub(super) fn accumulate(queue: &dyn Queue, x: Address, sum: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("sum", sum)])?, x.count(OP)?);
    let vector = in_vectors(x.len, [x, sum]);
    queue.for_vectors(real, "accumulate", count, vector, arguments![x, sum, count, vector])
}

/// y = factor · x.
pub(crate) fn scale(queue: &dyn Queue, op: &'static str, x: Address, factor: f32, y: Address) -> Result<()> {
    let (from, to, count) = (x.real(op, "x")?, y.real(op, "y")?, x.count(op)?);
    let (real, kernel) = match (from, to) {
        (Real::F32, Real::Bf16) => (to, "scale_from_f32"),
        (Real::Bf16, Real::F32) => (from, "scale_to_f32"),
        _ => (from, "scale"),
    };
    let vector = in_vectors(x.len, [x, y]);
    queue.for_vectors(real, kernel, count, vector, arguments![x, y, count, factor, vector])
}

/// Fills a gradient in `f32` with zeros.
pub(crate) fn zero(queue: &dyn Queue, op: &'static str, y: Address) -> Result<()> {
    y.expect(op, "the gradient", DType::F32)?;
    let count = y.count(op)?;
    queue.for_each(Real::F32, "set_zero", count, arguments![y, count])
}
