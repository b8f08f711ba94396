//! Comparisons of values.

/// Fails unless every |actual − expected| ≤ `tolerance` · (|expected| + the root mean square of `expected`).
///
/// The second term is for sums that cancel: their rounding error is as large as that of the other values. A NaN on either
/// side fails, and so does an infinity on only one side.
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: number of values");
    // With an infinity in the scale, all other errors would be 0.
    let finite = expected.iter().filter(|e| e.is_finite());
    let (count, squares) = finite.fold((0, 0.0), |(count, sum), &e| (count + 1, sum + f64::from(e).powi(2)));
    let scale = (squares / f64::from(count.max(1))).sqrt();
    let mut worst: Option<(usize, f64)> = None;
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let (a, e) = (f64::from(a), f64::from(e));
        let error = if a == e { 0.0 } else { (a - e).abs() / (e.abs() + scale) };
        if error.is_nan() || worst.is_none_or(|(_, w)| error > w) {
            worst = Some((i, error));
            if error.is_nan() {
                break;
            }
        }
    }
    if let Some((i, error)) = worst
        && (error.is_nan() || error > tolerance)
    {
        panic!(
            "{what}: value {i} of {} is {}, expected {} (error {error:.2e}, allowed {tolerance:.0e})",
            actual.len(),
            actual[i],
            expected[i]
        );
    }
}

/// Fails unless both sides are bit-identical.
#[track_caller]
pub fn assert_same_bits(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}: number of values");
    if let Some(i) = (0..actual.len()).find(|&i| actual[i].to_bits() != expected[i].to_bits()) {
        panic!("{what}: value {i} of {} is {:e}, expected {:e} to the bit", actual.len(), actual[i], expected[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(actual: &[f32], expected: &[f32]) -> bool {
        std::panic::catch_unwind(|| assert_close("", actual, expected, 1e-6)).is_err()
    }

    #[test]
    fn only_close_values_pass() {
        assert!(!fails(&[1.0, f32::INFINITY], &[1.0, f32::INFINITY]));
        assert!(!fails(&[], &[]));
        assert!(fails(&[1.0], &[1.001]));
        assert!(fails(&[0.0, 1.0, 5.0], &[0.0, 1.0, 5.1]));
        assert!(fails(&[f32::NAN], &[1.0]) && fails(&[1.0], &[f32::NAN]) && fails(&[f32::NAN], &[f32::NAN]));
        assert!(fails(&[f32::INFINITY], &[1.0]) && fails(&[f32::INFINITY], &[f32::NEG_INFINITY]));
        assert!(fails(&[f32::INFINITY, 1.0], &[f32::INFINITY, 1.1]));
        assert!(fails(&[1.0], &[]));
    }
}
