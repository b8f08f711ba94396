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
    },
    /// Dropout does what its convention asks of testing, and nothing is kept.
    Test,
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
