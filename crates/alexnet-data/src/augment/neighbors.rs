//! The pairs of images that are mixed.

/// Calls `mix` with each image and the unmixed previous image; for the first image, the previous one is the last.
pub(super) fn with_neighbors(images: &mut [f32], length: usize, mut mix: impl FnMut(&mut [f32], &[f32])) {
    // From the back, so that each neighbor is still unmixed; only the last image must be copied.
    let Some(last) = images.len().checked_sub(length).map(|start| images[start..].to_vec()) else { return };
    for number in (1..images.len() / length).rev() {
        let (before, own) = images.split_at_mut(number * length);
        mix(&mut own[..length], &before[(number - 1) * length..]);
    }
    mix(&mut images[..length], &last);
}
