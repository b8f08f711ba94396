//! C = A·B where A has few rows and B is large: the gradient of a fully connected layer's input for at most a few dozen
//! images.
//!
//! B is read in place, a few rows at a time, each sequentially: it is used too few times for packing to pay off. C stays in
//! the L2 cache during the pass over B, and the next part of B is prefetched between the tiles, so that it arrives while
//! they are computed.

use std::ops::Range;

use super::Matrix;
use super::packed::{PackedA, pack_b};
use super::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;
use crate::simd::prefetch;

/// Up to this many rows of A, this product is faster than the packed one. On two cores of a Zen 4, the gradient of fc6's
/// input took, packed and in place, 11 and 6 ms for 4 images, 16 and 10 ms for 16, 22 and 17 ms for 32, and 33 ms either way
/// for 64.
pub(crate) const MAX_ROWS: usize = 48;
/// Rows of B processed together: the number of memory streams, and the number of rows per read and write of C.
const DEPTH: usize = 48;
/// Maximum number of values of C in a block of columns: 256 KB, half of an L2 cache of 512 KB.
const BLOCK: usize = 1 << 16;
/// Prefetch distance, in columns of B.
const AHEAD: usize = 256;

/// Overwrites C, `m` by `n`, with the product of A, `m` by `k`, and B, `k` by `n`; B and C row-major.
pub(crate) fn product(isa: CpuIsa, [m, n, k]: [usize; 3], a: Matrix<'_>, b: &[f32], c: &mut [f32]) {
    assert!(b.len() == k * n && c.len() == m * n, "B is {k} by {n}, C {m} by {n}");
    if k == 0 || n == 0 {
        return c.fill(0.0);
    }
    let tiles = Tiles::of(isa);
    let width = tiles.width();
    let a = PackedA::new(&tiles, a, m, k);
    let cuts: Vec<_> = cut(m, tiles.max_rows).collect();
    // The same number of blocks for each thread.
    let blocks = (m * n).div_ceil(BLOCK).max(1).next_multiple_of(parallel::threads());
    let most = n.div_ceil(blocks).next_multiple_of(width);
    let c = Shared::new(c);
    parallel::for_each(n.div_ceil(most), |block| {
        let columns = block * most..n.min((block + 1) * most);
        let mut rest = scratch::take(DEPTH * width);
        for k0 in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            for column in columns.clone().step_by(width) {
                let count = width.min(columns.end - column);
                ask(b, [n, k], &columns, k0, column..column + width);
                let (of_b, step) = if count == width {
                    (b[k0 * n + column..].as_ptr(), n)
                } else {
                    // A tile reads whole vectors, which could extend beyond the end of B.
                    pack_b(Matrix::row_major(b, n), k0, depth, column, count, width, &mut rest[..depth * width]);
                    (rest.as_ptr(), width)
                };
                for &(start, rows) in &cuts {
                    let tile = ColumnsTile {
                        a: a.tile(start, rows, k0),
                        b: of_b,
                        counts: [1, 1, depth],
                        a_steps: [0, 0, rows],
                        b_steps: [0, 0, step],
                        c: c.start().wrapping_add(start * n + column),
                        c_row: n,
                        columns: count,
                        epilogue: if k0 > 0 { Epilogue::ACCUMULATE } else { Epilogue::STORE },
                    };
                    // SAFETY: A has `depth · rows` packed values for these rows from k0 on; B has `depth` rows of whole
                    // tiles, `step` apart; the tile's rows and columns are inside C, and only this task writes them.
                    unsafe { tiles.columns_tile(rows, count)(&tile) }
                }
            }
        }
    });
}

/// Prefetches the values needed [`AHEAD`] columns after `now`, or `columns.len()` if that is less: in the rows from `k0` on
/// or, beyond the end of `columns`, in the next rows.
fn ask(b: &[f32], [n, k]: [usize; 2], columns: &Range<usize>, k0: usize, now: Range<usize>) {
    let (k0, first) = match now.start + AHEAD.min(columns.len()) {
        first if first < columns.end => (k0, first),
        first => (k0 + DEPTH, columns.start + first - columns.end),
    };
    let soon = first.min(columns.end)..columns.end.min(first + now.len());
    for row in k0..k.min(k0 + DEPTH) {
        prefetch(&b[row * n..][soon.clone()]);
    }
}
