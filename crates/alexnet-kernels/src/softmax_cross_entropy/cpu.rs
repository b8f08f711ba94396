//! The fast path: one row per task, exponentials in `f32`, their sum in `f64`.

use super::Targets;
use crate::parallel::{self, Shared};

/// An empty `grad` is skipped.
pub(super) fn forward(logits: &[f32], targets: Targets<'_>, classes: usize, losses: &mut [f32], grad: &mut [f32]) {
    let n = losses.len();
    let with_grad = !grad.is_empty();
    let (losses, grad) = (Shared::new(losses), Shared::new(grad));
    parallel::for_ranges(n, 8, |rows| {
        for row in rows {
            let range = row * classes..(row + 1) * classes;
            let logits = &logits[range.clone()];
            // A NaN in the logits makes the sum NaN, and with it the loss.
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|x| f64::from((x - largest).exp())).sum();
            // SAFETY: one part per row.
            let loss = unsafe { losses.slice(row..row + 1) };
            // −ln p of a class: the log of the sum of all exponentials, minus the logit of the class.
            let log_loss = |logit: f32| sum.ln() + f64::from(largest - logit);
            let total = match targets {
                Targets::Labels(labels) => {
                    loss[0] = log_loss(logits[labels[row] as usize]) as f32;
                    1.0
                }
                Targets::Weights(weights) => {
                    let weights = weights[range.clone()].iter().map(|&weight| f64::from(weight));
                    let pairs = weights.clone().zip(logits);
                    loss[0] = pairs.map(|(weight, &logit)| weight * log_loss(logit)).sum::<f64>() as f32;
                    weights.sum::<f64>()
                }
            };
            if with_grad {
                // SAFETY: one part per row.
                let grad = unsafe { grad.slice(range.clone()) };
                let (scale, share) = ((total / (sum * n as f64)) as f32, 1.0 / n as f32);
                grad.iter_mut().zip(logits).for_each(|(g, x)| *g = (x - largest).exp() * scale);
                match targets {
                    Targets::Labels(labels) => grad[labels[row] as usize] -= share,
                    Targets::Weights(weights) => {
                        grad.iter_mut().zip(&weights[range]).for_each(|(g, weight)| *g -= weight * share);
                    }
                }
            }
        }
    });
}
