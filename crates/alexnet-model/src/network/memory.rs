//! Computes the memory of a pass without running it.

use std::collections::HashMap;

use candle_core::{DType, Device};

use super::Network;
use crate::error::{Error, Result};
use crate::specification::ParameterSpec;
use crate::tape::{Mode, Tape};

/// Upper bound of memory used outside a tape: 256 MiB for im2col rows of a convolution, or 1 GiB for cuDNN's workspace,
/// plus a margin.
const BESIDE: usize = 5 << 28;

/// A model of a [`Tape`] that counts buffers.
#[derive(Default)]
struct Pool {
    free: HashMap<(usize, DType), usize>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self, count: usize, dtype: DType) {
        match self.free.get_mut(&(count, dtype)) {
            Some(free) if *free > 0 => *free -= 1,
            _ => self.bytes += count * dtype.size_in_bytes(),
        }
    }

    fn give(&mut self, count: usize, dtype: DType) {
        *self.free.entry((count, dtype)).or_default() += 1;
    }
}

impl Network {
    /// Bytes of the buffers that a pass over `batch` images takes from its tape: in test mode the activations for the
    /// main output; in training mode the activations for all outputs, their gradients and the gradients of parameters.
    /// Not included: the parameters, the solver's velocities and the workspaces of libraries. For networks on one
    /// device.
    pub fn pass_memory(&self, batch: usize, mode: Mode) -> usize {
        let (mut pool, dtype, layers) = (Pool::default(), self.activations(0), self.spec.layers().len());
        let plan = if mode == Mode::Test { self.main_plan() } else { self.whole_plan() };
        let count = |layer: usize| self.spec.shapes()[layer].elements() * batch;
        let saved = |layer: usize| {
            let saved = match plan.runs[layer] {
                true => self.saved_by(layer, &self.spec.shapes()[layer].batch(batch), mode),
                false => Vec::new(),
            };
            saved.into_iter().map(|(dims, dtype)| (dims.iter().product(), dtype))
        };
        let mut stored = vec![false; layers];
        for layer in (0..layers).filter(|&layer| plan.runs[layer]) {
            // Outputs are not pooled.
            if !plan.outputs.contains(&layer) {
                pool.take(count(layer), dtype);
                stored[layer] = true;
            }
            saved(layer).for_each(|(count, dtype)| pool.take(count, dtype));
            for &input in self.spec.inputs(layer) {
                if !self.stays(input, layer, mode, &plan) && std::mem::take(&mut stored[input]) {
                    pool.give(count(input), dtype);
                }
            }
        }
        if mode == Mode::Test {
            return pool.bytes;
        }
        let mut has_grad = vec![false; layers];
        for &output in &plan.outputs {
            pool.take(count(output), dtype);
            has_grad[output] = true;
        }
        for layer in (0..layers).rev() {
            if std::mem::take(&mut has_grad[layer]) {
                let parameters: Vec<&ParameterSpec> =
                    self.trained_of(layer).map(|index| &self.parameters[index].spec).collect();
                for &input in self.spec.inputs(layer).iter().filter(|&&input| self.has_gradient[input]) {
                    pool.take(count(input), dtype);
                    // A second gradient is added to the first, and its buffer is released.
                    if std::mem::replace(&mut has_grad[input], true) {
                        pool.give(count(input), dtype);
                    }
                }
                parameters.iter().for_each(|parameter| pool.take(parameter.elements(), DType::F32));
                parameters.iter().for_each(|parameter| pool.give(parameter.elements(), DType::F32));
                pool.give(count(layer), dtype);
            }
            if stored[layer] {
                pool.give(count(layer), dtype);
            }
            saved(layer).for_each(|(count, dtype)| pool.give(count, dtype));
        }
        pool.bytes
    }

    /// Converts an out-of-memory error into one with the layer, the required memory and the batch size that would fit;
    /// returns other errors unchanged.
    pub(super) fn explain(&self, error: Error, layer: usize, tape: &Tape, mode: Mode) -> Error {
        let text = error.to_string();
        if !text.contains("OUT_OF_MEMORY") && !text.contains("ALLOC_FAILED") {
            return error;
        }
        let batch = tape.batch();
        let free = match self.device_of(layer) {
            Device::Cuda(_) => self.free_memory(layer),
            _ => None,
        };
        let wanted = self.pass_memory(batch, mode);
        // Subtract memory that does not grow with the batch: scratch memory of kernels and cuDNN's workspace.
        let room = free.map(|free| (tape.bytes() + free).saturating_sub(BESIDE));
        let fits = room.map(|room| room as f64 * 0.95 / wanted.max(1) as f64 * batch as f64);
        Error::OutOfMemory {
            layer: self.spec.layers()[layer].name.clone(),
            batch,
            wanted_mib: wanted >> 20,
            precision: self.precision,
            fits: fits.map_or(String::new(), |fits| format!("; about {} images would fit", fits as usize)),
        }
    }

    fn free_memory(&self, layer: usize) -> Option<usize> {
        let candle_core::DeviceLocation::Cuda { gpu_id } = self.device_of(layer).location() else { return None };
        let devices = alexnet_kernels::cuda_devices().ok()?;
        devices.iter().find(|device| device.ordinal == gpu_id).map(|device| device.free_memory)
    }
}

/// Adds details to an out-of-memory error of a layer.
pub(super) fn explained<T>(network: &Network, result: Result<T>, layer: usize, tape: &Tape, mode: Mode) -> Result<T> {
    result.map_err(|error| network.explain(error, layer, tape, mode))
}
