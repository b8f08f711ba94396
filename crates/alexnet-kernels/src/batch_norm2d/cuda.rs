//! The GPU path: statistics in two passes over x, first the sums, then the deviations from their mean. Sums are split
//! into parts whose order depends only on the sizes.

use candle_core::{DType, Result};

use super::{BatchNorm2dParams, OP, Rows};
use crate::bias_relu;
use crate::cuda::{Address, Grid, Queue, Real, arguments, common_real, count};

/// Rows and columns of a block (`NORM_ROWS`, `NORM_COLUMNS`), maximum number of parts, and minimum number of rows of a
/// part.
const ROWS: u32 = 8;
const COLUMNS: u32 = 32;
const PARTS: u32 = 64;
const ROWS_PER_PART: u32 = 64;

/// How two sums over the rows are split into parts.
struct Parts {
    rows: u32,
    rows_per_part: u32,
    parts: u32,
    channels: u32,
}

impl Parts {
    fn new(Rows { rows, channels }: Rows) -> Result<Self> {
        let (rows, channels) = (count(OP, rows)?, count(OP, channels)?);
        let rows_per_part = rows.div_ceil(PARTS).max(ROWS_PER_PART).next_multiple_of(ROWS);
        Ok(Self { rows, rows_per_part, parts: rows.div_ceil(rows_per_part).max(1), channels })
    }

    fn grid(&self) -> Grid {
        Grid { blocks: [self.channels.div_ceil(COLUMNS), self.parts, 1], threads: [COLUMNS, ROWS, 1] }
    }

    /// Number of values of both sums of all parts.
    fn len(&self) -> usize {
        2 * self.parts as usize * self.channels as usize
    }
}

fn vectors<const N: usize>(vectors: [(&'static str, Address); N]) -> Result<()> {
    vectors.into_iter().try_for_each(|(name, vector)| vector.expect(OP, name, DType::F32))
}

/// Writes running mean and variance, mean and inverse standard deviation.
pub(super) fn batch_statistics(
    queue: &dyn Queue,
    rows: Rows,
    params: &BatchNorm2dParams,
    x: Address,
    [running_mean, running_variance, mean, inverse_std]: [Address; 4],
) -> Result<()> {
    let real = x.real(OP, "x")?;
    x.count(OP)?;
    vectors([("running_mean", running_mean), ("running_variance", running_variance)])?;
    vectors([("mean", mean), ("inverse_std", inverse_std)])?;
    let parts = Parts::new(rows)?;
    // `mean` holds the sums first.
    bias_relu::sum_rows(queue, OP, x, mean)?;
    queue.with_scratch(parts.len() * size_of::<f32>(), &mut |partial| {
        let partial = Address { at: partial, len: parts.len(), dtype: DType::F32 };
        let Parts { rows, rows_per_part, parts: count, channels } = parts;
        let arguments = arguments![x, mean, partial, rows, channels, rows_per_part];
        queue.launch(real, "batch_norm_deviations", parts.grid(), arguments)?;
        let BatchNorm2dParams { momentum, eps, .. } = *params;
        let arguments = arguments![
            partial,
            running_mean,
            running_variance,
            mean,
            inverse_std,
            channels,
            rows,
            count,
            momentum,
            eps
        ];
        queue.for_each(Real::F32, "batch_norm_statistics", channels, arguments)
    })
}

pub(super) fn running_statistics(
    queue: &dyn Queue,
    rows: Rows,
    [running_mean, running_variance]: [Address; 2],
    eps: f32,
    [mean, inverse_std]: [Address; 2],
) -> Result<()> {
    vectors([("running_mean", running_mean), ("running_variance", running_variance)])?;
    vectors([("mean", mean), ("inverse_std", inverse_std)])?;
    let channels = count(OP, rows.channels)?;
    let arguments = arguments![running_mean, running_variance, mean, inverse_std, channels, eps];
    queue.for_each(Real::F32, "batch_norm_running", channels, arguments)
}

pub(super) fn normalize(
    queue: &dyn Queue,
    rows: Rows,
    [x, mean, inverse_std, weight, bias]: [Address; 5],
    y: Address,
) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    vectors([("mean", mean), ("inverse_std", inverse_std), ("weight", weight), ("bias", bias)])?;
    let arguments = arguments![x, mean, inverse_std, weight, bias, y, count, rows.channels];
    queue.for_each(real, "batch_norm_forward", count, arguments)
}

/// Computes the gradients that have a buffer.
pub(super) fn backward(
    queue: &dyn Queue,
    rows: Rows,
    training: bool,
    [x, mean, inverse_std, weight, grad_y]: [Address; 5],
    [grad_x, grad_weight, grad_bias]: [Address; 3],
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    let count = x.count(OP)?;
    vectors([("mean", mean), ("inverse_std", inverse_std), ("weight", weight)])?;
    vectors([("grad_weight", grad_weight), ("grad_bias", grad_bias)])?;
    let parts = Parts::new(rows)?;
    // The total sums are stored after the sums of the parts.
    let bytes = (parts.len() + 2 * rows.channels) * size_of::<f32>();
    queue.with_scratch(bytes, &mut |partial| {
        let partial = Address { at: partial, len: parts.len(), dtype: DType::F32 };
        let sums = partial.offset(parts.len());
        let Parts { rows, rows_per_part, parts: number, channels } = parts;
        let arguments = arguments![x, grad_y, mean, inverse_std, partial, rows, channels, rows_per_part];
        queue.launch(real, "batch_norm_products", parts.grid(), arguments)?;
        let arguments = arguments![partial, sums, grad_weight, grad_bias, channels, number];
        queue.for_each(Real::F32, "batch_norm_sums", channels, arguments)?;
        if !grad_x.is_some() {
            return Ok(());
        }
        let arguments = arguments![x, grad_y, mean, inverse_std, weight, sums, grad_x, count, channels, rows, training];
        queue.for_each(real, "batch_norm_backward", count, arguments)
    })
}
