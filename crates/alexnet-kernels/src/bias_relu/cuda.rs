//! The GPU path: biases in place, and sums over rows in two steps whose order depends only on the sizes.

use candle_core::{DType, Result};

use super::OP;
use crate::activation;
use crate::cuda::{Address, Grid, Queue, Real, VECTOR, arguments, common_real, in_vectors};

/// Threads of a block in y and x (`SUM_ROWS`, `SUM_COLUMNS`), maximum number of parts, and minimum number of rows of a
/// part.
const ROWS: u32 = 64;
const COLUMNS: u32 = 4;
const PARTS: u32 = 256;
const ROWS_PER_PART: u32 = 128;

/// Adds the bias, if any, to each row of `channels` values of `x`; `relu` applies a ReLU to the sum.
pub(crate) fn forward(
    queue: &dyn Queue,
    op: &'static str,
    x: Address,
    bias: Address,
    channels: usize,
    relu: bool,
) -> Result<()> {
    if !bias.is_some() && !relu {
        return Ok(());
    }
    forward_into(queue, op, x, (x, channels), bias, channels, relu)
}

/// As [`forward`], from rows of `channels` values of `x` into wider rows that begin at the first value of `y`.
pub(crate) fn forward_into(
    queue: &dyn Queue,
    op: &'static str,
    x: Address,
    (y, y_width): (Address, usize),
    bias: Address,
    channels: usize,
    relu: bool,
) -> Result<()> {
    let (real, count) = (common_real(op, [("x", x), ("y", y)])?, x.count(op)?);
    bias.expect(op, "bias", DType::F32)?;
    let vector = in_vectors(channels, [x, y, bias]) && in_vectors(y_width, []);
    let arguments = arguments![x, y, y_width, bias, count, channels, relu, vector];
    queue.for_vectors(real, "bias_forward", count, vector, arguments)
}

/// The gradient of the bias: the sum over all rows of `grad_y`.
pub(crate) fn backward(queue: &dyn Queue, op: &'static str, grad_y: Address, grad_bias: Address) -> Result<()> {
    let (real, count) = (grad_y.real(op, "grad_y")?, grad_y.count(op)?);
    grad_bias.expect(op, "grad_bias", DType::F32)?;
    let columns = grad_bias.count(op)?;
    if columns == 0 {
        return Ok(());
    }
    let rows = count / columns;
    let rows_per_part = rows.div_ceil(PARTS).max(ROWS_PER_PART).next_multiple_of(ROWS);
    let parts = rows.div_ceil(rows_per_part).max(1);
    let vector = in_vectors(columns as usize, [grad_y]);
    let columns_of_block = COLUMNS * if vector { VECTOR as u32 } else { 1 };
    let grid = Grid { blocks: [columns.div_ceil(columns_of_block), parts, 1], threads: [COLUMNS, ROWS, 1] };
    queue.with_scratch((parts * columns) as usize * size_of::<f32>(), &mut |partial| {
        let partial = Address { at: partial, len: (parts * columns) as usize, dtype: DType::F32 };
        queue.launch(real, "column_sums", grid, arguments![grad_y, partial, rows, columns, rows_per_part, vector])?;
        queue.for_each(Real::F32, "add_parts", columns, arguments![partial, grad_bias, columns, parts])
    })
}

/// The gradients of the standalone operation: of x in place, then of the bias.
pub(super) fn backward_in_place(queue: &dyn Queue, y: Address, grad_y: Address, grad_bias: Address) -> Result<()> {
    activation::rectify_gradient(queue, y, grad_y)?;
    if grad_bias.is_some() { backward(queue, OP, grad_y, grad_bias) } else { Ok(()) }
}
