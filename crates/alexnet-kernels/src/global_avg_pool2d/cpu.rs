//! The fast path: all channels of one pixel at a time.

use super::GlobalShape;
use crate::parallel::{self, Shared};

pub(super) fn forward(GlobalShape { n, pixels, c }: GlobalShape, x: &[f32], y: &mut [f32]) {
    let y = Shared::new(y);
    parallel::for_each(n, |image| {
        // SAFETY: one part per image.
        let y = unsafe { y.slice(image * c..(image + 1) * c) };
        let mut sums = vec![0f64; c];
        for x in x[image * pixels * c..(image + 1) * pixels * c].chunks_exact(c) {
            sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (sum / pixels as f64) as f32);
    });
}

pub(super) fn backward(GlobalShape { n, pixels, c }: GlobalShape, grad_y: &[f32], grad_x: &mut [f32]) {
    let grad_x = Shared::new(grad_x);
    parallel::for_each(n, |image| {
        // SAFETY: one part per image.
        let grad_x = unsafe { grad_x.slice(image * pixels * c..(image + 1) * pixels * c) };
        let (first, others) = grad_x.split_at_mut(c);
        first.iter_mut().zip(&grad_y[image * c..(image + 1) * c]).for_each(|(x, y)| *x = y / pixels as f32);
        others.chunks_exact_mut(c).for_each(|pixel| pixel.copy_from_slice(first));
    });
}
