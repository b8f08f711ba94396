//! The fast path: one pass over memory, in place.

use super::Activation;
use crate::parallel::{self, Shared};

const GRAIN: usize = 4096;

pub(super) fn forward(x: &mut [f32], activation: Activation) {
    let each = |f: fn(f32) -> f32, x: &mut [f32]| x.iter_mut().for_each(|x| *x = f(*x));
    let shared = Shared::new(x);
    let len = shared.len();
    parallel::for_ranges(len, GRAIN, |range| {
        // SAFETY: one part per range.
        let x = unsafe { shared.slice(range) };
        match activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = if *x <= 0.0 { 0.0 } else { *x }),
            Activation::Tanh => each(f32::tanh, x),
            Activation::Abs => each(f32::abs, x),
            Activation::Square => each(|x| x * x, x),
            Activation::Sqrt => each(f32::sqrt, x),
            Activation::ScaledTanh { a, b } => x.iter_mut().for_each(|x| *x = a * (b * *x).tanh()),
            // `f32::min` would turn NaN into a number.
            Activation::BoundedRelu { a } => {
                x.iter_mut().for_each(|x| {
                    *x = if *x <= 0.0 {
                        0.0
                    } else if *x >= a {
                        a
                    } else {
                        *x
                    }
                });
            }
            Activation::Linear { a, b } => x.iter_mut().for_each(|x| *x = a * *x + b),
            Activation::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp()), x),
            Activation::Softplus => each(|x| x.max(0.0) + (-x.abs()).exp().ln_1p(), x),
        }
    });
}

/// `y` is the output, or the input for an activation that needs it.
pub(super) fn backward(y: &[f32], grad_y: &mut [f32], activation: Activation) {
    let grad_y = Shared::new(grad_y);
    parallel::for_ranges(y.len(), GRAIN, |range| {
        // SAFETY: one part per range.
        let values = unsafe { grad_y.slice(range.clone()) }.iter_mut().zip(&y[range]);
        match activation {
            Activation::Relu => values.for_each(|(g, y)| *g = if *y > 0.0 { *g } else { 0.0 }),
            Activation::Tanh => values.for_each(|(g, y)| *g *= 1.0 - y * y),
            Activation::Abs => values.for_each(|(g, x)| *g = if *x == 0.0 { 0.0 } else { *g * x.signum() }),
            Activation::Square => values.for_each(|(g, x)| *g *= 2.0 * x),
            Activation::Sqrt => values.for_each(|(g, y)| *g /= 2.0 * y),
            // b·(a − y²/a), written to lose little precision where y is near a.
            Activation::ScaledTanh { a, b } => values.for_each(|(g, y)| *g *= b / a * ((a - y) * (a + y))),
            Activation::BoundedRelu { a } => {
                values.for_each(|(g, y)| *g = if *y > 0.0 && *y < a { *g } else { 0.0 });
            }
            Activation::Linear { a, .. } => values.for_each(|(g, _)| *g *= a),
            Activation::Sigmoid => values.for_each(|(g, y)| *g *= y * (1.0 - y)),
            // y = ln(1 + eˣ) gives eˣ / (1 + eˣ) = 1 − e^−y.
            Activation::Softplus => values.for_each(|(g, y)| *g *= -(-y).exp_m1()),
        }
    });
}
