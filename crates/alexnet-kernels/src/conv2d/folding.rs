//! The kernels that unfold images to rows of what windows see, and fold them.

use candle_core::Result;

use crate::cuda::{Argument, Queue, Real, VECTOR};

/// The parameters of `im2col` and `col2im`, of which the last is `vector`.
pub(super) struct Folding {
    pub(super) arguments: [Argument; 16],
    pub(super) vector: bool,
}

/// Fills `count` values of rows, of which `run` are a row of a window.
pub(super) fn unfold(queue: &dyn Queue, real: Real, count: usize, run: usize, folding: Folding) -> Result<()> {
    let Folding { arguments, vector } = folding;
    let tasks = count / if vector { VECTOR } else { run };
    if tasks == 0 {
        return Ok(());
    }
    queue.launch(real, "im2col", queue.grid_for(tasks as u32), &arguments)
}

/// Sums up `count` values of an image.
pub(super) fn fold(queue: &dyn Queue, real: Real, count: usize, folding: Folding) -> Result<()> {
    queue.for_vectors(real, "col2im", count as u32, folding.vector, &folding.arguments)
}
