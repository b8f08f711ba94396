//! Seeded dropout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::{Result, Tensor};
use candle_nn::ModuleT;

use crate::dropout::{DropoutParams, DropoutScaling, dropout};
use crate::error;

/// Dropout whose masks are a function of the seed, the layer and the number of previous training passes: two runs draw
/// the same masks. Clones share the count of passes.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f32,
    seed: u64,
    layer: u32,
    step: Arc<AtomicU32>,
}

impl Dropout {
    /// Drops values with this probability, at least 0 and below 1. Each layer of a network needs a different `layer`.
    ///
    /// # Errors
    /// A probability out of range.
    pub fn new(probability: f32, seed: u64, layer: u32) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            let rule = format!("the probability must be at least 0 and below 1, but is {probability}");
            return Ok(error::parameter("dropout", rule)?);
        }
        Ok(Self { probability, seed, layer, step: Arc::default() })
    }

    /// Sets the number of the next training pass, for example after loading a checkpoint.
    pub fn set_step(&self, step: u32) {
        self.step.store(step, Ordering::Relaxed);
    }
}

impl ModuleT for Dropout {
    /// With `train`, kept values are divided by the probability of being kept, as in PyTorch and `candle_nn`.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            return Ok(x.clone());
        }
        let (step, scaling) = (self.step.fetch_add(1, Ordering::Relaxed), DropoutScaling::Inverted);
        let Self { probability, seed, layer, .. } = *self;
        dropout(x, &DropoutParams { probability, scaling, seed, step, layer, first_value: 0 })
    }
}
