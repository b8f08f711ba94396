//! C = A·Bᵀ where B is large and read once: the forward pass of a fully connected layer.
//!
//! In both matrices the values along k are adjacent. B, the weights, is read in place, as the rows of a [`RowsTile`]; A, the
//! batch, is small, and is packed as the columns. The result is Cᵀ, a few rows at a time, which is transposed while it is in
//! the cache.
//!
//! A `bf16` B is also read in place if the CPU has an instruction for it, with A rounded to `bf16` ([`Tiles::pairs`]).
//! Otherwise B is first widened to `f32`, block by block. Nothing is multiplied meanwhile, so 32 images take 8 % longer than
//! with `f32`; on such CPUs `bf16` weights pay off only for fewer images ([`dot`](super::dot)).

use super::packed::Finish;
use super::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::scratch;
use crate::simd::{Kernel, Load, Simd, dispatch};
use half::bf16;

/// Values of k per block: 512 values of 128 rows of A are half of an L2 cache of 512 KB.
const DEPTH: usize = 512;
/// Rows of B whose results are collected before they are transposed.
const ROWS: usize = 48;

/// Overwrites C, `m` by `n`, with the product of A, `m` by `k`, and the transpose of B, `n` by `k`; all row-major.
pub(crate) fn product<B: Load>(
    isa: CpuIsa,
    [m, n, k]: [usize; 3],
    a: &[f32],
    b: &[B],
    finish: Finish<'_>,
    c: &mut [f32],
) {
    assert!(a.len() == m * k && b.len() == n * k && c.len() == m * n, "A is {m} by {k}, B {n} by {k}, C {m} by {n}");
    match (Tiles::pairs(isa), B::as_pairs(b)) {
        (Some(tiles), Some(pairs)) if k.is_multiple_of(2) => {
            let a = pack(&tiles, &rounded(a), m, k / 2);
            multiply(isa, &tiles, [m, n, k / 2], &a, pairs, finish, c);
        }
        _ => {
            let tiles = Tiles::of(isa);
            multiply(isa, &tiles, [m, n, k], &pack(&tiles, a, m, k), b, finish, c);
        }
    }
}

/// Rounds values to pairs of `bf16`, each pair stored in place of one `f32`.
fn rounded(values: &[f32]) -> scratch::Scratch {
    const PART: usize = 1 << 12;
    let mut pairs = scratch::take(values.len() / 2);
    let shared = Shared::new(&mut pairs);
    parallel::for_each(values.len().div_ceil(2 * PART), |part| {
        let part = part * PART..((part + 1) * PART).min(values.len() / 2);
        let values = &values[2 * part.start..2 * part.end];
        // SAFETY: one part per task.
        let pairs = unsafe { shared.slice(part) };
        for (pair, values) in pairs.iter_mut().zip(values.chunks_exact(2)) {
            let [low, high] = [0, 1].map(|i| u32::from(bf16::from_f32(values[i]).to_bits()));
            *pair = f32::from_bits(low | high << 16);
        }
    });
    pairs
}

/// The product with a packed A.
fn multiply<B: Load>(
    isa: CpuIsa,
    tiles: &Tiles,
    [m, n, k]: [usize; 3],
    packed: &[f32],
    b: &[B],
    finish: Finish<'_>,
    c: &mut [f32],
) {
    // Whole vectors; the last panel may be narrower than the others.
    let padded = m.next_multiple_of(tiles.lanes);
    let c = Shared::new(c);
    let chunks = n.div_ceil(ROWS);
    parallel::for_each(chunks, |chunk| {
        let rows = chunk * ROWS..n.min((chunk + 1) * ROWS);
        let mut turned = scratch::zeroed(ROWS * padded);
        let in_place = B::as_f32(b);
        let mut wide = scratch::take(if in_place.is_some() { 0 } else { rows.len() * DEPTH.min(k) });
        let results: Vec<usize> = (0..rows.len()).map(|row| row * padded).collect();
        for first in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - first);
            let runs = [Run { offset: 0, len: depth }];
            let (weights, starts): (&[f32], Vec<usize>) = match in_place {
                Some(b) => (b, rows.clone().map(|row| row * k + first).collect()),
                None => {
                    for (row, wide) in rows.clone().zip(wide.chunks_exact_mut(depth)) {
                        dispatch(isa, Widen { from: &b[row * k + first..][..depth], to: wide });
                    }
                    (&wide[..], (0..rows.len()).map(|row| row * depth).collect())
                }
            };
            for (start, count) in cut(rows.len(), tiles.max_rows) {
                for column in (0..padded).step_by(tiles.width()) {
                    let width = tiles.width().min(padded - column);
                    let tile = RowsTile {
                        a: weights.as_ptr(),
                        a_rows: starts[start..start + count].as_ptr(),
                        runs: &runs,
                        b: packed[first * padded + column * depth..].as_ptr(),
                        b_step: width,
                        c: turned[column..].as_mut_ptr(),
                        c_rows: results[start..start + count].as_ptr(),
                        columns: width,
                        epilogue: Epilogue::ACCUMULATE,
                    };
                    // SAFETY: `depth` values follow each start; the panel has `depth · width` packed values; the results
                    // are in `turned`, which only this task uses.
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

/// Widens values to `f32`.
struct Widen<'a, T> {
    from: &'a [T],
    to: &'a mut [f32],
}

impl<T: Load> Kernel for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (from, to) in self.from.chunks(S::LANES).zip(self.to.chunks_mut(S::LANES)) {
            // SAFETY: the instruction set is available, and both parts have the same number of values.
            unsafe {
                if from.len() == S::LANES {
                    S::store(to.as_mut_ptr(), T::load::<S>(from.as_ptr()));
                } else {
                    S::store_partial(to.as_mut_ptr(), T::load_partial::<S>(from.as_ptr(), from.len()), from.len());
                }
            }
        }
    }
}

/// Packs A by blocks of k, within these by panels of rows, as wide as a tile (the last one may be narrower): the values of
/// one k are adjacent, zero-padded.
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
