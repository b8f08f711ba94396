//! Each image blended with its neighbour in the batch.

/// `x[i] ← λ·x[i] + (1 - λ)·x[i - 1]`, the first with the last, for images of `length` numbers.
///
/// # Source
/// Zhang et al. 2018, *mixup: Beyond empirical risk minimization*; torchvision, `transforms.v2.MixUp`.
pub(crate) fn apply(images: &mut [f32], length: usize, lambda: f32) {
    let rest = 1.0 - lambda;
    super::mixing::with_neighbours(images, length, |own, neighbour| {
        own.iter_mut().zip(neighbour).for_each(|(own, neighbour)| *own = *own * lambda + neighbour * rest);
    });
}
