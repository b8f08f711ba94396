//! The GPU: one pass over memory, in place.

use candle_core::Result;

use super::{Activation, OP};
use crate::cuda::{Address, Queue, arguments, common_real, in_vectors};

/// The numbers of `activation.cu`.
fn number(unit: Activation) -> u32 {
    match unit {
        Activation::Relu => 0,
        Activation::Tanh => 1,
        Activation::Logistic => 2,
        Activation::SoftRelu => 3,
    }
}

pub(super) fn forward(queue: &dyn Queue, x: Address, unit: Activation) -> Result<()> {
    let (real, count) = (x.real(OP, "x")?, x.count(OP)?);
    let vector = in_vectors(x.len, [x]);
    queue.for_vectors(real, "activation_forward", count, vector, arguments![x, count, number(unit), vector])
}

pub(super) fn backward(queue: &dyn Queue, y: Address, grad_y: Address, unit: Activation) -> Result<()> {
    let (real, count) = (common_real(OP, [("y", y), ("grad_y", grad_y)])?, y.count(OP)?);
    let vector = in_vectors(y.len, [y, grad_y]);
    queue.for_vectors(real, "activation_backward", count, vector, arguments![y, grad_y, count, number(unit), vector])
}
