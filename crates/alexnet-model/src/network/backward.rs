//! The backward pass: processes the layers in reverse order.

use alexnet_kernels::{activation, add};
use candle_core::{DType, Tensor};

use super::Network;
use super::memory::explained;
use crate::error::{Error, Result};
use crate::layers::{Backward, Gradients};
use crate::precision::Precision;
use crate::shape::Shape;
use crate::specification::Output;
use crate::tape::{Mode, Tape, crossing};

/// The callback that receives each parameter's gradient.
struct Receiver<'a> {
    take: &'a mut dyn FnMut(usize, Gradient<'_>) -> Result<()>,
    /// Whether it accepts [`Gradient::Product`].
    products: bool,
}

/// The gradient of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Gradient<'a> {
    /// Its values.
    Values(&'a Tensor),
    /// The factors of the gradient `grad_yᵀ·x` of a fully connected layer's weight.
    /// [`alexnet_kernels::linear::update_weight`] updates the weight from them without writing the gradient to memory.
    Product {
        /// The layer's input, `[n, in_features]`.
        x: &'a Tensor,
        /// The gradient of its output, `[n, out_features]`.
        grad_y: &'a Tensor,
    },
}

impl<'a> From<&'a Tensor> for Gradient<'a> {
    fn from(values: &'a Tensor) -> Self {
        Self::Values(values)
    }
}

impl Network {
    /// Computes the gradients of all [trained](Network::train_only) parameters from the gradient of the logits,
    /// `[n, classes]`, returned by [`Network::forward`]. For several outputs, use [`Network::backward_outputs`].
    ///
    /// `on_gradient(index, gradient)` is called once per trained parameter, in reverse order of the layers, as soon as
    /// the gradient is complete and nothing later in the pass reads the parameter, so the callback may update the
    /// parameter. The gradient's buffer is reused after the call. The tensors kept by `tape` are released during the
    /// pass.
    ///
    /// # Errors
    /// [`Error::NothingToBackpropagate`] without a forward pass in training mode on the tape; [`Error::InferenceOnly`]
    /// in `bf16` on the CPU; [`Error::Gradients`] if forward returned several outputs; errors of `on_gradient`.
    pub fn backward(
        &self,
        tape: &mut Tape,
        grad_logits: &Tensor,
        on_gradient: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        self.backward_outputs(tape, &[grad_logits], on_gradient)
    }

    /// Like [`Network::backward`], for several outputs: `grad_outputs` are the gradients of their losses, one per
    /// output of forward. They are multiplied by the [loss weights](crate::Output::loss_weight) of the outputs.
    ///
    /// # Errors
    /// As [`Network::backward`].
    pub fn backward_outputs(
        &self,
        tape: &mut Tape,
        grad_outputs: &[&Tensor],
        mut on_gradient: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut take = |index, gradient: Gradient<'_>| match gradient {
            Gradient::Values(values) => on_gradient(index, values),
            Gradient::Product { .. } => unreachable!("only `backward_factored` accepts products"),
        };
        let mut receiver = Receiver { take: &mut take, products: false };
        self.gpu_math.scope(|| self.walk_back(tape, grad_outputs, &mut receiver))
    }

    /// Like [`Network::backward_outputs`], but on the CPU the gradient of a fully connected layer's weight is passed as
    /// a [`Gradient::Product`], which takes no memory.
    ///
    /// # Errors
    /// As [`Network::backward`].
    pub fn backward_factored(
        &self,
        tape: &mut Tape,
        grad_outputs: &[&Tensor],
        mut on_gradient: impl FnMut(usize, Gradient<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut receiver = Receiver { take: &mut on_gradient, products: true };
        self.gpu_math.scope(|| self.walk_back(tape, grad_outputs, &mut receiver))
    }

    fn walk_back(&self, tape: &mut Tape, grad_outputs: &[&Tensor], receiver: &mut Receiver<'_>) -> Result<()> {
        if self.precision == Precision::Bf16 && !self.takes_bf16() {
            return Err(Error::InferenceOnly);
        }
        let Some(mode @ Mode::Train { .. }) = tape.mode else {
            return Err(Error::NothingToBackpropagate);
        };
        let outputs = tape.outputs.clone();
        if grad_outputs.len() != outputs.len() {
            return Err(Error::Gradients { expected: outputs.len(), found: grad_outputs.len() });
        }
        tape.mode = None;
        let layers = self.spec.layers().len();
        let mut grads: Vec<Option<Tensor>> = vec![None; layers];
        for (&Output { layer, loss_weight }, grad) in self.spec.outputs().iter().zip(grad_outputs) {
            let first = tape.take(grad.dims(), self.activations(layer), self.device_of(layer))?;
            add::scale_into(&grad.contiguous()?, loss_weight, &first)?;
            grads[layer] = Some(first);
        }
        for layer in (0..layers).rev() {
            if let Some(grad_y) = grads[layer].take() {
                // A layer that needs no gradient gets here only if it is an output.
                if self.has_gradient[layer] {
                    match (self.spec.layers()[layer].activation, tape.saved[layer].last(), &tape.values[layer]) {
                        (Some(kind), Some(argument), _) if kind.needs_input() => {
                            activation::backward_from_input_in_place(argument, &grad_y, kind)?;
                        }
                        (Some(kind), _, Some(y)) => activation::backward_in_place(y, &grad_y, kind)?,
                        _ => {}
                    }
                    let done = self.backward_layer(layer, &grad_y, mode, tape, &mut grads, receiver);
                    explained(self, done, layer, tape, mode)?;
                }
                tape.give(grad_y);
            }
            std::mem::take(&mut tape.saved[layer]).into_iter().for_each(|done| tape.give(done));
            tape.release(layer);
        }
        Ok(())
    }

    fn backward_layer(
        &self,
        layer: usize,
        grad_y: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        grads: &mut [Option<Tensor>],
        receiver: &mut Receiver<'_>,
    ) -> Result<()> {
        let (ops, device, inputs) =
            (self.spec.layers()[layer].kind.ops(), self.device_of(layer), self.spec.inputs(layer));
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.spec.shapes()[input]).collect();
        let (values, saved) = (self.values_of(layer), tape.saved[layer].clone());
        let products = receiver.products && device.is_cpu() && self.precision == Precision::F32;
        let product = ops.product().map(|number| self.of_layer[layer].start + number).filter(|_| products);
        for (number, &input) in inputs.iter().enumerate() {
            let x = if ops.keeps_inputs() { Some(tape.value_on(input, device)?) } else { None };
            let grad_x = self.grad_buffer(layer, input, tape)?;
            let buffer = |index: usize| {
                let wanted = self.trained[index] && product != Some(index);
                let shape = &self.parameters[index].spec.shape;
                wanted.then(|| tape.take(shape, DType::F32, device)).transpose()
            };
            let grads_of_parameters = self.of_layer[layer].clone().map(buffer).collect::<Result<Vec<_>>>()?;
            let pass = Backward {
                grad_y,
                input: number,
                x: x.as_ref(),
                shapes: &shapes,
                parameters: &values,
                saved: &saved,
                mode,
                layer,
            };
            ops.backward(&pass, &Gradients { x: grad_x.as_ref(), parameters: &grads_of_parameters })?;
            // From here on, nothing in this pass reads the parameters.
            for (index, gradient) in self.of_layer[layer].clone().zip(grads_of_parameters) {
                match (gradient, &x) {
                    (Some(gradient), _) => {
                        (receiver.take)(index, (&gradient).into())?;
                        tape.give(gradient);
                    }
                    (None, Some(x)) if product == Some(index) && self.trained[index] => {
                        (receiver.take)(index, Gradient::Product { x, grad_y })?;
                    }
                    _ => {}
                }
            }
            self.accumulate(input, grad_x, tape, grads)?;
        }
        Ok(())
    }

    /// A buffer for the gradient of `input` computed by `layer`; `None` if no parameter up to `input` is trained.
    fn grad_buffer(&self, layer: usize, input: usize, tape: &mut Tape) -> Result<Option<Tensor>> {
        if !self.has_gradient[input] {
            return Ok(None);
        }
        let n = tape.batch();
        tape.take(&self.spec.shapes()[input].batch(n), self.activations(layer), self.device_of(layer)).map(Some)
    }

    /// Adds `grad_x` to the gradients of `input` from other layers.
    fn accumulate(
        &self,
        input: usize,
        grad_x: Option<Tensor>,
        tape: &mut Tape,
        grads: &mut [Option<Tensor>],
    ) -> Result<()> {
        let Some(mut grad_x) = grad_x else { return Ok(()) };
        let device = self.device_of(input);
        if !grad_x.device().same_device(device) {
            // Copy into a buffer of the device's pool, so that each buffer returns to the pool it came from.
            let (own, copy) = (tape.take(grad_x.dims(), grad_x.dtype(), device)?, crossing(&grad_x, device)?);
            add::scale_into(&copy, 1.0, &own)?;
            tape.give(std::mem::replace(&mut grad_x, own));
        }
        match &grads[input] {
            None => grads[input] = Some(grad_x),
            Some(sum) => {
                add::accumulate_into(&grad_x, sum)?;
                tape.give(grad_x);
            }
        }
        Ok(())
    }
}
