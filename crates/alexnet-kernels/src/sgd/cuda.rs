//! The GPU path: one pass over the three tensors.

use candle_core::{DType, Result};

use super::{OP, SgdParams, SgdRule};
use crate::cuda::{Address, Queue, arguments, in_vectors};

pub(super) fn update(
    queue: &dyn Queue,
    weight: Address,
    velocity: Address,
    grad: Address,
    copy: Address,
    params: &SgdParams,
) -> Result<()> {
    let SgdParams { rule, learning_rate, momentum, weight_decay } = *params;
    let (real, count) = (grad.real(OP, "grad")?, grad.count(OP)?);
    weight.expect(OP, "weight", DType::F32)?;
    velocity.expect(OP, "velocity", DType::F32)?;
    let in_velocity = rule == SgdRule::RateInVelocity;
    if copy.is_some() {
        grad.expect(OP, "grad", DType::F32)?;
        let (vector, rate) = (in_vectors(grad.len, [weight, velocity, grad, copy]), learning_rate);
        let arguments =
            arguments![weight, velocity, grad, copy, count, in_velocity, rate, momentum, weight_decay, vector];
        return queue.for_vectors(copy.real(OP, "copy")?, "sgd_update_copy", count, vector, arguments);
    }
    let (vector, rate) = (in_vectors(grad.len, [weight, velocity, grad]), learning_rate);
    let arguments = arguments![weight, velocity, grad, count, in_velocity, rate, momentum, weight_decay, vector];
    queue.for_vectors(real, "sgd_update", count, vector, arguments)
}
