//! Gradient checks by finite differences.

use crate::uniform;

/// Fails unless `gradient` is the gradient of `loss` at `x`, checked by central differences along random directions.
///
/// `loss` sums in `f64` the results of an operation in `f32`. The step is chosen for smooth operations with values of order
/// 1; for an operation with kinks, `x` must keep a distance of `step` from them.
#[track_caller]
pub fn assert_gradient(
    what: &str,
    x: &[f32],
    gradient: &[f32],
    step: f32,
    tolerance: f64,
    mut loss: impl FnMut(&[f32]) -> f64,
) {
    assert_eq!(x.len(), gradient.len(), "{what}: one derivative per value");
    for direction in 0..4 {
        let direction = uniform(what, direction, x.len());
        let mut along = |sign: f32| {
            let moved: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + sign * step * d).collect();
            // The actual step, after rounding.
            let real: Vec<f64> = moved.iter().zip(x).map(|(&m, &x)| f64::from(m) - f64::from(x)).collect();
            (loss(&moved), real)
        };
        let ((above, plus), (below, minus)) = (along(1.0), along(-1.0));
        let terms = plus.iter().zip(&minus).zip(gradient).map(|((p, m), &g)| (p - m) * f64::from(g));
        let (mut expected, mut scale) = (0.0, 0f64);
        for term in terms {
            expected += term;
            scale += term * term;
        }
        let difference = above - below;
        let error = (difference - expected).abs() / scale.sqrt().max(f64::MIN_POSITIVE);
        assert!(
            error <= tolerance,
            "{what}: a step of {step} changes the loss by {difference:e}, the gradient gives {expected:e} \
             (error {error:.2e}, allowed {tolerance:.0e})"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_gradients_pass_and_wrong_ones_fail() {
        let x = uniform("finite differences", 9, 50);
        let loss = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(3)).sum::<f64>();
        let right: Vec<f32> = x.iter().map(|x| 3.0 * x * x).collect();
        assert_gradient("cube", &x, &right, 1e-2, 1e-2, loss);
        let mut wrong = right.clone();
        wrong[7] = -1.0;
        assert!(std::panic::catch_unwind(|| assert_gradient("cube", &x, &wrong, 1e-2, 1e-2, loss)).is_err());
    }
}
