//! A rectangle of each image replaced by its neighbor's in the batch.

use super::neighbors::with_neighbors;
use crate::Window;

/// The rectangle about the point (`x`, `y`) of a picture of `side` pixels: `1 - lambda` of the picture, less what lies
/// outside it.
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

/// Replaces the rectangle of each image by that of the one before it, of the first by the last's, for images of planes of
/// `side` by `side` numbers.
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
