//! Sums of tensors in place, for networks whose paths meet.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use crate::cuda::{self, Address, Queue, Real, arguments, common_real, in_vectors};
use crate::parallel::{self, Shared};
use crate::tensor::{self, Element, read, write};

const OP: &str = "add";

/// Adds `x` to `sum`, both contiguous `f32` of one shape. Candle's own `+` is the differentiable one.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let (x, sum) = (Tensor::new(&[1f32, 2.], &Device::Cpu)?, Tensor::new(&[10f32, 20.], &Device::Cpu)?);
/// alexnet_kernels::add::accumulate_into(&x, &sum)?;
/// assert_eq!(sum.to_vec1::<f32>()?, [11., 22.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// Different shapes, a tensor that is not contiguous, or of another element type, or the two share their storage.
pub fn accumulate_into(x: &Tensor, sum: &Tensor) -> Result<()> {
    if let Some(done) = on_gpu(x, sum, |queue, x, sum| {
        let (real, count) = (common_real(OP, [("x", x), ("sum", sum)])?, x.count(OP)?);
        let vector = in_vectors(x.len, [x, sum]);
        queue.for_vectors(real, "accumulate", count, vector, arguments![x, sum, count, vector])
    }) {
        return done;
    }
    map(x, sum, |x: &[f32], sum: &mut [f32]| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x))
}

/// Overwrites `y` with `factor · x`, both contiguous and of one shape, `f32` or `bf16`: with the factor 1 it is the change
/// of precision, to the nearest, ties to even. (On a GPU one of them may be `bf16`, or both; on the CPU, `y`.)
///
/// # Errors
/// As [`accumulate_into`].
pub fn scale_into(x: &Tensor, factor: f32, y: &Tensor) -> Result<()> {
    if let Some(done) = on_gpu(x, y, |queue, x, y| scale_on(queue, OP, x, factor, y)) {
        return done;
    }
    match y.dtype() {
        DType::BF16 => map(x, y, |x: &[f32], y: &mut [bf16]| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = bf16::from_f32(factor * x))
        }),
        _ => map(x, y, |x: &[f32], y: &mut [f32]| y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x)),
    }
}

/// On the GPU: y = factor · x.
pub(crate) fn scale_on(queue: &dyn Queue, op: &'static str, x: Address, factor: f32, y: Address) -> Result<()> {
    let (from, to, count) = (x.real(op, "x")?, y.real(op, "y")?, x.count(op)?);
    let (real, kernel) = match (from, to) {
        (Real::F32, Real::Bf16) => (to, "scale_from_f32"),
        (Real::Bf16, Real::F32) => (from, "scale_to_f32"),
        _ => (from, "scale"),
    };
    let vector = in_vectors(x.len, [x, y]);
    queue.for_vectors(real, kernel, count, vector, arguments![x, y, count, factor, vector])
}

/// On the GPU: zeros, in a gradient that is `f32`.
pub(crate) fn zero_on(queue: &dyn Queue, op: &'static str, y: Address) -> Result<()> {
    y.expect(op, "the gradient", DType::F32)?;
    let count = y.count(op)?;
    queue.for_each(Real::F32, "set_zero", count, arguments![y, count])
}

fn on_gpu(x: &Tensor, y: &Tensor, f: impl FnOnce(&dyn Queue, Address, Address) -> Result<()>) -> Option<Result<()>> {
    if let Err(error) = check(x, y) {
        return Some(Err(error));
    }
    cuda::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| f(queue, x, y))
}

fn check(x: &Tensor, y: &Tensor) -> Result<()> {
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])
}

fn map<T: Element>(x: &Tensor, y: &Tensor, f: impl Fn(&[f32], &mut [T]) + Sync + Send) -> Result<()> {
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            let y = Shared::new(y);
            parallel::for_ranges(x.len(), 4096, |range| {
                // SAFETY: one part per range.
                f(&x[range.clone()], unsafe { y.slice(range) });
            });
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::*;

    #[test]
    fn values_are_added_and_scaled() {
        let (a, b) = (uniform("add", 0, 10_001), uniform("add", 1, 10_001));
        for_each_backend(|_| {
            let (x, y) = (tensor(&a, &[10_001]), tensor(&b, &[10_001]));
            accumulate_into(&x, &y).unwrap();
            assert_same_bits("sum", &values(&y), &a.iter().zip(&b).map(|(a, b)| a + b).collect::<Vec<_>>());
            scale_into(&x, 0.5, &y).unwrap();
            assert_same_bits("half", &values(&y), &a.iter().map(|a| a / 2.0).collect::<Vec<_>>());
            assert!(accumulate_into(&x, &x).unwrap_err().to_string().contains("shares its storage"));
            assert!(accumulate_into(&x, &zeros(&[3])).unwrap_err().to_string().contains("y must be [10001], as x"));
        });
    }

    #[test]
    fn precision_is_changed_to_the_nearest() {
        // Halfway between two: to the even one, below and above.
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
}
