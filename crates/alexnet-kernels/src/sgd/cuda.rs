//! The GPU: one pass over the three tensors.

use candle_core::{DType, Result};

use super::{OP, SgdParams, SgdRule};
use crate::cuda::{Address, Queue, arguments};

pub(super) fn update(
    queue: &dyn Queue,
    weight: Address,
    velocity: Address,
    grad: Address,
    params: &SgdParams,
) -> Result<()> {
    let SgdParams { rule, learning_rate, momentum, weight_decay } = *params;
    let (real, count) = (grad.real(OP, "grad")?, grad.count(OP)?);
    weight.expect(OP, "weight", DType::F32)?;
    velocity.expect(OP, "velocity", DType::F32)?;
    let in_velocity = rule == SgdRule::RateInVelocity;
    let (copy, rate) = (Address::NONE, learning_rate);
    let arguments = arguments![weight, velocity, grad, copy, count, in_velocity, rate, momentum, weight_decay];
    queue.for_each(real, "sgd_update", count, arguments)
}
