//! Who is mixed with whom.

/// Calls `mix` with each image and what the image before it was before it was mixed, the first image's being the last.
pub(super) fn with_neighbors(images: &mut [f32], length: usize, mut mix: impl FnMut(&mut [f32], &[f32])) {
    // From the back, so that a neighbor is still what it was; only the last is needed once more.
    let Some(last) = images.len().checked_sub(length).map(|start| images[start..].to_vec()) else { return };
    for number in (1..images.len() / length).rev() {
        let (before, own) = images.split_at_mut(number * length);
        mix(&mut own[..length], &before[(number - 1) * length..]);
    }
    mix(&mut images[..length], &last);
}
