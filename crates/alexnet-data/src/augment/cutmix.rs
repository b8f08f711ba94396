//! CutMix: replaces a rectangle of each image by that of its neighbor in the batch.

use super::neighbors::with_neighbors;
use crate::Window;

/// The rectangle centered at (`x`, `y`) in an image of `side` pixels: an area of `1 - lambda` of the image, clipped to the
/// image.
///
/// # Source
/// Yun et al. 2019, *CutMix*; torchvision, `transforms.v2.CutMix`.
pub(super) fn window(side: u32, x: u32, y: u32, lambda: f64) -> Window {
    let half = (0.5 * (1.0 - lambda).sqrt() * f64::from(side)) as u32;
    let span = |center: u32| {
        let (from, to) = (center.saturating_sub(half), (center + half).min(side));
        (from, to - from)
    };
    let ((x, width), (y, height)) = (span(x), span(y));
    Window { x, y, width, height }
}

/// Replaces the rectangle of each image by that of the previous image (for the first image, the last) in images whose
/// planes have `side` by `side` values.
pub(crate) fn apply(images: &mut [f32], length: usize, side: usize, window: Window) {
    let Window { x, y, width, height } = window;
    let columns = x as usize..(x + width) as usize;
    with_neighbors(images, length, |own, neighbor| {
        let rows = own.chunks_exact_mut(side).zip(neighbor.chunks_exact(side));
        for (row, (own, neighbor)) in rows.enumerate() {
            if (y as usize..(y + height) as usize).contains(&(row % side)) {
                own[columns.clone()].copy_from_slice(&neighbor[columns.clone()]);
            }
        }
    });
}
