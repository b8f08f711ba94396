//! Winograd's minimal filtering for 3×3 and 5×5 kernels at stride 1, and for larger kernels at larger strides that become
//! such kernels over blocks of pixels ([`Images::block`]), such as AlexNet's first layer.
//!
//! A convolution of a signal with a kernel of r values is a product of polynomials. Evaluating both at n interpolation
//! points, multiplying, and interpolating gives m = n − r + 1 results for n products instead of m·r (Toom-Cook); in two
//! dimensions m² results for n² products. With m = 4, that is 36 instead of 144 for a 3×3 kernel, and 64 instead of 400 for
//! 5×5. The values at the n² pairs of interpolation points are the coefficients in the transform domain. For each
//! coefficient position, the sum over channels is a matrix product over all Winograd tiles of 4×4 pixels:
//!
//! * forward: transform each tile of `x`; multiply by the transformed kernel; transform back to pixels of `y`;
//! * the gradient of the input is the same computation on `grad_y`, with the kernel mirrored and inputs and outputs
//!   exchanged;
//! * the gradient of the weights is the product of the transformed `x` and the transformed `grad_y`, summed over tiles, and
//!   transformed back (`weight_gradient.rs`).
//!
//! The interpolation points are 0, ±3/4, ±3/2 and ∞ for 3×3, where the usual 0, ±1, ±2 and ∞ have five times the rounding
//! error, and 0, ±1/2, ±1, ±2 and ∞ for 5×5; all are exact in binary. On random data as large as AlexNet's layers the
//! largest error, relative to the largest result, is 2·10⁻⁶ forward and 10⁻⁶ in the gradient of the weights for 3×3, 4·10⁻⁶
//! and 10⁻⁵ for 5×5; a direct sum in `f32` has 3·10⁻⁷.
//!
//! A NaN or an infinity spreads to all results of the tiles whose input contains it, not only to the windows that contain
//! it.
//!
//! # Source
//! Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray, *Fast Algorithms for Convolutional Neural
//! Networks*, 2016, who call it F(4×4, r×r). On the choice of interpolation points: Barabasz et al., *Error Analysis and
//! Improving the Accuracy of Winograd Convolution for Deep Neural Networks*, 2020.

mod tiles;
mod transform;
mod weight_gradient;
mod weights;

use std::ops::Range;

pub(super) use weight_gradient::backward_weight;

use self::tiles::{Collect, Grid, Images, Panels, Spread};
use super::Conv2dShape;
use crate::backend::CpuIsa;
use crate::gemm::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};
use crate::simd::dispatch;

/// The channels of a group must be a multiple of this, the lanes of the widest vector.
const CHANNELS: usize = 16;
/// Minimum number of Winograd tiles in a batch for which transforming the weights pays off.
const LEAST_TILES: usize = 32;
/// Number of coefficients of a block of Winograd tiles, before and after the product: 1 MB of an L3 cache.
const BLOCK: usize = 256 * 1024;
/// Minimum number of Winograd tiles in a block; the weights are read once per block.
const BLOCK_TILES: usize = 24;

/// Side of the kernel after the conversion to stride 1.
fn side(s: &Conv2dShape) -> usize {
    s.kh.div_ceil(s.params.stride)
}

/// Number of input channels per group after that conversion.
fn depth(s: &Conv2dShape) -> usize {
    s.group_in() * s.params.stride.pow(2)
}

/// Whether Winograd's algorithm is faster than direct convolution. It depends on the shapes alone.
pub(super) fn suits(s: &Conv2dShape) -> bool {
    let side = side(s);
    let kernel = s.kh == s.kw && (side == 3 || side == 5) && (s.params.stride == 1 || s.params.groups == 1);
    if !kernel {
        return false;
    }
    // The stride is below the kernel's side, so stride² is no larger than the kernel.
    let depth = depth(s);
    // The gradient of the input uses the padding `kh - 1 - padding`, which must not be negative.
    let padding = s.params.padding.top.max(s.params.padding.left) < s.kh;
    let channels = depth.is_multiple_of(CHANNELS) && s.group_out().is_multiple_of(CHANNELS);
    if !padding || !channels || depth.min(s.group_out()) < 2 * CHANNELS {
        return false;
    }
    let tiles = Grid::new([s.oh, s.ow]).tiles();
    // If an image is smaller than a few tiles, too much of their area is outside it.
    let products = tiles * transform::points(side).pow(2) * depth;
    s.n * tiles >= LEAST_TILES && 3 * products <= 2 * s.oh * s.ow * s.taps()
}

/// As [`suits`], for the gradient of the input.
pub(super) fn suits_backward_input(s: &Conv2dShape) -> bool {
    s.params.stride == 1 && suits(s)
}

/// For each channel and tap at stride 1, `[depth, side, side]`, the index of its weight in a filter, `[group_in, kh, kw]`;
/// `None` where blocks extend beyond the kernel.
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

/// The input images of the first group.
fn input(s: &Conv2dShape) -> Images {
    let before = [s.params.padding.top, s.params.padding.left];
    Images { h: s.h, w: s.w, c: s.in_channels, first: 0, channels: depth(s), before, block: s.params.stride }
}

/// The output images of the first group.
fn output(s: &Conv2dShape) -> Images {
    Images { h: s.oh, w: s.ow, c: s.out_channels, first: 0, channels: s.group_out(), before: [0, 0], block: 1 }
}

/// A convolution: the forward pass, or the gradient of the input.
struct Winograd<'a> {
    isa: CpuIsa,
    n: usize,
    groups: usize,
    /// The images that are read and written, of the first group.
    from: Images,
    to: Images,
    grid: Grid,
    bias: &'a [f32],
    relu: bool,
}

/// The transformed weight, packed for [`forward`].
pub(super) fn pack_weight(isa: CpuIsa, s: &Conv2dShape, weight: &[f32]) -> Scratch {
    let (group_out, taps, places, of_channel) = (s.group_out(), s.taps(), places(s), side(s).pow(2));
    weights::coefficients(isa, s.params.groups, [depth(s), group_out], side(s), |g, channel, o, tap| {
        places[channel * of_channel + tap].map_or(0.0, |place| weight[(g * group_out + o) * taps + place])
    })
}

/// `weight` must come from [`pack_weight`].
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
    let weight = weights::coefficients(isa, s.params.groups, [group_out, group_in], s.kh, |g, o, c, tap| {
        weight[((g * group_out + o) * group_in + c) * taps + taps - 1 - tap]
    });
    let from = Images { before: [s.kh - 1 - padding.top, s.kw - 1 - padding.left], ..output(s) };
    let to = Images { before: [0, 0], ..input(s) };
    let (n, groups, grid) = (s.n, s.params.groups, Grid::new([s.h, s.w]));
    Winograd { isa, n, groups, from, to, grid, bias: &[], relu: false }.run(s.kh, &weight, grad_y, grad_x);
}

impl Winograd<'_> {
    /// `weight` is a transformed kernel of `side` by `side` taps.
    fn run(&self, side: usize, weight: &[f32], x: &[f32], y: &mut [f32]) {
        match side {
            3 => self.run_at::<6>(weight, x, y),
            5 => self.run_at::<8>(weight, x, y),
            side => unreachable!("the kernel side must be 3 or 5, but is {side}"),
        }
    }

    /// With `N` interpolation points per dimension.
    fn run_at<const N: usize>(&self, weight: &[f32], x: &[f32], y: &mut [f32]) {
        let tiles = self.n * self.grid.tiles();
        let register_tiles = Tiles::of(self.isa);
        let of_tile = N * N * (self.from.channels + self.to.channels);
        let fair = tiles.div_ceil(4 * parallel::threads()).max(register_tiles.max_rows);
        let block = (BLOCK / of_tile).max(BLOCK_TILES).min(fair);
        let blocks: Vec<_> = cut(tiles, block).collect();
        let (y, of_group) = (Shared::new(y), weight.len() / self.groups);
        parallel::for_each(blocks.len() * self.groups, |task| {
            let (group, (first, count)) = (task / blocks.len(), blocks[task % blocks.len()]);
            let weight = &weight[group * of_group..(group + 1) * of_group];
            self.block::<N>(&register_tiles, group, weight, first..first + count, x, y);
        });
    }

    fn block<const N: usize>(
        &self,
        register_tiles: &Tiles,
        group: usize,
        weight: &[f32],
        tiles: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
    ) {
        let (isa, grid, count) = (self.isa, self.grid, tiles.len());
        let (from, to) = (self.from.of_group(group), self.to.of_group(group));
        let mut coefficients = scratch::take(Panels::len(N * N, count, from.channels, from.channels));
        let mut products = scratch::take(Panels::len(N * N, count, to.channels, to.channels));
        let coefficients = Panels::new(&mut coefficients, N * N, count, from.channels, from.channels);
        let products = Panels::new(&mut products, N * N, count, to.channels, to.channels);
        dispatch(isa, Spread::<N, N> { x, images: from, grid, tiles: tiles.clone(), at: 0, coefficients });
        for (position, weight) in weight.chunks_exact(weight.len() / (N * N)).enumerate() {
            self.product(register_tiles, position, weight, coefficients, products);
        }
        let bias = if self.bias.is_empty() { &[] } else { &self.bias[to.first..to.first + to.channels] };
        dispatch(isa, Collect::<N> { coefficients: products, bias, relu: self.relu, y, images: to, grid, tiles });
    }

    /// The sum over channels at one coefficient position: a product of (tiles × input channels) by (input channels × output
    /// channels).
    fn product(&self, register_tiles: &Tiles, position: usize, weight: &[f32], a: Panels, c: Panels) {
        let (depth, width) = (self.from.channels, register_tiles.width());
        let rows = |channels: usize| (0..c.tiles).map(move |i| i * channels).collect::<Vec<_>>();
        let (a_rows, c_rows) = (rows(depth), rows(self.to.channels));
        let runs = [Run { offset: 0, len: depth }];
        for (panel, weight) in weight.chunks_exact(depth * width).enumerate() {
            let columns = width.min(self.to.channels - panel * width);
            for (first, count) in cut(c.tiles, register_tiles.max_rows) {
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
                // SAFETY: rows and columns are within the coefficients of this position, which this task owns; a panel has
                // `width` weights per input channel.
                unsafe { register_tiles.rows_tile(count, columns)(&tile) }
            }
        }
    }
}
