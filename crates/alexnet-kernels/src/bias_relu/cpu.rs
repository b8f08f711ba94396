//! The fast path: one pass over memory.

use crate::parallel::{self, Shared};
use crate::scratch;

/// Rows whose bias gradients are summed in `f32`, before these sums are added in `f64`.
const ROWS: usize = 1024;

pub(super) fn forward(x: &mut [f32], bias: &[f32]) {
    let channels = bias.len();
    let rows = x.len() / channels;
    let x = Shared::new(x);
    parallel::for_ranges(rows, 64, |rows| {
        // SAFETY: one part per range of rows.
        let x = unsafe { x.slice(rows.start * channels..rows.end * channels) };
        for x in x.chunks_exact_mut(channels) {
            for (x, bias) in x.iter_mut().zip(bias) {
                let sum = *x + bias;
                *x = if sum <= 0.0 { 0.0 } else { sum };
            }
        }
    });
}

/// An empty `grad_bias` is skipped.
pub(super) fn backward(y: &[f32], grad_y: &mut [f32], grad_bias: &mut [f32]) {
    let channels = grad_bias.len().max(1);
    let rows = y.len() / channels;
    let parts = rows.div_ceil(ROWS);
    let mut sums = scratch::zeroed(parts * channels);
    let (shared, grad_y) = (Shared::new(&mut sums), Shared::new(grad_y));
    parallel::for_each(parts, |part| {
        let rows = part * ROWS..((part + 1) * ROWS).min(rows);
        // SAFETY: one part per range of rows, and one row of sums for each.
        let grad_y = unsafe { grad_y.slice(rows.start * channels..rows.end * channels) };
        // SAFETY: as above.
        let sums = unsafe { shared.slice(part * channels..(part + 1) * channels) };
        let y = &y[rows.start * channels..rows.end * channels];
        for (y, grad_y) in y.chunks_exact(channels).zip(grad_y.chunks_exact_mut(channels)) {
            for ((y, g), sum) in y.iter().zip(grad_y).zip(&mut *sums) {
                *g = if *y > 0.0 { *g } else { 0.0 };
                *sum += *g;
            }
        }
    });
    for (channel, total) in grad_bias.iter_mut().enumerate() {
        *total = sums.iter().skip(channel).step_by(channels).map(|&sum| f64::from(sum)).sum::<f64>() as f32;
    }
}
