//! C = A·B for matrices of any size and orientation.
//!
//! A is packed once, one tile of rows after the other; B block by block, each by the thread that uses it, into panels as
//! wide as a tile. A block of B stays in the L2 cache while it is multiplied by the tiles of A. The columns of C are
//! distributed over the threads; every element sums over k in ascending order in blocks of [`DEPTH`], on any thread.

use super::Matrix;
use super::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;
use crate::simd::prefetch;

/// Values of k per block.
pub(super) const DEPTH: usize = 256;
/// Maximum number of columns per block: 256 · 256 values are half of an L2 cache of 512 KB.
const COLUMNS: usize = 256;

/// Prefetch distance while packing, in rows of B: without prefetching, the gradient of fc6's input took 70 ms instead of 56
/// for 128 images.
const AHEAD: usize = 6;

/// Bias and ReLU applied to C.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// One value per column, or empty.
    pub(crate) bias: &'a [f32],
    pub(crate) relu: bool,
}

/// Overwrites C, `m` by `n` and row-major, with the product of A, `m` by `k`, and B, `k` by `n`.
pub(crate) fn product(
    isa: CpuIsa,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    finish: Finish<'_>,
    c: &mut [f32],
) {
    assert_eq!(c.len(), m * n, "C is {m} by {n}");
    let tiles = Tiles::of(isa);
    let width = tiles.width();
    let a = PackedA::new(&tiles, a, m, k);
    // At least two blocks of columns per thread if there are enough columns.
    let columns = n.div_ceil(2 * parallel::threads()).clamp(1, COLUMNS).next_multiple_of(width);
    let c = Shared::new(c);
    parallel::for_each(n.div_ceil(columns), |block| {
        let first = block * columns;
        let columns = columns.min(n - first);
        let mut packed = scratch::take(DEPTH.min(k) * columns.next_multiple_of(width));
        for k0 in (0..k.max(1)).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            pack_b(b, k0, depth, first, columns, width, &mut packed);
            for (start, rows) in cut(m, tiles.max_rows) {
                for (panel, column) in (0..columns).step_by(width).enumerate() {
                    let count = width.min(columns - column);
                    let last = k0 + depth == k;
                    let bias = if last && !finish.bias.is_empty() {
                        finish.bias[first + column..][..count].as_ptr()
                    } else {
                        std::ptr::null()
                    };
                    let tile = ColumnsTile {
                        a: a.tile(start, rows, k0),
                        b: packed[panel * depth * width..].as_ptr(),
                        counts: [1, 1, depth],
                        a_steps: [0, 0, rows],
                        b_steps: [0, 0, width],
                        c: c.start().wrapping_add(start * n + first + column),
                        c_row: n,
                        columns: count,
                        epilogue: Epilogue { accumulate: k0 > 0, bias, relu: finish.relu && last },
                    };
                    // SAFETY: A has `depth · rows` packed values for these rows from k0 on, the panel `depth · width`;
                    // the tile's rows and columns are inside C, and only this task writes them.
                    unsafe { tiles.columns_tile(rows, count)(&tile) }
                }
            }
        }
    });
}

/// A, divided into tiles of rows; within a tile, the rows of one k are adjacent.
pub(super) struct PackedA {
    values: scratch::Scratch,
    k: usize,
}

impl PackedA {
    pub(super) fn new(tiles: &Tiles, a: Matrix<'_>, m: usize, k: usize) -> Self {
        let mut values = scratch::take(m * k);
        let shared = Shared::new(&mut values);
        let cuts: Vec<_> = cut(m, tiles.max_rows).collect();
        parallel::for_each(cuts.len(), |t| {
            let (start, rows) = cuts[t];
            // SAFETY: one part per tile.
            let packed = unsafe { shared.slice(start * k..(start + rows) * k) };
            for (at, packed) in packed.chunks_exact_mut(rows).enumerate() {
                for (i, value) in packed.iter_mut().enumerate() {
                    *value = a.values[(start + i) * a.rows + at * a.columns];
                }
            }
        });
        Self { values, k }
    }

    /// Pointer to the values of a tile from `k0` on.
    pub(super) fn tile(&self, start: usize, rows: usize, k0: usize) -> *const f32 {
        self.values[start * self.k + k0 * rows..].as_ptr()
    }
}

/// Packs rows `k0..k0 + depth` and columns `first..first + columns` of B in panels of `width` columns, the last one
/// zero-padded.
pub(super) fn pack_b(
    b: Matrix<'_>,
    k0: usize,
    depth: usize,
    first: usize,
    columns: usize,
    width: usize,
    packed: &mut [f32],
) {
    let start = k0 * b.rows + first * b.columns;
    if b.columns == 1 {
        pack_rows(&b.values[start..], b.rows, depth, columns, width, packed);
        return;
    }
    for (panel, column) in (0..columns).step_by(width).enumerate() {
        let count = width.min(columns - column);
        let panel = &mut packed[panel * depth * width..(panel + 1) * depth * width];
        // Values along a column are adjacent: each column is read sequentially, a few k at a time, so that the cache lines
        // of the panel being written stay in the cache.
        panel.fill(0.0);
        const BLOCK: usize = 16;
        for k in (0..depth).step_by(BLOCK) {
            for j in 0..count {
                for k in k..(k + BLOCK).min(depth) {
                    panel[k * width + j] = b.values[start + k * b.rows + (column + j) * b.columns];
                }
            }
        }
    }
}

/// Packs `rows` rows of `columns` adjacent values, `step` from one row to the next, in panels of `width` columns, the last
/// one zero-padded. The rows are read sequentially, the fastest access pattern; each is prefetched [`AHEAD`] rows in
/// advance, because hardware prefetchers do not cross page boundaries.
pub(crate) fn pack_rows(values: &[f32], step: usize, rows: usize, columns: usize, width: usize, packed: &mut [f32]) {
    // With a constant width, a copy compiles to a few moves instead of a call.
    match width {
        8 => pack_rows_of::<8>(values, step, rows, columns, packed),
        16 => pack_rows_of::<16>(values, step, rows, columns, packed),
        32 => pack_rows_of::<32>(values, step, rows, columns, packed),
        _ => unreachable!("the width of a tile must be 8, 16 or 32, but is {width}"),
    }
}

fn pack_rows_of<const WIDTH: usize>(values: &[f32], step: usize, rows: usize, columns: usize, packed: &mut [f32]) {
    let (whole, rest) = (columns / WIDTH, columns % WIDTH);
    for row in 0..rows {
        if row + AHEAD < rows {
            prefetch(&values[(row + AHEAD) * step..(row + AHEAD) * step + columns]);
        }
        let values = &values[row * step..row * step + columns];
        let mut to = row * WIDTH;
        for values in values.chunks_exact(WIDTH) {
            packed[to..to + WIDTH].copy_from_slice(values);
            to += rows * WIDTH;
        }
        if rest > 0 {
            let last = &mut packed[to..to + WIDTH];
            last[..rest].copy_from_slice(&values[whole * WIDTH..]);
            last[rest..].fill(0.0);
        }
    }
}
