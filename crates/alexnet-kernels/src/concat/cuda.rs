//! The GPU path: one pass over memory, in vectors where widths and alignment allow it.

use candle_core::Result;

use super::OP;
use crate::cuda::{self, Address, Queue, arguments, common_real, in_vectors};

/// A matrix: its values, its width, and the first of its columns to copy.
type Columns = (Address, usize, usize);

/// Copies the rows that both matrices have, `width` values of each.
pub(super) fn copy(queue: &dyn Queue, x: Columns, y: Columns, width: usize) -> Result<()> {
    x.0.count(OP)?;
    y.0.count(OP)?;
    let rows = |columns: Columns| columns.0.len / columns.1.max(1);
    copy_columns(queue, OP, x, y, rows(x).min(rows(y)) * width, width)
}

/// Copies `count` values in rows of `width` from columns of `x` to columns of `y`; each has its own width and first
/// column.
pub(crate) fn copy_columns(
    queue: &dyn Queue,
    op: &'static str,
    (x, x_width, x_first): Columns,
    (y, y_width, y_first): Columns,
    count: usize,
    width: usize,
) -> Result<()> {
    let (real, count) = (common_real(op, [("x", x), ("y", y)])?, cuda::count(op, count)?);
    let vector = in_vectors(width, [x, y]) && [x_width, x_first, y_width, y_first].iter().all(|&n| in_vectors(n, []));
    let arguments = arguments![x, x_width, x_first, y, y_width, y_first, count, width, vector];
    queue.for_vectors(real, "copy_columns", count, vector, arguments)
}
