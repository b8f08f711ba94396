//! C = A·B without storing C: a few rows at a time are passed to a consumer while they are in the cache.
//!
//! For consumers that read C only once, such as the optimizer, which reads the gradient of a fully connected layer's
//! weights: C is as large as the weights, and writing and reading it takes as long as the product itself for batches of some
//! ten images. Every element is bitwise equal to that of [`packed::product`](super::packed::product).

use super::Matrix;
use super::packed::{DEPTH, PackedA, pack_b};
use super::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;

/// Approximate number of rows per chunk: together with a block of B and the values they are added to, 420 KB of the L2
/// cache. For 128 images half as many rows were 2 % slower, and twice as many 10 %.
const ROWS: usize = 96;
/// Number of columns per block, a multiple of the tile width.
const COLUMNS: usize = 256;

/// A consumer of the rows.
pub(crate) trait Rows: Sync {
    /// Prefetches the data needed for `columns` values of a row from column `first` on.
    fn soon(&self, row: usize, first: usize, columns: usize);

    /// Consumes the values of a row from column `first` on. Each value is passed once, in any order of rows and columns.
    fn take(&self, row: usize, first: usize, values: &[f32]);
}

/// Passes the product of A, `m` by `k`, and B, `k` by `n`, to `rows`.
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
                        // `depth · width`; the tile's rows and columns are inside C, which only this task uses.
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

/// Packs all of B: by blocks of columns, within these by blocks of k, within these by panels as wide as a tile.
fn pack(b: Matrix<'_>, n: usize, k: usize, width: usize) -> scratch::Scratch {
    let mut packed = scratch::take(k * n.next_multiple_of(width));
    let shared = Shared::new(&mut packed);
    parallel::for_each(n.div_ceil(COLUMNS), |block| {
        let first = block * COLUMNS;
        let columns = COLUMNS.min(n - first);
        let padded = columns.next_multiple_of(width);
        // SAFETY: one part per block; all but the last are `COLUMNS` wide, a multiple of the tile width.
        let packed = unsafe { shared.slice(first * k..(first + padded) * k) };
        for k0 in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            pack_b(b, k0, depth, first, columns, width, &mut packed[k0 * padded..][..depth * padded]);
        }
    });
    packed
}
