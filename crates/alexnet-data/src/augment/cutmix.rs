//! A rectangle of each image replaced by its neighbour's in the batch.

use crate::Window;

/// The rectangle about the point (`x`, `y`) of a picture of `side` pixels: `1 - lambda` of the picture, less what lies
/// outside it.
///
/// # Source
/// Yun et al. 2019, *CutMix*; torchvision, `transforms.v2.CutMix`.
pub(super) fn window(side: u32, x: u32, y: u32, lambda: f64) -> Window {
    let half = (0.5 * (1.0 - lambda).sqrt() * f64::from(side)) as u32;
    let span = |centre: u32| {
        let (from, to) = (centre.saturating_sub(half), (centre + half).min(side));
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
    super::mixing::with_neighbours(images, length, |own, neighbour| {
        let rows = own.chunks_exact_mut(side).zip(neighbour.chunks_exact(side));
        for (row, (own, neighbour)) in rows.enumerate() {
            if (y as usize..(y + height) as usize).contains(&(row % side)) {
                own[columns.clone()].copy_from_slice(&neighbour[columns.clone()]);
            }
        }
    });
}
