//! C = A·B, of which nothing is kept: a few rows at a time are handed on while they are in the cache.
//!
//! For who would read C once and never again, such as the solver the gradient of a fully connected layer's weights: C is
//! as large as they are, and to write and to read it takes as long as the product itself for batches of some ten images.
//! Every element is what [`packed::product`](super::packed::product) makes of it, to the bit.

use super::Matrix;
use super::packed::{DEPTH, PackedA, pack_b};
use super::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;

/// Rows of a chunk, about: with a block of B and with what they are added to, 420 KB of the second-level cache. For 128 images
/// half as many were 2 % slower, and twice as many 10 %.
const ROWS: usize = 96;
/// Columns of a block: whole tiles.
const COLUMNS: usize = 256;

/// Who takes the rows.
pub(crate) trait Rows: Sync {
    /// Whatever will be needed for `columns` values from column `first` of a row on is asked for.
    fn soon(&self, row: usize, first: usize, columns: usize);

    /// The values of a row from column `first` on. Each value comes once, of any row at any time.
    fn take(&self, row: usize, first: usize, values: &[f32]);
}

/// Hands the product of A, `m` by `k`, and B, `k` by `n`, to `rows`.
pub(crate) fn product(isa: CpuIsa, [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, rows: &impl Rows) {
    let tiles = Tiles::of(isa);
    let width = tiles.width();
    let a = PackedA::new(&tiles, a, m, k);
    let b = pack(b, n, k, width);
    let cuts: Vec<_> = cut(m, tiles.max_rows).collect();
    let chunks: Vec<_> = cuts.chunks(ROWS.div_ceil(tiles.max_rows)).collect();
    parallel::for_each(chunks.len(), |chunk| {
        let chunk = chunks[chunk];
        let top = chunk[0].0;
        let height = chunk.iter().map(|(_, rows)| rows).sum::<usize>();
        let mut c = scratch::take(height * COLUMNS);
        for first in (0..n).step_by(COLUMNS) {
            let columns = COLUMNS.min(n - first);
            let padded = columns.next_multiple_of(width);
            let next = first + COLUMNS;
            for k0 in (0..k.max(1)).step_by(DEPTH) {
                let depth = DEPTH.min(k - k0);
                for &(start, count) in chunk {
                    for column in (0..columns).step_by(width) {
                        let wide = width.min(columns - column);
                        if k0 == 0 && next + column < n {
                            let soon = width.min(n - next - column);
                            (start..start + count).for_each(|row| rows.soon(row, next + column, soon));
                        }
                        let tile = ColumnsTile {
                            a: a.tile(start, count, k0),
                            b: b[first * k + k0 * padded + column * depth..].as_ptr(),
                            counts: [1, 1, depth],
                            a_steps: [0, 0, count],
                            b_steps: [0, 0, width],
                            c: c[(start - top) * COLUMNS + column..].as_mut_ptr(),
                            c_row: COLUMNS,
                            columns: wide,
                            epilogue: Epilogue { accumulate: k0 > 0, bias: std::ptr::null(), relu: false },
                        };
                        // SAFETY: A has `depth · count` packed values for these rows from k0 on, the panel of B
                        // `depth · width`; the tile's rows and columns are inside C, which this task alone has.
                        unsafe { tiles.columns_tile(count, wide)(&tile) }
                    }
                }
            }
            for row in 0..height {
                rows.take(top + row, first, &c[row * COLUMNS..][..columns]);
            }
        }
    });
}

/// All of B: block by block of columns, in each block by block of k, panel by panel as wide as a tile.
fn pack(b: Matrix<'_>, n: usize, k: usize, width: usize) -> scratch::Scratch {
    let mut packed = scratch::take(k * n.next_multiple_of(width));
    let shared = Shared::new(&mut packed);
    parallel::for_each(n.div_ceil(COLUMNS), |block| {
        let first = block * COLUMNS;
        let columns = COLUMNS.min(n - first);
        let padded = columns.next_multiple_of(width);
        // SAFETY: one part per block; all but the last are `COLUMNS` wide, which is whole tiles.
        let packed = unsafe { shared.slice(first * k..(first + padded) * k) };
        for k0 in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            pack_b(b, k0, depth, first, columns, width, &mut packed[k0 * padded..][..depth * padded]);
        }
    });
    packed
}
