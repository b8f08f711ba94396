//! The CPU path: the specification, one image per task. A loader that loads for the CPU delivers floats instead.

use super::{NUMBERS, Shape, reference};
use crate::parallel::{self, Shared};

pub(super) fn normalize(shape: &Shape, x: &[u8], numbers: &[f32], mean: &[f32], y: &mut [f32]) {
    let Shape { n, h, w, mean_size, channels } = *shape;
    let mean = (!mean.is_empty()).then_some((mean, mean_size));
    let y = Shared::new(y);
    parallel::for_each(n, |image| {
        let range = image * h * w * 3..(image + 1) * h * w * 3;
        let numbers = &numbers[image * NUMBERS..(image + 1) * NUMBERS];
        let values = reference::normalize(&x[range.clone()], [1, h, w], numbers, channels, mean);
        // SAFETY: one part per image.
        unsafe { y.slice(range) }.copy_from_slice(&values);
    });
}
