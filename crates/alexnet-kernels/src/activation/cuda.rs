//! The GPU: one pass over memory.

use candle_core::Result;

use super::{Activation, OP};
use crate::cuda::{Address, Queue, arguments, common_real, in_vectors};

/// The number of `activation.cu`, and what it takes as a and b.
fn number(unit: Activation) -> (u32, f32, f32) {
    match unit {
        Activation::Relu => (0, 0.0, 0.0),
        Activation::Tanh => (1, 0.0, 0.0),
        Activation::Sigmoid => (2, 0.0, 0.0),
        Activation::Softplus => (3, 0.0, 0.0),
        Activation::Abs => (4, 0.0, 0.0),
        Activation::Square => (5, 0.0, 0.0),
        Activation::Sqrt => (6, 0.0, 0.0),
        Activation::ScaledTanh { a, b } => (7, a, b),
        Activation::BoundedRelu { a } => (8, a, 0.0),
        Activation::Linear { a, b } => (9, a, b),
    }
}

/// `x` and `y` may be the same.
pub(super) fn forward(queue: &dyn Queue, x: Address, y: Address, unit: Activation) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let (unit, a, b) = number(unit);
    let vector = in_vectors(x.len, [x, y]);
    queue.for_vectors(real, "activation_forward", count, vector, arguments![x, y, count, unit, a, b, vector])
}

/// `kept` is the result, or the argument for an activation that needs it.
pub(super) fn backward(queue: &dyn Queue, kept: Address, grad_y: Address, unit: Activation) -> Result<()> {
    let name = if unit.needs_input() { "x" } else { "y" };
    let (real, count) = (common_real(OP, [(name, kept), ("grad_y", grad_y)])?, kept.count(OP)?);
    let (unit, a, b) = number(unit);
    let vector = in_vectors(kept.len, [kept, grad_y]);
    queue.for_vectors(real, "activation_backward", count, vector, arguments![kept, grad_y, count, unit, a, b, vector])
}
