//! Matrix products on the GPU.

use super::Real;

/// A row-major matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    /// Its address.
    pub(crate) at: u64,
    /// Step from one row to the next, in values.
    pub(crate) row: usize,
    /// Step from one matrix of a batch to the next, in values.
    pub(crate) step: usize,
    /// Whether it is transposed in the product.
    pub(crate) transposed: bool,
}

/// A batch of products C = A·B or C += A·B: A is `m` by `k` and B `k` by `n`, after any transposition; C is never
/// transposed. Sums are accumulated in `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemm {
    /// The element type of A and B.
    pub(crate) real: Real,
    /// The element type of C.
    pub(crate) result: Real,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    pub(crate) c: Matrix,
    /// Whether the product is added to C.
    pub(crate) accumulate: bool,
    pub(crate) batch: usize,
}
