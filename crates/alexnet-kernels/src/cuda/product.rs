//! Matrix products on the GPU.

use super::Real;

/// A matrix in memory, row after row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    /// Where it begins.
    pub(crate) at: u64,
    /// Values from the beginning of one row to that of the next.
    pub(crate) row: usize,
    /// Values from one matrix of a batch to the next.
    pub(crate) step: usize,
    /// Whether its rows and columns change places in the product.
    pub(crate) transposed: bool,
}

/// A batch of products C = A·B or C += A·B: A is `m` by `k` and B `k` by `n`, after the transpositions that they ask
/// for; C is never transposed. Sums are taken in `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemm {
    /// The elements of A and B.
    pub(crate) real: Real,
    /// The elements of C.
    pub(crate) result: Real,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    pub(crate) c: Matrix,
    /// Whether C is added to.
    pub(crate) accumulate: bool,
    pub(crate) batch: usize,
}
