//! Many forward passes with fixed weights.

use std::sync::{Mutex, PoisonError};

use alexnet_kernels::conv2d::PreparedWeight;
use candle_core::Tensor;

use super::Network;
use super::plan::Plan;
use crate::error::Result;
use crate::specification::Specification;
use crate::tape::{Mode, Tape};

/// A network for inference: as [`Network::forward`] in [`Mode::Test`], but the convolutions transform their weights once, and
/// [batch normalizations](crate::BatchNorm2d) are folded into the convolutions before them. A single image takes about a fifth
/// less time, a large batch the same.
///
/// It shares the tensors of the network that it was made from, and several threads may call it at once: each pass in flight has
/// buffers of its own, which later passes reuse.
///
/// It needs the memory of the convolutions' weights once more, and up to five times that for batches.
///
/// On the CPU most of a single image's time is the reading of the fully connected layers' weights;
/// [`Network::set_precision`] with [`Precision::Bf16`](super::Precision::Bf16) halves it, with a copy of half their size.
#[derive(Debug)]
pub struct Inference {
    network: Network,
    plan: Plan,
    /// One per layer.
    weights: Vec<Option<PreparedWeight>>,
    /// Those that no pass is using.
    tapes: Mutex<Vec<Tape>>,
}

impl Network {
    /// Prepares many passes. Changes of parameters after the first pass are not all seen.
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
    /// The logits, `[n, classes]`, of a batch of images `[n, channels, height, width]`: the same bits as [`Network::forward`]
    /// gives, or, with batch normalizations that were folded, the same up to rounding.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut tape = self.tapes.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let logits = self.network.walk(x, Mode::Test, &mut tape, &self.weights, &self.plan)?.swap_remove(0);
        self.tapes.lock().unwrap_or_else(PoisonError::into_inner).push(tape);
        Ok(logits)
    }

    /// The list of layers that it runs, without the batch normalizations that were folded.
    pub fn spec(&self) -> &Specification {
        self.network.spec()
    }

    /// The device of the images.
    pub fn input_device(&self) -> &candle_core::Device {
        self.network.input_device()
    }
}
