//! The specification as plain loops.

/// The elementwise sums of `x` and `sum`.
pub fn accumulate(x: &[f32], sum: &[f32]) -> Vec<f32> {
    x.iter().zip(sum).map(|(x, sum)| (f64::from(*x) + f64::from(*sum)) as f32).collect()
}

/// `factor · x`.
pub fn scale(x: &[f32], factor: f32) -> Vec<f32> {
    x.iter().map(|x| (f64::from(factor) * f64::from(*x)) as f32).collect()
}
