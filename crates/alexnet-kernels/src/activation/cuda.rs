//! The GPU path: one pass over memory.

use candle_core::Result;

use super::{Activation, OP};
use crate::cuda::{Address, Queue, arguments, common_real, in_vectors};

/// The `kind` of `activation.cu`, and its parameters a and b.
fn number(kind: Activation) -> (u32, f32, f32) {
    match kind {
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
pub(super) fn forward(queue: &dyn Queue, x: Address, y: Address, kind: Activation) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let (kind, a, b) = number(kind);
    let vector = in_vectors(x.len, [x, y]);
    queue.for_vectors(real, "activation_forward", count, vector, arguments![x, y, count, kind, a, b, vector])
}

/// `kept` is the output, or the input for an activation that needs it.
pub(super) fn backward(queue: &dyn Queue, kept: Address, grad_y: Address, kind: Activation) -> Result<()> {
    let name = if kind.needs_input() { "x" } else { "y" };
    let (real, count) = (common_real(OP, [(name, kept), ("grad_y", grad_y)])?, kept.count(OP)?);
    let (kind, a, b) = number(kind);
    let vector = in_vectors(kept.len, [kept, grad_y]);
    queue.for_vectors(real, "activation_backward", count, vector, arguments![kept, grad_y, count, kind, a, b, vector])
}
