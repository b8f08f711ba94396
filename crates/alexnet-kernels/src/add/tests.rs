use super::*;
use crate::cases::*;
use candle_core::DType;

#[test]
fn values_are_added_and_scaled() {
    let (a, b) = (uniform("add", 0, 10_001), uniform("add", 1, 10_001));
    for_each_backend(|_| {
        let (x, y) = (tensor(&a, &[10_001]), tensor(&b, &[10_001]));
        accumulate_into(&x, &y).unwrap();
        assert_same_bits("sum", &values(&y), &reference::accumulate(&a, &b));
        scale_into(&x, 0.5, &y).unwrap();
        assert_same_bits("half", &values(&y), &reference::scale(&a, 0.5));
        assert!(accumulate_into(&x, &x).unwrap_err().to_string().contains("shares its storage"));
        assert!(
            accumulate_into(&x, &zeros(&[3])).unwrap_err().to_string().contains("y must be [10001], the shape of x")
        );
    });
}

#[test]
fn precision_is_changed_to_the_nearest() {
    // Halfway between two `bf16` values: rounded to the even one, which is below or above.
    let halfway = [1.003_906_3, 1.011_718_8, -0.0, f32::INFINITY, f32::NAN, 1e-40, f32::MAX];
    let x: Vec<f32> = uniform("add", 2, 5000).into_iter().chain(halfway).collect();
    for_each_backend(|backend| {
        let narrow = full(&x, &[x.len()]).zeros_like().and_then(|y| y.to_dtype(DType::BF16)).unwrap();
        scale_into(&full(&x, &[x.len()]), 1.0, &narrow).unwrap();
        let (found, mut expected) = (values(&narrow), rounded(&x));
        expected[5000..5002].copy_from_slice(&[1.0, 1.015_625]);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{backend}: {} became {found}, not {expected}", x[i]);
        }
    });
}
