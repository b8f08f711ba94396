//! The CPU path: ranges of values, distributed over the threads.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::OP;
use crate::parallel::{self, Shared};
use crate::tensor::{Element, read, write};

pub(super) fn accumulate(x: &Tensor, sum: &Tensor) -> Result<()> {
    map(x, sum, |x: &[f32], sum: &mut [f32]| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x))
}

pub(super) fn scale(x: &Tensor, factor: f32, y: &Tensor) -> Result<()> {
    match y.dtype() {
        DType::BF16 => map(x, y, |x: &[f32], y: &mut [bf16]| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = bf16::from_f32(factor * x))
        }),
        _ => map(x, y, |x: &[f32], y: &mut [f32]| y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x)),
    }
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
