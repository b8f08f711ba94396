//! Launches of the kernels `im2col`, which unfolds images to rows of window values, and `col2im`, which folds them back.

use candle_core::Result;

use crate::cuda::{Argument, Queue, Real, VECTOR};

/// The parameters of `im2col` and `col2im`; the last one is `vector`.
pub(super) struct Folding {
    pub(super) arguments: [Argument; 16],
    pub(super) vector: bool,
}

/// Fills `count` values of the rows; a row of a window has `run` values.
pub(super) fn unfold(queue: &dyn Queue, real: Real, count: usize, run: usize, folding: Folding) -> Result<()> {
    let Folding { arguments, vector } = folding;
    let tasks = count / if vector { VECTOR } else { run };
    if tasks == 0 {
        return Ok(());
    }
    queue.launch(real, "im2col", queue.grid_for(tasks as u32), &arguments)
}

/// Computes `count` values of an image, each a sum over its places in the rows.
pub(super) fn fold(queue: &dyn Queue, real: Real, count: usize, folding: Folding) -> Result<()> {
    queue.for_vectors(real, "col2im", count as u32, folding.vector, &folding.arguments)
}
