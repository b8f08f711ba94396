//! Images as squares of pixels, to the points and back.

use std::ops::Range;

use super::transform::{SIDE, collect_square, spread_square};
use crate::parallel::Shared;
use crate::scratch::{self, Scratch};
use crate::simd::{Kernel, Simd};

/// Values copied at once for a run of pixels.
const RUN: usize = 16;

/// Images `[n, h, w, c]` as a convolution at stride 1 sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
    /// First channel that is seen, and how many: with blocks, `block² · c` from 0 on.
    pub(super) first: usize,
    pub(super) channels: usize,
    /// Zeros above and to the left.
    pub(super) before: [usize; 2],
    /// Side of a block of pixels that counts as one, its channels in the order (row, column, channel). A convolution at
    /// stride s is one at stride 1 over blocks of s×s: of 11×11 at stride 4 becomes 3×3 over 48 channels.
    pub(super) block: usize,
}

impl Images {
    /// The `group`-th of groups of channels like this one.
    pub(super) fn of_group(self, group: usize) -> Self {
        Self { first: self.first + group * self.channels, ..self }
    }

    /// A pixel, which may lie outside.
    fn pixel<'a>(&self, x: &'a [f32], image: usize, [row, column]: [usize; 2]) -> Option<&'a [f32]> {
        let (row, column) = (row.checked_sub(self.before[0])?, column.checked_sub(self.before[1])?);
        if row >= self.h || column >= self.w {
            return None;
        }
        let start = ((image * self.h + row) * self.w + column) * self.c + self.first;
        Some(&x[start..start + self.channels])
    }

    /// Copies a block to the start of `to`, which may be written for [`RUN`] values beyond.
    fn gather(&self, x: &[f32], image: usize, [row, column]: [usize; 2], to: &mut [f32]) {
        let Self { h, w, c, before: [top, left], block, .. } = *self;
        let run = block * c;
        // Of the block's columns, those inside.
        let column = column * block;
        let (from, until) = (left.saturating_sub(column).min(block), (w + left).saturating_sub(column).min(block));
        for (i, row) in (row * block..(row + 1) * block).enumerate() {
            let to = &mut to[i * run..];
            if row < top || row >= top + h || from >= until {
                to[..run].fill(0.0);
                continue;
            }
            let start = ((image * h + row - top) * w + column + from - left) * c;
            if until - from == block && run <= RUN && start + RUN <= x.len() {
                // A length known to the compiler makes a copy one or two moves.
                to[..RUN].copy_from_slice(&x[start..start + RUN]);
            } else {
                to[..from * c].fill(0.0);
                to[from * c..until * c].copy_from_slice(&x[start..start + (until - from) * c]);
                to[until * c..run].fill(0.0);
            }
        }
    }
}

/// Squares of [`SIDE`] by `SIDE` pixels, covering an image of results row by row, image after image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    pub(super) fn new([h, w]: [usize; 2]) -> Self {
        Self { rows: h.div_ceil(SIDE), columns: w.div_ceil(SIDE) }
    }

    /// Squares of an image.
    pub(super) fn squares(&self) -> usize {
        self.rows * self.columns
    }

    /// Image, and the square's top left result in it.
    fn corner(&self, square: usize) -> (usize, [usize; 2]) {
        let (image, square) = (square / self.squares(), square % self.squares());
        (image, [square / self.columns * SIDE, square % self.columns * SIDE])
    }
}

/// Values at the positions (pairs of points) of some squares, `[positions, channels / width, squares, width]`, owned by
/// one task or written in disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    start: *mut f32,
    pub(super) squares: usize,
    channels: usize,
    width: usize,
}

// SAFETY: plain numbers; whoever writes them writes other squares or positions than the rest.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

impl Panels {
    /// Over `values`, `len` of them. The last panel may be wider than there are channels.
    pub(super) fn new(values: &mut Scratch, positions: usize, squares: usize, channels: usize, width: usize) -> Self {
        assert!(
            values.len() >= Self::len(positions, squares, channels, width),
            "{squares} squares of {channels} channels"
        );
        Self { start: values.as_mut_ptr(), squares, channels, width }
    }

    pub(super) fn len(positions: usize, squares: usize, channels: usize, width: usize) -> usize {
        positions * squares * channels.next_multiple_of(width)
    }

    pub(super) fn at(&self, position: usize, square: usize, channel: usize) -> *mut f32 {
        let panels = self.channels.div_ceil(self.width);
        let panel = (position * panels + channel / self.width) * self.squares + square;
        self.start.wrapping_add(panel * self.width + channel % self.width)
    }
}

/// Brings `P`×`P` pixels of each of some squares, zero outside the image, to `N`×`N` points: `P = N` for what is
/// convolved, [`SIDE`] for the gradient of a result.
pub(super) struct Spread<'a, const P: usize, const N: usize> {
    pub(super) x: &'a [f32],
    pub(super) images: Images,
    pub(super) grid: Grid,
    pub(super) squares: Range<usize>,
    /// Where the first of the squares is in `points`.
    pub(super) at: usize,
    pub(super) points: Panels,
}

impl<const P: usize, const N: usize> Kernel for Spread<'_, P, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, images, grid, squares, at, points } = self;
        let channels = images.channels;
        let outside = scratch::zeroed(channels);
        let mut blocks = scratch::take(if images.block == 1 { 0 } else { P * P * channels + RUN });
        for (i, square) in squares.enumerate() {
            let (image, [top, left]) = grid.corner(square);
            let mut pixels = [[outside.as_ptr(); P]; P];
            if images.block > 1 {
                // In this order, so that what is written beyond a block is overwritten by the next.
                for row in 0..P {
                    for column in 0..P {
                        let start = (row * P + column) * channels;
                        let to = &mut blocks[start..start + channels + RUN];
                        images.gather(x, image, [top + row, left + column], to);
                    }
                }
                let start = blocks.as_ptr();
                for (i, pixel) in pixels.as_flattened_mut().iter_mut().enumerate() {
                    *pixel = start.wrapping_add(i * channels);
                }
            } else {
                for (row, pixels) in pixels.iter_mut().enumerate() {
                    for (column, pixel) in pixels.iter_mut().enumerate() {
                        if let Some(values) = images.pixel(x, image, [top + row, left + column]) {
                            *pixel = values.as_ptr();
                        }
                    }
                }
            }
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: each pixel has `channels` values, a multiple of the lanes; the square has as many in `points`,
                // and is this task's own.
                unsafe {
                    let mut values = [[S::splat(0.0); P]; P];
                    for (values, pixels) in values.iter_mut().zip(&pixels) {
                        for (value, pixel) in values.iter_mut().zip(pixels) {
                            *value = S::load(pixel.add(channel));
                        }
                    }
                    for (row, values) in spread_square::<S, P, N>(&values).iter().enumerate() {
                        for (column, &value) in values.iter().enumerate() {
                            S::store(points.at(row * N + column, at + i, channel), value);
                        }
                    }
                }
            }
        }
    }
}

/// Brings the products at the `N`×`N` points of each of some squares to the pixels of the result; those outside the image
/// are dropped.
pub(super) struct Collect<'a, const N: usize> {
    pub(super) points: Panels,
    /// One per channel, or empty.
    pub(super) bias: &'a [f32],
    pub(super) relu: bool,
    pub(super) y: Shared<'a>,
    pub(super) images: Images,
    pub(super) grid: Grid,
    pub(super) squares: Range<usize>,
}

impl<const N: usize> Kernel for Collect<'_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { points, bias, relu, y, images, grid, squares } = self;
        let Images { h, w, c, first, channels, .. } = images;
        for (i, square) in squares.enumerate() {
            let (image, [row, column]) = grid.corner(square);
            let (rows, columns) = (SIDE.min(h - row), SIDE.min(w - column));
            let start = ((image * h + row) * w + column) * c + first;
            assert!(start + ((rows - 1) * w + columns - 1) * c + channels <= y.len(), "a square beyond the images");
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: the square has `channels` values at each position, a multiple of the lanes; its pixels lie in
                // `y`, checked above, and no other task has this square and these channels.
                unsafe {
                    let mut values = [[S::splat(0.0); N]; N];
                    for (row, values) in values.iter_mut().enumerate() {
                        for (column, value) in values.iter_mut().enumerate() {
                            *value = S::load(points.at(row * N + column, i, channel));
                        }
                    }
                    let bias = if bias.is_empty() { S::splat(0.0) } else { S::load(bias.as_ptr().add(channel)) };
                    let results = collect_square::<S, SIDE, N>(&values);
                    for (row, results) in results[..rows].iter().enumerate() {
                        for (column, &result) in results[..columns].iter().enumerate() {
                            let mut result = S::add(result, bias);
                            if relu {
                                result = S::relu(result);
                            }
                            S::store(y.start().add(start + (row * w + column) * c + channel), result);
                        }
                    }
                }
            }
        }
    }
}
