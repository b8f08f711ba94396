//! Inference with fixed weights.

use std::sync::{Mutex, PoisonError};

use alexnet_kernels::conv2d::PreparedWeight;
use candle_core::Tensor;

use super::Network;
use super::plan::Plan;
use crate::error::Result;
use crate::specification::Specification;
use crate::tape::{Mode, Tape};

/// A network for inference. Like [`Network::forward`] in [`Mode::Test`], but convolution weights are transformed once,
/// and [batch normalizations](crate::BatchNorm2d) are folded into the preceding convolutions. A single image takes
/// about a fifth less time, a large batch the same.
///
/// It shares the tensors of the original network. Several threads may call it at once: each concurrent pass has
/// separate buffers, which later passes reuse. On a GPU, each of these threads has its own cuDNN handle and scratch memory.
/// Do not update the network's parameters during a pass.
///
/// The transformed weights take as much memory as the weights of the convolutions again, and up to five times that for
/// batches.
///
/// On the CPU, most of the time for a single image is spent reading the weights of the fully connected layers;
/// [`Network::set_precision`] with [`Precision::Bf16`](super::Precision::Bf16) halves that time, with a copy of half
/// the size.
#[derive(Debug)]
pub struct Inference {
    network: Network,
    plan: Plan,
    /// One per layer.
    weights: Vec<Option<PreparedWeight>>,
    /// Tapes that no pass is using.
    tapes: Mutex<Vec<Tape>>,
}

impl Network {
    /// Prepares the network for inference. Not all later changes of parameters take effect.
    ///
    /// # Errors
    /// A device that is out of memory.
    pub fn inference(&self) -> Result<Inference> {
        let network = self.folded()?;
        let layers = network.spec.layers().iter().enumerate();
        let weights = layers.map(|(layer, entry)| entry.kind.ops().prepare(&network.values_of(layer))).collect();
        Ok(Inference { plan: network.main_plan(), weights, network, tapes: Mutex::default() })
    }
}

impl Inference {
    /// The logits, `[n, classes]`, of a batch of images `[n, channels, height, width]`: bit-identical to
    /// [`Network::forward`], or equal up to rounding if batch normalizations were folded.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut tape = self.tapes.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let logits = self.network.walk(x, Mode::Test, &mut tape, &self.weights, &self.plan)?.swap_remove(0);
        self.tapes.lock().unwrap_or_else(PoisonError::into_inner).push(tape);
        Ok(logits)
    }

    /// The layers that run, without the folded batch normalizations.
    pub fn spec(&self) -> &Specification {
        self.network.spec()
    }

    /// The device for the images.
    pub fn input_device(&self) -> &candle_core::Device {
        self.network.input_device()
    }
}
