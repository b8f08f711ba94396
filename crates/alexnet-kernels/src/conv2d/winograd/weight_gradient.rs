//! The gradient of the weights: at each coefficient position, the sum over all Winograd tiles of the transformed images
//! times the transformed `grad_y`.
//!
//! The Winograd tiles are processed in chunks, each by all threads: first the threads transform the tiles' pixels, packed as
//! the register tiles require, then each thread takes some positions and adds the chunk's product to the sums. The sums of a
//! position are accumulated by one thread per chunk, chunk after chunk, so the result does not depend on the number of
//! threads.

use super::tiles::{Grid, Panels, Spread};
use super::transform::SIDE;
use super::{depth, input, output, places, side, weights};
use crate::backend::CpuIsa;
use crate::conv2d::Conv2dShape;
use crate::gemm::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch;
use crate::simd::dispatch;

/// Winograd tiles per chunk: with fewer, the sums are read and written more often; with more, the coefficients are farther
/// away in the cache hierarchy.
const CHUNK: usize = 192;
/// Winograd tiles that a task transforms.
const GRAIN: usize = 8;
/// Number of adjacent channels in the panels of the images.
const WIDTH: usize = 16;

pub(in crate::conv2d) fn backward_weight(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    match side(s) {
        3 => backward_at::<3, 6>(isa, s, x, grad_y, grad_weight),
        5 => backward_at::<5, 8>(isa, s, x, grad_y, grad_weight),
        side => unreachable!("the kernel side must be 3 or 5, but is {side}"),
    }
}

/// For a kernel of side `R`, with `N` interpolation points per dimension.
fn backward_at<const R: usize, const N: usize>(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let (register_tiles, groups) = (Tiles::of(isa), s.params.groups);
    let (group_in, group_out) = (depth(s), s.group_out());
    let positions = N * N;
    let grid = Grid::new([s.oh, s.ow]);
    let tiles = s.n * grid.tiles();

    let sums_len = positions * group_in * group_out;
    let mut sums = scratch::take(groups * sums_len);
    let chunk = CHUNK.min(tiles);
    let (x_len, y_len) = (
        Panels::len(positions, chunk, group_in, WIDTH),
        Panels::len(positions, chunk, group_out, register_tiles.width()),
    );
    let mut all_x: Vec<_> = (0..groups).map(|_| scratch::take(x_len)).collect();
    let mut all_y: Vec<_> = (0..groups).map(|_| scratch::take(y_len)).collect();

    for (first, count) in cut(tiles, chunk) {
        let of_x: Vec<_> = all_x.iter_mut().map(|x| Panels::new(x, positions, count, group_in, WIDTH)).collect();
        let of_y: Vec<_> =
            all_y.iter_mut().map(|y| Panels::new(y, positions, count, group_out, register_tiles.width())).collect();
        let grains = count.div_ceil(GRAIN);
        parallel::for_each(groups * grains, |task| {
            let (group, at) = (task / grains, task % grains * GRAIN);
            let tiles = first + at..first + (at + GRAIN).min(count);
            let (images, coefficients) = (input(s).of_group(group), of_x[group]);
            dispatch(isa, Spread::<N, N> { x, images, grid, tiles: tiles.clone(), at, coefficients });
            let (x, images, coefficients) = (grad_y, output(s).of_group(group), of_y[group]);
            dispatch(isa, Spread::<SIDE, N> { x, images, grid, tiles, at, coefficients });
        });

        let shared = Shared::new(&mut sums);
        parallel::for_each(groups * positions, |task| {
            let (group, position) = (task / positions, task % positions);
            let len = group_in * group_out;
            // SAFETY: one part per task.
            let sums = unsafe { shared.slice(task * len..(task + 1) * len) };
            let epilogue = if first == 0 { Epilogue::STORE } else { Epilogue::ACCUMULATE };
            add_product(&register_tiles, position, (of_x[group], group_in), (of_y[group], group_out), epilogue, sums);
        });
    }
    if s.params.stride == 1 {
        return weights::gradient::<R, N>(isa, groups, [group_in, group_out], &sums, grad_weight);
    }
    let taps = R * R;
    let mut of_blocks = scratch::take(groups * group_out * group_in * taps);
    weights::gradient::<R, N>(isa, groups, [group_in, group_out], &sums, &mut of_blocks);
    let places = places(s);
    for (filter, of_blocks) in grad_weight.chunks_exact_mut(s.taps()).zip(of_blocks.chunks_exact(group_in * taps)) {
        for (place, &value) in places.iter().zip(of_blocks) {
            if let Some(place) = *place {
                filter[place] = value;
            }
        }
    }
}

/// Adds the product over a chunk at one coefficient position to `sums`, `[a_channels, b_channels]`.
fn add_product(
    register_tiles: &Tiles,
    position: usize,
    (a, a_channels): (Panels, usize),
    (b, b_channels): (Panels, usize),
    epilogue: Epilogue,
    sums: &mut [f32],
) {
    let width = register_tiles.width();
    for panel in (0..a_channels).step_by(WIDTH) {
        for column in (0..b_channels).step_by(width) {
            let columns = width.min(b_channels - column);
            for (row, rows) in cut(WIDTH.min(a_channels - panel), register_tiles.max_rows) {
                let channel = panel + row;
                let start = channel * b_channels + column;
                let tile = ColumnsTile {
                    a: a.at(position, 0, channel),
                    b: b.at(position, 0, column),
                    counts: [1, 1, a.tiles],
                    a_steps: [0, 0, WIDTH],
                    b_steps: [0, 0, width],
                    c: sums[start..start + (rows - 1) * b_channels + columns].as_mut_ptr(),
                    c_row: b_channels,
                    columns,
                    epilogue,
                };
                // SAFETY: both panels have a row for each Winograd tile; the sums were checked above, and only this task
                // writes them.
                unsafe { register_tiles.columns_tile(rows, columns)(&tile) }
            }
        }
    }
}
