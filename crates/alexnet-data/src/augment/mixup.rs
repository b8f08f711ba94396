//! Mixup: blends each image with its neighbor in the batch.

use super::neighbors::with_neighbors;

/// `x[i] ← λ·x[i] + (1 - λ)·x[i - 1]`, the first image with the last, for images of `length` values.
///
/// # Source
/// Zhang et al. 2018, *mixup: Beyond empirical risk minimization*; torchvision, `transforms.v2.MixUp`.
pub(crate) fn apply(images: &mut [f32], length: usize, lambda: f32) {
    let rest = 1.0 - lambda;
    with_neighbors(images, length, |own, neighbor| {
        own.iter_mut().zip(neighbor).for_each(|(own, neighbor)| *own = *own * lambda + neighbor * rest);
    });
}
