//! C = A·Bᵀ where A has few rows: inference with a small batch.
//!
//! In both matrices the values along k are adjacent, so vectors run along k, nothing is packed, and B, by far the larger
//! one, is read once, sequentially, at memory bandwidth: in `bf16`, in half the time.

use super::packed::Finish;
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Load, Simd, dispatch};

/// Up to this many rows of A, this product is faster than the others.
pub(crate) const MAX_ROWS: usize = 8;
/// Columns of C computed together, which is also the number of concurrent streams of B: for a single row of A, and for
/// several rows, whose sums fill the registers.
const COLUMNS: usize = 8;
const COLUMNS_OF_ROWS: usize = 4;
/// Minimum number of columns of C per task.
const GRAIN: usize = 64;

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
    let c = Shared::new(c);
    let step = if m == 1 { COLUMNS } else { COLUMNS_OF_ROWS };
    parallel::for_ranges(n, GRAIN, |range| {
        for first in range.clone().step_by(step) {
            let columns = step.min(range.end - first);
            let b = &b[first * k..(first + columns) * k];
            let mut row = 0;
            while row < m {
                let a = |rows: usize| &a[row * k..(row + rows) * k];
                let mut sums = [[0f32; COLUMNS]; 4];
                let rows = match (m - row, columns) {
                    (4.., COLUMNS_OF_ROWS) => {
                        dispatch(isa, Dot::<B, 4, COLUMNS_OF_ROWS> { a: a(4), b, k, sums: &mut sums })
                    }
                    (2.., COLUMNS_OF_ROWS) => {
                        dispatch(isa, Dot::<B, 2, COLUMNS_OF_ROWS> { a: a(2), b, k, sums: &mut sums })
                    }
                    (_, COLUMNS_OF_ROWS) => {
                        dispatch(isa, Dot::<B, 1, COLUMNS_OF_ROWS> { a: a(1), b, k, sums: &mut sums })
                    }
                    (_, COLUMNS) => dispatch(isa, Dot::<B, 1, COLUMNS> { a: a(1), b, k, sums: &mut sums }),
                    _ => {
                        for (j, b) in b.chunks_exact(k.max(1)).enumerate() {
                            let mut sum = [[0f32; COLUMNS]; 4];
                            dispatch(isa, Dot::<B, 1, 1> { a: a(1), b, k, sums: &mut sum });
                            sums[0][j] = sum[0][0];
                        }
                        1
                    }
                };
                for (i, sums) in sums[..rows].iter().enumerate() {
                    let start = (row + i) * n + first;
                    // SAFETY: each task writes its own columns.
                    let c = unsafe { c.slice(start..start + columns) };
                    for (j, (c, sum)) in c.iter_mut().zip(sums).enumerate() {
                        let biased = sum + finish.bias.get(first + j).copied().unwrap_or(0.0);
                        *c = if finish.relu && biased <= 0.0 { 0.0 } else { biased };
                    }
                }
                row += rows;
            }
        }
    });
}

/// `M` rows of A times `N` rows of B.
struct Dot<'a, B, const M: usize, const N: usize> {
    a: &'a [f32],
    b: &'a [B],
    k: usize,
    sums: &'a mut [[f32; COLUMNS]; 4],
}

impl<B: Load, const M: usize, const N: usize> Kernel for Dot<'_, B, M, N> {
    /// Number of rows computed.
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> usize {
        let Self { a, b, k, sums } = self;
        // SAFETY: the instruction set is available; a has M and b N rows of k values, and no load passes the end of a row.
        unsafe {
            let mut vectors = [[S::splat(0.0); N]; M];
            let mut at = 0;
            while at < k {
                let count = S::LANES.min(k - at);
                // A loop rather than a closure: the intrinsics would not be inlined into a closure.
                let mut of_b = [S::splat(0.0); N];
                for (j, of_b) in of_b.iter_mut().enumerate() {
                    *of_b = load::<S, B>(b.as_ptr().add(j * k + at), count);
                }
                for (i, vectors) in vectors.iter_mut().enumerate() {
                    let a = load::<S, f32>(a.as_ptr().add(i * k + at), count);
                    for (vector, &b) in vectors.iter_mut().zip(&of_b) {
                        *vector = S::mul_add(a, b, *vector);
                    }
                }
                at += S::LANES;
            }
            for (sums, vectors) in sums.iter_mut().zip(&vectors) {
                for (sum, &vector) in sums.iter_mut().zip(vectors) {
                    *sum = S::sum(vector);
                }
            }
        }
        M
    }
}

/// Loads the first `count` values of a vector.
#[inline(always)]
unsafe fn load<S: Simd, T: Load>(from: *const T, count: usize) -> S::F32 {
    // SAFETY: the caller's contract.
    unsafe { if count == S::LANES { T::load::<S>(from) } else { T::load_partial::<S>(from, count) } }
}
