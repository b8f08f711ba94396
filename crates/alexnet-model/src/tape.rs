//! Tensors saved by the forward pass for the backward pass, and the buffers both reuse.

use std::collections::HashMap;

use candle_core::{DType, Device, DeviceLocation, Tensor};

use crate::error::Result;

/// Training or test mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is active, and the tensors needed by backward are kept.
    Train {
        /// The run's seed, for dropout.
        seed: u64,
        /// The training step, for dropout.
        step: u32,
        /// Index of the first image in the whole batch: 0, unless the batch is split across devices. It makes the
        /// dropout masks equal to those of the whole batch.
        first_image: usize,
    },
    /// Dropout follows its convention for testing, and nothing is kept for backward.
    Test,
}

impl Mode {
    /// Training on a whole batch.
    pub const fn train(seed: u64, step: u32) -> Self {
        Self::Train { seed, step, first_image: 0 }
    }
}

/// The memory of a network's passes: tensors that forward keeps for backward, and free buffers.
///
/// Use one tape for all steps of a loop: buffers are allocated in the first step and reused until the batch size
/// changes.
#[derive(Debug, Default)]
pub struct Tape {
    free: HashMap<(usize, DType, DeviceLocation), Vec<Tensor>>,
    /// The result of each layer, while it is still needed.
    pub(crate) values: Vec<Option<Tensor>>,
    /// Tensors that each layer saves for backward in addition to its result, such as the positions of maxima.
    pub(crate) saved: Vec<Vec<Tensor>>,
    /// Copies of results on other devices, for the layers that read them there: one per result and device.
    crossed: HashMap<(usize, DeviceLocation), Tensor>,
    /// The layers whose results were returned: the caller owns these tensors.
    pub(crate) outputs: Vec<usize>,
    pub(crate) mode: Option<Mode>,
    batch: usize,
    /// Total size of all allocated buffers.
    bytes: usize,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Discards the last pass and prepares for the next.
    pub(crate) fn start(&mut self, layers: usize, outputs: &[usize], batch: usize) {
        if self.batch != batch {
            *self = Self { batch, ..Self::default() };
        }
        self.crossed.clear();
        for &output in &self.outputs {
            self.values[output] = None;
        }
        let values = self.values.drain(..).flatten();
        for tensor in values.chain(self.saved.drain(..).flatten()).collect::<Vec<_>>() {
            self.give(tensor);
        }
        self.values.resize(layers, None);
        self.saved.resize(layers, Vec::new());
        self.outputs = outputs.to_vec();
        // Until the pass is complete, there is nothing to go back through.
        self.mode = None;
    }

    /// Bytes of all buffers, in use and free.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of images in the last pass.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// The result of `layer` on `device`; the result must be stored.
    pub(crate) fn value_on(&mut self, layer: usize, device: &Device) -> Result<Tensor> {
        let value = self.values[layer].as_ref().expect("a layer's result is stored until its last reader has run");
        if value.device().same_device(device) {
            return Ok(value.clone());
        }
        let key = (layer, device.location());
        if let Some(copy) = self.crossed.get(&key) {
            return Ok(copy.clone());
        }
        let copy = crossing(value, device)?;
        self.crossed.insert(key, copy.clone());
        Ok(copy)
    }

    /// Releases the result of `layer` and its copies on other devices. Copies are freed; pooled buffers return to the
    /// pool.
    pub(crate) fn release(&mut self, layer: usize) {
        self.crossed.retain(|(crossed, _), _| *crossed != layer);
        let value = self.values[layer].take();
        // The caller owns the outputs.
        if let Some(value) = value.filter(|_| !self.outputs.contains(&layer)) {
            self.give(value);
        }
    }

    /// A contiguous tensor with unspecified contents.
    pub(crate) fn take(&mut self, dims: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let count: usize = dims.iter().product();
        match self.free.get_mut(&(count, dtype, device.location())).and_then(Vec::pop) {
            Some(free) => Ok(free.reshape(dims)?),
            None => {
                let made = Tensor::zeros(dims, dtype, device)?;
                self.bytes += count * dtype.size_in_bytes();
                Ok(made)
            }
        }
    }

    /// Returns a tensor to the pool. Nothing else may still use it.
    pub(crate) fn give(&mut self, tensor: Tensor) {
        let key = (tensor.elem_count(), tensor.dtype(), tensor.device().location());
        self.free.entry(key).or_default().push(tensor);
    }
}

/// A copy on another device. The streams of two GPUs do not synchronize with each other, so this waits for both
/// devices.
pub(crate) fn crossing(value: &Tensor, device: &Device) -> Result<Tensor> {
    value.device().synchronize()?;
    let copy = value.to_device(device)?;
    device.synchronize()?;
    Ok(copy)
}
