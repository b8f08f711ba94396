//! Stochastic gradient descent with momentum.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

use crate::sgd::{SgdParams, update};

/// SGD with momentum and weight decay by either [`crate::sgd::SgdRule`]; `candle_nn::SGD` has neither. Each variable is
/// updated in place, in one pass over weight, velocity and gradient.
#[derive(Debug)]
pub struct Sgd {
    /// Each variable with its velocity.
    vars: Vec<(Var, Tensor)>,
    params: SgdParams,
}

impl Optimizer for Sgd {
    type Config = SgdParams;

    /// Takes the floating-point variables and ignores all others, as `candle_nn` does.
    fn new(vars: Vec<Var>, params: SgdParams) -> Result<Self> {
        let floats = vars.into_iter().filter(|var| var.dtype().is_float());
        let vars = floats.map(|var| Ok((var.clone(), var.zeros_like()?))).collect::<Result<_>>()?;
        Ok(Self { vars, params })
    }

    fn learning_rate(&self) -> f64 {
        self.params.learning_rate.into()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.params.learning_rate = learning_rate as f32;
    }

    /// Variables without a gradient are left unchanged.
    fn step(&mut self, grads: &GradStore) -> Result<()> {
        for (var, velocity) in &self.vars {
            if let Some(grad) = grads.get(var) {
                update(var, velocity, &grad.contiguous()?, &self.params)?;
            }
        }
        Ok(())
    }
}
