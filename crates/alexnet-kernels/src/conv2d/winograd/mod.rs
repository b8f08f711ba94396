//! Winograd's minimal filtering for 3×3 and 5×5 kernels at stride 1, and for larger ones at larger strides that are such
//! kernels over blocks of pixels ([`Images::block`]), as AlexNet's first layer.
//!
//! A convolution of a signal with a kernel of r values is a product of polynomials. Evaluated at n points, multiplied
//! there, and interpolated, it gives m = n − r + 1 results for n products instead of m·r; in two dimensions m² results for
//! n² products. With m = 4, that is 36 instead of 144 for a 3×3 kernel, and 64 instead of 400 for 5×5. Per pair of points, a
//! position, the sum over channels is a matrix product over all squares of 4×4 pixels:
//!
//! * forward: `x` square by square → points; times the kernel's points; → pixels of `y`;
//! * the gradient of the input is the same, of `grad_y` with the kernel mirrored and inputs and outputs exchanged;
//! * the gradient of the weights is the product, summed over squares, of the points of `x` and of `grad_y`
//!   (`weight_gradient.rs`).
//!
//! The points are 0, ±3/4, ±3/2 and ∞ for 3×3, where the usual 0, ±1, ±2 and ∞ have five times the rounding error, and 0,
//! ±1/2, ±1, ±2 and ∞ for 5×5; all are exact in binary. On random data as large as AlexNet's layers the largest error,
//! relative to the largest result, is 2·10⁻⁶ forward and 10⁻⁶ in the gradient of the weights for 3×3, 4·10⁻⁶ and 10⁻⁵ for
//! 5×5; a direct sum in `f32` has 3·10⁻⁷.
//!
//! A NaN or an infinity spreads to all results of the squares that see it, not only to the windows that do.
//!
//! # Source
//! Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray, *Fast Algorithms for Convolutional Neural
//! Networks*, 2016, who call it F(4×4, r×r). On the choice of points: Barabasz et al., *Error Analysis and Improving the
//! Accuracy of Winograd Convolution for Deep Neural Networks*, 2020.

mod squares;
mod transform;
mod weight_gradient;
mod weights;

use std::ops::Range;

pub(super) use weight_gradient::backward_weight;

use self::squares::{Collect, Grid, Images, Panels, Spread};
use super::Conv2dShape;
use crate::backend::CpuIsa;
use crate::gemm::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};
use crate::simd::dispatch;

/// Channels of a group come in multiples of this, the widest vector.
const CHANNELS: usize = 16;
/// Squares in a batch from which transforming the weights pays.
const LEAST_SQUARES: usize = 32;
/// Values at the positions of a block of squares, before and after the product: 1 MB of a third-level cache. But a block
/// has at least so many squares, for which the weights are read once.
const BLOCK: usize = 256 * 1024;
const BLOCK_SQUARES: usize = 24;

/// Side of the kernel once the stride is 1.
fn side(s: &Conv2dShape) -> usize {
    s.kh.div_ceil(s.params.stride)
}

/// The channels that a group then sees.
fn depth(s: &Conv2dShape) -> usize {
    s.group_in() * s.params.stride.pow(2)
}

/// Whether this way is the faster one. It depends on the shapes alone.
pub(super) fn suits(s: &Conv2dShape) -> bool {
    let side = side(s);
    let kernel = s.kh == s.kw && (side == 3 || side == 5) && (s.params.stride == 1 || s.params.groups == 1);
    if !kernel {
        return false;
    }
    // The stride is below the kernel's side, so the square of it is no larger than the kernel.
    let depth = depth(s);
    // The gradient of the input is padded by what the kernel reaches beyond this padding.
    let padding = s.params.padding.top.max(s.params.padding.left) < s.kh;
    let channels = depth.is_multiple_of(CHANNELS) && s.group_out().is_multiple_of(CHANNELS);
    if !padding || !channels || depth.min(s.group_out()) < 2 * CHANNELS {
        return false;
    }
    let squares = Grid::new([s.oh, s.ow]).squares();
    // Of an image smaller than a few squares, too much of them lies outside.
    let products = squares * transform::points(side).pow(2) * depth;
    s.n * squares >= LEAST_SQUARES && 3 * products <= 2 * s.oh * s.ow * s.taps()
}

/// As [`suits`], for the gradient of the input.
pub(super) fn suits_backward_input(s: &Conv2dShape) -> bool {
    s.params.stride == 1 && suits(s)
}

/// Where in a filter, `[group_in, kh, kw]`, the weight of each channel and tap is, `[depth, side, side]`; nowhere where
/// blocks reach beyond the kernel.
fn places(s: &Conv2dShape) -> Vec<Option<usize>> {
    let (side, block, group_in) = (side(s), s.params.stride, s.group_in());
    let taps = (0..depth(s)).flat_map(|channel| (0..side * side).map(move |tap| (channel, tap)));
    taps.map(|(channel, tap)| {
        let (c, pixel) = (channel % group_in, channel / group_in);
        let (u, v) = (tap / side * block + pixel / block, tap % side * block + pixel % block);
        (u < s.kh && v < s.kw).then_some((c * s.kh + u) * s.kw + v)
    })
    .collect()
}

/// What a group sees of the input.
fn input(s: &Conv2dShape) -> Images {
    let before = [s.params.padding.top, s.params.padding.left];
    Images { h: s.h, w: s.w, c: s.in_channels, first: 0, channels: depth(s), before, block: s.params.stride }
}

/// A group's channels of the output.
fn output(s: &Conv2dShape) -> Images {
    Images { h: s.oh, w: s.ow, c: s.out_channels, first: 0, channels: s.group_out(), before: [0, 0], block: 1 }
}

/// A convolution: forward, or what gives the gradient of the input.
struct Winograd<'a> {
    isa: CpuIsa,
    n: usize,
    groups: usize,
    /// Of the first group.
    from: Images,
    to: Images,
    grid: Grid,
    bias: &'a [f32],
    relu: bool,
}

/// The weight at the points, as [`forward`] wants it.
pub(super) fn pack_weight(isa: CpuIsa, s: &Conv2dShape, weight: &[f32]) -> Scratch {
    let (group_out, taps, places, of_channel) = (s.group_out(), s.taps(), places(s), side(s).pow(2));
    weights::points(isa, s.params.groups, [depth(s), group_out], side(s), |g, channel, o, tap| {
        places[channel * of_channel + tap].map_or(0.0, |place| weight[(g * group_out + o) * taps + place])
    })
}

/// `weight` comes from [`pack_weight`].
pub(super) fn forward(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    relu: bool,
    y: &mut [f32],
) {
    let (n, groups, grid) = (s.n, s.params.groups, Grid::new([s.oh, s.ow]));
    Winograd { isa, n, groups, from: input(s), to: output(s), grid, bias, relu }.run(side(s), weight, x, y);
}

pub(super) fn backward_input(isa: CpuIsa, s: &Conv2dShape, weight: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
    let (group_in, group_out, taps, padding) = (s.group_in(), s.group_out(), s.kh * s.kw, s.params.padding);
    let weight = weights::points(isa, s.params.groups, [group_out, group_in], s.kh, |g, o, c, tap| {
        weight[((g * group_out + o) * group_in + c) * taps + taps - 1 - tap]
    });
    let from = Images { before: [s.kh - 1 - padding.top, s.kw - 1 - padding.left], ..output(s) };
    let to = Images { before: [0, 0], ..input(s) };
    let (n, groups, grid) = (s.n, s.params.groups, Grid::new([s.h, s.w]));
    Winograd { isa, n, groups, from, to, grid, bias: &[], relu: false }.run(s.kh, &weight, grad_y, grad_x);
}

impl Winograd<'_> {
    /// `weight` is a kernel of `side` by `side` taps at its points.
    fn run(&self, side: usize, weight: &[f32], x: &[f32], y: &mut [f32]) {
        match side {
            3 => self.run_at::<6>(weight, x, y),
            5 => self.run_at::<8>(weight, x, y),
            side => unreachable!("a kernel of side {side} does not suit"),
        }
    }

    /// At `N` points a side.
    fn run_at<const N: usize>(&self, weight: &[f32], x: &[f32], y: &mut [f32]) {
        let squares = self.n * self.grid.squares();
        let tiles = Tiles::of(self.isa);
        let of_square = N * N * (self.from.channels + self.to.channels);
        let fair = squares.div_ceil(4 * parallel::threads()).max(tiles.max_rows);
        let block = (BLOCK / of_square).max(BLOCK_SQUARES).min(fair);
        let blocks: Vec<_> = cut(squares, block).collect();
        let (y, of_group) = (Shared::new(y), weight.len() / self.groups);
        parallel::for_each(blocks.len() * self.groups, |task| {
            let (group, (first, count)) = (task / blocks.len(), blocks[task % blocks.len()]);
            let weight = &weight[group * of_group..(group + 1) * of_group];
            self.block::<N>(&tiles, group, weight, first..first + count, x, y);
        });
    }

    fn block<const N: usize>(
        &self,
        tiles: &Tiles,
        group: usize,
        weight: &[f32],
        squares: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
    ) {
        let (isa, grid, count) = (self.isa, self.grid, squares.len());
        let (from, to) = (self.from.of_group(group), self.to.of_group(group));
        let mut points = scratch::take(Panels::len(N * N, count, from.channels, from.channels));
        let mut products = scratch::take(Panels::len(N * N, count, to.channels, to.channels));
        let points = Panels::new(&mut points, N * N, count, from.channels, from.channels);
        let products = Panels::new(&mut products, N * N, count, to.channels, to.channels);
        dispatch(isa, Spread::<N, N> { x, images: from, grid, squares: squares.clone(), at: 0, points });
        for (position, weight) in weight.chunks_exact(weight.len() / (N * N)).enumerate() {
            self.product(tiles, position, weight, points, products);
        }
        let bias = if self.bias.is_empty() { &[] } else { &self.bias[to.first..to.first + to.channels] };
        dispatch(isa, Collect::<N> { points: products, bias, relu: self.relu, y, images: to, grid, squares });
    }

    /// The sum over channels at one position: squares by channels times channels by channels.
    fn product(&self, tiles: &Tiles, position: usize, weight: &[f32], a: Panels, c: Panels) {
        let (depth, width) = (self.from.channels, tiles.width());
        let rows = |channels: usize| (0..c.squares).map(move |i| i * channels).collect::<Vec<_>>();
        let (a_rows, c_rows) = (rows(depth), rows(self.to.channels));
        let runs = [Run { offset: 0, len: depth }];
        for (panel, weight) in weight.chunks_exact(depth * width).enumerate() {
            let columns = width.min(self.to.channels - panel * width);
            for (first, count) in cut(c.squares, tiles.max_rows) {
                let tile = RowsTile {
                    a: a.at(position, 0, 0),
                    a_rows: a_rows[first..first + count].as_ptr(),
                    runs: &runs,
                    b: weight.as_ptr(),
                    b_step: width,
                    c: c.at(position, 0, panel * width),
                    c_rows: c_rows[first..first + count].as_ptr(),
                    columns,
                    epilogue: Epilogue::STORE,
                };
                // SAFETY: rows and columns lie within the position's points, which this task owns; a panel has
                // `width` weights for each of them.
                unsafe { tiles.rows_tile(count, columns)(&tile) }
            }
        }
    }
}
