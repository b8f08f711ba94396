//! A borrowed part of an image, without copying.

use crate::{RgbImage8, RgbRef8, Window};

/// The square cropped from the center of a resized image, borrowed from a thread's memory or from a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Square<'a> {
    image: RgbRef8<'a>,
    x: usize,
    y: usize,
}

impl<'a> Square<'a> {
    /// The square of `image` that starts at column `x` and row `y`.
    pub(crate) fn new(image: impl Into<RgbRef8<'a>>, x: usize, y: usize) -> Self {
        Self { image: image.into(), x, y }
    }

    /// `length` pixels (RGB, interleaved) of row `y`, from column `x` on.
    ///
    /// # Panics
    /// If the pixels lie outside the image.
    #[inline]
    pub(crate) fn row(&self, y: usize, x: usize, length: usize) -> &'a [u8] {
        let start = (self.y + y) * self.image.width as usize + self.x + x;
        &self.image.pixels[start * 3..(start + length) * 3]
    }

    /// Copies a window of the square.
    pub(crate) fn copy_window(&self, window: Window, to: &mut RgbImage8) {
        let Window { x, y, width, height } = window;
        to.reshape(width, height);
        for (row, line) in to.pixels.chunks_exact_mut(width as usize * 3).enumerate() {
            line.copy_from_slice(self.row(y as usize + row, x as usize, width as usize));
        }
    }
}
