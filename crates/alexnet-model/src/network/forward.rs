//! The forward pass: runs the layers in order and keeps the tensors that backward needs.

use alexnet_kernels::activation::{self, Activation};
use alexnet_kernels::add;
use alexnet_kernels::conv2d::PreparedWeight;
use candle_core::{DType, Tensor};

use super::Network;
use super::memory::explained;
use super::plan::Plan;
use crate::error::Result;
use crate::layers::Forward;
use crate::shape::Shape;
use crate::tape::{Mode, Tape};

impl Network {
    /// The logits, `[n, classes]`, of a batch of images `[n, channels, height, width]`. Images may be `f32` in any
    /// memory format, or channels last in the type of the [activations](super::Precision::activations).
    ///
    /// In [`Mode::Train`], `tape` keeps the tensors that [`Network::backward`] needs. In [`Mode::Test`] it only
    /// provides buffers. If the network has several outputs, this computes the main one only and skips layers it does
    /// not need.
    ///
    /// # Errors
    /// Images of another size; a device that is out of memory.
    pub fn forward(&self, x: &Tensor, mode: Mode, tape: &mut Tape) -> Result<Tensor> {
        Ok(self.walk(x, mode, tape, &[], &self.main_plan())?.swap_remove(0))
    }

    /// Like [`Network::forward`], but returns all [outputs](crate::Specification::outputs), the main one first.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_outputs(&self, x: &Tensor, mode: Mode, tape: &mut Tape) -> Result<Vec<Tensor>> {
        self.walk(x, mode, tape, &[], &self.whole_plan())
    }

    /// Computes the outputs of `plan`, `[n, h, w, c]` or `[n, features]`. `prepared` has one entry per layer, or is
    /// empty.
    pub(super) fn walk(
        &self,
        x: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        prepared: &[Option<PreparedWeight>],
        plan: &Plan,
    ) -> Result<Vec<Tensor>> {
        self.gpu_math.scope(|| self.walk_forward(x, mode, tape, prepared, plan))
    }

    fn walk_forward(
        &self,
        x: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        prepared: &[Option<PreparedWeight>],
        plan: &Plan,
    ) -> Result<Vec<Tensor>> {
        let n = self.batch_of(x)?;
        let layers = self.spec.layers().len();
        tape.start(layers, &plan.outputs, n);
        for layer in (0..layers).filter(|&layer| plan.runs[layer]) {
            let (dims, dtype) = (self.spec.shapes()[layer].batch(n), self.activations(layer));
            let y = if plan.outputs.contains(&layer) {
                // Never a pooled buffer: it is returned to the caller.
                Tensor::zeros(dims, dtype, self.device_of(layer)).map_err(Into::into)
            } else {
                tape.take(&dims, dtype, self.device_of(layer))
            };
            let y = explained(self, y, layer, tape, mode)?;
            let prepared = prepared.get(layer).and_then(Option::as_ref);
            let done = self.compute(layer, x, &y, mode, tape, prepared);
            explained(self, done, layer, tape, mode)?;
            tape.values[layer] = Some(y);
            for &input in self.spec.inputs(layer) {
                if !self.stays(input, layer, mode, plan) {
                    tape.release(input);
                }
            }
        }
        tape.mode = Some(mode);
        let output = |&layer: &usize| {
            let value = tape.values[layer].as_ref();
            full(value.expect("the loop stores every output and releases none"))
        };
        plan.outputs.iter().map(output).collect()
    }

    /// Whether the result of `layer` is needed after `reader` has run.
    pub(super) fn stays(&self, layer: usize, reader: usize, mode: Mode, plan: &Plan) -> bool {
        let kept = mode != Mode::Test && self.kept[layer];
        plan.last_reader[layer] > reader || kept || plan.outputs.contains(&layer)
    }

    /// Shapes and types of the tensors that forward saves for backward in addition to the result of shape `y`: those of
    /// the layer's kind, then the input of the activation if the activation's gradient needs it.
    pub(super) fn saved_by(&self, layer: usize, y: &[usize], mode: Mode) -> Vec<(Vec<usize>, DType)> {
        if mode == Mode::Test || !self.has_gradient[layer] {
            return Vec::new();
        }
        let entry = &self.spec.layers()[layer];
        let mut saved = entry.kind.ops().saved(y);
        if entry.activation.is_some_and(Activation::needs_input) {
            saved.push((y.to_vec(), self.activations(layer)));
        }
        saved
    }

    /// Writes the result of one layer into `y`.
    fn compute(
        &self,
        layer: usize,
        images: &Tensor,
        y: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        prepared: Option<&PreparedWeight>,
    ) -> Result<()> {
        let entry = &self.spec.layers()[layer];
        let (ops, device) = (entry.kind.ops(), self.device_of(layer));
        let inputs = match self.spec.inputs(layer) {
            [] => vec![images.to_device(device)?],
            inputs => inputs.iter().map(|&input| tape.value_on(input, device)).collect::<Result<_>>()?,
        };
        let saved = self.saved_by(layer, y.dims(), mode).into_iter();
        let saved = saved.map(|(dims, dtype)| tape.take(&dims, dtype, device)).collect::<Result<Vec<_>>>()?;
        // If the activation's gradient needs its input, that input is the last saved tensor.
        let argument = saved.last().filter(|_| entry.activation.is_some_and(Activation::needs_input));
        let own = &saved[..saved.len() - usize::from(argument.is_some())];
        let relu = entry.activation == Some(Activation::Relu) && ops.fuses_relu();
        let parameters = self.values_of(layer);
        let pass = Forward { inputs, parameters, prepared, relu, saved: own, mode, layer };
        ops.forward(&pass, argument.unwrap_or(y))?;
        match (entry.activation, argument) {
            (Some(kind), Some(argument)) => activation::forward_into(argument, kind, y)?,
            (Some(kind), None) if !relu => activation::forward_in_place(y, kind)?,
            _ => {}
        }
        tape.saved[layer] = saved;
        Ok(())
    }

    /// The results of the named layers in test mode: `[n, channels, height, width]` or `[n, features]`.
    ///
    /// # Errors
    /// As [`Network::forward`], or an unknown layer name.
    pub fn features(&self, x: &Tensor, layers: &[&str]) -> Result<Vec<Tensor>> {
        let find = |name: &&str| {
            let found = self.spec.layers().iter().position(|layer| layer.name == **name);
            found.ok_or_else(|| crate::Error::Layer { layer: (*name).into(), rule: "there is no such layer".into() })
        };
        let wanted = layers.iter().map(find).collect::<Result<Vec<_>>>()?;
        let results = self.walk(x, Mode::Test, &mut Tape::new(), &[], &self.plan(wanted.clone()))?;
        let first = |(value, layer): (Tensor, usize)| match self.spec.shapes()[layer] {
            Shape::Map(_) => Ok(value.permute((0, 3, 1, 2))?.contiguous()?),
            Shape::Vector(_) => Ok(value),
        };
        results.into_iter().zip(wanted).map(first).collect()
    }
}

/// Converts to `f32`, the type of all network outputs.
fn full(value: &Tensor) -> Result<Tensor> {
    if value.dtype() == DType::F32 {
        return Ok(value.clone());
    }
    let full = Tensor::zeros(value.shape(), DType::F32, value.device())?;
    add::scale_into(value, 1.0, &full)?;
    Ok(full)
}
