//! C = A·Bᵀ where B is large and read once: the forward pass of a fully connected layer.
//!
//! Both matrices have their k adjacent. B, the weights, is multiplied where it lies, as the rows of a [`RowsTile`]; A,
//! the batch, is small, and packed as the columns. What comes out is Cᵀ, a few rows at a time, which is turned round
//! while it is in the cache.

use super::packed::Finish;
use super::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;

/// k of a block: 512 values of 128 rows of A are half of a cache of 512 KB.
const DEPTH: usize = 512;
/// Rows of B whose results are collected before they are turned round.
const ROWS: usize = 48;

/// Overwrites C, `m` by `n`, with the product of A, `m` by `k`, and the transpose of B, `n` by `k`; all row-major.
pub(crate) fn product(isa: CpuIsa, [m, n, k]: [usize; 3], a: &[f32], b: &[f32], finish: Finish<'_>, c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == n * k && c.len() == m * n, "A is {m} by {k}, B {n} by {k}, C {m} by {n}");
    let tiles = Tiles::of(isa);
    // Whole vectors; the last panel may be narrower than the others.
    let padded = m.next_multiple_of(tiles.lanes);
    let packed = pack(&tiles, a, m, k);
    let c = Shared::new(c);
    let chunks = n.div_ceil(ROWS);
    parallel::for_each(chunks, |chunk| {
        let rows = chunk * ROWS..n.min((chunk + 1) * ROWS);
        let mut turned = scratch::zeroed(ROWS * padded);
        let starts: Vec<usize> = rows.clone().map(|row| row * k).collect();
        let results: Vec<usize> = (0..rows.len()).map(|row| row * padded).collect();
        for first in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - first);
            let runs = [Run { offset: first, len: depth }];
            for (start, count) in cut(rows.len(), tiles.max_rows) {
                for column in (0..padded).step_by(tiles.width()) {
                    let width = tiles.width().min(padded - column);
                    let tile = RowsTile {
                        a: b.as_ptr(),
                        a_rows: starts[start..start + count].as_ptr(),
                        runs: &runs,
                        b: packed[first * padded + column * depth..].as_ptr(),
                        b_step: width,
                        c: turned[column..].as_mut_ptr(),
                        c_rows: results[start..start + count].as_ptr(),
                        columns: width,
                        epilogue: Epilogue::ACCUMULATE,
                    };
                    // SAFETY: the rows have `k` values each, of which the run is a part; the panel has `depth · width`
                    // packed values; the results lie in `turned`, which this task alone has.
                    unsafe { tiles.rows_tile(count, width)(&tile) }
                }
            }
        }
        for i in 0..m {
            // SAFETY: each task writes its own columns of each row of C.
            let c = unsafe { c.slice(i * n + rows.start..i * n + rows.end) };
            for (j, value) in c.iter_mut().enumerate() {
                let biased = turned[j * padded + i] + finish.bias.get(rows.start + j).copied().unwrap_or(0.0);
                *value = if finish.relu && biased <= 0.0 { 0.0 } else { biased };
            }
        }
    });
}

/// Block by block of k, panel by panel of rows of A, as wide as a tile or what is left: the values of one k next to each
/// other, filled up with zeros.
fn pack(tiles: &Tiles, a: &[f32], m: usize, k: usize) -> scratch::Scratch {
    let padded = m.next_multiple_of(tiles.lanes);
    let mut packed = scratch::take(k * padded);
    let shared = Shared::new(&mut packed);
    parallel::for_each(k.div_ceil(DEPTH), |block| {
        let (first, depth) = (block * DEPTH, DEPTH.min(k - block * DEPTH));
        // SAFETY: one part per block.
        let packed = unsafe { shared.slice(first * padded..(first + depth) * padded) };
        for (panel, packed) in packed.chunks_mut(depth * tiles.width()).enumerate() {
            let (start, width) = (panel * tiles.width(), packed.len() / depth);
            packed.fill(0.0);
            for i in start..m.min(start + width) {
                let values = &a[i * k + first..i * k + first + depth];
                for (to, &value) in packed[i - start..].iter_mut().step_by(width).zip(values) {
                    *to = value;
                }
            }
        }
    });
    packed
}
