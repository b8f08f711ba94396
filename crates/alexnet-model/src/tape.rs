//! What a forward pass leaves for the backward pass, and the buffers both reuse.

use std::collections::HashMap;

use candle_core::{DType, Device, DeviceLocation, Tensor};

use crate::error::Result;

/// How a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, and what backward needs is kept.
    Train {
        /// The run's seed, for dropout.
        seed: u64,
        /// The training step, for dropout.
        step: u32,
        /// Place of the first image in the whole batch: 0, unless the batch is divided among several devices, whose dropout
        /// then is that of the whole.
        first_image: usize,
    },
    /// Dropout does what its convention asks of testing, and nothing is kept.
    Test,
}

impl Mode {
    /// Training on a whole batch.
    pub const fn train(seed: u64, step: u32) -> Self {
        Self::Train { seed, step, first_image: 0 }
    }
}

/// The memory of a network's passes: what forward keeps for backward, and the buffers that are free.
///
/// Use one tape for all steps of a loop: buffers are allocated in the first and reused from then on, until the batch
/// size changes.
#[derive(Debug, Default)]
pub struct Tape {
    free: HashMap<(usize, DType, DeviceLocation), Vec<Tensor>>,
    /// The result of each layer that is still needed.
    pub(crate) values: Vec<Option<Tensor>>,
    /// What each layer saves for backward beside its result, such as the positions of maxima.
    pub(crate) saved: Vec<Vec<Tensor>>,
    /// Copies of results on other devices than their own, for the layers that read them there: one per result and device.
    crossed: HashMap<(usize, DeviceLocation), Tensor>,
    /// The layers whose results were handed out: these tensors are the caller's.
    pub(crate) outputs: Vec<usize>,
    pub(crate) mode: Option<Mode>,
    batch: usize,
    /// Of all buffers it has made.
    bytes: usize,
}

impl Tape {
    /// A tape on which nothing has run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last pass and makes ready for another.
    pub(crate) fn start(&mut self, layers: usize, outputs: &[usize], batch: usize, mode: Mode) {
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
        self.mode = Some(mode);
    }

    /// Bytes of the buffers it holds, those in use and those that are free.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Images of the last pass.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// The result of `layer`, which must be stored, on `device`.
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

    /// Ends the life of what the passes have of `layer`: its result, and the copies of that on other devices. They are freed; the
    /// pool gets its own buffers back.
    pub(crate) fn release(&mut self, layer: usize) {
        self.crossed.retain(|(crossed, _), _| *crossed != layer);
        let value = self.values[layer].take();
        // Outputs are the caller's.
        if let Some(value) = value.filter(|_| !self.outputs.contains(&layer)) {
            self.give(value);
        }
    }

    /// A contiguous tensor whose values are left over from whoever had it before.
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

    /// Takes a tensor back. Nothing else may use it any more.
    pub(crate) fn give(&mut self, tensor: Tensor) {
        let key = (tensor.elem_count(), tensor.dtype(), tensor.device().location());
        self.free.entry(key).or_default().push(tensor);
    }
}

/// A copy on another device. The streams of two GPUs do not wait for each other, so this waits for both.
pub(crate) fn crossing(value: &Tensor, device: &Device) -> Result<Tensor> {
    value.device().synchronize()?;
    let copy = value.to_device(device)?;
    device.synchronize()?;
    Ok(copy)
}
