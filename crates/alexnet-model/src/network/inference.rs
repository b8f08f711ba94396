//! Many forward passes over weights that stay as they are.

use alexnet_kernels::conv2d::PreparedWeight;
use candle_core::Tensor;

use super::Network;
use crate::error::Result;
use crate::tape::{Mode, Tape};

/// A network in use: as [`Network::forward`] in [`Mode::Test`], but what the convolutions make of their weights is made
/// once. A single image takes about a fifth less time, a large batch the same.
///
/// It costs memory: once more that of the convolutions' weights, and up to five times for batches.
///
/// On the CPU most of a single image's time is the reading of the fully connected layers' weights;
/// [`Network::set_precision`] with [`Precision::Bf16`](super::Precision::Bf16) halves what is read, by a copy of half their size.
#[derive(Debug)]
pub struct Inference<'a> {
    network: &'a Network,
    /// One place per layer.
    weights: Vec<Option<PreparedWeight>>,
    tape: Tape,
}

impl Network {
    /// Makes ready for many passes. Parameters that change after the first are not all seen.
    pub fn inference(&self) -> Inference<'_> {
        let layers = self.spec.layers().iter().enumerate();
        let weights = layers.map(|(layer, entry)| entry.kind.ops().prepare(&self.values_of(layer)));
        Inference { network: self, weights: weights.collect(), tape: Tape::new() }
    }
}

impl Inference<'_> {
    /// The logits, `[n, classes]`, of a batch of images `[n, channels, height, width]`: the very bits that
    /// [`Network::forward`] gives.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward(&mut self, x: &Tensor) -> Result<Tensor> {
        let plan = self.network.main_plan();
        Ok(self.network.walk(x, Mode::Test, &mut self.tape, &self.weights, &plan)?.swap_remove(0))
    }
}
