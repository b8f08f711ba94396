//! The CPU path: rows, distributed over the threads.

use crate::parallel::{self, Shared};

/// Copies rows of `width` values between matrices, each with its own width and first column.
pub(super) fn copy(
    (x, x_width, x_first): (&[f32], usize, usize),
    (y, y_width, y_first): (&mut [f32], usize, usize),
    width: usize,
) {
    let rows = x.len().checked_div(x_width).unwrap_or(0);
    let y = Shared::new(y);
    parallel::for_ranges(rows, 256, |rows| {
        for row in rows {
            let start = row * y_width + y_first;
            // SAFETY: one part per row.
            let y = unsafe { y.slice(start..start + width) };
            y.copy_from_slice(&x[row * x_width + x_first..][..width]);
        }
    });
}
