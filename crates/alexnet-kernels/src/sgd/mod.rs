//! The optimizer update: stochastic gradient descent with momentum and weight decay, in either of two forms.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use crate::cuda as device;
use crate::error;
use crate::tensor::{self, read, write};

pub(crate) use cpu::step;

const OP: &str = "sgd";

/// Where the learning rate is applied. Both rules agree while it is constant, and differ after it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SgdRule {
    /// v ← momentum·v − decay·rate·w − rate·g; w ← w + v. Earlier updates in the velocity keep the rate they were added
    /// with. As in the paper (section 5), the 2012 code and Caffe.
    RateInVelocity,
    /// v ← momentum·v + (g + decay·w); w ← w − rate·v. A new rate applies to the whole velocity at once. As in PyTorch.
    RateOutside,
}

/// Parameters of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdParams {
    /// Where the learning rate is applied.
    pub rule: SgdRule,
    /// Learning rate, ε in the paper; `epsW` in the 2012 files.
    pub learning_rate: f32,
    /// Momentum; `momW` in the 2012 files.
    pub momentum: f32,
    /// Weight decay; `wc` in the 2012 files.
    pub weight_decay: f32,
}

impl SgdParams {
    pub(crate) fn check(&self) -> Result<()> {
        let Self { learning_rate, momentum, weight_decay, .. } = *self;
        if [learning_rate, momentum, weight_decay].iter().all(|v| v.is_finite()) {
            return Ok(());
        }
        let rule = format!(
            "learning_rate, momentum and weight_decay must be finite, but are {learning_rate}, {momentum}, {weight_decay}"
        );
        Ok(error::parameter(OP, rule)?)
    }
}

/// Updates `weight` and `velocity` in place from `grad`, the gradient averaged over the batch. All three are contiguous
/// `f32` tensors of the same shape; the velocity starts at zero. Every tensor that shares the weight's storage, for
/// example a `Var`, has the new values.
///
/// # Errors
/// Different shapes, tensors that share storage, unsupported element types, a parameter that is not finite.
///
/// # Source
/// Krizhevsky et al. 2012, section 5; `weights.cu` in the 2012 code; PyTorch's `torch.optim.SGD`.
///
/// ```
/// use alexnet_kernels::sgd::{SgdParams, SgdRule, update};
/// use candle_core::{Device, Tensor};
///
/// let (weight, velocity) = (Tensor::new(&[1f32], &Device::Cpu)?, Tensor::new(&[0f32], &Device::Cpu)?);
/// let grad = Tensor::new(&[0.5f32], &Device::Cpu)?;
/// let params =
///     SgdParams { rule: SgdRule::RateInVelocity, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.1 };
/// update(&weight, &velocity, &grad, &params)?;
/// assert_eq!(weight.to_vec1::<f32>()?, [1. - 0.1 * 0.5 - 0.1 * 0.1]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn update(weight: &Tensor, velocity: &Tensor, grad: &Tensor, params: &SgdParams) -> Result<()> {
    update_with_copy(weight, velocity, grad, params, None)
}

/// As [`update`], and also writes the new weights into `copy` in the same pass: the `bf16` weights that a network in
/// mixed precision computes with. A copy requires a GPU.
///
/// # Errors
/// As [`update`]; a `copy` of a different shape or on the CPU.
pub fn update_with_copy(
    weight: &Tensor,
    velocity: &Tensor,
    grad: &Tensor,
    params: &SgdParams,
    copy: Option<&Tensor>,
) -> Result<()> {
    params.check()?;
    tensor::same_shape(OP, weight, &[("velocity", velocity), ("grad", grad)])?;
    if let Some(copy) = copy {
        tensor::same_shape(OP, weight, &[("copy", copy)])?;
    }
    tensor::distinct(OP, &[Some(grad)], &[Some(weight), Some(velocity), copy])?;
    let writes = [("weight", Some(weight)), ("velocity", Some(velocity)), ("copy", copy)];
    if let Some(done) = device::run(OP, [("grad", Some(grad))], writes, |queue, [grad], [weight, velocity, copy]| {
        cuda::update(queue, weight, velocity, grad, copy, params)
    }) {
        return done;
    }
    if copy.is_some() {
        return Ok(error::parameter(
            OP,
            "leave out `copy` on the CPU: a copy of the weights is written on a GPU only",
        )?);
    }
    read(OP, "grad", grad, |grad| {
        write(OP, "weight", weight, |weight| {
            write(OP, "velocity", velocity, |velocity| {
                cpu::update(weight, velocity, grad, params);
                Ok(())
            })
        })
    })
}
