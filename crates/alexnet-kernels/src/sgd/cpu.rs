//! The fast path: one pass over the three tensors, at memory bandwidth.

use super::{SgdParams, SgdRule};
use crate::parallel::{self, Shared};

pub(super) fn update(weight: &mut [f32], velocity: &mut [f32], grad: &[f32], params: &SgdParams) {
    let (weight, velocity) = (Shared::new(weight), Shared::new(velocity));
    parallel::for_ranges(grad.len(), 4096, |range| {
        // SAFETY: one part per range.
        let (weight, velocity) = unsafe { (weight.slice(range.clone()), velocity.slice(range.clone())) };
        step(weight, velocity, &grad[range], params);
    });
}

/// The update on the calling thread.
#[inline]
pub(crate) fn step(weight: &mut [f32], velocity: &mut [f32], grad: &[f32], params: &SgdParams) {
    let SgdParams { rule, learning_rate, momentum, weight_decay } = *params;
    let values = weight.iter_mut().zip(velocity).zip(grad);
    match rule {
        SgdRule::RateInVelocity => {
            let shrink = weight_decay * learning_rate;
            values.for_each(|((w, v), g)| {
                *v = momentum * *v - shrink * *w - learning_rate * g;
                *w += *v;
            });
        }
        SgdRule::RateOutside => values.for_each(|((w, v), g)| {
            *v = momentum * *v + (g + weight_decay * *w);
            *w -= learning_rate * *v;
        }),
    }
}
