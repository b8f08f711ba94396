//! Images as Winograd tiles, to the transform domain and back.

use std::ops::Range;

use super::transform::{SIDE, collect_tile, spread_tile};
use crate::parallel::Shared;
use crate::scratch::{self, Scratch};
use crate::simd::{Kernel, Simd};

/// Number of values copied at once for a run of pixels.
const RUN: usize = 16;

/// Images `[n, h, w, c]` in the form of operands of a convolution at stride 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
    /// First channel used, and number of channels used; with blocks, 0 and `block² · c`.
    pub(super) first: usize,
    pub(super) channels: usize,
    /// Zero padding above and to the left.
    pub(super) before: [usize; 2],
    /// Side of the blocks of pixels that are treated as one pixel, with channels in the order (row, column, channel). A
    /// convolution at stride s is a convolution at stride 1 over blocks of s×s: 11×11 at stride 4 over 3 channels becomes
    /// 3×3 over 48 channels.
    pub(super) block: usize,
}

impl Images {
    /// The images of the `group`-th group of channels, where `self` is group 0.
    pub(super) fn of_group(self, group: usize) -> Self {
        Self { first: self.first + group * self.channels, ..self }
    }

    /// The channels of a pixel; `None` if it is outside the image.
    fn pixel<'a>(&self, x: &'a [f32], image: usize, [row, column]: [usize; 2]) -> Option<&'a [f32]> {
        let (row, column) = (row.checked_sub(self.before[0])?, column.checked_sub(self.before[1])?);
        if row >= self.h || column >= self.w {
            return None;
        }
        let start = ((image * self.h + row) * self.w + column) * self.c + self.first;
        Some(&x[start..start + self.channels])
    }

    /// Copies a block to the start of `to`; up to [`RUN`] values after the block may be overwritten.
    fn gather(&self, x: &[f32], image: usize, [row, column]: [usize; 2], to: &mut [f32]) {
        let Self { h, w, c, before: [top, left], block, .. } = *self;
        let run = block * c;
        // The block's columns that are inside the image.
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
                // With a constant length, the copy compiles to one or two moves.
                to[..RUN].copy_from_slice(&x[start..start + RUN]);
            } else {
                to[..from * c].fill(0.0);
                to[from * c..until * c].copy_from_slice(&x[start..start + (until - from) * c]);
                to[until * c..run].fill(0.0);
            }
        }
    }
}

/// Winograd tiles of [`SIDE`] by `SIDE` pixels that cover the images of the result, row by row, image after image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    pub(super) fn new([h, w]: [usize; 2]) -> Self {
        Self { rows: h.div_ceil(SIDE), columns: w.div_ceil(SIDE) }
    }

    /// Number of tiles per image.
    pub(super) fn tiles(&self) -> usize {
        self.rows * self.columns
    }

    /// The image of a tile, and the position of the tile's top left result in it.
    fn corner(&self, tile: usize) -> (usize, [usize; 2]) {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        (image, [tile / self.columns * SIDE, tile % self.columns * SIDE])
    }
}

/// Coefficients of some Winograd tiles in the transform domain, `[positions, channels / width, tiles, width]`, where a
/// position is a pair of interpolation points; owned by one task or written in disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    start: *mut f32,
    pub(super) tiles: usize,
    channels: usize,
    width: usize,
}

// SAFETY: plain numbers; concurrent writers write disjoint tiles or positions.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

impl Panels {
    /// Panels over `values`, at least [`Self::len`] of them. The last panel may be wider than the channels left for it.
    pub(super) fn new(values: &mut Scratch, positions: usize, tiles: usize, channels: usize, width: usize) -> Self {
        assert!(values.len() >= Self::len(positions, tiles, channels, width), "{tiles} tiles of {channels} channels");
        Self { start: values.as_mut_ptr(), tiles, channels, width }
    }

    pub(super) fn len(positions: usize, tiles: usize, channels: usize, width: usize) -> usize {
        positions * tiles * channels.next_multiple_of(width)
    }

    pub(super) fn at(&self, position: usize, tile: usize, channel: usize) -> *mut f32 {
        let panels = self.channels.div_ceil(self.width);
        let panel = (position * panels + channel / self.width) * self.tiles + tile;
        self.start.wrapping_add(panel * self.width + channel % self.width)
    }
}

/// Transforms the `P`×`P` pixels of each of some Winograd tiles, zero outside the image, to `N`×`N` coefficients: `P = N`
/// for the input of the convolution, [`SIDE`] for the gradient of a result.
pub(super) struct Spread<'a, const P: usize, const N: usize> {
    pub(super) x: &'a [f32],
    pub(super) images: Images,
    pub(super) grid: Grid,
    pub(super) tiles: Range<usize>,
    /// Index of the first of the tiles in `coefficients`.
    pub(super) at: usize,
    pub(super) coefficients: Panels,
}

impl<const P: usize, const N: usize> Kernel for Spread<'_, P, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, images, grid, tiles, at, coefficients } = self;
        let channels = images.channels;
        let outside = scratch::zeroed(channels);
        let mut blocks = scratch::take(if images.block == 1 { 0 } else { P * P * channels + RUN });
        for (i, tile) in tiles.enumerate() {
            let (image, [top, left]) = grid.corner(tile);
            let mut pixels = [[outside.as_ptr(); P]; P];
            if images.block > 1 {
                // In this order, so that values written after a block are overwritten by the next block.
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
                // SAFETY: each pixel has `channels` values, a multiple of the lanes; the tile has as many per position in
                // `coefficients`, and only this task writes it.
                unsafe {
                    let mut values = [[S::splat(0.0); P]; P];
                    for (values, pixels) in values.iter_mut().zip(&pixels) {
                        for (value, pixel) in values.iter_mut().zip(pixels) {
                            *value = S::load(pixel.add(channel));
                        }
                    }
                    for (row, values) in spread_tile::<S, P, N>(&values).iter().enumerate() {
                        for (column, &value) in values.iter().enumerate() {
                            S::store(coefficients.at(row * N + column, at + i, channel), value);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the `N`×`N` products of each of some Winograd tiles to the pixels of the result; pixels outside the image are
/// dropped.
pub(super) struct Collect<'a, const N: usize> {
    pub(super) coefficients: Panels,
    /// One per channel, or empty.
    pub(super) bias: &'a [f32],
    pub(super) relu: bool,
    pub(super) y: Shared<'a>,
    pub(super) images: Images,
    pub(super) grid: Grid,
    pub(super) tiles: Range<usize>,
}

impl<const N: usize> Kernel for Collect<'_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { coefficients, bias, relu, y, images, grid, tiles } = self;
        let Images { h, w, c, first, channels, .. } = images;
        for (i, tile) in tiles.enumerate() {
            let (image, [row, column]) = grid.corner(tile);
            let (rows, columns) = (SIDE.min(h - row), SIDE.min(w - column));
            let start = ((image * h + row) * w + column) * c + first;
            assert!(
                start + ((rows - 1) * w + columns - 1) * c + channels <= y.len(),
                "a tile must lie within the images"
            );
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: the tile has `channels` coefficients at each position, a multiple of the lanes; its pixels are
                // in `y`, checked above, and no other task writes this tile and these channels.
                unsafe {
                    let mut values = [[S::splat(0.0); N]; N];
                    for (row, values) in values.iter_mut().enumerate() {
                        for (column, value) in values.iter_mut().enumerate() {
                            *value = S::load(coefficients.at(row * N + column, i, channel));
                        }
                    }
                    let bias = if bias.is_empty() { S::splat(0.0) } else { S::load(bias.as_ptr().add(channel)) };
                    let results = collect_tile::<S, SIDE, N>(&values);
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
