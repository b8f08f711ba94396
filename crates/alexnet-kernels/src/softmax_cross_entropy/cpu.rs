//! The fast path: one row per task, exponentials in `f32`, their sum in `f64`.

use crate::parallel::{self, Shared};

/// An empty `grad` is not wanted.
pub(super) fn forward(logits: &[f32], labels: &[u32], classes: usize, losses: &mut [f32], grad: &mut [f32]) {
    let n = labels.len();
    let with_grad = !grad.is_empty();
    let (losses, grad) = (Shared::new(losses), Shared::new(grad));
    parallel::for_ranges(n, 8, |rows| {
        for row in rows {
            let range = row * classes..(row + 1) * classes;
            let (logits, label) = (&logits[range.clone()], labels[row] as usize);
            // A NaN among the logits makes the sum, and so the loss, a NaN.
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|x| f64::from((x - largest).exp())).sum();
            // SAFETY: one part per row.
            let loss = unsafe { losses.slice(row..row + 1) };
            loss[0] = (sum.ln() + f64::from(largest - logits[label])) as f32;
            if with_grad {
                // SAFETY: one part per row.
                let grad = unsafe { grad.slice(range) };
                let scale = (1.0 / (sum * n as f64)) as f32;
                grad.iter_mut().zip(logits).for_each(|(g, x)| *g = (x - largest).exp() * scale);
                grad[label] -= 1.0 / n as f32;
            }
        }
    });
}
